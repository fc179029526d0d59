package onnx

import (
	"slices"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// outside in a list of indices stands for the fill value.
const outside = -1

// take builds a tensor of the given shape whose element i is element idx[i] of v, counted
// row-major, or fill where idx[i] is outside. Every operator that moves elements is this one with
// another idx; it is linear, and its adjoint (autodiff.ScatterAdd) is exact.
func (c *call) take(v *Value, idx []int, shape tensor.Shape, fill float64) *Value {
	if len(idx) > 0 && slices.Max(idx) >= v.shape.Size() {
		c.fail("an index lies outside %v", v.shape)
	}
	if v.host != nil && v.dev == nil {
		return Host(v.host.take(idx, shape, fill))
	}
	x := autodiff.Reshape(v.dev, v.shape.Size())
	if slices.Contains(idx, outside) {
		n := v.shape.Size()
		x = autodiff.Concat(0, x, c.constant(x.DType(), []float64{fill}, 1))
		idx = slices.Clone(idx)
		for i, k := range idx {
			if k == outside {
				idx[i] = n
			}
		}
	}
	y := autodiff.Gather(x, c.index(idx))
	return like(v, autodiff.Reshape(y, shape...))
}

func (a *Array) take(idx []int, shape tensor.Shape, fill float64) *Array {
	out := newArray(a.Elem, shape...)
	for i, k := range idx {
		switch {
		case a.F != nil && k == outside:
			out.F[i] = fill
		case a.F != nil:
			out.F[i] = a.F[k]
		case k == outside:
			out.I[i] = a.Elem.wrap(int64(fill))
		default:
			out.I[i] = a.I[k]
		}
	}
	return out
}

// takeAxis builds a tensor that differs from v along one axis: its slice i is slice idx[i] of v, or
// fill.
func (c *call) takeAxis(v *Value, axis int, idx []int, fill float64) *Value {
	shape := v.shape.Clone()
	n, inner := shape[axis], v.shape[axis+1:].Size()
	outer := v.shape[:axis].Size()
	if len(idx) > 0 && slices.Max(idx) >= n {
		c.fail("an index lies outside axis %d of %v", axis, v.shape)
	}
	shape[axis] = len(idx)
	c.fits(shape...)
	if v.host != nil && v.dev == nil {
		flat := c.positions(shape.Size())[:0]
		for o := range outer {
			for _, k := range idx {
				for i := range inner {
					if k == outside {
						flat = append(flat, outside)
					} else {
						flat = append(flat, (o*n+k)*inner+i)
					}
				}
			}
		}
		return c.take(v, flat, shape, fill)
	}
	if len(idx) == 1 && idx[0] != outside && c.canView(v) {
		return viewed(v, v.layout().Slice(axis, idx[0], 1, 1))
	}
	rows := c.positions(outer * len(idx))[:0]
	x := autodiff.Reshape(c.upload(v), outer*n, inner)
	if slices.Contains(idx, outside) {
		pad := c.run.g.Scope().Full(x.DType(), fill, 1, inner)
		x = autodiff.Concat(0, x, c.run.g.Const(pad))
	}
	for o := range outer {
		for _, k := range idx {
			if k == outside {
				rows = append(rows, outer*n)
			} else {
				rows = append(rows, o*n+k)
			}
		}
	}
	y := autodiff.Gather(x, c.index(rows))
	return like(v, autodiff.Reshape(y, shape...))
}

// reshape returns v in another shape of the same size.
func (c *call) reshape(v *Value, shape ...int) *Value {
	s := tensor.Shape(shape)
	if n, ok := s.CheckedSize(); !ok || n != v.shape.Size() {
		c.fail("%v cannot become %v", v.shape, s)
	}
	if v.view != nil {
		if l, ok := v.view.Reshape(s); ok {
			return viewed(v, l)
		}
		c.gather(v)
	}
	out := &Value{elem: v.elem, shape: s.Clone()}
	if v.host != nil {
		h := *v.host
		h.Shape = out.shape
		out.host = &h
	}
	if v.dev != nil {
		out.dev = autodiff.Reshape(v.dev, shape...)
	}
	return out
}

// permute reorders the axes of v.
func (c *call) permute(v *Value, perm ...int) *Value {
	if slices.IsSorted(perm) {
		return v
	}
	switch {
	case c.canView(v):
		return viewed(v, v.layout().Permute(perm...))
	case v.dev != nil:
		return like(v, autodiff.Permute(v.dev, perm...))
	}
	return Host(v.host.permute(perm))
}

// permute returns a copy with its axes reordered.
func (a *Array) permute(perm []int) *Array {
	if matrix(perm) {
		return a.swap()
	}
	from := a.Shape.Strides()
	shape, stride := make(tensor.Shape, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		shape[i], stride[i] = a.Shape[p], from[p]
	}
	idx := make([]int, 0, shape.Size())
	walk(shape, func(at []int) { idx = append(idx, dot(at, stride)) })
	return a.take(idx, shape, 0)
}

// walk calls f for every position of a shape in row-major order. f must not keep the slice.
func walk(shape tensor.Shape, f func(at []int)) {
	n := shape.Size()
	at := make([]int, len(shape))
	for range n {
		f(at)
		for i := len(at) - 1; i >= 0; i-- {
			if at[i]++; at[i] < shape[i] {
				break
			}
			at[i] = 0
		}
	}
}

func dot(at, stride []int) int {
	k := 0
	for i, a := range at {
		k += a * stride[i]
	}
	return k
}

// broadcastTo repeats v to the given shape by NumPy's rule.
func (c *call) broadcastTo(v *Value, shape tensor.Shape) *Value {
	got, ok := tensor.Broadcast(v.shape, shape)
	if !ok || !got.Equal(shape) {
		c.fail("%v does not broadcast to %v", v.shape, shape)
	}
	if v.dev != nil && v.dev.DType().IsFloat() {
		return like(v, autodiff.BroadcastTo(v.dev, shape...))
	}
	return Host(v.host.broadcast(shape))
}

// broadcast repeats a to a shape it broadcasts to.
func (a *Array) broadcast(shape tensor.Shape) *Array {
	if a.Shape.Equal(shape) {
		return a
	}
	stride := make([]int, len(shape))
	own := a.Shape.Strides()
	for i := range a.Shape {
		if a.Shape[i] != 1 {
			stride[len(shape)-len(a.Shape)+i] = own[i]
		}
	}
	if n, ok := shape.CheckedSize(); !ok || n > maxHost {
		panic(unsupported("", "broadcasting to %v needs too much memory", shape))
	}
	idx := make([]int, 0, shape.Size())
	walk(shape, func(at []int) { idx = append(idx, dot(at, stride)) })
	return a.take(idx, shape, 0)
}

// concat joins values along an axis.
func (c *call) concat(axis int, vs []*Value) *Value {
	onHost := true
	for _, v := range vs {
		if len(v.shape) != len(vs[0].shape) || v.elem != vs[0].elem {
			c.fail("operands of Concat differ: %v %v and %v %v", vs[0].elem, vs[0].shape, v.elem,
				v.shape)
		}
		onHost = onHost && v.host != nil
	}
	if !onHost {
		xs := make([]*autodiff.Value, len(vs))
		for i, v := range vs {
			xs[i] = c.upload(v)
		}
		return like(vs[0], autodiff.Concat(axis, xs...))
	}
	return Host(c.concatHost(axis, vs))
}

func (c *call) concatHost(axis int, vs []*Value) *Array {
	shape := vs[0].shape.Clone()
	shape[axis] = 0
	for _, v := range vs {
		if !v.shape.Reduced([]int{axis}).Equal(shape.Reduced([]int{axis})) {
			c.fail("operands of Concat differ outside axis %d: %v and %v", axis, vs[0].shape,
				v.shape)
		}
		shape[axis] += v.shape[axis]
	}
	out := newArray(vs[0].elem, shape...)
	row := shape[axis:].Size()
	at := 0
	for _, v := range vs {
		n := v.shape[axis:].Size()
		for o := range shape[:axis].Size() {
			if out.F != nil {
				copy(out.F[o*row+at:], v.host.F[o*n:(o+1)*n])
			} else {
				copy(out.I[o*row+at:], v.host.I[o*n:(o+1)*n])
			}
		}
		at += n
	}
	return out
}
