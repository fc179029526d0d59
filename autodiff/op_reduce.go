package autodiff

import (
	"fmt"
	"slices"

	"afterimage/tensor"
)

// Sum and BroadcastTo are adjoint: ⟨Sum x, y⟩ = ⟨x, BroadcastTo y⟩. Each is the other's VJP.
//
// In every function of this file a negative axis counts from the end, no axes mean all of them, and
// an axis out of range or named twice panics.

// Sum adds x up over axes, which disappear from the shape; over all axes it gives a scalar [].
func Sum(x *Value, axes ...int) *Value { return dropAxes(SumKeep, "Sum", x, axes) }

// Mean averages x over axes, which disappear from the shape.
func Mean(x *Value, axes ...int) *Value { return dropAxes(MeanKeep, "Mean", x, axes) }

// Max takes the maximum of x over axes, which disappear from the shape; NaN wins. Elements that
// share the maximum share its gradient in equal parts; beside a NaN every gradient is NaN.
func Max(x *Value, axes ...int) *Value { return dropAxes(MaxKeep, "Max", x, axes) }

// SumKeep is Sum with the reduced axes kept, of extent 1.
func SumKeep(x *Value, axes ...int) *Value {
	floats("Sum", "x", x)
	return sumIn(x.DType(), x, axes)
}

// MeanKeep is Mean with the reduced axes kept, of extent 1. The mean of nothing is NaN.
func MeanKeep(x *Value, axes ...int) *Value {
	floats("Mean", "x", x)
	return apply(meanOp{normAxes("Mean", x, axes)}, x)
}

// MaxKeep is Max with the reduced axes kept, of extent 1.
func MaxKeep(x *Value, axes ...int) *Value {
	floats("Max", "x", x)
	return apply(maxOp{normAxes("Max", x, axes)}, x)
}

// dropAxes reduces and removes the reduced axes.
func dropAxes(keep func(*Value, ...int) *Value, op string, x *Value, axes []int) *Value {
	axes = normAxes(op, x, axes)
	shape := []int{}
	for i, d := range x.Shape() {
		if !slices.Contains(axes, i) {
			shape = append(shape, d)
		}
	}
	return x.graph.compose(func() *Value { return Reshape(keep(x, axes...), shape...) })
}

// reduce runs one reduction kernel.
func reduce(op tensor.ReduceOp, s *tensor.Scope, dt tensor.DType, x *tensor.Tensor,
	axes []int) *tensor.Tensor {
	y := s.New(dt, x.Shape().Reduced(axes)...)
	s.Backend().Reduce(op, y, x, axes)
	return y
}

// sumIn is SumKeep in dt: x's dtype or, of BF16, F32.
func sumIn(dt tensor.DType, x *Value, axes []int) *Value {
	return apply(sumOp{normAxes("Sum", x, axes), dt}, x)
}

// sumOp has a result of dt: that of its input or, beside BF16, F32.
type sumOp struct {
	axes []int
	dt   tensor.DType
}

func (sumOp) Name() string { return "Sum" }
func (sumOp) Needs() Needs { return needsNothing }

func (o sumOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	return reduce(tensor.Sum, s, o.dt, in[0], o.axes), nil
}

func (o sumOp) VJP(n *Node, dy *Value, _ []bool) []*Value {
	return []*Value{BroadcastTo(as(dy, n.In(0).DType()), n.In(0).Shape()...)}
}

type meanOp struct{ axes []int }

func (meanOp) Name() string { return "Mean" }
func (meanOp) Needs() Needs { return needsNothing }

func (o meanOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	return reduce(tensor.Mean, s, in[0].DType(), in[0], o.axes), nil
}

func (o meanOp) VJP(n *Node, dy *Value, _ []bool) []*Value {
	x := n.In(0).Shape()
	m := 1 // elements in one mean
	for _, a := range o.axes {
		m *= x[a]
	}
	return []*Value{BroadcastTo(Scale(dy, 1/float64(m)), x...)}
}

type maxOp struct{ axes []int }

func (maxOp) Name() string { return "Max" }
func (maxOp) Needs() Needs { return Needs{In: 1, Out: true} }

func (o maxOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	return reduce(tensor.MaxOf, s, in[0].DType(), in[0], o.axes), nil
}

// VJP treats the mask of the maxima as a constant, which it is wherever Max has a derivative.
func (o maxOp) VJP(n *Node, dy *Value, _ []bool) []*Value {
	hit := Equal(n.In(0), n.Out())
	share := Div(dy, SumKeep(hit, o.axes...))
	return []*Value{Mul(hit, share)} // 0·dy/0 where the maximum is NaN, which equals nothing
}

// BroadcastTo repeats x along axes of extent 1, and along new axes in front, to the given shape
// (NumPy's rule). Panics if x does not fit.
func BroadcastTo(x *Value, shape ...int) *Value {
	floats("BroadcastTo", "x", x)
	got, ok := tensor.Broadcast(x.Shape(), shape)
	if !ok || !got.Equal(shape) {
		misuse("BroadcastTo",
			fmt.Sprintf("x does not broadcast to %v", tensor.Shape(shape)), "x", x)
	}
	return apply(broadcastOp{tensor.Shape(shape).Clone()}, x)
}

type broadcastOp struct{ shape tensor.Shape }

func (broadcastOp) Name() string { return "BroadcastTo" }
func (broadcastOp) Needs() Needs { return needsNothing }

func (o broadcastOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	y := s.Full(in[0].DType(), 1, o.shape...)
	s.Backend().Binary(tensor.Mul, y, y, in[0]) // 1·x is x to the last bit, −0 and NaN included
	return y, nil
}

func (o broadcastOp) VJP(n *Node, dy *Value, _ []bool) []*Value {
	return []*Value{sumTo(dy, n.In(0).Shape())}
}

// expand is BroadcastTo, but x itself where there is nothing to do.
func expand(x *Value, shape tensor.Shape) *Value {
	if x.Shape().Equal(shape) {
		return x
	}
	return BroadcastTo(x, shape...)
}

// sumTo is the adjoint of broadcasting shape to x's: it sums what was repeated. It returns x itself
// where there is nothing to do.
func sumTo(x *Value, shape tensor.Shape) *Value { return sumToIn(x.DType(), x, shape) }

// sumToIn is sumTo whose sums, where there are any, are in dt: x's dtype or, of BF16, F32.
func sumToIn(dt tensor.DType, x *Value, shape tensor.Shape) *Value {
	if x.Shape().Equal(shape) {
		return x
	}
	lead := x.Rank() - len(shape)
	var axes []int
	for i, d := range x.Shape() {
		if i < lead || shape[i-lead] != d {
			axes = append(axes, i)
		}
	}
	if len(axes) == 0 { // only axes of extent 1 in front
		return Reshape(x, shape...)
	}
	return x.graph.compose(func() *Value { return Reshape(sumIn(dt, x, axes), shape...) })
}
