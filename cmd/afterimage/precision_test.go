package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/nn/train"
	"afterimage/tensor/cpu/gemm"
)

// TestPrecision trains in bf16 where there is the instruction for it: the run's record says so, and
// going on in f32 warns. Where there is not, one line says what is missing.
func TestPrecision(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	args := tinyClassifier("--out", dir, "--device", "cpu", "--precision", "bf16")
	if !gemm.HasBF16() {
		code, out, errOut := call(args...)
		checkMessage(t, badCase{"bf16", nil, []string{"--precision bf16", "AVX512_BF16", "use f32"}}, out,
			errOut)
		if code != exitUsage {
			t.Errorf("exit code %d", code)
		}
		return
	}
	mustCall(t, args...)
	record := read(t, filepath.Join(dir, train.EnvironmentFile))
	if !strings.Contains(string(record), "bf16 products") {
		t.Errorf("the record of a run in bf16 is %s", record)
	}
	resume := []string{"train", "classifier", "--resume", dir, "--device", "cpu"}
	code, _, errOut := call(append(resume, "--precision", "bf16")...)
	if code != exitOK || strings.Contains(errOut, "warning") {
		t.Errorf("resumed in bf16: exit code %d: %s", code, errOut)
	}
	code, _, errOut = call(resume...)
	if code != exitOK || !strings.Contains(errOut, "warning: this run was computed with gemm") {
		t.Errorf("resumed in f32: exit code %d: %s", code, errOut)
	}
	e := &env{cli: &cli{Precision: "bf16"}}
	if line := e.arithmetic(); line != " --no-winograd --precision bf16" {
		t.Errorf("a command is repeated with %q", line)
	}
}

// TestNoPrecision hides AVX-512 from the program: one line says what bf16 needs.
func TestNoPrecision(t *testing.T) {
	c := exec.Command(binary(t), "doctor", "--precision", "bf16")
	c.Env = append(os.Environ(), "GODEBUG=cpu.avx512f=off")
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	var exit *exec.ExitError
	if err := c.Run(); !errors.As(err, &exit) || exit.ExitCode() != exitUsage {
		t.Errorf("%v, expected exit code %d", err, exitUsage)
	}
	checkMessage(t, badCase{"hidden", nil, []string{"--precision bf16", "AVX512_BF16", "use f32"}},
		out.String(), errOut.String())
}

// TestPlainGo: every processor that computes anything in plain Go is told so.
func TestPlainGo(t *testing.T) {
	for _, c := range []struct{ products, loops, says string }{
		{"avx512", "avx512", ""}, {"avx2", "avx2", ""},
		{"neon", "go", "all else is computed in plain Go"},
		{"generic", "go", "many times slower"},
	} {
		note := plainGo(c.products, c.loops)
		if !strings.Contains(note, c.says) || (note == "") != (c.says == "") {
			t.Errorf("products %s, loops %s: %q, expected %q", c.products, c.loops, note, c.says)
		}
	}
}

// TestPrecisionRefused: other names, and a comparison, which has rows of its own for bf16.
func TestPrecisionRefused(t *testing.T) {
	for _, c := range []badCase{
		{"fp16", []string{"doctor", "--precision", "fp16"}, []string{"--precision", "bf16"}},
		{"compare", []string{"bench", "compare", "--python", "x", "--precision", "bf16"},
			[]string{"--precision bf16", "rows of their own", "leave it out"}},
	} {
		code, out, errOut := call(c.args...)
		checkMessage(t, c, out, errOut)
		if code != exitUsage {
			t.Errorf("%s: exit code %d", c.name, code)
		}
	}
}
