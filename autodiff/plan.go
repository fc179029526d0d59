package autodiff

import (
	"slices"

	"afterimage/tensor"
)

// A Plan is a forward pass written down: which ops it applies, to which tensors, and when each
// tensor is read last. Run makes the pass again, to the same bits, without whoever composed it:
// of a small network on a small batch, choosing and checking ops can take as long as a quarter of
// the kernels.
type Plan struct {
	steps  []planned
	fixed  []*tensor.Tensor // by slot: what no step computes, the input apart
	outs   []int
	slots  []*tensor.Tensor // of the Run at work
	inputs []*tensor.Tensor // of its step
}

// A planned is an op with the slots of its operands and of its result, and those that are empty
// once it has run.
type planned struct {
	op   Op
	in   []int
	out  int
	free []int
	into *place
}

// A place is where among the channels of a Concat's result a step's result lies. The first of the
// steps that share one makes the tensor.
type place struct {
	dtype tensor.DType
	shape tensor.Shape
	at    int
}

// A placer is an op that can compute its result in a place, on a backend that can.
type placer interface {
	Op
	// places reports whether it can with so many operands.
	places(b tensor.Backend, operands int) bool
	// forwardInto is Forward into channels at, at+1, … of y.
	forwardInto(s *tensor.Scope, y *tensor.Tensor, at int, in []*tensor.Tensor)
}

// input is the slot of a plan's input.
const input = 0

// planning is a Plan while a pass is being written down.
type planning struct {
	plan   *Plan
	slot   map[*tensor.Tensor]int
	made   []bool // by slot: whether a step computes it
	spoilt bool   // what was computed may depend on elements that were read
}

// Plan runs f, which computes its results from x, and returns them with a plan of what it did. The
// plan is nil where that cannot be run by itself: where f reads elements on the host (Tensor,
// Item), or where an op takes or f returns a constant that f made of anything but ops. What f
// computes beside its results is freed. Panics if a gradient could be asked for.
func (g *Graph) Plan(x *Value, f func() []*Value) (ys []*Value, p *Plan) {
	if g.recording || g.inside != nil || g.plan != nil {
		misuse("Plan", "expected a graph that records nothing", "x", x)
	}
	l := &planning{plan: &Plan{}, slot: map[*tensor.Tensor]int{}}
	l.place(x.live("Plan"), false)
	outer := g.scope
	inner := outer.Child()
	g.scope, g.plan = inner, l
	defer func() {
		g.scope, g.plan = outer, nil
		inner.Close()
	}()
	ys = f()
	for _, y := range ys {
		inner.Keep(y.live("Plan"))
	}
	inner.Close()
	return ys, l.finish(g.Backend(), ys)
}

// place returns the slot of a tensor.
func (l *planning) place(t *tensor.Tensor, made bool) int {
	if i, ok := l.slot[t]; ok {
		return i
	}
	i := len(l.made)
	l.slot[t], l.made, l.plan.fixed = i, append(l.made, made), append(l.plan.fixed, t)
	return i
}

// applied writes down that op has made out of in.
func (l *planning) applied(op Op, in tensors, out *tensor.Tensor) {
	if _, ok := op.(spectralOp); ok { // σ is not among its operands
		l.spoilt = true
	}
	s := planned{op: op}
	for _, t := range in {
		s.in = append(s.in, l.place(t, false))
	}
	s.out = l.place(out, true)
	l.plan.steps = append(l.plan.steps, s)
}

// finish notes what is read last where, and returns the plan if it can be run. What f made for
// itself has been freed.
func (l *planning) finish(b tensor.Backend, ys []*Value) *Plan {
	l.join(b, ys)
	p := l.plan
	done := make([]bool, len(l.made))
	for _, y := range ys {
		i, ok := l.slot[y.t]
		if !ok || !l.made[i] {
			return nil
		}
		done[i] = true
		p.outs = append(p.outs, i)
	}
	for k := len(p.steps) - 1; k >= 0; k-- {
		s := &p.steps[k]
		for _, i := range append([]int{s.out}, s.in...) {
			if l.made[i] && !done[i] {
				done[i] = true
				s.free = append(s.free, i)
			}
		}
	}
	for i, t := range p.fixed {
		switch {
		case l.made[i] || i == input:
			p.fixed[i] = nil
		case t.Freed():
			return nil
		}
	}
	if l.spoilt {
		return nil
	}
	return p
}

// join lets ops write what only a Concat along the channels reads to where that would copy it, and
// drops the Concat.
func (l *planning) join(b tensor.Backend, ys []*Value) {
	maker, readers := map[int]*planned{}, map[int]int{} // of a slot
	for k, s := range l.plan.steps {
		maker[s.out] = &l.plan.steps[k]
		for _, i := range s.in {
			readers[i]++
		}
	}
	for _, y := range ys {
		readers[l.slot[y.t]]++
	}
	joined := map[int]bool{}
	for _, s := range l.plan.steps {
		whole := l.plan.fixed[s.out]
		c, ok := s.op.(concatOp)
		if !ok || c.axis != whole.Rank()-1 || slices.ContainsFunc(s.in, func(i int) bool {
			if !l.made[i] || readers[i] != 1 {
				return true
			}
			op, ok := maker[i].op.(placer)
			return !ok || !op.places(b, len(maker[i].in))
		}) {
			continue
		}
		at := 0
		for _, i := range s.in {
			maker[i].out, maker[i].into = s.out, &place{whole.DType(), whole.Shape(), at}
			at += l.plan.fixed[i].Dim(-1)
		}
		joined[s.out] = true
	}
	l.plan.steps = slices.DeleteFunc(l.plan.steps, func(s planned) bool {
		return s.into == nil && joined[s.out]
	})
}

// Run makes the planned pass for x, of the shape and dtype for which it was written down, on x's
// graph, which must record nothing, and returns its results.
func (p *Plan) Run(x *Value) []*Value {
	g := x.graph
	if g.recording || g.inside != nil || g.plan != nil {
		misuse("Plan.Run", "expected a graph that records nothing", "x", x)
	}
	p.slots = append(p.slots[:0], p.fixed...)
	p.slots[input] = x.live("Plan.Run")
	for _, s := range p.steps {
		p.inputs = p.inputs[:0]
		for _, i := range s.in {
			p.inputs = append(p.inputs, p.slots[i])
		}
		p.forward(g.scope, s)
		for _, i := range s.free {
			p.slots[i].Free()
		}
	}
	ys := make([]*Value, len(p.outs))
	for i, at := range p.outs {
		ys[i] = g.newValue(p.slots[at], "Plan")
	}
	clear(p.slots)
	return ys
}

// forward runs a step, whose operands are in inputs.
func (p *Plan) forward(scope *tensor.Scope, s planned) {
	if to := s.into; to != nil {
		if p.slots[s.out] == nil {
			p.slots[s.out] = scope.New(to.dtype, to.shape...)
		}
		s.op.(placer).forwardInto(scope, p.slots[s.out], to.at, p.inputs)
		return
	}
	out, saved := s.op.Forward(scope, p.inputs)
	for _, t := range saved {
		t.Free()
	}
	p.slots[s.out] = out
}
