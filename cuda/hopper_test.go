//go:build linux && amd64 && cgo

package cuda

import (
	"math"
	"testing"

	"afterimage/cuda/driver"
	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// TestHopperKernels computes a product and a convolution of which the book says that our kernels
// for compute capability 9.0 make them, on the fake device, which claims to be one, and wants what
// the kernels for every card make.
func TestHopperKernels(t *testing.T) {
	own, b := inBF16(t, false, ""), inBF16(t, true, "")
	b.dnn.alone = false
	const m, n, k = 70, 130, 40
	p := tensor.ConvParams{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1,
		DilH: 1, DilW: 1, Groups: 1}
	conv := convSpec{forward, tensor.BF16, tensor.BF16, [4]int{2, 6, 6, 8}, [4]int{64, 3, 3, 8},
		[4]int{2, 6, 6, 64}, p}
	product := productName(driver.ProductSpec{M: m, N: n, K: k, Batch: 1, Kind: driver.ProductBF16})
	b.book.all[conv.String()] = choice{Mode: hopperMode}
	b.book.all[product] = choice{Mode: hopperMode}
	results := func(b *Backend) (all []float64) {
		s := tensor.NewScope(b)
		defer s.Close()
		draw := func(shape ...int) *tensor.Tensor {
			x := s.New(tensor.F32, shape...)
			b.Random(tensor.Normal, tensor.NewKey(1, x.Shape().String()), x, s.Zeros(tensor.I32, 1))
			return x
		}
		z, y := s.New(tensor.F32, m, n), s.New(tensor.F32, 2, 6, 6, 64)
		for range 2 { // chosen, and chosen before
			b.MatMul(z, draw(m, k), draw(k, n), tensor.MatMulParams{})
			b.Conv2D(y, draw(2, 6, 6, 8), draw(64, 3, 3, 8), p)
		}
		return append(z.Floats(), y.Floats()...)
	}
	got, want := results(b), results(own)
	for i := range want {
		if d := math.Abs(got[i] - want[i]); !(d <= 1e-4*(1+math.Abs(want[i]))) {
			t.Fatalf("element %d: %v, by the kernel for every card %v", i, got[i], want[i])
		}
	}
	if right, wrong, chosen := b.HopperKernels(); right != 2 || wrong != 0 || chosen != 2 {
		t.Errorf("right for %d shapes, wrong for %d, chosen for %d", right, wrong, chosen)
	}
	if by, _ := b.ConvolutionsBy(); by != 0 {
		t.Errorf("%d convolutions by cuDNN", by)
	}
}

// TestHopperWrong wants a kernel refused of which one element in many is wrong, or is no number.
func TestHopperWrong(t *testing.T) {
	b := inBF16(t, true, "")
	s := tensor.NewScope(b)
	defer s.Close()
	x, y, z := s.New(tensor.BF16, 64, 64), s.New(tensor.BF16, 64, 64), s.New(tensor.F32, 64, 64)
	for i, wrong := range []float64{7, math.NaN(), math.Inf(1)} {
		w := ownWork{arr(z), arr(x), arr(y), func(e *kernels.Encoder, z, x, y kernels.Array) {
			e.MatMul(z, x, y, tensor.MatMulParams{})
			if e.Hopper {
				one := z
				one.Shape = tensor.Shape{1}
				e.Fill(one, wrong)
			}
		}}
		b.run(func(*kernels.Encoder) {
			if _, ok := b.hopperOffer(w, 64, 64); ok {
				t.Errorf("an element of %v was not seen", wrong)
			}
		})
		if right, seen, _ := b.HopperKernels(); right != 0 || seen != i+1 {
			t.Errorf("right for %d shapes, wrong for %d", right, seen)
		}
	}
}
