package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"afterimage/cuda"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/cpu/gemm"
	"afterimage/tensor/cpu/vec"
)

// A device is the backend that a command computes on.
type device interface {
	tensor.Backend
	Close()
}

// open returns the backend the command line asks for. auto takes the first GPU that can be used,
// and the CPU if there is none.
func (e *env) open() (device, error) {
	d := e.cli.Device
	switch {
	case d == "cpu":
		return e.openCPU()
	case d == "auto":
		r := cuda.Find()
		if r.First != "" {
			return e.openGPU(r.First)
		}
		if !r.Plain {
			fmt.Fprintf(e.err, "note: computing on the CPU: %s\n", r.Problem)
		}
		return e.openCPU()
	case strings.HasPrefix(d, "cuda"):
		return e.openGPU(d)
	}
	return nil, notDevice(d)
}

func notDevice(d string) error {
	return tensor.Refuse("--device %s: expected auto, cpu or cuda:0", d)
}

// openScope is open for a command that needs one scope, which closeAll closes before the device.
func (e *env) openScope() (b device, s *tensor.Scope, closeAll func(), err error) {
	if b, err = e.open(); err != nil {
		return nil, nil, nil, err
	}
	s = tensor.NewScope(b)
	return b, s, func() { s.Close(); b.Close() }, nil
}

// openGPU opens a GPU and starts telemetry where its program is at hand.
func (e *env) openGPU(name string) (device, error) {
	if !e.cli.Winograd {
		return nil, tensor.Refuse("--no-winograd is for the CPU, and this computes on %s: leave it "+
			"out, or name the CPU with --device cpu", name)
	}
	o := cuda.Options{Memory: e.cli.Memory << 20, TF32: e.cli.TF32}
	if e.cli.Precision == "bf16" {
		o.Precision = tensor.BF16
	}
	b, err := cuda.Open(name, o)
	if err != nil {
		asked := e.cli.Device + ": "
		if e.cli.Device == name { // the error begins with it
			asked = ""
		}
		return nil, tensor.Refuse("--device %s%w; --device cpu computes without a GPU", asked, err)
	}
	fmt.Fprintf(e.err, "computing on %v\n", b.Info())
	return &gpu{b, startTelemetry(b.Info().UUID), e}, nil
}

// A gpu is a GPU's backend with the telemetry of its card.
type gpu struct {
	*cuda.Backend
	telemetry *telemetry // nil if off
	env       *env
}

// Close ends the telemetry, says what it saw, and closes the device.
func (g *gpu) Close() {
	if s := g.telemetry.close(); s != "" {
		fmt.Fprintln(g.env.err, s)
	}
	g.Backend.Close()
}

// openCPU returns the CPU's backend; commands that measure the CPU open nothing else.
func (e *env) openCPU() (*cpu.Backend, error) {
	if e.cli.TF32 {
		return nil, tensor.Refuse("--tf32 is for NVIDIA GPUs, and this computes on the CPU: leave it " +
			"out, or name a GPU with --device cuda:0")
	}
	b := cpu.Open(e.cli.Threads)
	b.SetWinograd(e.cli.Winograd)
	if e.cli.Precision == "bf16" {
		if err := b.SetPrecision(tensor.BF16); err != nil {
			b.Close()
			return nil, tensor.Refuse("--precision bf16: %w", err)
		}
	}
	if e.cli.Memory > 0 {
		b.SetMemoryLimit(e.cli.Memory << 20)
	}
	if note := plainGo(gemm.Kernel(), vec.Variant()); note != "" {
		fmt.Fprintln(e.err, "note: "+note)
	}
	return b, nil
}

// plainGo says what is computed without vector instructions, of matrix products with convolutions
// and of everything else, given the kernels of each; "" if nothing is.
func plainGo(products, loops string) string {
	switch {
	case products == "generic":
		return "neither AVX-512 nor AVX2 here (or built with purego): computing in plain Go, many " +
			"times slower"
	case loops == "go":
		return "matrix products and direct convolutions use " + products + ", all else is computed in " +
			"plain Go, slower"
	}
	return ""
}

// check refuses values of the common flags that nothing could be made of, also where a command has
// no use for them.
func (e *env) check() error {
	switch d := e.cli.Device; {
	case d != "auto" && d != "cpu" && d != "cuda" && !strings.HasPrefix(d, "cuda:"):
		return notDevice(d)
	case e.cli.Threads < 0 || e.cli.Threads > 1024:
		return tensor.Refuse("--threads %d: expected 0 (all cores) to 1024", e.cli.Threads)
	case e.cli.Memory < 0 || e.cli.Memory > 1<<30:
		return tensor.Refuse("--memory %d: expected 0 (nine tenths of what is available, on a GPU "+
			"all) or a number of megabytes", e.cli.Memory)
	}
	return nil
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

	Device *cuda.Device `json:"device,omitempty"` // the GPU, if one computed
}

func (e *env) describe(d device) environment {
	now := environment{
		Program: "afterimage", Revision: revision(), Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, CPU: cpuName(), Command: typed(os.Args[1:]),
	}
	switch b := d.(type) {
	case *cpu.Backend:
		now.Threads = b.Threads()
		now.Kernels = fmt.Sprintf("gemm %s, vec %s", gemm.Kernel(), vec.Variant())
		if e.cli.Winograd { // another way of computing, with other last digits
			now.Kernels += ", winograd"
		}
		if b.Precision() != tensor.F32 {
			now.Kernels += ", " + b.Precision().String() + " products"
		}
	case *gpu:
		info := b.Info()
		now.Device, now.Kernels = &info, b.Kernels()
	}
	return now
}

// An origin says where a result that is printed as JSON comes from, for those who keep it.
type origin struct {
	Command  string `json:"command"`
	Revision string `json:"revision"`
	Kernels  string `json:"kernels"`
}

func (e *env) origin(d device) origin {
	now := e.describe(d)
	return origin{now.Command, now.Revision, now.Kernels}
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

// cpuName returns the processor's name where the system tells it, with the numbers that tell
// generations apart: a virtual machine may call all of them "AMD EPYC".
func cpuName() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	return cpuNameIn(string(raw))
}

// cpuNameIn is cpuName of the text of /proc/cpuinfo, of its first processor.
func cpuNameIn(text string) string {
	facts := map[string]string{}
	for line := range strings.Lines(text) {
		k, v, _ := strings.Cut(line, ":")
		if k = strings.TrimSpace(k); facts[k] == "" {
			facts[k] = strings.TrimSpace(v)
		}
	}
	name := facts["model name"]
	if name == "" {
		return runtime.GOARCH
	}
	if facts["cpu family"] == "" {
		return name
	}
	return fmt.Sprintf("%s (family %s, model %s, stepping %s)", name, facts["cpu family"],
		facts["model"], facts["stepping"])
}
