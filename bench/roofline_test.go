package bench

import (
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// TestLedgerKeepsEveryKernel: each method of a backend, or of what the CPU's can do besides, that
// takes tensors is written down by one of the ledger's own, so that a new kernel is not forgotten.
func TestLedgerKeepsEveryKernel(t *testing.T) {
	cases := []reflect.Type{reflect.TypeFor[tensor.Backend](), reflect.TypeFor[tensor.LossFuser](),
		reflect.TypeFor[tensor.SpectralFuser](), reflect.TypeFor[tensor.NormUpsampler](),
		reflect.TypeFor[tensor.SumMasker]()}
	own := reflect.TypeFor[*ledger]()
	for _, c := range cases {
		if !reflect.TypeFor[*cpu.Backend]().Implements(c) {
			continue
		}
		for i := range c.NumMethod() {
			if !takesTensors(c.Method(i).Type) {
				continue
			}
			m, _ := own.MethodByName(c.Method(i).Name)
			file, _ := runtime.FuncForPC(m.Func.Pointer()).FileLine(m.Func.Pointer())
			if !strings.HasSuffix(file, "ledger.go") { // the compiler's, for a method of *cpu.Backend
				t.Errorf("the ledger has no %s", m.Name)
			}
		}
	}
}

func takesTensors(f reflect.Type) bool {
	one := reflect.TypeFor[*tensor.Tensor]()
	for i := range f.NumIn() {
		if in := f.In(i); in == one || in == reflect.SliceOf(one) {
			return true
		}
	}
	return false
}

// TestRoofline: a call takes what is longer, its operations or its bytes, and kernels add up.
func TestRoofline(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	const peak = 100 // GFLOP/s
	y := tally{
		{"Conv2D", 4e15, 1 << 20}: {2 * countedRuns, 3 * countedRuns}, // 80,000 s: no copy takes that
		{"Conv2D", 0, 1 << 16}:    {countedRuns, countedRuns},
		{"Fill", 1, 1 << 20}:      {countedRuns, 9 * countedRuns}}
	all, list := y.roofline(b, peak)
	if len(list) != 2 || list[0].Kernel != "Fill" || list[0].Calls != 1 || list[0].Seconds != 9 ||
		list[1].Kernel != "Conv2D" || list[1].Calls != 3 || list[1].Seconds != 4 {
		t.Fatalf("got %+v", list)
	}
	conv, fill := list[1].Roofline, list[0].Roofline
	if conv < 8e4 || conv > 8e4+0.1 || !(fill > 1e-11) || fill > 0.1 ||
		math.Abs(all-conv-fill) > 1e-9*all {
		t.Errorf("%g s in all, convolutions %g, expected 80000 and a copy; fill %g", all, conv, fill)
	}
}

// TestCount: what a step's kernels compute is the work that the catalogue gives it, and a little
// more: a stem's gradient is not needed, a network's few other products are. Winograd's form counts
// less.
func TestCount(t *testing.T) {
	s := classifierSpec("resnet8", 4, 32, 0)
	b := cpu.Open(1)
	defer b.Close()
	b.SetWinograd(false)
	y, err := count(b, s)
	if err != nil {
		t.Fatal(err)
	}
	flops, kernels := 0.0, map[string]int{}
	for c, n := range y {
		if n.times%countedRuns != 0 || n.seconds <= 0 {
			t.Errorf("%+v: %+v, expected the same calls in each of %d runs", c, n, countedRuns)
		}
		flops += c.flops * float64(n.times/countedRuns) / 1e9
		kernels[c.kernel] += n.times / countedRuns
	}
	if math.Abs(flops/s.Work-1) > 0.06 {
		t.Errorf("counted %g GFLOP, the catalogue %g", flops, s.Work)
	}
	if kernels["Conv2DWeightGrad"] != 7 || kernels["SGD"] != 1 {
		t.Errorf("calls %v, expected 7 weight gradients and one step of SGD", kernels)
	}
	b.SetWinograd(true)
	y, err = count(b, s)
	few := 0.0
	for c, n := range y {
		few += c.flops * float64(n.times/countedRuns) / 1e9
	}
	if err != nil || !(few < 0.6*flops) {
		t.Errorf("%v: counted %g GFLOP in Winograd's form, expected far less than %g", err, few, flops)
	}
	if y, err := count(b, spec("x")); y != nil || err != nil {
		t.Errorf("no step: %v, %v", y, err)
	}
}

// TestByKernel: a line a kernel.
func TestByKernel(t *testing.T) {
	r := Row{Kernels: []KernelTime{{"Conv", 3, 0.75, 0.6}, {"Fill", 12, 0.25, 0.05}}}
	want := "  Conv                       3 calls        750 ms  75.0 % of all   80 % of roofline\n" +
		"  Fill                      12 calls        250 ms  25.0 % of all   20 % of roofline\n"
	if got := r.ByKernel(); got != want {
		t.Errorf("got\n%sexpected\n%s", got, want)
	}
}
