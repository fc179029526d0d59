//go:build linux && amd64 && cgo

package cuda

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/backendtest"
)

// openWithLt opens the fake device with the fake cuBLASLt.
func openWithLt(t *testing.T, cache string) *Backend {
	t.Helper()
	t.Setenv("AFTERIMAGE_CUBLASLT", fake.Lt)
	b := open(t, Options{Cache: cache})
	if b.lt == nil || !strings.Contains(b.Kernels(), "cuBLASLt 13.0.0") {
		t.Fatalf("cuBLASLt was not taken: %s", b.Kernels())
	}
	b.lt.alone = true
	return b
}

// TestProducts holds products through cuBLASLt's interface to the reference: orders, strides,
// transpositions, batches. The library behind it is a fake that does what the documentation says.
func TestProducts(t *testing.T) {
	if testing.Short() {
		t.Skip("short: TestProductChoice multiplies by cuBLASLt, too")
	}
	cache := t.TempDir() // a shape is timed once
	backendtest.Run(t, backendtest.Options{Families: []string{"matmul"},
		Open: func(int) tensor.Backend { return openWithLt(t, cache) }})
}

// TestProductPlans wants a shape planned once, and a product that the library refuses, or that has
// nothing in it, computed by our own kernel.
func TestProductPlans(t *testing.T) {
	b := openWithLt(t, "")
	s := tensor.NewScope(b)
	defer s.Close()
	x, y := s.Full(tensor.F32, 2, 3, 4), s.Full(tensor.F32, 3, 4, 5)
	for range 3 {
		z := s.New(tensor.F32, 3, 5)
		b.MatMul(z, x, y, tensor.MatMulParams{})
		if got := z.Floats()[14]; got != 24 {
			t.Fatalf("got %v, want 24", got)
		}
	}
	if n := len(b.lt.plans); n != 1 {
		t.Errorf("%d plans for one shape", n)
	}
	for spec := range b.lt.plans {
		b.lt.plans[spec] = nil
	}
	z := s.New(tensor.F32, 3, 5)
	b.MatMul(z, x, y, tensor.MatMulParams{})
	if got := z.Floats()[0]; got != 24 {
		t.Errorf("our own kernel: got %v, want 24", got)
	}
}

// TestProductChoice wants the fastest of the algorithms that can run, taken again from the cache
// although another is faster by then, a run's choice before that, and anew if another stands in its
// place.
func TestProductChoice(t *testing.T) {
	t.Setenv("FAKECUBLASLT_DIGITS", "1") // algorithm 2 differs, so that it shows
	cache, run := t.TempDir(), filepath.Join(t.TempDir(), "plans.json")
	var told []string // of choices that are made anew
	multiply := func(cache, run string) (float64, choice) {
		b := openWithLt(t, cache)
		defer b.Close()
		if run != "" {
			foreign, err := b.KeepPlans(run, func(shape string) { told = append(told, shape) })
			if err != nil || foreign != "" {
				t.Fatalf("KeepPlans: %q, %v", foreign, err)
			}
		}
		s := tensor.NewScope(b)
		defer s.Close()
		z := s.New(tensor.F32, 3, 5)
		b.MatMul(z, s.Full(tensor.F32, 2, 3, 4), s.Full(tensor.F32, 3, 4, 5), tensor.MatMulParams{})
		got := z.Floats()[0]
		if err := b.Sync(); err != nil {
			t.Fatal(err)
		}
		for _, p := range b.lt.plans {
			return got, p.choice
		}
		panic("not reached")
	}
	slow := func(algorithms string) { t.Setenv("FAKECUBLASLT_SLOW", algorithms) }
	slow("13")
	if got, c := multiply(cache, run); got == 24 || c.Place != 1 || c.Engine>>32 != 62 {
		t.Errorf("with slow algorithms 1 and 3: %v, %+v", got, c)
	}
	slow("2")
	if got, c := multiply(cache, ""); got == 24 || c.Place != 1 {
		t.Errorf("the cache's choice was not taken: %v, %+v", got, c)
	}
	if got, c := multiply(t.TempDir(), ""); got != 24 || c.Place == 1 || c.Engine>>32 == 62 {
		t.Errorf("with a slow algorithm 2: %v, %+v", got, c)
	}
	if got, c := multiply(t.TempDir(), run); got == 24 || c.Place != 1 {
		t.Errorf("the run's choice was not taken before the cache's: %v, %+v", got, c)
	}
	file, err := filepath.Glob(filepath.Join(cache, "plans-*.json"))
	if err != nil || len(file) != 1 {
		t.Fatalf("the cache holds %q, %v", file, err)
	}
	editPlans(t, file[0], func(c *choice) { c.Engine++ })
	if got, c := multiply(cache, ""); got != 24 || c.Place == 1 || len(told) != 0 {
		t.Errorf("an algorithm that is not there any more: %v, %+v, told %q", got, c, told)
	}
	editPlans(t, run, func(c *choice) { c.Engine++ })
	if got, c := multiply(t.TempDir(), run); got != 24 || c.Place == 1 || len(told) != 1 ||
		!strings.HasPrefix(told[0], "product f32 3×5 from 4") {
		t.Errorf("an algorithm that is not there: %v, %+v, told %q", got, c, told)
	}
}

// TestProductFailed wants a kept algorithm that cannot be had for now kept all the same: a run
// stops, and goes on with it later; outside a run our own kernel multiplies in the meantime.
func TestProductFailed(t *testing.T) {
	cache, run := t.TempDir(), filepath.Join(t.TempDir(), "plans.json")
	multiply := func(run string) (float64, error) {
		b := openWithLt(t, cache)
		defer b.Close()
		keepsAll(t, b, run)
		s := tensor.NewScope(b)
		defer s.Close()
		z, x, y := s.New(tensor.F32, 3, 5), s.Full(tensor.F32, 2, 3, 4), s.Full(tensor.F32, 3, 4, 5)
		b.MatMul(z, x, y, tensor.MatMulParams{})
		if err := b.Sync(); err != nil {
			return 0, err
		}
		return z.Floats()[0], nil
	}
	keptBy := failing(t, "FAKECUBLASLT_FAIL", run, multiply)
	if c := keptBy[0]; c.own() {
		t.Errorf("kept %+v", c)
	}
}

// failing computes with a run's plans, with and without one while the library fails, and again. It
// returns the choices that the run keeps.
func failing(t *testing.T, variable, run string, compute func(run string) (float64, error),
) (kept []choice) {
	t.Helper()
	want, err := compute(run)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(run)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(variable, "1")
	if _, err := compute(run); err == nil || !strings.Contains(err.Error(), run) ||
		!strings.Contains(err.Error(), "cannot be had") {
		t.Errorf("a run went on without what it keeps: %v", err)
	}
	if got, err := compute(""); err != nil || got != want {
		t.Errorf("without a run: %v, %v, want %v", got, err, want)
	}
	t.Setenv(variable, "")
	if got, err := compute(run); err != nil || got != want {
		t.Errorf("when the cause was gone: %v, %v, want %v", got, err, want)
	}
	if after, err := os.ReadFile(run); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the run's choices changed: %v\n%s\n%s", err, before, after)
	}
	p, err := readPlans(run)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(maps.Values(p.Shapes))
}

// TestProductOwnTakesPixels wants a convolution that is a matrix product made by our own product
// kernel where that was faster than cuBLASLt, without another contest, from which it would be
// missing; again from the cache, and recorded.
func TestProductOwnTakesPixels(t *testing.T) {
	t.Setenv("AFTERIMAGE_CUDNN", fake.DNN)
	t.Setenv("FAKECUBLASLT_SLOW", "0123")
	cache := t.TempDir()
	for range 2 {
		b := openWithLt(t, cache)
		b.lt.alone = false
		s := tensor.NewScope(b)
		x, w := s.Full(tensor.F32, 1, 1, 2, 2, 3), s.Full(tensor.F32, 2, 5, 1, 1, 3)
		y := s.New(tensor.F32, 1, 2, 2, 5)
		p := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
		b.Conv2D(y, x, w, p)
		if got := y.Floats()[19]; got != 6 || len(b.dnn.plans) != 0 || len(b.book.all) != 1 {
			t.Errorf("got %v; %d plans of cuDNN, choices %+v", got, len(b.dnn.plans), b.book.all)
		}
		for _, c := range b.book.all {
			if !c.own() || c.Micros <= 0 {
				t.Errorf("our own kernel was not the fastest: %+v", c)
			}
		}
		b.Fill(y, 0)
		g, err := b.Record(func() { b.Conv2D(y, x, w, p) })
		if err != nil {
			t.Fatal(err)
		}
		if g.Replay(); y.Floats()[0] != 6 {
			t.Errorf("replayed %v", y.Floats())
		}
		s.Close()
		b.Close()
		t.Setenv("FAKECUBLASLT_SLOW", "")
	}
}
