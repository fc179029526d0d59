package onnx

import (
	"slices"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// Exporters write attention as a chain of small moves: the product that makes queries, keys and
// values is reshaped, turned, cut in three, and each part turned again, before anything is computed
// of it. Where the backend can multiply what lies anywhere (tensor.Viewer) such operators only
// change a value's layout. Others get what they read gathered, in one copy for all of them.

// viewers are the operators that take views for operands.
func viewers() []string {
	return []string{"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split",
		"Gather", "MatMul", "Shape", "Size", "Identity"}
}

// markViewers finds the nodes of such operators.
func (g *Graph) markViewers() {
	ops := viewers()
	for _, n := range g.nodes {
		n.views = n.domain == "" && slices.Contains(ops, n.op)
	}
}

// canView reports whether the node at work may make a view of v instead of moving elements.
func (c *call) canView(v *Value) bool { return c.views && c.run.views && v.dev != nil }

// layout is where v's elements lie among those of its autodiff value.
func (v *Value) layout() tensor.Layout {
	if v.view != nil {
		return *v.view
	}
	return tensor.Dense(v.shape)
}

// viewed is v in a layout of the same autodiff value; a value of its own where nothing moves.
func viewed(v *Value, l tensor.Layout) *Value {
	out := &Value{elem: v.elem, shape: l.Shape, dev: v.dev, view: &l}
	if l.IsDense(v.dev.Shape().Size()) {
		out.dev, out.view = shaped(v.dev, l.Shape), nil
	}
	return out
}

// gather makes a tensor of a view, and of every name that stands for it.
func (r *runner) gather(v *Value) *Value {
	if v.view == nil {
		return v
	}
	base := v.dev
	v.dev, v.view = autodiff.Gathered(autodiff.View{X: base, Layout: *v.view}), nil
	for range v.names {
		r.users[v.dev]++
		r.forget(base)
	}
	return v
}

// gather is the runner's for the node at work, whose Tidy the tensor outlives if others may read
// it.
func (c *call) gather(v *Value) *Value {
	if v.view != nil && c.run.gather(v).names > 0 {
		v.dev.Outlive()
	}
	return v
}

// forget takes one from the names that stand for a device value, and frees it after the last.
func (r *runner) forget(dev *autodiff.Value) {
	n, ours := r.users[dev]
	if !ours {
		return
	}
	if r.users[dev] = n - 1; n == 1 {
		dev.Done()
	}
}

// foreseen is the attribute that says in which order a product's only reader turns its axes.
const foreseen = "afterimage.order"

// foresee has products written in the order in which a transpose, which nothing but their layout is
// then left to, wants them.
func (b *builder) foresee() {
	readers, made := b.readers(), map[string]int{} // products by their results
	for i, n := range b.nodes {
		if n.domain != "" || len(n.out) != 1 {
			continue
		}
		if n.op == "MatMul" {
			made[n.out[0]] = i
		}
		perm := n.attrInts("perm")
		if n.op != "Transpose" || len(perm) < 3 || perm[len(perm)-1] != len(perm)-1 {
			continue
		}
		if at, ok := made[n.in[0]]; ok && readers[n.in[0]] == 1 {
			m := *b.nodes[at]
			m.attrs = m.withInts(foreseen, perm...)
			b.nodes[at] = &m
		}
	}
}

// matMulViews multiplies stacks of matrices where they lie, if one of them is a view, or the
// product is scaled or read in another order; ok is false where they broadcast.
func (c *call) matMulViews(scale float64) (y *Value, ok bool) {
	a, b := c.arg(0), c.arg(1)
	order := c.attrInts(foreseen)
	dense := a.view == nil && b.view == nil
	if !c.canView(a) || !c.canView(b) || dense && scale == 1 && order == nil {
		return nil, false
	}
	r := len(a.shape)
	if r < 2 || len(b.shape) != r || !a.shape[:r-2].Equal(b.shape[:r-2]) ||
		a.shape[r-1] != b.shape[r-2] {
		return nil, false
	}
	if len(order) != r || !isPermutation(order, r) {
		order = nil
	}
	y = like(a, autodiff.MatMulViews(autodiff.View{X: a.dev, Layout: a.layout()},
		autodiff.View{X: b.dev, Layout: b.layout()}, scale, order))
	if order == nil {
		return y, true
	}
	back := make([]int, r)
	for i, axis := range order {
		back[axis] = i
	}
	return viewed(y, y.layout().Permute(back...)), true
}
