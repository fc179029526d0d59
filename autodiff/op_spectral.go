package autodiff

import (
	"fmt"
	"slices"

	"afterimage/tensor"
)

// SpectralQuotient computes w/σ with σ = uᵀMv, where M is w [R …] seen as a matrix [R, K] of its
// rows: a weight over an estimate of its largest singular value, for u [1 R] and v [1 K] near the
// singular vectors. sigma is that σ, of one element, where somebody has computed it of this w
// (tensor.SpectralFuser), else nil; it is read as a number, and derivatives are those of uᵀMv in
// any case. dt is the result's dtype: w's or, of F32, BF16, into which it is rounded as by Cast.
// VJP for w: dw = dy/σ − ⟨dy, w⟩/σ²·uvᵀ.
//
// Panics if w has no axis, the vectors do not fit or dt is another. Source: Miyato et al., ICLR
// 2018, equation 8.
func SpectralQuotient(w, u, v *Value, sigma *tensor.Tensor, dt tensor.DType) *Value {
	checkQuotient("SpectralQuotient", w, u, v, dt)
	o := spectralOp{dt: dt, sigma: sigma}
	if _, ok := w.graph.Backend().(tensor.SpectralFuser); ok && sigma != nil {
		return apply(o, w, u, v)
	}
	return o.composite([]*Value{w, u, v})
}

// checkQuotient panics unless the operands fit.
func checkQuotient(op string, w, u, v *Value, dt tensor.DType) {
	floats(op, "w u v", w, u, v)
	if dt != w.DType() && (dt != tensor.BF16 || w.DType() != tensor.F32) {
		misuse(op, fmt.Sprintf("a quotient in %v: expected w's dtype or, of f32, bf16", dt), "w", w)
	}
	if w.Rank() == 0 || !u.Shape().Equal(tensor.Shape{1, w.Dim(0)}) ||
		!v.Shape().Equal(tensor.Shape{1, w.Shape()[1:].Size()}) {
		misuse(op, "expected w [R …], u [1 R] and v [1 K], K the elements of a row", "w u v", w, u, v)
	}
}

// SpectralQuotients is SpectralQuotient for each of a list of weights, in one go where the backend
// can (tensor.ManySpectralFuser) and every sigma is known. Panics as that does.
func SpectralQuotients(w, u, v []*Value, sigma []*tensor.Tensor, dt []tensor.DType) []*Value {
	out := make([]*Value, len(w))
	if len(w) == 0 {
		return out
	}
	for i := range w {
		checkQuotient("SpectralQuotients", w[i], u[i], v[i], dt[i])
	}
	b, ok := w[0].graph.Backend().(tensor.ManySpectralFuser)
	if !ok || slices.Contains(sigma, nil) {
		for i := range w {
			out[i] = SpectralQuotient(w[i], u[i], v[i], sigma[i], dt[i])
		}
		return out
	}
	var y, ws tensors
	for i := range w {
		y = append(y, w[i].graph.scope.New(dt[i], w[i].Shape()...))
		ws = append(ws, w[i].Tensor())
	}
	b.SpectralQuotients(y, ws, sigma)
	for i := range w {
		out[i] = apply(spectralOp{dt[i], sigma[i], y[i]}, w[i], u[i], v[i])
	}
	return out
}

// composite is the definition.
func (o spectralOp) composite(in []*Value) *Value {
	w, u, v := in[0], in[1], in[2]
	return w.graph.compose(func() *Value {
		sigma := MatMul(MatMul(v, Reshape(w, u.Dim(1), v.Dim(1)), false, true), u, false, true)
		one := make([]int, w.Rank())
		for i := range one {
			one[i] = 1
		}
		return as(Div(w, Reshape(sigma, one...)), o.dt)
	})
}

// spectralOp is the kernel for a given σ. The vectors' gradients and gradients of gradients are the
// definition's.
type spectralOp struct {
	dt    tensor.DType
	sigma *tensor.Tensor
	made  *tensor.Tensor // the quotient, if SpectralQuotients has made it, else nil
}

func (spectralOp) Name() string { return "SpectralQuotient" }
func (spectralOp) Needs() Needs { return Needs{All: true} }

func (o spectralOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	if o.made != nil {
		return o.made, nil
	}
	y := s.New(o.dt, in[0].Shape()...)
	s.Backend().(tensor.SpectralFuser).SpectralQuotient(y, in[0], o.sigma)
	return y, nil
}

func (o spectralOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	if n.HigherOrder() || need[1] || need[2] {
		whole := spectralOp{dt: n.In(0).DType()} // rounding counts as the identity
		return compositeVJP(n.in, as(dy, whole.dt), need, whole.composite)
	}
	g := n.Graph()
	dw := g.newValue(g.scope.Like(n.In(0).Tensor()), o.Name())
	g.Backend().(tensor.SpectralFuser).SpectralQuotientGrad(dw.t, dy.Tensor(), n.In(0).Tensor(),
		n.In(1).Tensor(), n.In(2).Tensor(), o.sigma)
	return []*Value{dw, nil, nil}
}

func (spectralOp) gathers(g *Graph) bool {
	_, ok := g.Backend().(tensor.ManySpectralFuser)
	return ok
}

// vjps makes the gradients of all of a network's weights in one go.
func (o spectralOp) vjps(nodes []*Node, dys []*Value) []*Value {
	g := nodes[0].Graph()
	var dw, dy, w, u, v, sigma tensors
	dxs := make([]*Value, len(nodes))
	for i, n := range nodes {
		dxs[i] = g.newValue(g.scope.Like(n.In(0).Tensor()), o.Name())
		dw, dy, w = append(dw, dxs[i].t), append(dy, dys[i].Tensor()), append(w, n.In(0).Tensor())
		u, v = append(u, n.In(1).Tensor()), append(v, n.In(2).Tensor())
		sigma = append(sigma, n.op.(spectralOp).sigma)
	}
	g.Backend().(tensor.ManySpectralFuser).SpectralQuotientGrads(dw, dy, w, u, v, sigma)
	return dxs
}
