package autodiff

import (
	"fmt"

	"afterimage/tensor"
)

// OpTypes adds the type of every op that v depends on to into, for the completeness test.
func OpTypes(into map[string]bool, v *Value) {
	seen := map[*Value]bool{}
	stack := []*Value{v}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[v] || v.node == nil {
			continue
		}
		seen[v] = true
		into[fmt.Sprintf("%T", v.node.op)] = true
		stack = append(stack, v.node.in...)
	}
}

// Freed reports whether v's elements have been given back.
func (v *Value) Freed() bool { return v.t.Freed() }

// Inner computes Σ x·w by an op whose VJP, meant for dy = 1, returns the forward values x and w
// themselves as gradients: a pass must neither free nor overwrite them.
func Inner(x, w *Value) *Value { return apply(innerOp{}, x, w) }

type innerOp struct{}

func (innerOp) Name() string { return "Inner" }
func (innerOp) Needs() Needs { return needsFactors }

func (innerOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	p := s.Like(in[0])
	defer p.Free()
	s.Backend().Binary(tensor.Mul, p, in[0], in[1])
	all := normAxes("Inner", &Value{t: p}, nil)
	y := reduce(tensor.Sum, s, p.DType(), p, all)
	return y, nil
}

func (innerOp) VJP(n *Node, _ *Value, _ []bool) []*Value { return []*Value{n.In(1), n.In(0)} }

// Twin computes x + y by an op whose VJP returns one fresh value for both inputs.
func Twin(x, y *Value) *Value { return apply(twinOp{}, x, y) }

type twinOp struct{}

func (twinOp) Name() string { return "Twin" }
func (twinOp) Needs() Needs { return needsNothing }

func (twinOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	y := s.Like(in[0])
	s.Backend().Binary(tensor.Add, y, in[0], in[1])
	return y, nil
}

func (twinOp) VJP(_ *Node, dy *Value, _ []bool) []*Value {
	d := Scale(dy, 1)
	return []*Value{d, d}
}

// Composite is f itself, but differentiated by compositeVJP in first and higher order.
func Composite(f func(in []*Value) *Value, in ...*Value) *Value {
	return apply(compositeOp{f}, in...)
}

type compositeOp struct{ f func(in []*Value) *Value }

func (compositeOp) Name() string { return "Composite" }
func (compositeOp) Needs() Needs { return Needs{In: ^uint(0)} }

func (o compositeOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	g := &Graph{scope: s}
	vs := make([]*Value, len(in))
	for i, t := range in {
		vs[i] = g.Const(t)
	}
	return g.compose(func() *Value { return o.f(vs) }).t, nil
}

func (o compositeOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	return compositeVJP(n.in, dy, need, o.f)
}

// Probe is the identity; its VJP calls f.
func Probe(x *Value, f func()) *Value { return apply(probeOp{f}, x) }

type probeOp struct{ f func() }

func (probeOp) Name() string { return "Probe" }
func (probeOp) Needs() Needs { return needsNothing }

func (probeOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	return s.Reshape(in[0], in[0].Shape()...), nil
}

func (o probeOp) VJP(_ *Node, dy *Value, _ []bool) []*Value {
	o.f()
	return []*Value{dy}
}

// ConvSiLUAtOnce is Conv2DAct with SiLU in one kernel, also where it is recorded.
func ConvSiLUAtOnce(x, w, bias, res *Value, p tensor.ConvParams) *Value {
	return apply(convChainOp{convBiasActOp{p: p, bias: true}, SiLUAct()}, x, w, bias, res)
}

// SiLUAtOnce is SiLU in one pass, also where it is recorded.
func SiLUAtOnce(x *Value) *Value {
	return apply(chainOp{name: "SiLU", gate: true,
		steps: []tensor.UnaryStep{{Op: tensor.Sigmoid}}}, x)
}

// MatMulViewsAtOnce is MatMulViews by the kernel, also where a gradient is asked for.
func MatMulViewsAtOnce(a, b View, alpha float64, order ...int) *Value {
	return apply(matMulViewsOp{a.Layout, b.Layout, alpha, order}, a.X, b.X)
}
