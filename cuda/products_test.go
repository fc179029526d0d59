//go:build linux && amd64 && cgo

package cuda

import (
	"strings"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/backendtest"
)

// openWithLt opens the fake device with the fake cuBLASLt.
func openWithLt(t *testing.T) *Backend {
	t.Helper()
	t.Setenv("AFTERIMAGE_CUBLASLT", fake.Lt)
	b := open(t, Options{})
	if b.lt == nil || !strings.Contains(b.Kernels(), "cuBLASLt 13.0.0") {
		t.Fatalf("cuBLASLt was not taken: %s", b.Kernels())
	}
	return b
}

// TestProducts holds products through cuBLASLt's interface to the reference: orders, strides,
// transpositions, batches. The library behind it is a fake that does what the documentation says.
func TestProducts(t *testing.T) {
	backendtest.Run(t, backendtest.Options{Families: []string{"matmul"},
		Open: func(int) tensor.Backend { return openWithLt(t) }})
}

// TestProductPlans wants a shape planned once, and a product that the library refuses, or that has
// nothing in it, computed by our own kernel.
func TestProductPlans(t *testing.T) {
	b := openWithLt(t)
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
