package autodiff

import (
	"slices"

	"afterimage/tensor"
)

// chain computes s(x), or with gate x·s(x), where s is one step after the other. What no gradient
// can be asked of is one pass over memory where the backend has it (tensor.Chainer), to the same
// bits; everything else is what it is composed of.
func chain(name string, x *Value, gate bool, steps ...tensor.UnaryStep) *Value {
	floats(name, "x", x)
	o := chainOp{name: name, gate: gate, steps: steps}
	if _, ok := x.graph.Backend().(tensor.Chainer); ok && x.DType() != tensor.BF16 && x.settled() {
		return apply(o, x)
	}
	return o.composite([]*Value{x})
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
