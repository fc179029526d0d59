package autodiff

import "afterimage/tensor"

// SpectralQuotient computes w/σ with σ = uᵀMv, where M is w [R …] seen as a matrix [R, K] of its
// rows: a weight over an estimate of its largest singular value, for u [1 R] and v [1 K] near the
// singular vectors. VJP for w: dw = dy/σ − ⟨dy, w⟩/σ²·uvᵀ.
//
// Panics if w has no axis or the vectors do not fit. Source: Miyato et al., ICLR 2018, equation 8.
func SpectralQuotient(w, u, v *Value) *Value {
	floats("SpectralQuotient", "w u v", w, u, v)
	if w.Rank() == 0 || !u.Shape().Equal(tensor.Shape{1, w.Dim(0)}) ||
		!v.Shape().Equal(tensor.Shape{1, w.Shape()[1:].Size()}) {
		misuse("SpectralQuotient", "expected w [R …], u [1 R] and v [1 K], K the elements of a row",
			"w u v", w, u, v)
	}
	if _, ok := w.graph.Backend().(tensor.SpectralFuser); ok {
		return apply(spectralOp{}, w, u, v)
	}
	return spectralQuotient([]*Value{w, u, v})
}

// spectralQuotient is the definition.
func spectralQuotient(in []*Value) *Value {
	w, u, v := in[0], in[1], in[2]
	return w.graph.compose(func() *Value {
		sigma := MatMul(MatMul(v, Reshape(w, u.Dim(1), v.Dim(1)), false, true), u, false, true)
		one := make([]int, w.Rank())
		for i := range one {
			one[i] = 1
		}
		return Div(w, Reshape(sigma, one...))
	})
}

// spectralOp is the kernel, which saves σ. The vectors' gradients and gradients of gradients are
// the definition's.
type spectralOp struct{}

func (spectralOp) Name() string { return "SpectralQuotient" }
func (spectralOp) Needs() Needs { return Needs{All: true} }

func (spectralOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	y, sigma := s.Like(in[0]), s.New(in[0].DType())
	s.Backend().(tensor.SpectralFuser).SpectralQuotient(y, sigma, in[0], in[1], in[2])
	return y, tensors{sigma}
}

func (o spectralOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	if n.HigherOrder() || need[1] || need[2] {
		return compositeVJP(n.in, dy, need, spectralQuotient)
	}
	g := n.Graph()
	dw := g.newValue(g.scope.New(dy.DType(), dy.Shape()...), o.Name())
	g.Backend().(tensor.SpectralFuser).SpectralQuotientGrad(dw.t, dy.Tensor(), n.In(0).Tensor(),
		n.In(1).Tensor(), n.In(2).Tensor(), n.Saved(0).Tensor())
	return []*Value{dw, nil, nil}
}
