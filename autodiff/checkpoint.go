package autodiff

import (
	"slices"

	"afterimage/tensor"
)

// Memory for time
//
// What a training step holds at its peak, when the loss is there and the backward pass begins, is
// what the recorded VJPs will read: of a convolution with batch normalisation and ReLU behind it
// two tensors of the layer's size, the convolution's output x (the normalisation's input) and the
// activation y (the next convolution's input, and the ReLU's mask). Everything else has been freed
// on the way. To hold less, something must be computed again, and there are two places to cut.
//
// A layer. y follows from x in one pass over memory. If the weight gradient that reads it computed
// it again, one of the two tensors would go, for a few hundredths of the time; but a residual
// network's sums would have to stay, because each follows from the one before it. That leaves
// three tensors of a basic block's four and ten twelfths of a bottleneck's.
//
// A block. Everything inside it follows from its input, which the block before it hands over. Then
// one tensor stays for each block, and besides the inside of the one block that the backward pass
// is at; the price is a second forward pass, at most a third of a step's multiplications.
//
// Measured, growth of a program's memory over its start (the memory rows of
// bench/results/pytorch/compare.md), and CPU time of ResNet-20's step on one thread:
//
//	                ResNet-20         ResNet-18    ResNet-50
//	kept            221 MB, 130 ms    463 MB        976 MB
//	by the layer    167 MB, 134 ms    439 MB        879 MB
//	by the block     97 MB, 160 ms    326 MB        604 MB
//
// The middle row is of a trial that was dropped, and is older than the other two: when it was
// measured these read 220, 500 and 1000 MB, and 106, 360 and 621 MB.
//
// Whoever asks for less memory has too little of it, and the block's cut saves two and a half times
// as much: networks cut by the block (nn.Ctx.Block). Where the largest block is most of a network,
// as the first one of a discriminator is, its inside is the peak either way, and then it is cut
// across the batch (nn.Ctx.Parts).
//
// Checkpoint itself leaves the cut to the caller: its function is whatever is given to it. Four
// properties make it safe to switch on.
//
//  1. It is a node that stands for the nodes of f. When the backward pass comes to it, f runs
//     again, recorded this time, and the pass goes through the new nodes in the old one's place:
//     the same VJPs in the same order, so the first derivatives have the same bits as without.
//     (Asked for one VJP as a whole, it would add up what reaches a shared input, such as a
//     condition all blocks read, in another order.)
//  2. What the pass records under CreateGraph are ordinary nodes. Derivatives of higher order need
//     nothing of their own.
//  3. Inputs are found, not listed: whatever f reads that existed before, parameters that its
//     closure knows included, counts as an input and stays alive until then. Should the second call
//     read anything else, Grad says so.
//  4. The last op of f is not computed again. Its output exists, and what it saved is kept with
//     the node. Cut directly behind a convolution, no convolution runs twice.
//
// The price of a closure that runs twice is that it must be a function: see Checkpoint.
//
// Source: Chen et al., "Training deep nets with sublinear memory cost", 2016.

// Checkpoint computes f() and keeps of it, where a gradient could be asked for, only what went
// into it and the result: Grad computes the rest again when it gets there. Gradients are those
// without Checkpoint, to the bit in the first order. Where nothing is recorded, and inside another
// Checkpoint, it is Tidy.
//
// f must be a function of values: called again it applies the same ops to the same values, and
// writes nothing that its second call would write once more (Replaying tells the calls apart).
// Leaves must be made outside of f or in Outside; raw tensors that f reads without a Value must
// live until the gradient has been taken. The values f makes, but for its result, are not valid
// outside of it. Panics if f asks for a gradient inside, and, from Grad, if f does something else
// when it is called again.
func (g *Graph) Checkpoint(f func() *Value) *Value {
	if !g.recording || g.inside != nil || g.again != nil {
		return g.Tidy(f)
	}
	c := &capture{scope: g.scope, seen: map[*Value]bool{}}
	inner := g.scope.Child()
	g.inside, g.scope = c, inner
	defer func() {
		g.inside, g.scope = nil, c.scope
		inner.Close()
		for _, v := range c.done {
			v.release()
		}
	}()
	v := f()
	if v == nil || !v.inner {
		return v // made by nobody in there
	}
	inner.Keep(v.t)
	v.inner = false
	if !v.depends {
		return v
	}
	v.depends = false
	op := checkpoint{f: f}
	if c.last == v && !slices.ContainsFunc(c.saved, (*tensor.Tensor).Freed) { // by a Tidy in f
		op.last, op.name, op.readsOut = c.ops, c.op.Name(), c.op.Needs().Out
		op.masks = masks(c.op)
		inner.Keep(c.saved...)
	} else {
		c.saved = nil
	}
	g.values++
	v.id = g.values // younger than all it depends on
	v.node, v.needGrad = &Node{op: op, in: c.in, out: v, saved: c.saved}, true
	v.node.countUses(+1)
	return v
}

// Outside runs f as if the Checkpoint around the call had not begun: what f computes is recorded,
// lives as long as what was computed before the Checkpoint, and is an input of it. Elsewhere it
// just runs f. It is for what is computed once and used again by other parts of a network.
func (g *Graph) Outside(f func()) {
	c := g.inside
	if c == nil {
		f()
		return
	}
	scope, private, made := g.scope, g.private, g.made
	g.inside, g.scope, g.private, g.made = nil, c.scope, 0, nil
	defer func() { g.inside, g.scope, g.private, g.made = c, scope, private, made }()
	f()
}

// Replaying reports whether Grad is computing a Checkpoint's function again: what a pass returns
// besides its result, such as new running statistics, has been returned already.
func (g *Graph) Replaying() bool { return g.again != nil }

// A checkpoint is what the node of a Checkpoint holds in an op's place.
type checkpoint struct {
	f        func() *Value
	last     int    // f's result is the output of its op number last; 0: it is not an op's
	name     string // of that op
	readsOut bool   // that op's VJP reads its output
	masks    bool   // and masks its cotangent with it
}

func (checkpoint) Name() string         { return "Checkpoint" }
func (c checkpoint) Needs() Needs       { return Needs{All: true, Out: c.readsOut} }
func (c checkpoint) masksWithOut() bool { return c.masks }

// A capture watches the first call of a Checkpoint's function, which records nothing.
type capture struct {
	scope *tensor.Scope // of what is computed outside
	in    []*Value      // what f has read that existed before
	seen  map[*Value]bool
	done  []*Value // of those that existed before, what f declared Done
	ops   int      // applied so far; op, last and saved are the last one, its output, what it saved
	op    Op
	last  *Value
	saved tensors
}

// read notes that f reads v.
func (c *capture) read(v *Value) {
	if !v.inner && !c.seen[v] {
		c.seen[v] = true
		c.in = append(c.in, v)
	}
}

// applied notes that f applied an op, which may be its last.
func (c *capture) applied(op Op, v *Value, saved tensors) {
	for _, t := range c.saved {
		t.Free()
	}
	c.ops++
	c.op, c.last, c.saved = op, v, saved
}

// A replay is a call of a Checkpoint's function to compute it again.
type replay struct {
	checkpoint
	in    []*Value // of the first call
	out   *Value
	saved tensors // by its last op
	ops   int     // applied so far
	end   *Value  // stands for the last op's output
}

// read checks that f reads what it read the first time. A closure may have seen a variable change.
func (r *replay) read(v *Value) {
	if !v.replayed && !slices.Contains(r.in, v) {
		misuse("Checkpoint", "computed again, f reads another value: does it use a variable that has "+
			"been assigned to since?", "x", v)
	}
}

// finish records the last op without computing it.
func (r *replay) finish(op Op, in []*Value, needGrad bool) *Value {
	g := r.out.graph
	if op.Name() != r.name {
		misuse("Checkpoint", "computed again, f ends in "+op.Name()+" instead of "+r.name+
			": it must do the same every time", "y", r.out)
	}
	v := g.newValue(r.out.t, op.Name())
	v.foreign = true
	r.end = v
	if needGrad {
		saved := make(tensors, len(r.saved))
		for i, t := range r.saved {
			saved[i] = g.scope.Reshape(t, t.Shape()...)
		}
		v.record(op, in, saved)
	}
	return v
}

// replay computes n's function again, recorded.
func (g *Graph) replay(n *Node) *Value {
	r := &replay{checkpoint: n.op.(checkpoint), in: n.in, out: n.out, saved: n.saved}
	recording := g.recording
	g.recording, g.again = true, r
	defer func() { g.recording, g.again = recording, nil }()
	y := g.hide(func() []*Value { return []*Value{r.f()} })[0]
	if y != r.end && r.last > 0 || !y.Shape().Equal(n.out.Shape()) || y.DType() != n.out.DType() {
		misuse("Checkpoint", "computed again, f returns something else: it must do the same every time",
			"y again", n.out, y)
	}
	return y
}

// unfold goes through the nodes that a checkpoint stands for, made for the purpose.
func (p *pass) unfold(n *Node, dy *Value) {
	of := p.of(n.out)
	if p.free && !of.wanted && !n.op.Needs().Out && dy != n.out {
		n.out.Done()
	}
	mark := p.g.values
	y := p.g.replay(n)
	again := p.of(y)
	again.adj, again.masked = dy, of.masked // dy nowhere else, so that it can be freed on the way
	if of.wanted {
		p.of(dy).held++
	} else {
		of.adj = nil
	}
	for _, m := range p.nodes(y, mark) {
		p.step(m)
	}
	if again.adj != nil { // f depends on nothing that leads anywhere
		again.adj = nil
		p.drop(dy)
	}
}
