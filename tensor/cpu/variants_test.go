//go:build amd64 && !purego

package cpu

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/cpu"

	"afterimage/tensor/cpu/gemm"
	"afterimage/tensor/cpu/vec"
)

// kernelsInUse is what TestKernelsInUse prints.
func kernelsInUse() string { return fmt.Sprintf("gemm %s, vec %s", gemm.Kernel(), vec.Variant()) }

// TestKernelsInUse says which kernels this process chose, for TestLesserKernels to read.
func TestKernelsInUse(t *testing.T) { t.Log(kernelsInUse()) }

// TestLesserKernels runs the conformance suite and the drawn properties in a process that sees a
// lesser processor: kernels are chosen once in a process, and golang.org/x/sys/cpu leaves out what
// GODEBUG names.
func TestLesserKernels(t *testing.T) {
	if testing.Short() {
		t.Skip("short: takes seconds: the conformance suite on lesser instruction sets")
	}
	for _, c := range []struct {
		want, godebug string
		runs          bool
	}{
		{"gemm avx2, vec avx2", "cpu.avx512f=off", cpu.X86.HasAVX2 && cpu.X86.HasFMA},
		{"gemm generic, vec go", "cpu.avx512f=off,cpu.avx2=off", true},
	} {
		t.Run(c.want, func(t *testing.T) {
			switch {
			case !c.runs:
				t.Skip("skipped: this processor has no AVX2 with FMA")
			case kernelsInUse() == c.want:
				t.Skip("skipped: these are the kernels of this process itself")
			}
			cmd := exec.Command(os.Args[0], "-test.v",
				"-test.run=^(TestKernelsInUse|TestConformance|Test.*Properties)$")
			cmd.Env = append(os.Environ(), "GODEBUG="+c.godebug)
			out, err := cmd.CombinedOutput()
			text := string(out)
			if err != nil {
				t.Fatalf("GODEBUG=%s: %v\n%s", c.godebug, err, failures(text))
			}
			for _, want := range []string{c.want, "--- PASS: TestConformance/conv",
				"--- PASS: TestConvProperties"} {
				if !strings.Contains(text, want) {
					t.Errorf("GODEBUG=%s: the output has no %q", c.godebug, want)
				}
			}
		})
	}
}

// failures is the lines of a test's output that are not successes.
func failures(out string) string {
	var kept []string
	for line := range strings.Lines(out) {
		if s := strings.TrimSpace(line); !strings.HasPrefix(s, "--- PASS") &&
			!strings.HasPrefix(s, "=== ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}
