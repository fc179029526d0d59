package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inProcess runs one command line.
func inProcess(args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = run(args, &o, &e)
	return code, o.String(), e.String()
}

// TestDoctor checks both forms of the report, and that a cut CIFAR file is seen.
func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("AFTERIMAGE_DATA", dir)
	folder := filepath.Join(dir, "cifar-100-binary")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"train.bin": 2 * 3074, "test.bin": 3073} {
		if err := os.WriteFile(filepath.Join(folder, name), make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errOut := inProcess("doctor", "--json", "--threads", "2")
	var r doctorReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, errOut)
	}
	if r.Threads != 2 || r.PeakGFLOPs <= 0 || r.CopyGBs <= 0 || r.Memory.Limit <= 0 ||
		r.Gemm == "" || r.Vec == "" ||
		len(r.CUDA.Devices) == 0 && r.CUDA.Problem == "" || r.Data.Folder != dir {
		t.Errorf("incomplete: %+v", r)
	}
	whole := map[string]bool{"scenes": true}
	for _, s := range r.Data.Sets {
		if s.Whole != whole[s.Name] || s.Found != (whole[s.Name] || s.Name == "cifar-100") {
			t.Errorf("set %+v", s)
		}
	}
	code, out, _ = inProcess("doctor", "--threads", "1")
	if code != exitOK || !strings.Contains(out, "test.bin is damaged") || strings.Count(out,
		"\n") > 24 {
		t.Errorf("exit %d, expected one screen that names the damaged file, got\n%s", code, out)
	}
	for line := range strings.Lines(out) {
		if len(line) < 17 || line[15] != ' ' || line[16] == ' ' {
			t.Errorf("not aligned: %q", line)
		}
	}
}

// TestBenchScaling checks what is refused, before anything is measured.
func TestBenchScaling(t *testing.T) {
	for want, args := range map[string][]string{
		"--threads 1: expected 2 or more":  {"--threads", "1"},
		"--rounds 0: expected 1 or more":   {"--threads", "2", "--rounds", "0"},
		"--seconds -1: expected 0 or more": {"--threads", "2", "--seconds=-1"},
		"matches no step":                  {"--threads", "2", "--only", "^sgemm"},
	} {
		code, _, errOut := inProcess(append([]string{"bench", "scaling"}, args...)...)
		if code != exitUsage || !strings.Contains(errOut, want) {
			t.Errorf("%q: exit %d, %q, expected %q", args, code, errOut, want)
		}
	}
}

// TestBench checks the table, the JSON form and what is refused.
func TestBench(t *testing.T) {
	args := []string{"bench", "kernels", "--only", "sgemm 256×256×256", "--seconds", "0"}
	code, out, errOut := inProcess(args...)
	if code != exitOK || strings.Count(out, "\n") != 3 || !strings.Contains(out, "GFLOP/s") {
		t.Errorf("exit %d, expected a heading and one row, got\n%s%s", code, out, errOut)
	}
	code, out, errOut = inProcess(append(args, "--json")...)
	var r benchResult
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK || len(r.Rows) != 1 ||
		r.Environment.Go == "" {
		t.Errorf("exit %d, %v: %s%s", code, err, out, errOut)
	}
	for _, bad := range []struct{ only, want string }{{"(", "--only"}, {"nothing is called so",
		"matches no row"}} {
		code, _, errOut := inProcess("bench", "kernels", "--only", bad.only)
		if code != exitUsage || !strings.Contains(errOut, bad.want) {
			t.Errorf("--only %q: exit %d, %q", bad.only, code, errOut)
		}
	}
}
