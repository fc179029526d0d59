package tensor

import "slices"

// A Layout says where the elements of a view lie among those of a tensor, counted row-major:
// element (i, j, …) is number Offset + i·Strides[0] + j·Strides[1] + …. Moving elements about and
// taking some of them only changes the layout, as long as nobody needs them in order.
type Layout struct {
	Shape   Shape
	Strides []int
	Offset  int
}

// Dense is the layout of a tensor of the given shape in its own memory.
func Dense(shape Shape) Layout { return Layout{shape.Clone(), shape.Strides(), 0} }

// IsDense reports whether the view is a whole tensor of size elements in order.
func (l Layout) IsDense(size int) bool {
	return l.Offset == 0 && l.Shape.Size() == size && l.InOrder()
}

// InOrder reports whether the elements lie one behind the other in row-major order.
func (l Layout) InOrder() bool {
	next := 1
	for i, n := range slices.Backward(l.Shape) {
		if n != 1 && l.Strides[i] != next {
			return false
		}
		next *= n
	}
	return true
}

// Permute reorders axes: axis i of the result is axis perm[i].
func (l Layout) Permute(perm ...int) Layout {
	p := Layout{make(Shape, len(perm)), make([]int, len(perm)), l.Offset}
	for i, a := range perm {
		p.Shape[i], p.Strides[i] = l.Shape[a], l.Strides[a]
	}
	return p
}

// Slice takes n elements along an axis: start, start+step, ….
func (l Layout) Slice(axis, start, step, n int) Layout {
	p := Layout{l.Shape.Clone(), slices.Clone(l.Strides), l.Offset}
	if n > 0 {
		p.Offset += start * l.Strides[axis]
	}
	p.Shape[axis], p.Strides[axis] = n, step*l.Strides[axis]
	return p
}

// Reshape gives the view another shape, if that has the same size and there is a layout for it:
// where axes are joined they must follow one another.
func (l Layout) Reshape(shape Shape) (p Layout, ok bool) {
	switch n := l.Shape.Size(); {
	case n != shape.Size():
		return Layout{}, false
	case n == 0:
		return Layout{shape.Clone(), shape.Strides(), l.Offset}, true
	}
	have, strides := l.joined()
	p = Layout{shape.Clone(), make([]int, len(shape)), l.Offset}
	at, left := len(have)-1, 1 // the axis that is being cut into the shape's, what is left of it
	next := 0
	if at >= 0 {
		left, next = have[at], strides[at]
	}
	for i, n := range slices.Backward(shape) {
		if left == 1 && n != 1 {
			at--
			left, next = have[at], strides[at]
		}
		if left%n != 0 {
			return Layout{}, false
		}
		p.Strides[i] = next
		left, next = left/n, next*n
	}
	return p, true
}

// joined returns extents and strides with neighbours that follow one another as one axis, without
// axes of one element.
func (l Layout) joined() (size, strides []int) {
	for i, n := range l.Shape {
		k := len(size) - 1
		switch {
		case n == 1:
		case k >= 0 && strides[k] == n*l.Strides[i]:
			size[k], strides[k] = size[k]*n, l.Strides[i]
		default:
			size, strides = append(size, n), append(strides, l.Strides[i])
		}
	}
	return size, strides
}

// A View is a tensor's elements in another layout.
type View struct {
	T *Tensor
	Layout
}
