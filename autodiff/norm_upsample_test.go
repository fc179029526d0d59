package autodiff_test

import (
	"slices"
	"testing"

	ad "afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// enlarging is a backend that can normalise and enlarge at once, and counts how often it does.
type enlarging struct {
	*ref.Backend
	calls int
}

func (b *enlarging) NormUpsample(y, x, scale, shift *tensor.Tensor, relu bool, k int) {
	b.calls++
	s := tensor.NewScope(b.Backend)
	defer s.Close()
	small := s.Like(x)
	b.NormApply(small, x, scale, shift, nil, relu)
	b.Upsample(y, small, k)
}

// TestBatchNormUpsample wants value and gradients of the fused op to be those of its two parts to
// the bit, on a backend that can do both at once and on one that cannot, and to second order within
// rounding.
func TestBatchNormUpsample(t *testing.T) {
	parts := func(x, gamma, beta value, k int) value {
		y, _ := ad.BatchNormReLU(x, gamma, beta, nil, bnEps)
		return ad.Upsample(y, k)
	}
	fused := func(x, gamma, beta value, k int) value {
		y, _ := ad.BatchNormReLUUpsample(x, gamma, beta, bnEps, k)
		return y
	}
	for _, perSample := range []bool{false, true} {
		in := normInputs(false, perSample, false)
		for _, k := range []int{1, 2, 3} {
			able := &enlarging{Backend: ref.New()}
			want := everything(ref.New(), in, parts, k)
			for _, b := range []tensor.Backend{ref.New(), able} {
				for i, got := range everything(b, in, fused, k) {
					if !slices.Equal(got, want[i]) {
						t.Errorf("k = %d, by sample %v, %T: number %d (y dx dgamma dbeta) differs", k, perSample,
							b, i)
					}
				}
			}
			if able.calls != 1 {
				t.Errorf("the backend's kernel was called %d times", able.calls)
			}
		}
		of := func(f func(x, gamma, beta value, k int) value) fn {
			return func(_ graph, in []value) value { return f(in[0], in[1], in[2], 2) }
		}
		gradcheck.Same(t, of(fused), of(parts), in)
	}
}

// everything returns f's value and its gradients under a cotangent that tells pixels apart.
func everything(b tensor.Backend, in []input, f func(x, gamma, beta value, k int) value, k int,
) (all [][]float64) {
	g := ad.NewGraph(b)
	defer g.Close()
	var vs vals
	for _, p := range in {
		vs = append(vs, g.Leaf(tensor.FromSlice(g.Scope(), p.Data, p.Shape...)))
	}
	y := f(vs[0], vs[1], vs[2], k)
	all = append(all, y.Tensor().Floats())
	dy := make([]float64, y.Shape().Size())
	for i := range dy {
		dy[i] = float64(i%7) - 2.5
	}
	dys := tensor.FromSlice(g.Scope(), dy, y.Shape()...)
	for _, d := range ad.Grad(y, vs, ad.WithCotangent(g.Const(dys))) {
		all = append(all, d.Tensor().Floats())
	}
	return all
}
