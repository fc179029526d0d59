package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"afterimage/tensor/cpu"
	"afterimage/tensor/cpu/gemm"
	"afterimage/tensor/cpu/vec"
)

// open returns the backend the command line asks for.
func (e *env) open() (*cpu.Backend, error) {
	switch d := e.cli.Device; {
	case d == "auto" || d == "cpu":
	case strings.HasPrefix(d, "cuda"):
		return nil, fmt.Errorf("--device %s: this build computes on the CPU only; use --device cpu", d)
	default:
		return nil, fmt.Errorf("--device %s: expected auto or cpu", d)
	}
	if e.cli.Threads < 0 || e.cli.Threads > 1024 {
		return nil, fmt.Errorf("--threads %d: expected 0 (all cores) to 1024", e.cli.Threads)
	}
	if e.cli.Memory < 0 || e.cli.Memory > 1<<30 {
		return nil, fmt.Errorf("--memory %d: expected 0 (nine tenths of what is available) or a number "+
			"of megabytes", e.cli.Memory)
	}
	b := cpu.Open(e.cli.Threads)
	b.SetWinograd(e.cli.Winograd)
	if e.cli.Memory > 0 {
		b.SetMemoryLimit(e.cli.Memory << 20)
	}
	if gemm.Kernel() == "generic" {
		fmt.Fprintln(e.err, "note: no AVX-512 here (or built with purego): computing in plain Go, many "+
			"times slower")
	}
	return b, nil
}

// An environment is what a run records about where it was made: a report without it cannot be
// repeated.
type environment struct {
	Program  string `json:"program"`
	Revision string `json:"revision"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	CPU      string `json:"cpu"`
	Threads  int    `json:"threads"`
	Kernels  string `json:"kernels"`
	Command  string `json:"command"`
}

func (e *env) describe(b *cpu.Backend) environment {
	kernels := fmt.Sprintf("gemm %s, vec %s", gemm.Kernel(), vec.Variant())
	if e.cli.Winograd { // another way of computing, with other last digits
		kernels += ", winograd"
	}
	return environment{
		Program: "afterimage", Revision: revision(), Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, CPU: cpuName(), Threads: b.Threads(),
		Kernels: kernels,
		Command: "afterimage " + strings.Join(os.Args[1:], " "),
	}
}

// warnOtherKernels warns if what goes on with this was computed with kernels that round differently
// until now, as the record was at path says. It reports whether it did.
func (e *env) warnOtherKernels(
	what, path string, was json.RawMessage, now environment,
) (warned bool) {
	var before environment
	if warned = json.Unmarshal(was, &before) == nil && before.Kernels != now.Kernels; warned {
		fmt.Fprintf(e.err, "warning: this %s was computed with %s on %s and goes on with %s on %s: "+
			"its last digits will differ from an undisturbed %[1]s's; %[6]s has the record\n", what,
			before.Kernels, before.CPU, now.Kernels, now.CPU, path)
	}
	return warned
}

// revision returns the git revision the binary was built from, with + if there were local changes.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	rev, dirty := "unknown", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			rev = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+"
			}
		}
	}
	return rev[:min(len(rev), 12)] + dirty
}

// cpuName returns the processor's name where the system tells it.
func cpuName() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(raw)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}
