package autodiff

import (
	"fmt"
	"slices"

	"afterimage/tensor"
)

// A View is a value's elements in another layout: what Permute, Slice and Reshape make of it,
// without having run.
type View struct {
	X *Value
	tensor.Layout
}

// Gathered returns a view's elements as a tensor of the view's shape. VJP: they go back to their
// places among zeros. Elements may have any dtype; gradients ask for floating point. Panics if the
// view leaves x, or shows an element twice.
func Gathered(v View) *Value {
	v.check("Gathered")
	if v.IsDense(v.X.Shape().Size()) {
		return Reshape(v.X, v.Shape...)
	}
	return apply(viewOp{view: v.Layout, shape: v.X.Shape()}, v.X)
}

// check panics unless the view lies in x and its strides are a tensor's: an axis steps over all
// that the axes with smaller strides reach.
func (v View) check(op string) {
	var axes []int
	for i, n := range v.Shape {
		if n > 1 {
			axes = append(axes, i)
		}
	}
	slices.SortFunc(axes, func(i, j int) int { return v.Strides[i] - v.Strides[j] })
	reach, apart := 0, v.Offset >= 0
	for _, i := range axes {
		apart = apart && v.Strides[i] > reach
		reach += (v.Shape[i] - 1) * v.Strides[i]
	}
	if size := v.X.Shape().Size(); !apart || v.Shape.Size() > 0 && v.Offset+reach >= size {
		misuse(op, fmt.Sprintf("%v with strides %v from %d on is no view of x", v.Shape, v.Strides,
			v.Offset), "x", v.X)
	}
}

// viewOp copies a view's elements out of a tensor of the given shape or, as back says, from a
// tensor to their places among zeros: each is the other's adjoint.
type viewOp struct {
	view  tensor.Layout
	shape tensor.Shape
	back  bool
}

func (viewOp) Name() string { return "Gathered" }
func (viewOp) Needs() Needs { return needsNothing }

func (o viewOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	x, b := in[0], s.Backend()
	viewer, ok := b.(tensor.Viewer)
	switch {
	case ok && o.back:
		y := s.Zeros(x.DType(), o.shape...)
		viewer.CopyView(tensor.View{T: y, Layout: o.view}, tensor.View{T: x, Layout: dense(x)})
		return y, nil
	case ok:
		y := s.New(x.DType(), o.view.Shape...)
		viewer.CopyView(tensor.View{T: y, Layout: dense(y)}, tensor.View{T: x, Layout: o.view})
		return y, nil
	}
	places := tensor.FromSlice(s, o.numbers(), o.view.Shape.Size())
	defer places.Free()
	if o.back {
		y := s.New(x.DType(), o.shape...)
		b.ScatterAdd(s.Reshape(y, y.Size(), 1), s.Reshape(x, x.Size(), 1), places)
		return y, nil
	}
	y := s.New(x.DType(), o.view.Shape...)
	b.Gather(s.Reshape(y, y.Size(), 1), s.Reshape(x, x.Size(), 1), places)
	return y, nil
}

func dense(t *tensor.Tensor) tensor.Layout { return tensor.Dense(t.Shape()) }

// numbers lists which elements of the tensor the view shows.
func (o viewOp) numbers() []int32 {
	list, order := make([]int32, o.view.Shape.Size()), o.view.Shape.Strides()
	for i := range list {
		at := o.view.Offset
		for a, n := range o.view.Shape {
			at += i / order[a] % n * o.view.Strides[a]
		}
		list[i] = int32(at)
	}
	return list
}

func (o viewOp) VJP(_ *Node, dy *Value, _ []bool) []*Value {
	o.back = !o.back
	return []*Value{apply(o, dy)}
}

// MatMulViews computes y = alpha·a·b for stacks of matrices, a [… m k] and b [… k n] with equal
// leading axes: y [… m n], or with its axes in another order, axis i being y's axis order[i] and
// the last its last; nil for y's own. What no gradient can be asked of is multiplied where it lies,
// if the backend can (tensor.Viewer); everything else is gathered first. Panics if the views are
// none or do not fit, or if order is none.
func MatMulViews(a, b View, alpha float64, order []int) *Value {
	const name = "MatMulViews"
	a.check(name)
	b.check(name)
	floats(name, "a b", a.X, b.X)
	r := len(a.Shape)
	if r < 2 || len(b.Shape) != r || !a.Shape[:r-2].Equal(b.Shape[:r-2]) ||
		a.Shape[r-1] != b.Shape[r-2] {
		misuse(name, fmt.Sprintf("expected views [… m k] and [… k n], got %v and %v", a.Shape, b.Shape),
			"a b", a.X, b.X)
	}
	every := make([]int, r)
	for i := range every {
		every[i] = i
	}
	if order == nil {
		order = every
	}
	if !slices.Equal(slices.Sorted(slices.Values(order)), every) || order[r-1] != r-1 {
		misuse(name, fmt.Sprintf("%v is not an order of %d axes with the last one last", order, r),
			"a b", a.X, b.X)
	}
	o := matMulViewsOp{a.Layout, b.Layout, alpha, slices.Clone(order)}
	if _, ok := a.X.graph.Backend().(tensor.Viewer); ok && a.X.DType() != tensor.BF16 &&
		a.X.settled() && b.X.settled() {
		return apply(o, a.X, b.X)
	}
	return o.composite([]*Value{a.X, b.X})
}

// matMulViewsOp is the kernel.
type matMulViewsOp struct {
	a, b  tensor.Layout
	alpha float64
	order []int
}

func (matMulViewsOp) Name() string { return "MatMulViews" }
func (matMulViewsOp) Needs() Needs { return Needs{All: true} }

// composite is the definition.
func (o matMulViewsOp) composite(in []*Value) *Value {
	return in[0].graph.compose(func() *Value {
		stack := func(x *Value, l tensor.Layout) *Value {
			r := len(l.Shape)
			return Reshape(Gathered(View{x, l}), l.Shape[:r-2].Size(), l.Shape[r-2], l.Shape[r-1])
		}
		a := stack(in[0], o.a)
		if o.alpha != 1 {
			a = Scale(a, o.alpha)
		}
		y := Reshape(MatMul(a, stack(in[1], o.b), false, false), o.shape()...)
		if slices.IsSorted(o.order) {
			return y
		}
		return Permute(y, o.order...)
	})
}

// shape is the product's, with its axes in their own order.
func (o matMulViewsOp) shape() tensor.Shape {
	r := len(o.a.Shape)
	return append(o.a.Shape[:r-1].Clone(), o.b.Shape[r-1])
}

func (o matMulViewsOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	own, back := o.shape(), make([]int, len(o.order))
	shape := make([]int, len(own))
	for i, axis := range o.order {
		shape[i], back[axis] = own[axis], i
	}
	y := s.New(in[0].DType(), shape...)
	s.Backend().(tensor.Viewer).MatMulViews(tensor.View{T: y, Layout: dense(y).Permute(back...)},
		tensor.View{T: in[0], Layout: o.a}, tensor.View{T: in[1], Layout: o.b}, o.alpha)
	return y, nil
}

// VJP is the definition's.
func (o matMulViewsOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	return compositeVJP(n.in, dy, need, o.composite)
}
