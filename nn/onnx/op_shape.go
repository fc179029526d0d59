package onnx

import (
	"math"
	"slices"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// shapeOf gives x's extents, from start to end.
func shapeOf(c *call) []*Value {
	s := c.arg(0).shape
	bound := func(i int) int {
		if i < 0 {
			i += len(s)
		}
		return min(max(i, 0), len(s))
	}
	start, end := bound(c.attrInt("start", 0)), bound(c.attrInt("end", len(s)))
	out := newArray(Int64, max(end-start, 0))
	for i := range out.I {
		out.I[i] = int64(s[start+i])
	}
	return hostOut(out)
}

func sizeOf(c *call) []*Value {
	out := newArray(Int64)
	out.I[0] = int64(c.arg(0).shape.Size())
	return hostOut(out)
}

// reshape: 0 copies an extent (unless allowzero), −1 is what is left.
func reshape(c *call) []*Value {
	x := c.arg(0)
	want := c.attrInts("shape") // before opset 5
	if c.has(1) {
		want = c.ints(1)
	}
	shape, open, known := make([]int, len(want)), -1, 1
	for i, d := range want {
		switch {
		case d == 0 && c.attrInt("allowzero", 0) == 0:
			if i >= len(x.shape) {
				c.fail("target %v copies axis %d of %v", want, i, x.shape)
			}
			d = x.shape[i]
		case d == -1 && open < 0:
			open, d = i, 1
		case d < 0:
			c.fail("target %v is no shape", want)
		}
		shape[i] = d
		known *= d
	}
	if open >= 0 {
		if known == 0 || x.shape.Size()%known != 0 {
			c.fail("%v cannot become %v", x.shape, want)
		}
		shape[open] = x.shape.Size() / known
	}
	return []*Value{c.reshape(x, shape...)}
}

func flatten(c *call) []*Value {
	x := c.arg(0)
	axis := c.attrInt("axis", 1)
	if axis < 0 {
		axis += len(x.shape)
	}
	if axis < 0 || axis > len(x.shape) {
		c.fail("axis %d does not exist in %v", c.attrInt("axis", 1), x.shape)
	}
	return []*Value{c.reshape(x, x.shape[:axis].Size(), x.shape[axis:].Size())}
}

// axesOperand returns the axes of an operator that had them as an attribute and now has them as
// operand i; nil when there are none.
func (c *call) axesOperand(i int) []int {
	if c.has(i) {
		return c.ints(i)
	}
	return c.attrInts("axes")
}

func squeeze(c *call) []*Value {
	x := c.arg(0)
	axes := c.axes(c.axesOperand(1), len(x.shape))
	var shape []int
	for i, d := range x.shape {
		drop := slices.Contains(axes, i) || len(axes) == 0 && d == 1
		if drop && d != 1 {
			c.fail("axis %d of %v is not 1", i, x.shape)
		}
		if !drop {
			shape = append(shape, d)
		}
	}
	return []*Value{c.reshape(x, shape...)}
}

func unsqueeze(c *call) []*Value {
	x := c.arg(0)
	axes := c.axesOperand(1)
	axes = c.axes(axes, len(x.shape)+len(axes))
	shape, rest := make([]int, 0, len(x.shape)+len(axes)), x.shape
	for i := range len(x.shape) + len(axes) {
		if slices.Contains(axes, i) {
			shape = append(shape, 1)
		} else {
			shape, rest = append(shape, rest[0]), rest[1:]
		}
	}
	return []*Value{c.reshape(x, shape...)}
}

func transpose(c *call) []*Value {
	x := c.arg(0)
	perm := c.attrInts("perm")
	if !c.hasAttr("perm") {
		for i := range x.shape {
			perm = append(perm, len(x.shape)-1-i)
		}
	}
	perm = c.axes(perm, len(x.shape))
	if len(perm) != len(x.shape) {
		c.fail("perm %v does not order the axes of %v", perm, x.shape)
	}
	return []*Value{c.permute(x, perm...)}
}

func concat(c *call) []*Value {
	axis := c.attrInt("axis", 1)
	if len(c.args) == 0 {
		c.fail("nothing to join")
	}
	vs := make([]*Value, len(c.args))
	for i := range vs {
		vs[i] = c.arg(i)
	}
	return []*Value{c.concat(c.axis(axis, len(vs[0].shape)), vs)}
}

// split cuts along an axis: given sizes, or as many equal parts as there are results, the last one
// smaller.
func split(c *call) []*Value {
	x := c.arg(0)
	axis := c.axis(c.attrInt("axis", 0), len(x.shape))
	sizes := c.attrInts("split")
	if c.has(1) {
		sizes = c.ints(1)
	}
	if sizes == nil {
		n := c.attrInt("num_outputs", len(c.node.out))
		if n < 1 || n > len(c.node.out) {
			c.fail("num_outputs %d does not fit %d results", n, len(c.node.out))
		}
		each, left := (x.shape[axis]+n-1)/n, x.shape[axis]
		for range n {
			sizes = append(sizes, min(each, left))
			left -= min(each, left)
		}
	}
	total := 0
	for _, s := range sizes {
		total += max(s, 0)
	}
	if total != x.shape[axis] || slices.ContainsFunc(sizes, func(s int) bool { return s < 0 }) {
		c.fail("parts %v do not add up to extent %d", sizes, x.shape[axis])
	}
	out := make([]*Value, len(sizes))
	at := 0
	for i, s := range sizes {
		out[i] = c.slice(x, axis, at, at+s, 1)
		at += s
	}
	return out
}

// expand broadcasts x and a shape together.
func expand(c *call) []*Value {
	x, want := c.arg(0), tensor.Shape(c.ints(1))
	shape, ok := tensor.Broadcast(x.shape, want)
	if !ok || slices.ContainsFunc(shape, func(d int) bool { return d < 0 }) {
		c.fail("%v does not expand to %v", x.shape, want)
	}
	c.fits(shape...)
	return []*Value{c.broadcastTo(x, shape)}
}

func tile(c *call) []*Value {
	x, repeats := c.arg(0), c.ints(1)
	if len(repeats) != len(x.shape) {
		c.fail("expected %d repeats, got %v", len(x.shape), repeats)
	}
	for axis, n := range repeats {
		if n < 0 {
			c.fail("repeats %v are negative", repeats)
		}
		if n == 1 {
			continue
		}
		c.fits(x.shape.Size(), n)
		idx := c.positions(n * x.shape[axis])[:0]
		for range n {
			for i := range x.shape[axis] {
				idx = append(idx, i)
			}
		}
		x = c.takeAxis(x, axis, idx, 0)
	}
	return []*Value{x}
}

// fits fails when a tensor of these extents is larger than what may be asked of memory.
func (c *call) fits(shape ...int) {
	if n, ok := tensor.Shape(shape).CheckedSize(); !ok || n > math.MaxInt32 {
		c.refuse("", "a result of shape %v is too large", tensor.Shape(shape))
	}
}

// positions returns room for n indices on the host and fails when they would ask for more memory
// than any shape arithmetic needs.
func (c *call) positions(n int) []int {
	if n < 0 || n > maxHost {
		c.refuse("", "%d positions along an axis are too many", n)
	}
	return make([]int, n)
}

// cast converts elements. Among floating-point types that compute in one dtype nothing happens;
// between double and float rounding counts as the identity for the derivative. From float to
// integer the value is truncated, and its derivative is zero.
func cast(c *call) []*Value {
	x, to := c.arg(0), c.castTarget()
	if to.size() == 0 {
		c.refuse("cast to a numeric type", "elements cannot be cast to %v", to)
	}
	if x.elem == to {
		return []*Value{x}
	}
	if x.elem.IsFloat() && to.IsFloat() && x.dev != nil {
		if x.dev.DType() == c.run.dtype(to) {
			return []*Value{{elem: to, shape: x.shape, dev: x.dev}}
		}
		return []*Value{{elem: to, shape: x.shape, dev: autodiff.Cast(x.dev, c.run.dtype(to))}}
	}
	a := x.Array()
	out := newArray(to, a.Shape...)
	for i := range a.Shape.Size() {
		switch v := a.at(i); {
		case out.F != nil:
			out.F[i] = round(to, v)
		case to == Bool:
			out.I[i] = btoi(v != 0)
		case a.F == nil:
			out.I[i] = to.wrap(a.I[i])
		default:
			out.I[i] = to.wrap(int64(v))
		}
	}
	return hostOut(out)
}

func (c *call) castTarget() Elem {
	if c.op == "CastLike" {
		return c.arg(1).elem
	}
	return Elem(c.attrInt("to", 0))
}

// identity also stands for Dropout, which a frozen network does not apply.
func identity(c *call) []*Value { return []*Value{c.arg(0)} }

// dropout is the identity with a mask of ones, unless it is asked to train.
func dropout(c *call) []*Value {
	x := c.arg(0)
	if c.has(2) && c.hostConst(2).at(0) != 0 {
		ratio := 0.5
		if c.has(1) {
			ratio = c.number(1)
		}
		if ratio != 0 {
			c.refuse("export the model in evaluation mode",
				"dropout in training mode is random, and ONNX does not define its generator")
		}
	}
	mask := newArray(Bool, x.shape...)
	for i := range mask.I {
		mask.I[i] = 1
	}
	return []*Value{x, Host(mask)}
}

// where selects x where the condition holds, else y.
func where(c *call) []*Value {
	cond, x, y := c.arg(0).Array(), c.arg(1), c.arg(2)
	if x.elem != y.elem {
		c.fail("operands have types %v and %v", x.elem, y.elem)
	}
	xy, ok := tensor.Broadcast(x.shape, y.shape)
	shape, ok2 := tensor.Broadcast(cond.Shape, xy)
	if !ok || !ok2 {
		c.fail("shapes %v, %v and %v do not broadcast", cond.Shape, x.shape, y.shape)
	}
	if x.host != nil && y.host != nil {
		m, a, b := cond.broadcast(shape), x.host.broadcast(shape), y.host.broadcast(shape)
		out := newArray(x.elem, shape...)
		for i, v := range m.I {
			from := b
			if v != 0 {
				from = a
			}
			if out.F != nil {
				out.F[i] = from.F[i]
			} else {
				out.I[i] = from.I[i]
			}
		}
		return hostOut(out)
	}
	hit := make([]bool, len(cond.I))
	for i, v := range cond.I {
		hit[i] = v != 0
	}
	a, b := c.upload(x), c.upload(y)
	return []*Value{like(x, c.where(hit, cond.Shape, a, b))}
}

// depthToSpace moves blocks of channels into pixels; spaceToDepth moves them back.
func depthToSpace(c *call) []*Value {
	x, b := c.arg(0), c.attrInt("blocksize", 1)
	if len(x.shape) != 4 || b < 1 || b > max(x.shape[1], 1) || x.shape[1]%(b*b) != 0 {
		c.fail("a block of %d does not fit %v", b, x.shape)
	}
	n, ch, h, w := x.shape[0], x.shape[1]/(b*b), x.shape[2], x.shape[3]
	if c.attrString("mode", "DCR") == "DCR" {
		x = c.permute(c.reshape(x, n, b, b, ch, h, w), 0, 3, 4, 1, 5, 2)
	} else {
		x = c.permute(c.reshape(x, n, ch, b, b, h, w), 0, 1, 4, 2, 5, 3)
	}
	return []*Value{c.reshape(x, n, ch, h*b, w*b)}
}

func spaceToDepth(c *call) []*Value {
	x, b := c.arg(0), c.attrInt("blocksize", 1)
	if len(x.shape) != 4 || b < 1 || x.shape[2]%b != 0 || x.shape[3]%b != 0 {
		c.fail("a block of %d does not fit %v", b, x.shape)
	}
	n, ch, h, w := x.shape[0], x.shape[1], x.shape[2]/b, x.shape[3]/b
	perm := []int{0, 3, 5, 1, 2, 4}
	if c.attrString("mode", "DCR") == "CRD" {
		perm = []int{0, 1, 3, 5, 2, 4}
	}
	x = c.permute(c.reshape(x, n, ch, h, b, w, b), perm...)
	return []*Value{c.reshape(x, n, ch*b*b, h, w)}
}
