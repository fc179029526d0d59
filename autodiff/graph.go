package autodiff

import (
	"fmt"
	"slices"

	"afterimage/tensor"
)

// The modes of a graph
//
// A differentiable function is the same wherever it is called; what becomes of its result is not.
// Seven modes say it. Each is set for as long as one function runs and put back when that returns,
// also when it panics, so that what a graph does can be read off the calls on the stack:
//
//	mode       set by                              while it is set
//	recording  NewGraph; not in NoGrad, nor in     An op of which a gradient could be asked makes
//	           Grad without CreateGraph, but       a Node, and its inputs stay until that Node's
//	           again in compositeVJP and while     VJP has run. In a VJP: what it returns must
//	           replaying                           itself be differentiable (Node.HigherOrder).
//	hiding     compose, for composite functions;   Values are listed as they are made (made), and
//	           Grad, around each VJP; replaying.   all but the results are Done when it ends.
//	           It nests: private counts how deep
//	lending    Grad, around a VJP whose            That VJP may write its result over the
//	           cotangent or first input nobody     cotangent (spare) or input (spent), as
//	           reads afterwards                    reluMask and batch norm do.
//	masked     Grad, around a VJP whose            That VJP does not mask it again (mask.go).
//	           cotangent has gone through its
//	           op's ReLU
//	capturing  Checkpoint, while its function      Nothing is recorded. What the function reads of
//	           runs for the first time             older values is listed (inside), and none of
//	                                               these is freed before it ends.
//	replaying  Grad, while a Checkpoint's          Ops are recorded. What the function reads must
//	           function runs again                 have been read the first time (again), and its
//	                                               last op's result is taken from then.
//	planning   Plan, while its function runs       Nothing is recorded. Each op is written down with
//	                                               the tensors that it took and made (plan); reading
//	                                               elements on the host spoils the plan.
//
// They go together freely but for four rules. Grad is refused while capturing: there is no record
// to walk, so lending and capturing never meet. Plan is refused while recording, capturing or
// planning. A Checkpoint inside another, in either of its two runs, or where nothing is recorded,
// is Tidy. Outside ends capturing and hiding for its function, whose values are to live as long as
// those before the Checkpoint.

// A Graph is the tape of one computation: a training step, one PGD iteration, one evaluation
// batch. It owns a scope; Close frees all that was computed in it. A Graph belongs to one
// goroutine.
type Graph struct {
	scope     *tensor.Scope
	recording bool
	values    int
	ops       int
	private   int       // hiding: depth of nested calls of hide
	made      []*Value  // values made inside them
	spare     *Value    // lending: the cotangent that the VJP at work may overwrite
	spent     *Value    // lending: its first input, where it may overwrite that
	masked    bool      // masked: the cotangent of the VJP at work
	inside    *capture  // capturing: of the Checkpoint whose function runs for the first time
	again     *replay   // replaying: of the Checkpoint whose function is computed again
	plan      *planning // planning: of the Plan whose function runs
}

// NewGraph opens a graph that allocates on b.
func NewGraph(b tensor.Backend) *Graph {
	return &Graph{scope: tensor.NewScope(b), recording: true}
}

// Close frees every value of the graph. What must outlive it is copied (tensor.Assign) or taken
// out with Scope().Keep.
func (g *Graph) Close() { g.scope.Close() }

// Scope returns the scope in which the graph allocates at this moment.
func (g *Graph) Scope() *tensor.Scope { return g.scope }

// Backend returns the backend the graph computes on.
func (g *Graph) Backend() tensor.Backend { return g.scope.Backend() }

// Ops returns how many ops have been applied, a cheap measure for tests and logs.
func (g *Graph) Ops() int { return g.ops }

// Leaf makes t a value with respect to which gradients can be asked. The graph does not own t.
func (g *Graph) Leaf(t *tensor.Tensor) *Value {
	v := g.newValue(t, "Leaf")
	v.needGrad, v.foreign = true, true
	return v
}

// Const makes t a value without a gradient. The graph does not own t.
func (g *Graph) Const(t *tensor.Tensor) *Value {
	v := g.newValue(t, "Const")
	v.foreign = true
	return v
}

// Scalar returns a constant of one element and the given dtype.
func (g *Graph) Scalar(dt tensor.DType, c float64) *Value {
	return g.newValue(g.scope.Full(dt, c), "Scalar")
}

// Zeros returns a constant of zeros.
func (g *Graph) Zeros(dt tensor.DType, shape ...int) *Value {
	return g.newValue(g.scope.Zeros(dt, shape...), "Zeros")
}

// NoGrad runs f without recording: what it computes is constant, and intermediates that nobody
// needs can be freed at once (see Tidy).
func (g *Graph) NoGrad(f func()) {
	was := g.recording
	g.recording = false
	defer func() { g.recording = was }()
	f()
}

// Recording reports whether ops applied now are recorded, or will be when Checkpoint computes them
// again.
func (g *Graph) Recording() bool { return g.recording }

// Tidy runs f and, when its result needs no gradient, frees everything f allocated but the
// result, if there is one. Networks wrap each block in it, so that inference holds one block's
// activations. A block whose result needs a gradient is left alone: its values serve the backward
// pass. Checkpoint does not leave it alone.
func (g *Graph) Tidy(f func() *Value) *Value {
	outer := g.scope
	inner := outer.Child()
	g.scope = inner
	defer func() {
		g.scope = outer
		inner.Close()
	}()
	v := f()
	switch {
	case v == nil:
	case v.needGrad:
		inner.KeepAll()
	default:
		inner.Keep(v.t)
	}
	return v
}

// hide runs f and declares every value it made Done, but those it returns: nobody else can have
// seen them. Composite functions and the backward pass run in it, so that an intermediate lives
// only as long as a recorded VJP wants it.
func (g *Graph) hide(f func() []*Value) []*Value {
	mark := len(g.made)
	g.private++
	defer func() {
		if g.private--; g.private == 0 {
			clear(g.made)
			g.made = g.made[:0]
		}
	}()
	out := f()
	left := g.made[:mark]
	for _, v := range g.made[mark:] {
		switch {
		case !slices.Contains(out, v):
			v.Done()
		case g.private > 1: // the caller hides too, and decides about it
			left = append(left, v)
		}
	}
	clear(g.made[len(left):])
	g.made = left
	return out
}

// compose is hide for a composite function with one result.
func (g *Graph) compose(f func() *Value) *Value {
	return g.hide(func() []*Value { return []*Value{f()} })[0]
}

func (g *Graph) newValue(t *tensor.Tensor, origin string) *Value {
	g.values++
	v := &Value{graph: g, t: t, id: g.values, origin: origin, inner: g.inside != nil,
		replayed: g.again != nil}
	if g.private > 0 {
		g.made = append(g.made, v)
	}
	return v
}

// A Value is a tensor in a graph, together with how it was computed.
type Value struct {
	graph    *Graph
	t        *tensor.Tensor
	node     *Node // nil for leaves and constants
	id       int   // creation order is a topological order
	uses     int   // recorded VJPs that still want the elements
	needGrad bool
	foreign  bool // the tensor belongs to somebody else
	kept     bool
	done     bool
	inner    bool // made by a Checkpoint's function: gone when it returns
	depends  bool // such a value that would need a gradient if it were recorded
	replayed bool // made by a Checkpoint's function when it was computed again
	origin   string
}

// Tensor returns the elements. Panics, naming the op, if they have been freed.
func (v *Value) Tensor() *tensor.Tensor { return v.read("Tensor") }

// Shape returns the shape; it stays known after the elements are freed.
func (v *Value) Shape() tensor.Shape { return v.t.Shape() }

// Dim returns extent i; a negative i counts from the end.
func (v *Value) Dim(i int) int { return v.t.Dim(i) }

// Rank returns the number of axes.
func (v *Value) Rank() int { return v.t.Rank() }

// DType returns the element type.
func (v *Value) DType() tensor.DType { return v.t.DType() }

// Graph returns the graph the value belongs to.
func (v *Value) Graph() *Graph { return v.graph }

// NeedsGrad reports whether the value depends on a leaf through recorded ops.
func (v *Value) NeedsGrad() bool { return v.needGrad }

// Item returns the single element; it waits for the device.
func (v *Value) Item() float64 { return v.read("Item").Item() }

// read is live for the host, which may compute with what it reads: a Plan cannot follow it there.
func (v *Value) read(op string) *tensor.Tensor {
	if p := v.graph.plan; p != nil {
		p.spoilt = true
	}
	return v.live(op)
}

// Keep makes Grad spare the value's elements, so that they can be read afterwards.
// It returns v.
func (v *Value) Keep() *Value {
	v.kept = true
	return v
}

// Outlive makes the elements outlive the Tidy at work, as its result's do. It returns v.
func (v *Value) Outlive() *Value {
	v.graph.scope.Keep(v.live("Outlive"))
	return v
}

// Done declares that the caller will not use v in another op: if no recorded VJP wants its
// elements they are freed now, otherwise when the last such VJP has run. It does nothing to leaves,
// constants made by Const, and values marked with Keep.
func (v *Value) Done() {
	v.done = true
	v.release()
}

// Then returns f(v) and declares v Done, unless that is v itself: one layer behind another.
func (v *Value) Then(f func(x *Value) *Value) *Value {
	y := f(v)
	if y != v {
		v.Done()
	}
	return y
}

// Detach returns a constant that shares v's elements: gradients stop here.
func (v *Value) Detach() *Value {
	return v.graph.newValue(v.graph.scope.Reshape(v.live("Detach"), v.Shape()...), "Detach")
}

// release frees the elements if nobody can want them any more.
func (v *Value) release() {
	if c := v.graph.inside; c != nil && !v.inner { // uses does not count what f reads yet
		c.done = append(c.done, v)
		return
	}
	if v.uses == 0 && v.done && !v.kept && !v.foreign {
		v.t.Free()
	}
}

// lastUse reports whether a VJP that wants v's elements is the last to do so, behind which release
// would free them.
func (v *Value) lastUse() bool {
	return v.uses == 1 && v.done && !v.kept && !v.foreign && v.t.Exclusive()
}

// live returns the elements, on behalf of op: the one way to them.
func (v *Value) live(op string) *tensor.Tensor {
	if c := v.graph.inside; c != nil {
		c.read(v)
	}
	if r := v.graph.again; r != nil {
		r.read(v)
	}
	if v.t.Freed() {
		panic(&tensor.Error{Op: op, Operands: []tensor.Operand{tensor.Describe("x", v.t)},
			Reason: fmt.Sprintf("a value made by %s was freed: "+
				"Grad frees what it has used; Keep spares a value", v.origin)})
	}
	return v.t
}
