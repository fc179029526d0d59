package driver

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestABI compiles abi.h's numbers against the toolkit's own headers, in whatever folders
// AFTERIMAGE_CUDA_INCLUDE names (cuda.h; cudnn_graph.h; cublasLt.h). It needs no library.
func TestABI(t *testing.T) {
	folders := filepath.SplitList(os.Getenv("AFTERIMAGE_CUDA_INCLUDE"))
	if len(folders) == 0 {
		t.Skip("AFTERIMAGE_CUDA_INCLUDE is not set: the numbers are not compared with headers")
	}
	numbers := regexp.MustCompile(`(?m)^  (CU[A-Z0-9]*_\w+) = (\d+),`)
	inGo := regexp.MustCompile(`(?m)^\s+\w+ += (\d+) +// (CUDNN_\w+)$`)
	for _, c := range []struct{ header, file string }{
		{"cuda.h", "abi.h"}, {"cudnn_graph.h", "libs.c"}, {"cublasLt.h", "libs.c"},
		{"cudnn_graph.h", "../dnn_numbers.go"},
	} {
		var include []string
		for _, f := range folders {
			if _, err := os.Stat(filepath.Join(f, c.header)); err == nil {
				include = []string{"-I" + f}
			}
		}
		if include == nil {
			t.Logf("%s: not in AFTERIMAGE_CUDA_INCLUDE", c.header)
			continue
		}
		for _, f := range folders {
			include = append(include, "-I"+f)
		}
		text, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		found := numbers.FindAllStringSubmatch(string(text), -1)
		for _, m := range inGo.FindAllStringSubmatch(string(text), -1) {
			found = append(found, []string{"", m[2], m[1]})
		}
		src, n := "#include <"+c.header+">\n", 0
		for _, m := range found {
			if belongs(m[1], c.header) {
				src += "_Static_assert((int)" + m[1] + " == " + m[2] + ", \"" + m[1] + "\");\n"
				n++
			}
		}
		src += "_Static_assert(sizeof(void *) == 8, \"\");\n"
		cmd := exec.Command("gcc", append(include, "-fsyntax-only", "-x", "c", "-")...)
		cmd.Stdin = strings.NewReader(src)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", c.header, err, out)
		}
		t.Logf("%s: %d numbers of %s agree", c.header, n, c.file)
	}
}

// belongs reports which header declares a number.
func belongs(name, header string) bool {
	lt := strings.HasPrefix(name, "CUBLAS") || strings.HasPrefix(name, "CUDA_R_")
	dnn := strings.HasPrefix(name, "CUDNN")
	switch header {
	case "cudnn_graph.h":
		return dnn
	case "cublasLt.h":
		return lt
	}
	return !lt && !dnn
}
