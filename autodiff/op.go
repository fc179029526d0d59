package autodiff

import (
	"fmt"

	"afterimage/tensor"
)

// An Op is a differentiable primitive; its fields are its attributes. Forward and VJP stand next
// to each other in the op's file, and a VJP is written in this package's differentiable
// functions only, so that it can be differentiated in turn: that is all that derivatives of
// any order take.
type Op interface {
	// Name returns the public function's name, for errors and counts.
	Name() string
	// Needs declares what VJP reads; everything else may be freed before VJP runs.
	Needs() Needs
	// Forward computes the output and what VJP wants saved (pool indices, batch statistics).
	Forward(s *tensor.Scope, in []*tensor.Tensor) (out *tensor.Tensor, saved []*tensor.Tensor)
	// VJP returns (∂out/∂inᵢ)ᵀ·dy for each i with need[i], in inᵢ's shape; others may be nil.
	VJP(n *Node, dy *Value, need []bool) []*Value
}

type tensors = []*tensor.Tensor

// Needs says what an op's VJP reads. Saved tensors are always kept.
type Needs struct {
	In      uint // bit i: the value of input i
	All     bool // every input, however many
	Out     bool // the output
	Product bool // inputs 0 and 1 are factors: each is read only for the gradient of the other
}

// The common cases of Needs.
var (
	needsNothing = Needs{}
	needsIn0     = Needs{In: 1}
	needsIn1     = Needs{In: 2}
	needsOut     = Needs{Out: true}
	needsFactors = Needs{Product: true}
)

// A recorded is what a node holds: an Op, or a checkpoint, which stands for several.
type recorded interface {
	Name() string
	Needs() Needs
}

// A Node is one recorded application of an op.
type Node struct {
	op    recorded
	in    []*Value
	out   *Value
	saved []*tensor.Tensor
	freed bool
}

// In returns input i. VJPs may read its elements only if Needs declares it; its Shape always.
func (n *Node) In(i int) *Value { return n.in[i] }

// Out returns the output, under the same rule.
func (n *Node) Out() *Value { return n.out }

// Saved returns saved tensor i as a constant.
func (n *Node) Saved(i int) *Value {
	v := n.out.graph.Const(n.saved[i])
	v.origin = n.op.Name()
	return v
}

// Graph returns the graph the node belongs to.
func (n *Node) Graph() *Graph { return n.out.graph }

// HigherOrder reports whether the gradient being computed must itself be differentiable. A fused
// op then answers through its composite.
func (n *Node) HigherOrder() bool { return n.out.graph.recording }

// apply runs an op and records it if a gradient could be asked for: the only way from a
// differentiable function to a device.
func apply(op Op, in ...*Value) *Value {
	g := in[0].graph
	ts := make([]*tensor.Tensor, len(in))
	needGrad := false
	for i, v := range in {
		if v.graph != g {
			misuse(op.Name(), fmt.Sprintf("input %d belongs to another graph", i), "x0 x", in[0], v)
		}
		ts[i] = v.live(op.Name())
		needGrad = needGrad || v.needGrad || v.depends
	}
	g.ops++
	if r := g.again; r != nil {
		if r.ops++; r.ops == r.last {
			return r.finish(op, in, needGrad && g.recording)
		}
	}
	out, saved := op.Forward(g.scope, ts)
	if g.plan != nil {
		g.plan.applied(op, ts, out)
	}
	v := g.newValue(out, op.Name())
	switch {
	case g.inside != nil:
		v.depends = needGrad && g.recording
		g.inside.applied(op, v, saved)
	case needGrad && g.recording:
		v.record(op, in, saved)
	default:
		for _, t := range saved {
			t.Free()
		}
	}
	return v
}

// record puts v on the tape as op's output.
func (v *Value) record(op Op, in []*Value, saved tensors) {
	v.node, v.needGrad = &Node{op: op, in: in, out: v, saved: saved}, true
	v.node.countUses(+1)
}

// applyConst runs an op whose derivative is zero wherever it exists: the result is a constant.
func applyConst(op Op, in ...*Value) (v *Value) {
	in[0].graph.NoGrad(func() { v = apply(op, in...) })
	return v
}

// countUses adds d to the pending uses of every value the node's VJP reads.
func (n *Node) countUses(d int) {
	needs := n.op.Needs()
	for i, v := range n.in {
		if needs.All || needs.In>>i&1 == 1 {
			v.uses += d
		}
	}
	if needs.Product && n.in[1].needGrad {
		n.in[0].uses += d
	}
	if needs.Product && n.in[0].needGrad {
		n.in[1].uses += d
	}
	if needs.Out {
		n.out.uses += d
	}
}
