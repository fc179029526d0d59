package cpu

import (
	"runtime"
	"slices"
	"testing"

	"afterimage/tensor"
)

// TestKeepConstant: weights that are declared constant give the same bits, in the first call and in
// later ones, for any batch and in every form; what was kept goes with them.
func TestKeepConstant(t *testing.T) {
	for name, bf16 := range map[string]bool{"f32": false, "bf16": true} {
		t.Run(name, func(t *testing.T) { keepConstant(t, bf16) })
	}
}

func keepConstant(t *testing.T, bf16 bool) {
	b := Open(2)
	defer b.Close()
	if bf16 {
		if err := b.SetPrecision(tensor.BF16); err != nil {
			t.Skip(err)
		}
	}
	p := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
	padded, strided := p, tensor.ConvParams{StrideH: 2, StrideW: 2, DilH: 1, DilW: 1, Groups: 1}
	padded.PadTop, padded.PadLeft, padded.PadBottom, padded.PadRight = 1, 1, 1, 1
	for _, c := range []struct {
		k int
		p tensor.ConvParams
	}{{1, p}, {3, padded}, {3, strided}, {1, strided}} {
		s := tensor.NewScope(b)
		x := numbers(s, 3, 9, 9, 256)
		// Large enough to be given up.
		w, same := numbers(s, 264, c.k, c.k, 256), numbers(s, 264, c.k, c.k, 256)
		before, values, again := b.Memory().InUse, tensor.ToHost[float32](w), 0
		b.KeepConstant(w, func() {
			again++
			tensor.CopyFromHost(w, values)
		})
		for _, n := range []int{3, 1, 3} {
			in := tensor.NewScope(b)
			part := in.New(tensor.F32, n, 9, 9, 256)
			b.CopyRegion(part, x, tensor.Region{DstStart: make([]int, 4), DstStep: ones(), SrcStep: ones(),
				SrcStart: make([]int, 4), Size: part.Shape()})
			oh, ow := c.p.Out(9, 9, c.k, c.k)
			got, want := in.New(tensor.F32, n, oh, ow, 264), in.New(tensor.F32, n, oh, ow, 264)
			b.Conv2D(got, part, w, c.p)
			if !w.Buffer().(*buffer).parked && runtime.GOOS == "linux" {
				t.Errorf("%d×%d/%d: weights stay beside their packed form", c.k, c.k, c.p.StrideH)
			}
			b.Conv2D(want, part, same, c.p)
			if !slices.Equal(tensor.ToHost[float32](got), tensor.ToHost[float32](want)) {
				t.Fatalf("%d×%d/%d, batch %d: constant weights give other bits", c.k, c.k, c.p.StrideH, n)
			}
			in.Close()
		}
		if again > 1 { // another batch may want another form, once
			t.Errorf("%d×%d/%d: weights were written %d times for calls that repeat", c.k, c.k,
				c.p.StrideH, again)
		}
		if !slices.Equal(tensor.ToHost[float32](w), values) {
			t.Errorf("%d×%d/%d: weights that were given up are read as others", c.k, c.k, c.p.StrideH)
		}
		w.Free()
		if now := b.Memory().InUse; now >= before {
			t.Errorf("%d bytes in use after the weights were freed, %d before they were kept", now, before)
		}
		s.Close()
	}
}

// TestKeepConstantTransposed: the same of transposed convolutions, for any batch and to images of
// two sizes that give the same extents; a forward convolution with the same weights changes
// nothing.
func TestKeepConstantTransposed(t *testing.T) {
	b := Open(2)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	p := tensor.ConvParams{StrideH: 2, StrideW: 2, DilH: 1, DilW: 1, Groups: 1}
	w, plain := numbers(s, 40, 2, 2, 48), numbers(s, 40, 2, 2, 48)
	b.KeepConstant(w, func() { tensor.CopyFromHost(w, tensor.ToHost[float32](plain)) })
	for _, n := range []int{3, 1, 3} {
		for _, h := range []int{17, 16} {
			dy := numbers(s, n, 8, 8, 40)
			dx, same := s.New(tensor.F32, n, h, 16, 48), s.New(tensor.F32, n, h, 16, 48)
			b.Conv2DInputGrad(dx, dy, w, p)
			b.Conv2DInputGrad(same, dy, plain, p)
			if !slices.Equal(tensor.ToHost[float32](dx), tensor.ToHost[float32](same)) {
				t.Fatalf("batch %d, %d rows: constant weights give another input gradient", n, h)
			}
			b.Conv2D(dy, dx, w, p) // which may give the weights up
		}
	}
}

func ones() []int { return []int{1, 1, 1, 1} }

func numbers(s *tensor.Scope, shape ...int) *tensor.Tensor {
	x := make([]float32, tensor.Shape(shape).Size())
	for i := range x {
		x[i] = float32(i*7919%64)/32 - 1
	}
	return tensor.FromSlice(s, x, shape...)
}
