package autodiff

import (
	"fmt"

	"afterimage/tensor"
)

// LayerNorm computes y = gamma·(x − mean)/√(var + eps) + beta, mean and biased variance over the
// last axis of x [… C]. gamma and beta are [C], beta may be nil; F32 beside a BF16 x. eps ≥ 0. VJP,
// with x̂ = (x − mean)/√(var + eps), g = gamma·dy and averages over a row:
//
//	dx = (g − avg(g) − x̂·avg(g·x̂))/√(var + eps),  dgamma = Σ dy·x̂,  dbeta = Σ dy
//
// It is batch normalisation's with rows for channels; op_norm.go says how it comes about. Where the
// backend has kernels for it (tensor.LayerNormer) a row is read and written once. Panics on other
// shapes or a negative eps. Source: Ba, Kiros and Hinton, "Layer normalization", 2016.
func LayerNorm(x, gamma, beta *Value, eps float64) *Value {
	const name = "LayerNorm"
	in := []*Value{x, gamma}
	if beta != nil {
		in = append(in, beta)
	}
	floats(name, "x", x)
	for _, v := range in[1:] {
		if x.Rank() == 0 || !v.Shape().Equal(tensor.Shape{x.Dim(-1)}) ||
			v.DType() != ofChannels(x.DType()) {
			misuse(name, "expected x [… C], gamma and beta [C], of one dtype or F32 beside BF16", "x v", x,
				v)
		}
	}
	if !(eps >= 0) {
		misuse(name, fmt.Sprintf("eps = %g must not be negative", eps), "x", x)
	}
	o := layerNormOp{eps}
	if _, ok := x.graph.Backend().(tensor.LayerNormer); ok {
		return apply(o, in...)
	}
	return o.composite(in)
}

// layerNormOp is the kernel, which saves the rows' mean and 1/√(var + eps). Gradients of gradients
// are the definition's.
type layerNormOp struct{ eps float64 }

func (layerNormOp) Name() string { return "LayerNorm" }
func (layerNormOp) Needs() Needs { return Needs{In: 3} }

// composite is the definition, with beta if it is there.
func (o layerNormOp) composite(in []*Value) *Value {
	return in[0].graph.compose(func() *Value {
		x := as(in[0], in[1].DType())
		centred := Sub(x, MeanKeep(x, -1))
		variance := MeanKeep(Square(centred), -1)
		y := Mul(Mul(centred, Rsqrt(AddScalar(variance, o.eps))), in[1])
		if len(in) == 3 {
			y = Add(y, in[2])
		}
		return as(y, in[0].DType())
	})
}

func (o layerNormOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	x, rows, dt := in[0], in[0].Shape()[:in[0].Rank()-1], in[1].DType()
	var beta *tensor.Tensor
	if len(in) == 3 {
		beta = in[2]
	}
	y, mean, rstd := s.Like(x), s.New(dt, rows...), s.New(dt, rows...)
	s.Backend().(tensor.LayerNormer).LayerNorm(y, mean, rstd, x, in[1], beta, o.eps)
	return y, tensors{mean, rstd}
}

func (o layerNormOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	dxs := make([]*Value, len(n.in))
	if n.HigherOrder() {
		copy(dxs, compositeVJP(n.in[:2], dy, need[:2], o.composite))
	} else {
		o.vjpFused(n, dy, need, dxs)
	}
	if len(n.in) == 3 && need[2] {
		dxs[2] = sumRows(as(dy, n.In(1).DType()))
	}
	return dxs
}

// vjpFused sets the gradients of x and gamma, which are not differentiable.
func (o layerNormOp) vjpFused(n *Node, dy *Value, need []bool, dxs []*Value) {
	x, gamma, mean, rstd := n.In(0), n.In(1), n.Saved(0), n.Saved(1)
	if need[0] {
		g := n.Graph()
		dxs[0] = g.newValue(g.scope.Like(x.Tensor()), o.Name())
		g.Backend().(tensor.LayerNormer).LayerNormGrad(dxs[0].t, dy.Tensor(), x.Tensor(),
			mean.Tensor(), rstd.Tensor(), gamma.Tensor())
	}
	if need[1] {
		column := append(mean.Shape().Clone(), 1)
		centred := Sub(as(x, gamma.DType()), Reshape(mean, column...))
		dxs[1] = sumRows(Mul(as(dy, gamma.DType()), Mul(centred, Reshape(rstd, column...))))
	}
}

// sumRows adds up the rows of x [… C]: [C].
func sumRows(x *Value) *Value {
	return Sum(Reshape(x, x.Shape()[:x.Rank()-1].Size(), x.Dim(-1)), 0)
}
