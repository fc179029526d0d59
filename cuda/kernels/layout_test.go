package kernels_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"afterimage/cuda/kernels"
)

// TestLayout asks the C++ compiler for the size of every argument struct and the offset of every
// field, under the names that the Go mirrors imply, and compares.
func TestLayout(t *testing.T) {
	gxx, err := exec.LookPath("g++")
	if err != nil {
		t.Skipf("no C++ compiler to ask: %v", err)
	}
	program, want := layoutProgram(t)
	src, bin := filepath.Join(t.TempDir(), "layout.cc"), filepath.Join(t.TempDir(), "layout")
	if err := os.WriteFile(src, []byte(program), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(gxx, "-std=c++17", src, "-o", bin).CombinedOutput(); err != nil {
		t.Fatalf("g++: %v\n%s", err, out)
	}
	got, err := exec.Command(bin).Output()
	if err != nil {
		t.Fatal(err)
	}
	g, w := strings.Split(string(got), "\n"), strings.Split(want, "\n")
	if len(g) != len(w) {
		t.Fatalf("C++ lists %d lines, Go %d", len(g), len(w))
	}
	for i := range w {
		if g[i] != w[i] {
			t.Errorf("C++ says %q, Go %q", g[i], w[i])
		}
	}
}

// layoutProgram returns a C++ program that prints the size of every struct of arguments in the
// kernels' text and the offset of each of its fields, and what it prints if Go's mirrors are right.
func layoutProgram(t *testing.T) (text, want string) {
	t.Helper()
	declared := map[string]bool{}
	limits := regexp.MustCompile(`(?m)^const int \w+_TENSORS = \d+;`)
	structs := regexp.MustCompile(`(?m)^struct (\w+_args) \{[^}]*\};`)
	var c strings.Builder
	c.WriteString("#include <cstddef>\n#include <cstdio>\n" +
		"typedef int i32; typedef long long i64; typedef unsigned long long u64;\n" +
		"const int MAX_RANK = 8;\n")
	for _, stem := range kernels.Stems() {
		text := kernels.Text(stem)
		for _, m := range limits.FindAllString(text, -1) {
			c.WriteString(m + "\n")
		}
		for _, m := range structs.FindAllStringSubmatch(text, -1) {
			if declared[m[1]] {
				t.Errorf("%s is declared twice", m[1])
			}
			declared[m[1]] = true
			c.WriteString(m[0] + "\n")
		}
	}
	c.WriteString("int main() {\n")
	for name := range declared {
		mirror, ok := kernels.Mirrors[name]
		if !ok {
			t.Errorf("%s has no Go mirror in export_test.go", name)
			continue
		}
		fmt.Fprintf(&c, "printf(\"%s %%zu\\n\", sizeof(%s));\n", name, name)
		want += fmt.Sprintf("%s %d\n", name, mirror.Size())
		for _, f := range reflect.VisibleFields(mirror) {
			field := snake(f.Name)
			fmt.Fprintf(&c, "printf(\"%s.%s %%zu\\n\", offsetof(%s, %s));\n", name, field, name, field)
			want += fmt.Sprintf("%s.%s %d\n", name, field, f.Offset)
		}
	}
	c.WriteString("}\n")
	for name := range kernels.Mirrors {
		if !declared[name] {
			t.Errorf("the mirror of %s stands for no struct", name)
		}
	}
	return c.String(), want
}

// snake turns "ScaleBySample" into "scale_by_sample" and keeps runs of capitals together: "OH" is
// "oh".
func snake(name string) string {
	border := regexp.MustCompile(`([a-z])([A-Z])|([A-Z])([A-Z][a-z])`)
	return strings.ToLower(border.ReplaceAllString(name, "$1${3}_$2$4"))
}
