package autodiff

import (
	"fmt"

	"afterimage/tensor"
)

// MaxPool takes the maximum over each window of x [N H W C]: y [N OH OW C]. Padding never wins;
// of equal elements the first in row order wins, and it alone gets the gradient; NaN wins.
// Panics if x is no image or no window fits.
//
// Once the winners are known max pooling is a gather, linear in x, whose adjoint scatters: the VJP
// of each of the two is the other.
func MaxPool(x *Value, p tensor.PoolParams) *Value {
	checkPool("MaxPool", x, x.Shape(), p)
	return apply(maxPoolOp{p, x.settled()}, x)
}

// maxPoolOp saves the winners, unless it is settled that no gradient asks for them.
type maxPoolOp struct {
	p       tensor.PoolParams
	settled bool
}

func (maxPoolOp) Name() string { return "MaxPool" }
func (maxPoolOp) Needs() Needs { return needsNothing }

func (o maxPoolOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	shape := pooled(in[0].Shape(), o.p)
	y := s.New(in[0].DType(), shape...)
	if o.settled {
		s.Backend().MaxPool(y, nil, in[0], o.p)
		return y, nil
	}
	idx := s.New(tensor.I32, shape...)
	s.Backend().MaxPool(y, idx, in[0], o.p)
	return y, tensors{idx}
}

func (o maxPoolOp) VJP(n *Node, dy *Value, _ []bool) []*Value {
	x := n.In(0)
	return []*Value{apply(poolScatterOp{x.Dim(1), x.Dim(2)}, dy, n.Saved(0))}
}

// poolScatterOp sends dy [N OH OW C] back to the winners: dx [N H W C].
type poolScatterOp struct{ h, w int }

func (poolScatterOp) Name() string { return "PoolScatter" }
func (poolScatterOp) Needs() Needs { return needsIn1 }

func (o poolScatterOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	dy := in[0]
	dx := s.New(dy.DType(), dy.Dim(0), o.h, o.w, dy.Dim(3))
	s.Backend().PoolScatter(dx, dy, in[1])
	return dx, nil
}

func (poolScatterOp) VJP(n *Node, d *Value, _ []bool) []*Value {
	return []*Value{apply(poolGatherOp{}, d, n.In(1)), nil}
}

// poolGatherOp reads x [N H W C] at the winners: y [N OH OW C].
type poolGatherOp struct{}

func (poolGatherOp) Name() string { return "PoolGather" }
func (poolGatherOp) Needs() Needs { return needsIn1 }

func (poolGatherOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	y := s.New(in[0].DType(), in[1].Shape()...)
	s.Backend().PoolGather(y, in[0], in[1])
	return y, nil
}

func (poolGatherOp) VJP(n *Node, dy *Value, _ []bool) []*Value {
	x := n.In(0)
	return []*Value{apply(poolScatterOp{x.Dim(1), x.Dim(2)}, dy, n.In(1)), nil}
}

// AvgPool averages over each window of x [N H W C]: y [N OH OW C]; p.CountPad says whether padding
// counts. Panics if x is no image or no window fits. AvgPoolGrad is its adjoint and its VJP.
func AvgPool(x *Value, p tensor.PoolParams) *Value {
	checkPool("AvgPool", x, x.Shape(), p)
	return apply(avgPoolOp{p}, x)
}

type avgPoolOp struct{ p tensor.PoolParams }

func (avgPoolOp) Name() string { return "AvgPool" }
func (avgPoolOp) Needs() Needs { return needsNothing }

func (o avgPoolOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	y := s.New(in[0].DType(), pooled(in[0].Shape(), o.p)...)
	s.Backend().AvgPool(y, in[0], o.p)
	return y, nil
}

func (o avgPoolOp) VJP(n *Node, dy *Value, _ []bool) []*Value {
	x := n.In(0)
	return []*Value{AvgPoolGrad(dy, x.Dim(1), x.Dim(2), o.p)}
}

// AvgPoolGrad spreads dy [N OH OW C] evenly over the windows of an h×w image: dx [N h w C], the
// adjoint of AvgPool. Panics if dy is not what AvgPool makes of such an image.
func AvgPoolGrad(dy *Value, h, w int, p tensor.PoolParams) *Value {
	rank("AvgPoolGrad", "dy", dy, 4)
	x := tensor.Shape{dy.Dim(0), h, w, dy.Dim(3)}
	checkPool("AvgPoolGrad", dy, x, p)
	if want := pooled(x, p); !dy.Shape().Equal(want) {
		misuse("AvgPoolGrad", fmt.Sprintf("a %d×%d image gives %v", h, w, want), "dy", dy)
	}
	return apply(avgPoolGradOp{h, w, p}, dy)
}

type avgPoolGradOp struct {
	h, w int
	p    tensor.PoolParams
}

func (avgPoolGradOp) Name() string { return "AvgPoolGrad" }
func (avgPoolGradOp) Needs() Needs { return needsNothing }

func (o avgPoolGradOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	dy := in[0]
	dx := s.New(dy.DType(), dy.Dim(0), o.h, o.w, dy.Dim(3))
	s.Backend().AvgPoolGrad(dx, dy, o.p)
	return dx, nil
}

func (o avgPoolGradOp) VJP(_ *Node, d *Value, _ []bool) []*Value {
	return []*Value{AvgPool(d, o.p)}
}

// Upsample repeats every pixel of x [N H W C] k×k times (nearest neighbour): y [N kH kW C].
// Panics if x is no image or k < 1. UpsampleGrad is its adjoint and its VJP.
func Upsample(x *Value, k int) *Value {
	floats("Upsample", "x", x)
	rank("Upsample", "x", x, 4)
	if k < 1 {
		misuse("Upsample", fmt.Sprintf("expected k ≥ 1, got %d", k), "x", x)
	}
	return apply(upsampleOp{k}, x)
}

type upsampleOp struct{ k int }

func (upsampleOp) Name() string { return "Upsample" }
func (upsampleOp) Needs() Needs { return needsNothing }

func (o upsampleOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	x := in[0]
	y := s.New(x.DType(), x.Dim(0), o.k*x.Dim(1), o.k*x.Dim(2), x.Dim(3))
	s.Backend().Upsample(y, x, o.k)
	return y, nil
}

func (o upsampleOp) VJP(_ *Node, dy *Value, _ []bool) []*Value {
	return []*Value{UpsampleGrad(dy, o.k)}
}

// UpsampleGrad sums every k×k block of dy [N kH kW C]: dx [N H W C], the adjoint of Upsample.
// Panics if dy is no image or k does not divide its height and width.
func UpsampleGrad(dy *Value, k int) *Value {
	floats("UpsampleGrad", "dy", dy)
	rank("UpsampleGrad", "dy", dy, 4)
	if k < 1 || dy.Dim(1)%k != 0 || dy.Dim(2)%k != 0 {
		misuse("UpsampleGrad", fmt.Sprintf("k = %d does not divide height and width", k), "dy", dy)
	}
	return apply(upsampleGradOp{k}, dy)
}

type upsampleGradOp struct{ k int }

func (upsampleGradOp) Name() string { return "UpsampleGrad" }
func (upsampleGradOp) Needs() Needs { return needsNothing }

func (o upsampleGradOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	dy := in[0]
	dx := s.New(dy.DType(), dy.Dim(0), dy.Dim(1)/o.k, dy.Dim(2)/o.k, dy.Dim(3))
	s.Backend().UpsampleGrad(dx, dy, o.k)
	return dx, nil
}

func (o upsampleGradOp) VJP(_ *Node, d *Value, _ []bool) []*Value {
	return []*Value{Upsample(d, o.k)}
}

// GlobalAvgPool averages over the pixels of x [N H W C]: y [N C]. Panics if x is no image.
func GlobalAvgPool(x *Value) *Value {
	rank("GlobalAvgPool", "x", x, 4)
	return Mean(x, 1, 2)
}

// GlobalSumPool sums over the pixels of x [N H W C]: y [N C]. Panics if x is no image.
func GlobalSumPool(x *Value) *Value {
	rank("GlobalSumPool", "x", x, 4)
	return Sum(x, 1, 2)
}

// checkPool panics unless p's windows fit an image of the given shape.
func checkPool(op string, v *Value, shape tensor.Shape, p tensor.PoolParams) {
	floats(op, "x", v)
	rank(op, "x", v, 4)
	if shape[1] == 0 || shape[2] == 0 {
		misuse(op, "an image without pixels has no window", "x", v)
	}
	if min(p.KH, p.KW, p.StrideH, p.StrideW) < 1 ||
		max(p.KH, p.KW, p.StrideH, p.StrideW) > mostAttr {
		misuse(op, fmt.Sprintf("window and stride must be at least 1, and fit 31 bits: %+v", p), "x", v)
	}
	if min(p.PadTop, p.PadLeft, p.PadBottom, p.PadRight) < 0 ||
		max(p.PadTop, p.PadBottom) >= p.KH || max(p.PadLeft, p.PadRight) >= p.KW {
		misuse(op, fmt.Sprintf("padding must be smaller than the window: %+v", p), "x", v)
	}
	if out := pooled(shape, p); out[1] == 0 || out[2] == 0 {
		misuse(op, fmt.Sprintf("no window fits: %+v", p), "x", v)
	}
}

// pooled returns the output shape of pooling.
func pooled(x tensor.Shape, p tensor.PoolParams) tensor.Shape {
	oh, ow := p.Out(x[1], x[2])
	return tensor.Shape{x[0], oh, ow, x[3]}
}
