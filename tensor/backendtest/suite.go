package backendtest

import (
	"slices"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// Options say what to test.
type Options struct {
	// Open returns a backend that computes with that many threads; a device ignores the number.
	// Run opens one with 1 thread and one with Threads, and uses both throughout.
	Open func(threads int) tensor.Backend
	// Threads is the larger number of threads; 0 means 4, so that it exceeds small machines.
	Threads int
	// Families, if not empty, names the only kernel families to test, for a backend that computes
	// some of them in another way: "matmul", "conv", ….
	Families []string
	// BF16 says that the backend rounds the operands of convolutions and matrix products to bfloat16:
	// F32 inputs are then drawn from bfloat16's grid, on which that changes nothing, and the bounds
	// are those of sums in F32.
	BF16 bool
	// BF16Results says that, with BF16, a convolution may round its results to bfloat16 as well.
	BF16Results bool
	// NoF64, if not empty, is the reason why the backend does not compute in F64. The F64 part of
	// the suite is then skipped with this reason. go test -short skips it always, and that in BF16.
	NoF64 string
	// NoBF16, if not empty, is the reason why BF16 tensors are not tested.
	NoBF16 string
	// PaddingMultiplied, if not empty, is the reason why Conv2DWeightGrad may multiply dy with the
	// zeros of the padding, as implicit matrix products do: a NaN in dy then also reaches the taps
	// that hang over the image's edge.
	PaddingMultiplied string
}

// Run tests the backend that o opens, one subtest for each kernel family, named like the files of
// this package: go test -run 'TestConformance/conv'. Failures show the case, the element and the
// bound.
func Run(t *testing.T, o Options) {
	threads := o.Threads
	if threads == 0 {
		threads = 4
	}
	s := &suite{options: o, oracle: newGuarded(ref.New()),
		one: newGuarded(o.Open(1)), many: newGuarded(o.Open(threads))}
	if !s.one.host {
		t.Logf("%s: guard zones skipped: they need host memory", s.one.Name())
	}
	for _, f := range families() {
		if len(o.Families) > 0 && !slices.Contains(o.Families, f.name) {
			continue
		}
		t.Run(f.name, func(t *testing.T) { f.run(&family{t, s}) })
	}
}

// A named family is one of the suite's subtests.
type named struct {
	name string
	run  func(*family)
}

func families() []named {
	return []named{
		{"buffer", bufferFamily}, {"elementwise", elementwiseFamily}, {"reduce", reduceFamily},
		{"loss", lossFamily}, {"matmul", matMulFamily}, {"attention", attentionFamily},
		{"conv", convFamily}, {"copy", copyFamily}, {"view", viewFamily}, {"index", indexFamily},
		{"pool", poolFamily}, {"resample", resampleFamily}, {"norm", normFamily},
		{"layernorm", layerNormFamily},
		{"spectral", spectralFamily}, {"random", randomFamily}, {"optim", optimFamily},
	}
}

// Families returns the names that Options.Families may hold, in the order of the suite.
func Families() (names []string) {
	for _, f := range families() {
		names = append(names, f.name)
	}
	return names
}

// suite holds the backends that take part.
type suite struct {
	options           Options
	oracle, one, many *guarded
}

// family runs the cases of one kernel family.
type family struct {
	t *testing.T
	s *suite
}

// check runs a case in F32, F64 and BF16. The case is a function that draws its inputs, calls
// kernels and hands over the results; it runs once on the oracle and three times on the backend,
// with the same inputs each time.
func (f *family) check(name string, c func(e *env)) {
	f.checkWide(name, c)
	f.checkIn(name, tensor.BF16, c)
}

// checkWide is check for kernels that BF16 has no part in.
func (f *family) checkWide(name string, c func(e *env)) {
	f.checkIn(name, tensor.F32, c)
	f.checkIn(name, tensor.F64, c)
}

func (f *family) checkIn(name string, dt tensor.DType, c func(e *env)) {
	f.t.Run(name+"/"+dt.String(), func(t *testing.T) {
		if dt == tensor.F64 && f.s.options.NoF64 != "" {
			t.Skipf("F64: %s", f.s.options.NoF64)
		}
		if dt == tensor.BF16 && f.s.options.NoBF16 != "" {
			t.Skipf("BF16: %s", f.s.options.NoBF16)
		}
		if dt != tensor.F32 && testing.Short() {
			t.Skip("short: F32 only")
		}
		tp := newTape()
		want := f.s.play(t, "ref", f.s.env(f.s.oracle, tensor.F64, dt, tp), c)
		first := f.s.play(t, "1 thread", f.s.env(f.s.one, dt, dt, tp), c)
		compare(t, dt, first, want)
		again := f.s.play(t, "second run", f.s.env(f.s.one, dt, dt, tp), c)
		sameBits(t, "second run", again, first)
		many := f.s.play(t, "more threads", f.s.env(f.s.many, dt, dt, tp), c)
		sameBits(t, "more threads", many, first)
	})
}

// env is newEnv for this suite.
func (s *suite) env(b *guarded, dt, grid tensor.DType, t *tape) *env {
	e := newEnv(b, dt, grid, t)
	e.bf16, e.bf16Results = s.options.BF16, s.options.BF16Results
	return e
}

// play runs a case on one backend and returns what it handed over. It reports panics, failed
// invariants and damaged guard zones.
func (s *suite) play(t *testing.T, label string, e *env, c func(e *env)) []output {
	t.Helper()
	e.oracle = e.guarded == s.oracle
	if err := tensor.Try(func() { c(e) }); err != nil {
		t.Fatalf("%s: panic: %v", label, err)
	}
	if err := e.Sync(); err != nil {
		t.Fatalf("%s: Sync: %v", label, err)
	}
	e.checkInputs()
	e.scope.Close()
	for _, msg := range append(e.faults, e.takeFaults()...) {
		t.Errorf("%s: %s", label, msg)
	}
	return e.outputs
}
