//go:build linux && amd64 && cgo

package cuda

import (
	"slices"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// TestUneven multiplies and convolves small whole numbers through the libraries, in shapes in which
// no two extents, paddings, strides or dilations that could be taken for each other are equal, and
// wants the reference's numbers exactly.
func TestUneven(t *testing.T) {
	t.Setenv("AFTERIMAGE_CUBLASLT", fake.Lt)
	b, host := openWithDNN(t, ""), ref.New()
	b.lt.alone = true
	for name, f := range map[string]func(b tensor.Backend, s *tensor.Scope) *tensor.Tensor{
		"product": unevenProduct(false, false), "product, left transposed": unevenProduct(true, false),
		"product, right transposed": unevenProduct(false, true),
		"product, both transposed":  unevenProduct(true, true),
		"forward":                   unevenConvolution(forward),
		"input gradient":            unevenConvolution(inputGrad),
		"weight gradient":           unevenConvolution(weightGrad),
	} {
		on := func(b tensor.Backend) []float64 {
			s := tensor.NewScope(b)
			defer s.Close()
			return f(b, s).Floats()
		}
		if got, want := on(b), on(host); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if len(b.lt.plans) != 4 || len(b.dnn.plans) != 3 || slices.Contains(b.owned(), true) {
		t.Errorf("%d products and %d convolutions went through the libraries", len(b.lt.plans),
			len(b.dnn.plans))
	}
}

// owned says of each shape whether our own kernel computes it.
func (b *Backend) owned() (own []bool) {
	for _, p := range b.lt.plans {
		own = append(own, p == nil)
	}
	for _, p := range b.dnn.plans {
		own = append(own, p == nil)
	}
	return own
}

// counted returns a tensor of small whole numbers, none of which is like its neighbours.
func counted(s *tensor.Scope, shape ...int) *tensor.Tensor {
	v := make([]float32, tensor.Shape(shape).Size())
	for i := range v {
		v[i] = float32(i*i%11 - 4)
	}
	return tensor.FromSlice(s, v, shape...)
}

func unevenProduct(left, right bool) func(tensor.Backend, *tensor.Scope) *tensor.Tensor {
	return func(b tensor.Backend, s *tensor.Scope) *tensor.Tensor {
		x, y, z := counted(s, 3, 2), counted(s, 2, 4), s.New(tensor.F32, 3, 4)
		if left {
			x = counted(s, 2, 3)
		}
		if right {
			y = counted(s, 4, 2)
		}
		b.MatMul(z, x, y, tensor.MatMulParams{TransA: left, TransB: right})
		return z
	}
}

func unevenConvolution(dir direction) func(tensor.Backend, *tensor.Scope) *tensor.Tensor {
	return func(b tensor.Backend, s *tensor.Scope) *tensor.Tensor {
		p := tensor.ConvParams{StrideH: 2, StrideW: 1, PadTop: 1, PadLeft: 3, PadBottom: 2, PadRight: 0,
			DilH: 1, DilW: 2, Groups: 2}
		oh, ow := p.Out(7, 5, 3, 2)
		x, w, y := counted(s, 2, 7, 5, 4), counted(s, 6, 3, 2, 2), counted(s, 2, oh, ow, 6)
		switch dir {
		case forward:
			b.Conv2D(y, x, w, p)
			return y
		case inputGrad:
			b.Conv2DInputGrad(x, y, w, p)
			return x
		}
		b.Conv2DWeightGrad(w, x, y, p)
		return w
	}
}
