package autodiff

import (
	"fmt"
	"slices"

	"afterimage/tensor"
)

// A Quotient says what SpectralQuotient is to divide.
type Quotient struct {
	W *Value // the weight [R …], as a matrix M [R, K] of its rows
	U *Value // [1 R]; with V an estimate of the singular vectors of the largest singular value
	V *Value // [1 K]
	// Sigma is σ = uᵀMv, of one element, where somebody has computed it of this W
	// (tensor.SpectralFuser), else nil. It is read as a number: derivatives are those of uᵀMv in any
	// case.
	Sigma *tensor.Tensor
	// DType is the result's: W's or, of F32, BF16, into which it is rounded as by Cast.
	DType tensor.DType
}

func (q Quotient) operands() []*Value { return []*Value{q.W, q.U, q.V} }

// SpectralQuotient computes w/σ with σ = uᵀMv: a weight over an estimate of its largest singular
// value. VJP for w: dw = dy/σ − ⟨dy, w⟩/σ²·uvᵀ.
//
// Panics if w has no axis, the vectors do not fit or the dtype is another. Source: Miyato et al.,
// ICLR 2018, equation 8.
func SpectralQuotient(q Quotient) *Value {
	q.check("SpectralQuotient")
	o := spectralOp{dt: q.DType, sigma: q.Sigma}
	if _, ok := q.W.graph.Backend().(tensor.SpectralFuser); ok && q.Sigma != nil {
		return apply(o, q.operands()...)
	}
	return o.composite(q.operands())
}

// check panics unless the operands fit.
func (q Quotient) check(op string) {
	w, u, v, dt := q.W, q.U, q.V, q.DType
	floats(op, "w u v", w, u, v)
	if dt != w.DType() && (dt != tensor.BF16 || w.DType() != tensor.F32) {
		misuse(op, fmt.Sprintf("a quotient in %v: expected w's dtype or, of f32, bf16", dt), "w", w)
	}
	if w.Rank() == 0 || !u.Shape().Equal(tensor.Shape{1, w.Dim(0)}) ||
		!v.Shape().Equal(tensor.Shape{1, w.Shape()[1:].Size()}) {
		misuse(op, "expected w [R …], u [1 R] and v [1 K], K the elements of a row", "w u v", w, u, v)
	}
}

// SpectralQuotients is SpectralQuotient for each of a list, in one go where the backend can
// (tensor.ManySpectralFuser) and every σ is known. Panics as that does.
func SpectralQuotients(qs []Quotient) []*Value {
	out := make([]*Value, len(qs))
	if len(qs) == 0 {
		return out
	}
	var y, w, sigma tensors
	for _, q := range qs {
		q.check("SpectralQuotients")
		w, sigma = append(w, q.W.live("SpectralQuotients")), append(sigma, q.Sigma)
	}
	b, ok := qs[0].W.graph.Backend().(tensor.ManySpectralFuser)
	if !ok || slices.Contains(sigma, nil) {
		for i, q := range qs {
			out[i] = SpectralQuotient(q)
		}
		return out
	}
	for _, q := range qs {
		y = append(y, q.W.graph.scope.New(q.DType, q.W.Shape()...))
	}
	b.SpectralQuotients(y, w, sigma)
	for i, q := range qs {
		out[i] = apply(spectralOp{q.DType, q.Sigma, y[i]}, q.operands()...)
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

func (spectralOp) joins(g *Graph) bool {
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
