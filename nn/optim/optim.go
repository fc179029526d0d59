package optim

import (
	"fmt"
	"iter"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
)

// An Optimizer moves the parameters it was made for. One step is Begin, then, once the gradients
// are there, Update. It is a Module: its parameters are its state, all of them buffers.
type Optimizer interface {
	nn.Module
	// Begin writes what changes from step to step to the device: the step t = 1, 2, … and the
	// learning rate.
	Begin(t int, lr float64)
	// Update moves the parameters; grads are in the order of Targets.
	Update(grads []*autodiff.Value)
	// Targets returns the parameters that Update moves.
	Targets() nn.Params
}

// A group is what shares one multi-tensor call: parameters with the same weight decay.
type group struct {
	at    []int // positions among the targets
	decay float64
}

// clock holds the step and the learning rate on the device.
type clock struct{ step, lr *nn.Param }

func newClock(s *tensor.Scope) clock {
	buffer := func(dt tensor.DType) *nn.Param {
		return &nn.Param{Shape: tensor.Shape{1}, Init: nn.Constant(0), Buffer: true, NoWD: true,
			T: s.Zeros(dt, 1)}
	}
	return clock{buffer(tensor.I32), buffer(tensor.F32)}
}

// Begin writes t and lr. Panics if t < 1.
func (c clock) Begin(t int, lr float64) {
	if t < 1 {
		panic(&tensor.Error{Op: "Optimizer.Begin",
			Reason: fmt.Sprintf("steps count from 1, got %d", t)})
	}
	c.step.T.SetFloats([]float64{float64(t)})
	c.lr.T.SetFloats([]float64{lr})
}

func (c clock) params() nn.Params {
	return nn.Params{{Name: "step", Param: c.step}, {Name: "lr", Param: c.lr}}
}

// zeros returns one buffer of zeros for each parameter, named prefix.name.
func zeros(s *tensor.Scope, prefix string, params nn.Params) nn.Params {
	out := make(nn.Params, len(params))
	for i, t := range params.Tensors() {
		out[i] = nn.Named{Name: prefix + "." + params[i].Name, Param: &nn.Param{
			Shape: t.Shape(), Init: nn.Constant(0), Buffer: true, NoWD: true,
			T: s.Zeros(t.DType(), t.Shape()...)}}
	}
	return out
}

// groups separates the parameters that weight decay spares.
func groups(params nn.Params, decay float64, spare bool) []group {
	var decayed, spared group
	decayed.decay = decay
	for i, p := range params {
		if spare && p.Param.NoWD {
			spared.at = append(spared.at, i)
		} else {
			decayed.at = append(decayed.at, i)
		}
	}
	var out []group
	for _, g := range []group{decayed, spared} {
		if len(g.at) > 0 {
			out = append(out, g)
		}
	}
	return out
}

// shadows returns the BF16 forms that parameters keep beside them, nil for one that has none, and
// the backend that writes them along; nil if none has one.
func shadows(params []*tensor.Tensor) (halves []*tensor.Tensor, b tensor.Shadower) {
	halves = make([]*tensor.Tensor, len(params))
	for i, p := range params {
		if halves[i] = p.Shadow(); halves[i] != nil {
			b = p.Backend().(tensor.Shadower)
		}
	}
	return halves, b
}

// take returns the tensors of the parameters at the group's positions.
func (g group) take(ps nn.Params) []*tensor.Tensor {
	if ps == nil {
		return nil
	}
	out := make([]*tensor.Tensor, len(g.at))
	for i, j := range g.at {
		out[i] = ps[j].Param.T
	}
	return out
}

// gradients returns the tensors of the gradients at the group's positions.
func (g group) gradients(grads []*autodiff.Value) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(g.at))
	for i, j := range g.at {
		out[i] = grads[j].Tensor()
	}
	return out
}

func checkGradients(op string, params nn.Params, grads []*autodiff.Value) {
	if len(grads) != len(params) {
		panic(&tensor.Error{Op: op, Reason: fmt.Sprintf("expected %d gradients, got %d",
			len(params), len(grads))})
	}
	for i, g := range grads {
		if t := params[i].Param.T; !g.Shape().Equal(t.Shape()) || g.DType() != t.DType() {
			panic(&tensor.Error{Op: op,
				Operands: []tensor.Operand{tensor.Describe("gradient", g.Tensor()),
					tensor.Describe(params[i].Name, t)},
				Reason: "a gradient must have its parameter's shape and dtype"})
		}
	}
}

// SGDConfig holds the constants of SGD.
type SGDConfig struct {
	Momentum    float64
	Nesterov    bool
	WeightDecay float64
	SpareGains  bool // no decay for gains and biases (parameters with NoWD)
}

// SGD is stochastic gradient descent in PyTorch's convention:
//
//	g += WeightDecay·p;  buf = Momentum·buf + g;  p −= lr·(Nesterov ? g + Momentum·buf : buf).
//
// The learning rate multiplies outside the buffer. State: "momentum.<name>", "step", "lr".
type SGD struct {
	clock
	cfg    SGDConfig
	params nn.Params
	buf    nn.Params // nil without momentum
	groups []group
}

// NewSGD makes an optimizer of params with its state in s. Panics if a parameter has no values.
func NewSGD(s *tensor.Scope, params nn.Params, cfg SGDConfig) *SGD {
	o := &SGD{clock: newClock(s), cfg: cfg, params: params,
		groups: groups(params, cfg.WeightDecay, cfg.SpareGains)}
	if cfg.Momentum != 0 {
		o.buf = zeros(s, "momentum", params)
	}
	return o
}

// Params yields the state.
func (o *SGD) Params() iter.Seq2[string, *nn.Param] {
	return nn.Join(o.buf, o.clock.params()).Params()
}

// Targets returns the parameters that Update moves.
func (o *SGD) Targets() nn.Params { return o.params }

// Update moves the parameters. Panics if grads do not fit them.
func (o *SGD) Update(grads []*autodiff.Value) {
	checkGradients("SGD", o.params, grads)
	for _, g := range o.groups {
		p := tensor.SGDParams{Momentum: o.cfg.Momentum, WeightDecay: g.decay,
			Nesterov: o.cfg.Nesterov}
		ps, ds, buf := g.take(o.params), g.gradients(grads), g.take(o.buf)
		if halves, b := shadows(ps); b != nil {
			b.SGDShadow(p, ps, ds, buf, halves, o.lr.T)
		} else {
			o.lr.T.Backend().SGD(p, ps, ds, buf, o.lr.T)
		}
	}
}

// AdamConfig holds the constants of Adam. Beta1 may be 0, as BigGAN has it; there are no defaults.
type AdamConfig struct {
	Beta1, Beta2, Eps float64
	WeightDecay       float64 // decoupled: AdamW
	SpareGains        bool    // no decay for gains and biases (parameters with NoWD)
}

// Adam is Adam with decoupled weight decay in PyTorch's convention:
//
//	m = β₁m + (1−β₁)g;  v = β₂v + (1−β₂)g²;
//	p −= lr·WeightDecay·p;  p −= lr·(m/(1−β₁ᵗ))/(√(v/(1−β₂ᵗ)) + Eps).
//
// State: "m.<name>", "v.<name>", "step", "lr".
//
// Source: Kingma and Ba, ICLR 2015; Loshchilov and Hutter, ICLR 2019.
type Adam struct {
	clock
	cfg    AdamConfig
	params nn.Params
	m, v   nn.Params
	groups []group
}

// NewAdam makes an optimizer of params with its state in s. Panics if a parameter has no values.
func NewAdam(s *tensor.Scope, params nn.Params, cfg AdamConfig) *Adam {
	return &Adam{clock: newClock(s), cfg: cfg, params: params,
		m: zeros(s, "m", params), v: zeros(s, "v", params),
		groups: groups(params, cfg.WeightDecay, cfg.SpareGains)}
}

// Params yields the state.
func (o *Adam) Params() iter.Seq2[string, *nn.Param] {
	return nn.Join(o.m, o.v, o.clock.params()).Params()
}

// Targets returns the parameters that Update moves.
func (o *Adam) Targets() nn.Params { return o.params }

// Update moves the parameters. Panics if grads do not fit them.
func (o *Adam) Update(grads []*autodiff.Value) {
	checkGradients("Adam", o.params, grads)
	for _, g := range o.groups {
		p := tensor.AdamParams{Beta1: o.cfg.Beta1, Beta2: o.cfg.Beta2, Eps: o.cfg.Eps,
			WeightDecay: g.decay}
		ps, ds, m, v := g.take(o.params), g.gradients(grads), g.take(o.m), g.take(o.v)
		if halves, b := shadows(ps); b != nil {
			b.AdamShadow(p, ps, ds, m, v, halves, o.lr.T, o.step.T)
		} else {
			o.lr.T.Backend().Adam(p, ps, ds, m, v, o.lr.T, o.step.T)
		}
	}
}

// SquaredNorm returns the sum of the squares of all gradients' elements, [], a constant, added up
// on the device: by one kernel for all of them. A NaN or an infinity anywhere makes it one, and so
// does what would overflow Adam's second moment. Panics without a gradient.
func SquaredNorm(grads []*autodiff.Value) *autodiff.Value {
	if len(grads) == 0 {
		panic(&tensor.Error{Op: "SquaredNorm", Reason: "no gradients given"})
	}
	g, xs := grads[0].Graph(), make([]*tensor.Tensor, len(grads))
	for i, v := range grads {
		xs[i] = v.Tensor()
	}
	sum := g.Scope().New(grads[0].DType())
	g.Backend().SquaredNorm(sum, xs)
	return g.Const(sum)
}

// ClipNorm scales gradients so that their joint Euclidean norm n is at most limit: g·min(1,
// limit/(n + 1e-6)), PyTorch's clip_grad_norm_. It returns new gradients, constants, and the norm
// before, []. Nothing is read back.
func ClipNorm(grads []*autodiff.Value, limit float64) (
	clipped []*autodiff.Value, norm *autodiff.Value) {
	if len(grads) == 0 {
		panic(&tensor.Error{Op: "ClipNorm", Reason: "no gradients given"})
	}
	grads[0].Graph().NoGrad(func() {
		norm = autodiff.Sqrt(SquaredNorm(grads))
		ratio := autodiff.Scale(autodiff.Recip(autodiff.AddScalar(norm, clipGuard)), limit)
		factor := autodiff.Clamp(ratio, 0, 1)
		clipped = scaled(grads, factor)
	})
	return clipped, norm
}

// scaled returns all values times factor, by one kernel where the backend has one for many.
func scaled(vs []*autodiff.Value, factor *autodiff.Value) []*autodiff.Value {
	out, g := make([]*autodiff.Value, len(vs)), factor.Graph()
	b, many := g.Backend().(tensor.ManyScaler)
	if !many {
		for i, v := range vs {
			out[i] = autodiff.Mul(v, factor)
		}
		return out
	}
	src, dst := make([]*tensor.Tensor, len(vs)), make([]*tensor.Tensor, len(vs))
	for i, v := range vs {
		src[i] = v.Tensor()
		dst[i] = g.Scope().Like(src[i])
		out[i] = g.Const(dst[i])
	}
	b.ScaleAll(dst, src, factor.Tensor())
	return out
}

// clipGuard is PyTorch's guard against a zero norm.
const clipGuard = 1e-6
