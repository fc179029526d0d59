package autodiff

import (
	"slices"

	"afterimage/tensor"
)

// A GradOption changes what Grad does.
type GradOption func(*gradConfig)

type gradConfig struct {
	cotangent   *Value
	createGraph bool
	retain      bool
}

// WithCotangent starts the backward pass from dy, of y's shape and dtype, instead of from 1.
func WithCotangent(dy *Value) GradOption { return func(c *gradConfig) { c.cotangent = dy } }

// CreateGraph records the backward pass, so that the gradients can be differentiated. It implies
// Retain.
func CreateGraph() GradOption { return func(c *gradConfig) { c.createGraph = true } }

// Retain keeps the values the backward pass used, so that Grad can run again on them.
func Retain() GradOption { return func(c *gradConfig) { c.retain = true } }

// Grad returns dx = (∂y/∂x)ᵀ·dy for every x in xs, in x's shape, by reverse accumulation; dy is 1,
// and y must then have one element, unless WithCotangent gives it. An x on which y does not depend
// gets zeros.
//
// Nodes are visited in the reverse order of their creation, which is a topological order: no
// recursion. Only nodes between xs and y are visited. Unless CreateGraph or Retain is given, what
// they hold is freed after its last use, so that memory falls while the pass runs; of their values
// only y, xs and those marked with Keep can be read afterwards. The graph in front of xs stays as
// it was, so that a second Grad can go on from there.
//
// Panics if y has several elements and no cotangent, if the cotangent has another shape or dtype,
// or if the pass needs what an earlier Grad freed.
func Grad(y *Value, xs []*Value, opts ...GradOption) []*Value {
	var c gradConfig
	for _, o := range opts {
		o(&c)
	}
	y.kept = true // a loss is read after its gradient
	return grad(y, xs, c)
}

func grad(y *Value, xs []*Value, c gradConfig) []*Value {
	g := y.graph
	if g.inside != nil {
		misuse("Grad", "nothing is recorded yet inside a Checkpoint: take the gradient outside of it",
			"y", y)
	}
	was := g.recording
	g.recording = c.createGraph
	defer func() { g.recording = was }()

	p := &pass{g: g, free: !c.createGraph && !c.retain, first: g.values}
	for _, x := range xs {
		if x.graph != g {
			misuse("Grad", "x belongs to another graph than y", "y x", y, x)
		}
		p.of(x).wanted, p.of(x).leads = true, true
	}
	dy := cotangent(y, c.cotangent)
	p.of(dy).held++ // the caller's hold: never freed or written by the pass
	p.accumulate(y, dy, false)
	for _, n := range p.reachable(y, xs) {
		if !p.postpones(n) {
			p.step(n)
		}
	}
	p.catchUp()
	dxs := p.results(xs)
	p.drop(dy)
	return dxs
}

// cotangent returns dy, or 1 if it is nil.
func cotangent(y, dy *Value) *Value {
	g := y.graph
	switch {
	case dy == nil && y.Shape().Size() != 1:
		misuse("Grad", "y must have one element, or WithCotangent must give dy", "y", y)
	case dy == nil:
		return g.newValue(g.scope.Full(y.DType(), 1, y.Shape()...), "Grad")
	case !dy.Shape().Equal(y.Shape()) || dy.DType() != y.DType() && dy.DType() != y.gradientType():
		misuse("Grad", "the cotangent must have y's shape and dtype", "y dy", y, dy)
	case dy.graph != g:
		misuse("Grad", "the cotangent belongs to another graph than y", "y dy", y, dy)
	}
	return dy
}

// A pass is the state of one backward pass.
type pass struct {
	g     *Graph
	free  bool
	first int                // values with a greater id were made by this pass
	notes []*[notesPage]note // by id, pages of them; nil: nothing noted

	postponed []*Node          // whose VJPs are made together, at the end
	joint     map[*Node]*Value // what those have made for input 0
}

// notesPage is how many values' notes are allocated together: neighbours are of one use.
const notesPage = 64

// A note is what a pass knows of one value.
type note struct {
	adj     *Value // the cotangent accumulated so far
	held    int    // how many adj, and results of the VJP at work, are this value
	readers int    // how many nodes the pass has yet to come to that read it
	seen    bool   // on the way from y
	wanted  bool
	leads   bool // it depends on a wanted one
	masked  bool // its cotangent has gone through its ReLU already
}

// of returns the pass's note of v, which stays where it is.
func (p *pass) of(v *Value) *note {
	page := v.id / notesPage
	if n := page + 1 - len(p.notes); n > 0 {
		p.notes = append(p.notes, make([]*[notesPage]note, n)...)
	}
	if p.notes[page] == nil {
		p.notes[page] = new([notesPage]note)
	}
	return &p.notes[page][v.id%notesPage]
}

// owns reports whether v was made by this pass as a cotangent, which may then be freed. A VJP may
// return what is not its own: dy, an input, an output.
func (p *pass) owns(v *Value) bool { return v.id > p.first && !v.foreign && !v.replayed }

// reachable returns every node y depends on that can depend on xs, last created first.
func (p *pass) reachable(y *Value, xs []*Value) []*Node {
	oldest := p.first
	for _, x := range xs {
		oldest = min(oldest, x.id)
	}
	return p.nodes(y, oldest)
}

// nodes returns the nodes y depends on that are younger than oldest, last created first, and notes
// which of their outputs depend on a wanted value.
func (p *pass) nodes(y *Value, oldest int) []*Node {
	var nodes []*Node
	stack := []*Value{y}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if v.node == nil || v.id <= oldest || p.of(v).seen {
			continue
		}
		p.of(v).seen = true
		nodes = append(nodes, v.node)
		stack = append(stack, v.node.in...)
	}
	slices.SortFunc(nodes, func(a, b *Node) int { return a.out.id - b.out.id })
	for _, n := range nodes {
		for _, in := range n.in {
			of := p.of(in)
			of.readers++
			if of.leads {
				p.of(n.out).leads = true
			}
		}
	}
	slices.Reverse(nodes)
	return nodes
}

// step sends the cotangent of one node's output to its inputs and frees what is used up.
func (p *pass) step(n *Node) {
	need := make([]bool, len(n.in))
	onPath := false
	for i, in := range n.in {
		of := p.of(in)
		of.readers--
		need[i] = in.needGrad && of.leads
		onPath = onPath || need[i]
	}
	of := p.of(n.out)
	dy := of.adj
	if dy != nil && onPath {
		if n.freed {
			misuse("Grad", "an earlier Grad freed what this op saved; give it Retain",
				n.op.Name(), n.out)
		}
		if _, ok := n.op.(checkpoint); ok {
			p.unfold(n, dy)
		} else {
			p.vjp(n, dy, need)
		}
	}
	if of.adj != nil && !of.wanted {
		of.adj, of.masked = nil, false
		p.drop(dy)
	}
	replayed := n.out.id > p.first // nobody else can ask for it again
	if (p.free || replayed && !p.g.recording) && onPath && !n.freed {
		n.release()
		if !of.wanted {
			n.out.Done() // every consumer on the way to y has a higher id and is past
		}
	}
}

// vjp runs one VJP and adds its results to the cotangents of the node's inputs.
func (p *pass) vjp(n *Node, dy *Value, need []bool) {
	dxs := p.g.hide(func() []*Value {
		if dx := p.joint[n]; dx != nil {
			return []*Value{dx}
		}
		defer p.lend(n, dy)()
		return n.op.(Op).VJP(n, dy, need)
	})
	for i, dx := range dxs {
		if dxs[i] = nil; !need[i] || dx == nil {
			continue
		}
		if dt := dx.DType(); !dx.Shape().Equal(n.in[i].Shape()) || dt != n.in[i].DType() &&
			dt != n.in[i].gradientType() {
			misuse(n.op.Name(), "the VJP returned another shape or dtype than its input's",
				"dx x", dx, n.in[i])
		}
		dxs[i] = dx
		p.of(dx).held++ // two inputs may share it: none may be the last before all have it
	}
	for i, dx := range dxs {
		if dx != nil {
			p.accumulate(n.in[i], dx, p.maskable(n, n.in[i]))
		}
	}
	for _, dx := range dxs {
		if dx != nil {
			p.drop(dx)
		}
	}
}

// lend lets n's VJP overwrite dy, and its first input, if nobody reads them afterwards, and says
// whether dy is masked, until the function it returns is called.
func (p *pass) lend(n *Node, dy *Value) (end func()) {
	g := p.g
	spare, spent, masked := g.spare, g.spent, g.masked
	of := p.of(n.out)
	g.spare, g.spent, g.masked = nil, nil, of.masked
	if !g.recording && !of.wanted && p.exclusive(dy) {
		g.spare = dy
	}
	if x := n.in[0]; p.free && !p.of(x).wanted && x.lastUse() {
		g.spent = x
	}
	return func() { g.spare, g.spent, g.masked = spare, spent, masked }
}

// accumulate adds dx to the cotangent of x, over one of the two where nobody else can see it; and
// there, if the sum is maskable, through the ReLU at once where the backend can.
func (p *pass) accumulate(x, dx *Value, maskable bool) {
	if dt := x.gradientType(); dx.DType() != dt {
		dx = Cast(dx, dt)
		p.of(dx).held++
		defer p.drop(dx)
	}
	of := p.of(x)
	old := of.adj
	if old == nil {
		of.adj = dx
		p.of(dx).held++
		return
	}
	var sum *Value
	switch {
	case p.exclusive(dx): // which has just been written, and is in the cache
		sum = dx
	case p.exclusive(old):
		sum = old
	}
	if sum == nil || p.g.recording {
		sum = Add(old, dx)
	} else if b, ok := p.g.Backend().(tensor.SumMasker); ok && maskable && dx.DType() == x.DType() {
		b.AddReLUMask(sum.t, old.t, dx.t, x.t)
		of.masked = true
	} else {
		p.g.Backend().Binary(tensor.Add, sum.t, old.t, dx.t)
	}
	of.adj = sum
	p.of(sum).held++
	p.drop(old)
}

// exclusive reports whether a cotangent's one holder may write over it.
func (p *pass) exclusive(v *Value) bool {
	return p.owns(v) && p.of(v).held == 1 && v.t.Exclusive()
}

// drop gives up one hold of v and frees v with the last, unless a recorded VJP wants it.
func (p *pass) drop(v *Value) {
	of := p.of(v)
	if of.held--; of.held == 0 && p.owns(v) {
		v.Done()
	}
}

// results returns the cotangents of xs, zeros where nothing arrived. Each is a Value of its own,
// which the caller may free with Done.
func (p *pass) results(xs []*Value) []*Value {
	out := make([]*Value, len(xs))
	for i, x := range xs {
		switch dx := p.of(x).adj; {
		case dx == nil:
			out[i] = p.g.Zeros(x.DType(), x.Shape()...)
		case dx.DType() != x.DType():
			out[i] = Cast(dx, x.DType())
		case !p.owns(dx) || p.of(dx).held > 1 || slices.Contains(out[:i], dx):
			out[i] = Reshape(dx, dx.Shape()...) // shares the elements
		default:
			out[i] = dx
		}
	}
	return out
}

// release gives up the node's claims after its VJP has run (or turned out not to be wanted).
func (n *Node) release() {
	n.freed = true
	for _, t := range n.saved {
		t.Free()
	}
	n.countUses(-1)
	for _, v := range n.in {
		v.release()
	}
	n.out.release()
}

// compositeVJP differentiates f(in) by the tape: it rebuilds y = f(in) on a recorded path of its
// own and returns (∂y/∂inᵢ)ᵀ·dy for each i with need[i], itself recorded if the gradient being
// computed must be differentiable. It is how a fused op answers when its kernel's gradient is not
// enough; the op's Needs must then include every input that f reads.
func compositeVJP(in []*Value, dy *Value, need []bool, f func(in []*Value) *Value) []*Value {
	g := dy.graph
	higher := g.recording
	g.recording = true
	defer func() { g.recording = higher }()

	// Aliases, younger than everything else, stop the inner pass at the composite's own inputs.
	in = slices.Clone(in)
	var xs []*Value
	for i, v := range in {
		if need[i] {
			in[i] = Reshape(v, v.Shape()...)
			xs = append(xs, in[i])
		}
	}
	dxs := grad(f(in), xs, gradConfig{cotangent: dy, createGraph: higher})
	out := make([]*Value, len(in))
	for i := range in {
		if need[i] {
			out[i], dxs = dxs[0], dxs[1:]
		}
	}
	return out
}
