package cpu

import (
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
	}{{1, p}, {3, padded}, {3, strided}, {1, strided}, {2, strided}} {
		s := tensor.NewScope(b)
		x := numbers(s, 3, 17, 17, 48)
		w, plain := numbers(s, 40, c.k, c.k, 48), numbers(s, 40, c.k, c.k, 48)
		before := b.Memory().InUse
		b.KeepConstant(w)
		for _, n := range []int{3, 1, 3} {
			in := tensor.NewScope(b)
			part := in.New(tensor.F32, n, 17, 17, 48)
			b.CopyRegion(part, x, tensor.Region{DstStart: make([]int, 4), DstStep: ones(), SrcStep: ones(),
				SrcStart: make([]int, 4), Size: part.Shape()})
			oh, ow := c.p.Out(17, 17, c.k, c.k)
			got, want := in.New(tensor.F32, n, oh, ow, 40), in.New(tensor.F32, n, oh, ow, 40)
			b.Conv2D(got, part, w, c.p)
			b.Conv2D(want, part, plain, c.p)
			if !slices.Equal(tensor.ToHost[float32](got), tensor.ToHost[float32](want)) {
				t.Fatalf("%d×%d/%d, batch %d: constant weights give other bits", c.k, c.k, c.p.StrideH, n)
			}
			// As a transposed convolution, to images of two sizes that give the same extents.
			for _, h := range []int{17, 16} {
				if oh, _ := c.p.Out(h, 17, c.k, c.k); oh != got.Dim(1) {
					continue
				}
				dx, same := in.New(tensor.F32, n, h, 17, 48), in.New(tensor.F32, n, h, 17, 48)
				b.Conv2DInputGrad(dx, got, w, c.p)
				b.Conv2DInputGrad(same, got, plain, c.p)
				if !slices.Equal(tensor.ToHost[float32](dx), tensor.ToHost[float32](same)) {
					t.Fatalf("%d×%d/%d, batch %d, %d rows: constant weights give another input gradient",
						c.k, c.k, c.p.StrideH, n, h)
				}
			}
			in.Close()
		}
		w.Free()
		if now := b.Memory().InUse; now >= before {
			t.Errorf("%d bytes in use after the weights were freed, %d before they were kept", now, before)
		}
		s.Close()
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
