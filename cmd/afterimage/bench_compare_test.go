package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/bench"
)

// TestBenchCompare compares the program with itself, through a stand-in for Python on PATH that
// starts it: the rows, the files, that a second call has nothing left to do, and that PyTorch's
// malloc is tuned unless it is to be left alone.
func TestBenchCompare(t *testing.T) {
	if testing.Short() {
		t.Skip("short: compares for seconds")
	}
	self, dir := binary(t), t.TempDir()
	python := filepath.Join(dir, "python")
	asked := filepath.Join(dir, "asked")
	script := fmt.Sprintf("#!/bin/sh\necho \"$@\" >>%s\nexec %s --threads \"$4\" bench serve\n",
		asked, self)
	if err := os.WriteFile(python, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	compare := func(more ...string) string { return runCompare(t, self, python, out, more...) }
	text := compare()
	if !strings.Contains(text, "threads 2") || !strings.Contains(text, "threads 1") ||
		strings.Count(text, "| add |") != 2 || strings.Count(text, "start to first step") != 0 {
		t.Errorf("unexpected rows:\n%s", text)
	}
	r, err := bench.ReadRecord(filepath.Join(out, bench.JSONFile))
	if err != nil || len(r.Rows) != 2 || len(r.Sessions) != 2 {
		t.Fatalf("%v: %+v", err, r)
	}
	for _, c := range r.Rows {
		if len(c.Ours) != 2 || len(c.Theirs) != 2 || !(c.Ratio > 0.001 && c.Ratio < 1000) ||
			!(c.Bound > 0) {
			t.Errorf("%+v", c)
		}
	}
	for _, name := range []string{"means-1.svg", "means-2.png", bench.TableFile, bench.RowsFile} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	if again := compare("--malloc", "default"); strings.Contains(again, "| add |") {
		t.Errorf("rows were measured again:\n%s", again)
	}
	// Each number of threads says hello; in the first call it measures, too.
	lines, err := os.ReadFile(asked)
	if tuned := strings.Count(string(lines), "--tune-malloc"); err != nil || tuned != 4 ||
		strings.Count(string(lines), "\n") != 6 {
		t.Errorf("%d of these starts have malloc tuned, expected the first 4 of 6 (%v):\n%s", tuned, err,
			lines)
	}
	mustCall(t, "bench", "plot", filepath.Join(out, bench.JSONFile), "--out", dir)
}

// runCompare starts the program, which starts itself twice more.
func runCompare(t *testing.T, self, python, out string, more ...string) string {
	t.Helper()
	c := exec.Command(self, append([]string{"bench", "compare", "--python", filepath.Base(python),
		"--script", python, "--only", "^add/n128h32c16$", "--rounds", "2", "--seconds", "0", "--modes",
		"eager", "--out", out}, more...)...)
	c.Env = append(os.Environ(), "PATH="+filepath.Dir(python))
	text, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return string(text)
}

// TestBenchCompareRefuses what cannot be compared, each with its flag's name.
func TestBenchCompareRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o700); err != nil { // as an interpreter is
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"no python":       {"--python", filepath.Join(dir, "no python")},
		"on PATH":         {"--python", "no python on PATH"},
		"--rounds":        {"--python", file, "--script", file, "--rounds", "0"},
		"--seconds":       {"--python", file, "--script", file, "--seconds", "-1"},
		"--each":          {"--python", file, "--script", file, "--each", "0"},
		"--modes":         {"--python", file, "--script", file, "--modes", "fastest"},
		"matches no row":  {"--python", file, "--script", file, "--only", "nothing is called so"},
		"--only":          {"--python", file, "--script", file, "--only", "("},
		"not a compariso": nil,
	} {
		line := append([]string{"bench", "compare", "--out", filepath.Join(dir, "out")}, args...)
		if args == nil {
			line = []string{"bench", "plot", file}
		}
		if code, _, errOut := call(line...); code != exitUsage || !strings.Contains(errOut, want) {
			t.Errorf("%v: exit %d, %q, expected %q", line, code, errOut, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
		t.Error("a refused comparison left a folder")
	}
}
