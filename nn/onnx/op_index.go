package onnx

import (
	"math"
	"slices"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// where selects on the device by host booleans of the given shape.
func (c *call) where(hit []bool, shape tensor.Shape, x, y *autodiff.Value) *autodiff.Value {
	return autodiff.Where(c.mask(x.DType(), hit, shape...), x, y)
}

// slice takes start, start+step, … before stop along one axis of x; all of it lies in x.
func (c *call) slice(x *Value, axis, start, stop, step int) *Value {
	if step == 1 && start == 0 && stop == x.shape[axis] {
		return x
	}
	if x.dev == nil {
		var idx []int
		for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
			idx = append(idx, i)
		}
		return c.takeAxis(x, axis, idx, 0)
	}
	if step > 0 && c.canView(x) {
		return viewed(x, x.layout().Slice(axis, start, step, (stop-start+step-1)/step))
	}
	r := len(x.shape)
	from, to, by := make([]int, r), slices.Clone(x.shape), slices.Repeat([]int{1}, r)
	from[axis], to[axis], by[axis] = start, stop, step
	return like(x, autodiff.Slice(c.upload(x), from, to, by))
}

// sliceOp is ONNX's Slice: bounds are clamped to the tensor, negative ones count from the end.
func sliceOp(c *call) []*Value {
	x := c.arg(0)
	starts, ends, axes := c.attrInts("starts"), c.attrInts("ends"), c.attrInts("axes")
	var steps []int
	if c.opset >= 10 {
		starts, ends = c.ints(1), c.ints(2)
		if c.has(3) {
			axes = c.ints(3)
		}
		if c.has(4) {
			steps = c.ints(4)
		}
	}
	if axes == nil {
		for i := range starts {
			axes = append(axes, i)
		}
	}
	axes = c.axes(axes, len(x.shape))
	if steps == nil {
		steps = slices.Repeat([]int{1}, len(starts))
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) {
		c.fail("starts %v, ends %v, axes %v and steps %v differ in length", starts, ends, axes,
			steps)
	}
	for i, axis := range axes {
		n := x.shape[axis]
		if steps[i] == 0 {
			c.fail("a step of 0")
		}
		step := min(max(steps[i], -n-1), n+1) // beyond the extent all steps are alike
		clamp := func(v, lo, hi int) int {
			if v < 0 && v > math.MinInt+n {
				v += n
			}
			return min(max(v, lo), hi)
		}
		start, stop := clamp(starts[i], 0, n), clamp(ends[i], 0, n)
		if step < 0 { // by ONNX's text; NumPy takes nothing from before the first element
			start, stop = clamp(starts[i], 0, n-1), clamp(ends[i], -1, n-1)
		}
		if step > 0 {
			stop = max(start, stop)
		} else {
			stop = min(start, stop)
		}
		if start < 0 || n == 0 || start == stop { // empty
			start, stop, step = 0, 0, 1
		}
		x = c.slice(x, axis, start, stop, step)
	}
	return []*Value{x}
}

// position returns an index counted from the front.
func (c *call) position(k int64, n int) int {
	if k < 0 {
		k += int64(n)
	}
	if k < 0 || k >= int64(n) {
		c.fail("an index lies outside extent %d", n)
	}
	return int(k)
}

// indices returns operand i as an integer array.
func (c *call) indices(i int) *Array {
	v := c.arg(i)
	if v.elem.IsFloat() {
		c.fail("operand %d: expected integers, got %v", i, v.elem)
	}
	return v.Array()
}

// gather replaces an axis of x by the shape of the indices.
func gather(c *call) []*Value {
	x, idx := c.arg(0), c.indices(1)
	axis := c.axis(c.attrInt("axis", 0), len(x.shape))
	at := make([]int, len(idx.I))
	for i, k := range idx.I {
		at[i] = c.position(k, x.shape[axis])
	}
	y := c.takeAxis(x, axis, at, 0)
	return []*Value{c.reshape(y, slices.Concat(x.shape[:axis], idx.Shape, x.shape[axis+1:])...)}
}

// gatherElements: y[…, i, …] = x[…, idx[…, i, …], …].
func gatherElements(c *call) []*Value {
	x, idx := c.arg(0), c.indices(1)
	axis := c.axis(c.attrInt("axis", 0), len(x.shape))
	return []*Value{c.take(x, c.elementwise(x.shape, idx, axis), idx.Shape, 0)}
}

// elementwise returns the flat positions in data that idx names along an axis.
func (c *call) elementwise(data tensor.Shape, idx *Array, axis int) []int {
	if len(idx.Shape) != len(data) {
		c.fail("indices %v and data %v differ in rank", idx.Shape, data)
	}
	for i, d := range idx.Shape {
		if i != axis && d > data[i] {
			c.fail("indices %v exceed data %v", idx.Shape, data)
		}
	}
	stride := data.Strides()
	flat := make([]int, 0, len(idx.I))
	walk(idx.Shape, func(at []int) {
		k := c.position(idx.I[len(flat)], data[axis])
		flat = append(flat, dot(at, stride)+(k-at[axis])*stride[axis])
	})
	return flat
}

// tuples returns, for indices whose last axis holds positions in the leading axes of data (behind
// batch common ones), the flat offset of each slice and the slice's shape.
func (c *call) tuples(data tensor.Shape, idx *Array, batch int) (offsets []int,
	inner tensor.Shape) {
	r := len(idx.Shape)
	if r == 0 || batch < 0 || batch >= r || batch+idx.Shape[r-1] > len(data) {
		c.fail("indices %v do not fit data %v", idx.Shape, data)
	}
	k := idx.Shape[r-1]
	stride := data.Strides()
	inner = data[batch+k:]
	outer := idx.Shape[:r-1]
	for i := range batch {
		if outer[i] != data[i] {
			c.fail("indices %v and data %v differ in batch axis %d", idx.Shape, data, i)
		}
	}
	walk(outer, func(at []int) {
		off := dot(at[:batch], stride)
		for j := range k {
			off += c.position(idx.I[len(offsets)*k+j], data[batch+j]) * stride[batch+j]
		}
		offsets = append(offsets, off)
	})
	return offsets, inner
}

// spread turns the offsets of slices into the flat positions of their elements.
func (c *call) spread(offsets []int, size int) []int {
	c.fits(len(offsets), size)
	flat := c.positions(len(offsets) * size)[:0]
	for _, o := range offsets {
		for i := range size {
			flat = append(flat, o+i)
		}
	}
	return flat
}

func gatherND(c *call) []*Value {
	x, idx := c.arg(0), c.indices(1)
	offsets, inner := c.tuples(x.shape, idx, c.attrInt("batch_dims", 0))
	shape := slices.Concat(idx.Shape[:len(idx.Shape)-1], inner)
	return []*Value{c.take(x, c.spread(offsets, inner.Size()), shape, 0)}
}

func scatterElements(c *call) []*Value {
	x, idx, updates := c.arg(0), c.indices(1), c.arg(2)
	axis := c.axis(c.attrInt("axis", 0), len(x.shape))
	if !updates.shape.Equal(idx.Shape) {
		c.fail("indices %v and updates %v differ", idx.Shape, updates.shape)
	}
	return []*Value{c.scatter(x, c.elementwise(x.shape, idx, axis), updates)}
}

func scatterND(c *call) []*Value {
	x, idx, updates := c.arg(0), c.indices(1), c.arg(2)
	offsets, inner := c.tuples(x.shape, idx, 0)
	flat := c.spread(offsets, inner.Size())
	if len(flat) != updates.shape.Size() {
		c.fail("indices %v ask for %d updates, got %v", idx.Shape, len(flat), updates.shape)
	}
	return []*Value{c.scatter(x, flat, updates)}
}

// scatter puts updates into x at flat positions, by the attribute reduction. Updates that meet at
// one position are applied in rounds: the first ones together, then the second ones, ….
func (c *call) scatter(x *Value, flat []int, updates *Value) *Value {
	reduction := c.attrString("reduction", "none")
	if x.elem != updates.elem {
		c.fail("data are %v, updates %v", x.elem, updates.elem)
	}
	n := x.shape.Size()
	if reduction == "none" { // the last one wins
		from := make([]int, n)
		for i := range from {
			from[i] = i
		}
		for u, p := range flat {
			from[p] = n + u
		}
		both := c.concat(0, []*Value{c.reshape(x, n), c.reshape(updates, len(flat))})
		return c.take(both, from, x.shape, 0)
	}
	names := map[string]string{"add": "Add", "mul": "Mul", "max": "Max", "min": "Min"}
	op, ok := binaries()[names[reduction]]
	if !ok {
		c.refuse("use none, add, mul, max or min", "reduction %q is not known", reduction)
	}
	acc, u := c.reshape(x, n), c.reshape(updates, len(flat))
	for _, round := range rounds(flat) {
		positions, values := make([]int, len(round)), slices.Clone(round)
		for i, k := range round {
			positions[i] = flat[k]
		}
		old := c.take(acc, positions, tensor.Shape{len(round)}, 0)
		new := op.apply(c, old, c.take(u, values, tensor.Shape{len(round)}, 0))
		from := make([]int, n)
		for i := range from {
			from[i] = i
		}
		for i, p := range positions {
			from[p] = n + i
		}
		acc = c.take(c.concat(0, []*Value{acc, new}), from, tensor.Shape{n}, 0)
	}
	return c.reshape(acc, x.shape...)
}

// rounds groups update numbers so that no position occurs twice in a group.
func rounds(flat []int) [][]int {
	count := map[int]int{}
	var out [][]int
	for u, p := range flat {
		r := count[p]
		count[p]++
		if r == len(out) {
			out = append(out, nil)
		}
		out[r] = append(out[r], u)
	}
	return out
}

// oneHot writes on at the index and off elsewhere along a new axis.
func oneHot(c *call) []*Value {
	idx, depth, values := c.arg(0).Array(), int(c.number(1)), c.hostConst(2)
	axis := c.axis(c.attrInt("axis", -1), len(idx.Shape)+1)
	if values.Shape.Size() != 2 || depth < 0 {
		c.fail("expected two values and a depth ≥ 0, got %v and %d", values.Shape, depth)
	}
	c.fits(idx.Shape.Size(), depth)
	shape := slices.Insert(idx.Shape.Clone(), axis, depth)
	inner := idx.Shape[axis:].Size()
	pick := make([]int, shape.Size())
	for i := range idx.Shape.Size() {
		k := int(idx.at(i))
		if k < 0 {
			k += depth
		}
		if k >= 0 && k < depth {
			pick[(i/inner*depth+k)*inner+i%inner] = 1
		}
	}
	return hostOut(values.take(pick, shape, 0))
}

// trilu keeps the upper or lower triangle of the last two axes.
func trilu(c *call) []*Value {
	x, k := c.arg(0), 0
	if c.has(1) {
		k = c.int1(1)
	}
	if len(x.shape) < 2 {
		c.fail("expected matrices, got %v", x.shape)
	}
	upper := c.attrInt("upper", 1) == 1
	m, n := x.shape[len(x.shape)-2], x.shape[len(x.shape)-1]
	idx := make([]int, x.shape.Size())
	for i := range idx {
		row, col := i/n%m, i%n
		idx[i] = i
		if upper && col < row+k || !upper && col > row+k {
			idx[i] = outside
		}
	}
	return []*Value{c.take(x, idx, x.shape, 0)}
}
