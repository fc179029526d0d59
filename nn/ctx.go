package nn

import (
	"fmt"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// A Layer is a Module that maps one value to one value.
type Layer interface {
	Module
	Forward(c *Ctx, x *autodiff.Value) *autodiff.Value
}

// Mode is what a pass is made for; it says whether Ctx.Train is set.
type Mode bool

// The modes.
const (
	Eval  Mode = false
	Train Mode = true
)

// A Ctx carries one forward pass through a network. It is passed down, never stored: layers have no
// mode and no hidden state.
type Ctx struct {
	Graph   *autodiff.Graph
	Train   bool     // batch statistics in BatchNorm, power iterations in spectral norm
	Updates *Updates // where layers put new running statistics; nil: they are dropped

	// Recompute makes Block keep only what goes into a block and what comes out, and compute the rest
	// again for the gradient. The results are the same, to the bit.
	Recompute bool

	// Activations is BF16 where networks with F32 weights are to compute in it (Enter), else F32.
	// NewCtx asks the backend.
	Activations tensor.DType

	// Standing, when not nil, makes normalisation layers use and collect batch statistics.
	Standing *StandingStats

	inPart  bool              // inside Parts, where there is no batch
	lasting bool              // several passes share what layers derive
	owned   map[*Param]func() // parameters that may be given up; the function writes them again
	scope   *tensor.Scope     // the graph's outermost: what Derived keeps must outlive a Tidy
	leaves  map[*Param]*autodiff.Value
	learn   map[*Param]bool
	rounded []*Param // of these, what layers have computed with in BF16
	derived map[any]any
	plans   map[any]*plan // nil where no pass comes twice
}

// A plan is what Planned keeps: nil until the second pass has been written down, and for good if
// that cannot be.
type plan struct {
	passes int
	plan   *autodiff.Plan
}

// NewCtx returns the context of one forward pass on g. Call it outside Graph.Tidy. Parameters in
// learn become leaves, with respect to which Grad can differentiate; all others are constants, and
// no gradient is computed for them.
func NewCtx(g *autodiff.Graph, mode Mode, learn ...Params) *Ctx {
	c := &Ctx{Graph: g, Train: bool(mode), Activations: tensor.F32, scope: g.Scope(),
		leaves: map[*Param]*autodiff.Value{}, learn: map[*Param]bool{}, derived: map[any]any{}}
	if b, ok := g.Backend().(tensor.HalfKeeper); ok {
		c.Activations = b.Activations()
	}
	for _, list := range learn {
		for _, p := range list {
			c.learn[p.Param] = true
		}
	}
	return c
}

// Value returns the value of p in this pass; the same Value every time, so that shared
// parameters add up their gradients. Panics if p has no values yet.
func (c *Ctx) Value(p *Param) *autodiff.Value {
	v := c.leaves[p]
	if v == nil {
		if p.T == nil {
			panic(&tensor.Error{Op: "Ctx.Value",
				Reason: "a parameter has no values: call Init or load weights first"})
		}
		c.Graph.Outside(func() {
			if c.learn[p] {
				v = c.Graph.Leaf(p.T)
			} else {
				v = c.Graph.Const(p.T)
			}
		})
		c.leaves[p] = v
	}
	return v
}

// Bind makes the pass use v as the value of p, for networks whose weights are themselves computed
// and for gradient checks. Call it before the first use of p. Panics if v does not have p's shape
// or p has been used.
func (c *Ctx) Bind(p *Param, v *autodiff.Value) {
	if _, used := c.leaves[p]; used || !v.Shape().Equal(p.Shape) {
		panic(&tensor.Error{Op: "Ctx.Bind",
			Operands: []tensor.Operand{tensor.Describe("v", v.Tensor())},
			Reason:   fmt.Sprintf("expected shape %v and a parameter not used before", p.Shape)})
	}
	c.leaves[p] = v
}

// Block runs one block of a network. Where no gradient will be asked for it leaves only its result
// behind (autodiff.Graph.Tidy), so that inference holds one block's activations; where one will be,
// Recompute decides whether the block's inside is kept for it (autodiff.Graph.Checkpoint).
//
// f may run twice. It applies layers to values and writes nothing.
func (c *Ctx) Block(f func() *autodiff.Value) *autodiff.Value {
	if c.Recompute {
		return c.Graph.Checkpoint(f)
	}
	return c.Graph.Tidy(f)
}

// Values returns the values of a list of parameters, for Grad.
func (c *Ctx) Values(ps Params) []*autodiff.Value {
	out := make([]*autodiff.Value, len(ps))
	for i, p := range ps {
		out[i] = c.Value(p.Param)
	}
	return out
}

// Derived returns what make computed the first time it was called with this key in this pass.
// Layers use it for what is computed once from their parameters, whatever the number of forward
// calls: a spectrally normalised weight with its one power iteration.
func Derived[T any](c *Ctx, key any, make func() T) T {
	if v, ok := c.derived[key]; ok {
		return v.(T)
	}
	var v T
	c.Graph.Outside(func() { v = make() }) // of the block that happens to be the first to ask
	c.derived[key] = v
	return v
}

// Planned returns f's results, which f computes from x. In an Inference the ops that f applies are
// written down in the second pass with this key (autodiff.Graph.Plan) and run without f from the
// third on: f must do the same with all x that have the key, which names their shape as well.
func (c *Ctx) Planned(
	key any, x *autodiff.Value, f func() []*autodiff.Value,
) (ys []*autodiff.Value) {
	if c.plans == nil || c.Graph.Recording() {
		return f()
	}
	p := c.plans[key]
	if p == nil {
		p = &plan{}
		c.plans[key] = p
	}
	p.passes++
	switch {
	case p.plan != nil:
		return p.plan.Run(x)
	case p.passes == 2: // what layers derive and keep is there
		plans := c.plans
		c.plans = nil // a part of f is no pass of its own
		defer func() { c.plans = plans }()
		ys, p.plan = c.Graph.Plan(x, f)
		return ys
	}
	return f()
}

// keeps reports whether weights that layers compute from their parameters are kept for their next
// call: in an Inference, and where a gradient may be asked for. In any other pass a network's
// weights would be there twice for nothing.
func (c *Ctx) keeps() bool { return c.lasting || c.Graph.Recording() }

// spent gives up a weight that was computed from p for one call of a layer, unless it is kept. The
// value of p itself, which Bind may have given, stays in any case.
func (c *Ctx) spent(w *autodiff.Value, p *Param) {
	if !c.keeps() && w != c.leaves[p] {
		w.Done()
	}
}

// hoist makes a constant outlive the Tidy it was computed in. A value that needs a gradient
// outlives it anyway.
func (c *Ctx) hoist(v *autodiff.Value) *autodiff.Value {
	if v.NeedsGrad() || c.Graph.Scope() == c.scope {
		return v
	}
	t := c.outlive(v.Tensor())
	v.Done()
	return c.Graph.Const(t)
}

// outlive returns t's elements under another name, which outlives every Tidy and Checkpoint.
func (c *Ctx) outlive(t *tensor.Tensor) *tensor.Tensor { return c.scope.Reshape(t, t.Shape()...) }

// hoistWeight is hoist for a weight that compute returns from parameters, from among them. In an
// Inference the backend may give up the weight's memory for packed forms of it, and compute it once
// more when it needs another form; and parameters that the Inference owns are given up at once. Not
// so in a pass that records.
func (c *Ctx) hoistWeight(compute func() *autodiff.Value, from ...*Param) *autodiff.Value {
	v := compute()
	b, ok := c.Graph.Backend().(tensor.ConstantKeeper)
	if !ok || !c.lasting || c.Graph.Recording() {
		return c.hoist(v)
	}
	c.giveUp(b, from) // before the copy
	v = c.hoist(v)
	t := v.Tensor()
	b.KeepConstant(t, func() {
		c.Graph.NoGrad(func() {
			c.Graph.Tidy(func() *autodiff.Value {
				t.Assign(compute().Tensor())
				return nil
			})
		})
		c.giveUp(b, from)
	})
	return v
}

// giveUp parks those of some parameters that the Inference owns.
func (c *Ctx) giveUp(b tensor.ConstantKeeper, ps []*Param) {
	for _, p := range ps {
		if restore := c.owned[p]; restore != nil {
			b.Park(p.T, restore)
		}
	}
}

// constants returns a vector of host values. It is written by fills, which a captured step can
// replay, not by an upload.
func (c *Ctx) constants(dt tensor.DType, values []float64) *autodiff.Value {
	parts := make([]*autodiff.Value, len(values))
	for i, x := range values {
		parts[i] = c.Graph.Const(c.scope.Full(dt, x, 1))
	}
	return c.hoist(autodiff.Concat(0, parts...))
}

// Updates collects the changes a forward pass makes to buffers: running statistics, power
// iteration vectors. They are applied once, by Apply, after the step and before the pass's graph is
// closed; a pass whose updates are not applied leaves no trace.
type Updates struct {
	backend tensor.Backend
	list    []update
	applied int // of the list
}

// An update is p ← keep·p + add·t; with keep 0, t alone.
type update struct {
	p         *Param
	t         *tensor.Tensor
	keep, add float64
}

// NewUpdates returns an empty collection for parameters on b.
func NewUpdates(b tensor.Backend) *Updates { return &Updates{backend: b} }

// Set records that p becomes a copy of t, of p's shape; t must live until Apply reads it. A later
// Set of the same parameter wins. On a nil *Updates nothing is recorded: the pass leaves no trace.
func (u *Updates) Set(p *Param, t *tensor.Tensor) {
	if u != nil {
		u.list = append(u.list, update{p, t, 0, 1})
	}
}

// Average records p ← (1−momentum)·p + momentum·factor·t, the running average of PyTorch's
// BatchNorm (momentum is the weight of the new value); t must live until Apply reads it. Repeated
// averages of one parameter in one pass build on each other. On a nil *Updates nothing is recorded.
func (u *Updates) Average(p *Param, t *tensor.Tensor, momentum, factor float64) {
	if u != nil {
		u.list = append(u.list, update{p, t, 1 - momentum, momentum * factor})
	}
}

// Apply writes all changes recorded since the last Apply: in one kernel, but where a parameter
// changes more than once, in order.
func (u *Updates) Apply() {
	var dst, src []*tensor.Tensor
	var keep, add []float64
	once := map[*Param]bool{}
	flush := func() {
		if len(dst) > 0 {
			u.backend.Blend(dst, src, keep, add)
		}
		dst, src, keep, add = nil, nil, nil, nil
		clear(once)
	}
	for _, e := range u.list[u.applied:] {
		if once[e.p] {
			flush()
		}
		once[e.p] = true
		dst, src = append(dst, e.p.T), append(src, e.t)
		keep, add = append(keep, e.keep), append(add, e.add)
	}
	flush()
	u.applied = len(u.list)
}

// Rewind makes the next Apply write everything once more: what the last ones launched was not run.
func (u *Updates) Rewind() { u.applied = 0 }

// Discard forgets all recorded changes.
func (u *Updates) Discard() { u.list, u.applied = nil, 0 }
