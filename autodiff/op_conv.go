package autodiff

import (
	"fmt"

	"afterimage/tensor"
)

// Conv2D computes y = C(x, w), the cross-correlation of x [N H W C] with w [O KH KW C/groups]:
// y [N OH OW O], y[n,i,j,o] = Σ x[n, i·s−p+u·d, j·s−p+v·d, c]·w[o,u,v,c].
func Conv2D(x, w *Value, p tensor.ConvParams) *Value {
	checkConv("Conv2D", "x w", x, w, p)
	if c := w.Dim(3) * p.Groups; x.Dim(3) != c {
		misuse("Conv2D", fmt.Sprintf("channels differ: x has C=%d, w expects %d (%d groups)", x.Dim(3), c, p.Groups), "x w", x, w)
	}
	convOut("Conv2D", "x w", x, w, x.Dim(1), x.Dim(2), w.Dim(1), w.Dim(2), p)
	return apply(convOp{p}, x, w)
}

type convOp struct{ p tensor.ConvParams }

func (convOp) Name() string { return "Conv2D" }
func (convOp) Needs() Needs { return needsFactors }

func (o convOp) Forward(s *tensor.Scope, in []*tensor.Tensor) (*tensor.Tensor, []*tensor.Tensor) {
	x, w := in[0], in[1]
	oh, ow := o.p.Out(x.Dim(1), x.Dim(2), w.Dim(1), w.Dim(2))
	y := s.New(x.DType(), x.Dim(0), oh, ow, w.Dim(0))
	s.Backend().Conv2D(y, x, w, o.p)
	return y, nil
}

func (o convOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	x, w := n.In(0), n.In(1)
	dxs := make([]*Value, 2)
	if need[0] {
		dxs[0] = Conv2DInputGrad(dy, w, x.Dim(1), x.Dim(2), o.p)
	}
	if need[1] {
		dxs[1] = Conv2DWeightGrad(x, dy, w.Dim(1), w.Dim(2), o.p)
	}
	return dxs
}

// Conv2DInputGrad computes x = T(y, w), the adjoint of Conv2D in its image: y [N OH OW O],
// w [O KH KW C/groups], x [N inH inW C]. It is also the transposed convolution.
// Panics unless an inH×inW image gives y's extents.
func Conv2DInputGrad(dy, w *Value, inH, inW int, p tensor.ConvParams) *Value {
	checkConv("Conv2DInputGrad", "dy w", dy, w, p)
	if dy.Dim(3) != w.Dim(0) {
		misuse("Conv2DInputGrad", fmt.Sprintf("channels differ: dy has O=%d, w has %d", dy.Dim(3), w.Dim(0)), "dy w", dy, w)
	}
	oh, ow := convOut("Conv2DInputGrad", "dy w", dy, w, inH, inW, w.Dim(1), w.Dim(2), p)
	if dy.Dim(1) != oh || dy.Dim(2) != ow {
		misuse("Conv2DInputGrad", fmt.Sprintf("a %d×%d image gives %d×%d outputs", inH, inW, oh, ow), "dy w", dy, w)
	}
	return apply(convInputGradOp{inH, inW, p}, dy, w)
}

type convInputGradOp struct {
	h, w int
	p    tensor.ConvParams
}

func (convInputGradOp) Name() string { return "Conv2DInputGrad" }
func (convInputGradOp) Needs() Needs { return needsFactors }

func (o convInputGradOp) Forward(s *tensor.Scope, in []*tensor.Tensor) (*tensor.Tensor, []*tensor.Tensor) {
	dy, w := in[0], in[1]
	dx := s.New(dy.DType(), dy.Dim(0), o.h, o.w, w.Dim(3)*o.p.Groups)
	s.Backend().Conv2DInputGrad(dx, dy, w, o.p)
	return dx, nil
}

func (o convInputGradOp) VJP(n *Node, d *Value, need []bool) []*Value {
	y, w := n.In(0), n.In(1)
	dxs := make([]*Value, 2)
	if need[0] {
		dxs[0] = Conv2D(d, w, o.p)
	}
	if need[1] {
		dxs[1] = Conv2DWeightGrad(d, y, w.Dim(1), w.Dim(2), o.p)
	}
	return dxs
}

// Conv2DWeightGrad computes w = W(x, y), the adjoint of Conv2D in its weight: x [N H W C],
// y [N OH OW O], w [O kh kw C/groups]. Panics unless a kh×kw kernel gives y's extents.
func Conv2DWeightGrad(x, dy *Value, kh, kw int, p tensor.ConvParams) *Value {
	checkConv("Conv2DWeightGrad", "x dy", x, dy, p)
	if x.Dim(0) != dy.Dim(0) || x.Dim(3)%p.Groups != 0 || dy.Dim(3)%p.Groups != 0 {
		misuse("Conv2DWeightGrad", fmt.Sprintf("expected one N, and channels divisible by %d groups", p.Groups), "x dy", x, dy)
	}
	oh, ow := convOut("Conv2DWeightGrad", "x dy", x, dy, x.Dim(1), x.Dim(2), kh, kw, p)
	if dy.Dim(1) != oh || dy.Dim(2) != ow {
		misuse("Conv2DWeightGrad", fmt.Sprintf("a %d×%d kernel gives %d×%d outputs", kh, kw, oh, ow), "x dy", x, dy)
	}
	return apply(convWeightGradOp{kh, kw, p}, x, dy)
}

type convWeightGradOp struct {
	kh, kw int
	p      tensor.ConvParams
}

func (convWeightGradOp) Name() string { return "Conv2DWeightGrad" }
func (convWeightGradOp) Needs() Needs { return needsFactors }

func (o convWeightGradOp) Forward(s *tensor.Scope, in []*tensor.Tensor) (*tensor.Tensor, []*tensor.Tensor) {
	x, dy := in[0], in[1]
	dw := s.New(x.DType(), dy.Dim(3), o.kh, o.kw, x.Dim(3)/o.p.Groups)
	s.Backend().Conv2DWeightGrad(dw, x, dy, o.p)
	return dw, nil
}

func (o convWeightGradOp) VJP(n *Node, d *Value, need []bool) []*Value {
	x, y := n.In(0), n.In(1)
	dxs := make([]*Value, 2)
	if need[0] {
		dxs[0] = Conv2DInputGrad(y, d, x.Dim(1), x.Dim(2), o.p)
	}
	if need[1] {
		dxs[1] = Conv2D(x, d, o.p)
	}
	return dxs
}

// checkConv panics unless a and b, two of x, w and dy, have four axes and p is in range.
func checkConv(op, names string, a, b *Value, p tensor.ConvParams) {
	floats(op, names, a, b)
	if a.Rank() != 4 || b.Rank() != 4 {
		misuse(op, "expected images NHWC and weights OHWI, four axes each", names, a, b)
	}
	if min(p.StrideH, p.StrideW, p.DilH, p.DilW, p.Groups) < 1 ||
		min(p.PadTop, p.PadLeft, p.PadBottom, p.PadRight) < 0 {
		misuse(op, fmt.Sprintf("attributes out of range: %+v", p), names, a, b)
	}
}

// convOut returns the output extents and panics where the kernel does not fit into the padded image.
func convOut(op, names string, a, b *Value, h, w, kh, kw int, p tensor.ConvParams) (oh, ow int) {
	if kh < 1 || kw < 1 || p.DilH*(kh-1)+1 > h+p.PadTop+p.PadBottom || p.DilW*(kw-1)+1 > w+p.PadLeft+p.PadRight {
		misuse(op, fmt.Sprintf("a %d×%d kernel does not fit a padded %d×%d image: %+v", kh, kw, h, w, p), names, a, b)
	}
	return p.Out(h, w, kh, kw)
}
