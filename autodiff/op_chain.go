package autodiff

import (
	"math"
	"slices"

	"afterimage/tensor"
)

// An Activation is an elementwise function s(x), or x·s(x), where s is one unary step after the
// other. What no gradient can be asked of is one pass over memory where the backend has it
// (tensor.Chainer), to the same bits; everything else is what it is composed of.
type Activation struct{ op chainOp }

// Of applies the activation to x.
func (a Activation) Of(x *Value) *Value {
	floats(a.op.name, "x", x)
	if _, ok := x.graph.Backend().(tensor.Chainer); ok && x.DType() != tensor.BF16 && x.settled() {
		return apply(a.op, x)
	}
	return a.op.composite([]*Value{x})
}

// GELUAct is GELU as an Activation.
func GELUAct() Activation {
	return Activation{chainOp{"GELU", true, []tensor.UnaryStep{affineStep(1/math.Sqrt2, 0),
		{Op: tensor.Erf}, affineStep(0.5, 0.5)}}}
}

// SiLUAct is SiLU as an Activation.
func SiLUAct() Activation {
	return Activation{chainOp{"SiLU", true, []tensor.UnaryStep{{Op: tensor.Sigmoid}}}}
}

// HardSwishAct is HardSwish as an Activation.
func HardSwishAct() Activation {
	return Activation{chainOp{"HardSwish", true, []tensor.UnaryStep{affineStep(1.0/6, 0.5),
		clampStep(0, 1)}}}
}

// HardSigmoidAct computes min(max(a·x + b, 0), 1).
func HardSigmoidAct(a, b float64) Activation {
	return Activation{chainOp{"HardSigmoid", false, []tensor.UnaryStep{affineStep(a, b),
		clampStep(0, 1)}}}
}

// SigmoidAct is Sigmoid as an Activation.
func SigmoidAct() Activation {
	return Activation{chainOp{"Sigmoid", false, []tensor.UnaryStep{{Op: tensor.Sigmoid}}}}
}

// ClampAct is Clamp as an Activation.
func ClampAct(lo, hi float64) Activation {
	return Activation{chainOp{"Clamp", false, []tensor.UnaryStep{clampStep(lo, hi)}}}
}

func affineStep(a, b float64) tensor.UnaryStep {
	return tensor.UnaryStep{Op: tensor.Affine, Attr: tensor.Attr{A: a, B: b}}
}

func clampStep(lo, hi float64) tensor.UnaryStep {
	return tensor.UnaryStep{Op: tensor.Clamp, Attr: tensor.Attr{A: lo, B: hi}}
}

// settled reports whether no gradient can be asked of what is computed from v now.
func (v *Value) settled() bool {
	g := v.graph
	return g.inside == nil && g.again == nil && !(g.recording && v.needGrad)
}

// chainOp is the one pass.
type chainOp struct {
	name  string
	gate  bool
	steps []tensor.UnaryStep
}

func (o chainOp) Name() string { return o.name }
func (chainOp) Needs() Needs   { return needsIn0 }

// composite is the definition.
func (o chainOp) composite(in []*Value) *Value {
	x := in[0]
	return x.graph.compose(func() *Value {
		y := x
		for _, s := range o.steps {
			y = stepOf(s, y)
		}
		if o.gate {
			y = Mul(x, y)
		}
		return y
	})
}

// stepOf applies one of the operations that chains are made of here.
func stepOf(s tensor.UnaryStep, x *Value) *Value {
	switch s.Op {
	case tensor.Affine:
		return Affine(x, s.Attr.A, s.Attr.B)
	case tensor.Clamp:
		return Clamp(x, s.Attr.A, s.Attr.B)
	case tensor.Erf:
		return Erf(x)
	}
	return Sigmoid(x)
}

func (o chainOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	y := s.Like(in[0])
	s.Backend().(tensor.Chainer).UnaryChain(y, in[0], o.gate, slices.Clone(o.steps)...)
	return y, nil
}

// VJP is the definition's.
func (o chainOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	return compositeVJP(n.in, dy, need, o.composite)
}

// Conv2DAct computes act(Conv2D(x, w) + bias + res), operands as in Conv2DBiasAct: before the
// result of the convolution leaves the cache, where no gradient can be asked of it and the backend
// can (tensor.ConvChainer), to the same bits.
//
// Panics as Conv2DBiasAct does.
func Conv2DAct(x, w, bias, res *Value, act Activation, p tensor.ConvParams) *Value {
	in := convOperands("Conv2DAct", x, w, bias, res, p)
	o := convChainOp{convBiasActOp{p: p, bias: bias != nil}, act}
	_, ok := x.graph.Backend().(tensor.ConvChainer)
	ok = ok && x.DType() != tensor.BF16
	for _, v := range in {
		ok = ok && v.settled()
	}
	if ok {
		return apply(o, in...)
	}
	return o.composite(in)
}

// convChainOp has the inputs of convBiasActOp.
type convChainOp struct {
	conv convBiasActOp
	act  Activation
}

func (convChainOp) Name() string { return "Conv2DAct" }
func (convChainOp) Needs() Needs { return Needs{In: ^uint(0)} }

// composite is the definition.
func (o convChainOp) composite(in []*Value) *Value {
	return in[0].graph.compose(func() *Value { return o.act.Of(apply(o.conv, in...)) })
}

func (o convChainOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	y, bias, res := o.conv.operands(s, in)
	s.Backend().(tensor.ConvChainer).Conv2DChain(y, in[0], in[1], bias, res, o.conv.p, o.act.op.gate,
		slices.Clone(o.act.op.steps)...)
	return y, nil
}

// VJP is the definition's.
func (o convChainOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	return compositeVJP(n.in, dy, need, o.composite)
}
