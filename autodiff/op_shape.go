package autodiff

import (
	"fmt"
	"slices"

	"afterimage/tensor"
)

// Ops that move elements and compute nothing. Each is linear; Reshape and Permute are adjoint to
// their inverses, and taking a strided box out of a tensor (sliceOp) is adjoint to placing it in
// zeros (placeOp). Elements may have any dtype; gradients ask for floating point.

// Reshape returns x with another shape of the same size, in row-major order. It shares x's
// elements. Panics if the sizes differ or an extent is negative.
func Reshape(x *Value, shape ...int) *Value {
	if n, ok := tensor.Shape(shape).CheckedSize(); !ok || n != x.Shape().Size() {
		misuse("Reshape", fmt.Sprintf("x cannot become %v", tensor.Shape(shape)), "x", x)
	}
	return apply(reshapeOp{tensor.Shape(shape).Clone()}, x)
}

type reshapeOp struct{ shape tensor.Shape }

func (reshapeOp) Name() string { return "Reshape" }
func (reshapeOp) Needs() Needs { return needsNothing }

func (o reshapeOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	return s.Reshape(in[0], o.shape...), nil
}

func (o reshapeOp) VJP(n *Node, dy *Value, _ []bool) []*Value {
	return []*Value{Reshape(dy, n.In(0).Shape()...)}
}

// Permute returns x with its axes reordered: axis i of the result is axis perm[i] of x. Panics
// unless perm names every axis once.
func Permute(x *Value, perm ...int) *Value {
	every := make([]int, x.Rank())
	for i := range every {
		every[i] = i
	}
	if !slices.Equal(slices.Sorted(slices.Values(perm)), every) {
		misuse("Permute", fmt.Sprintf("%v is not an order of x's axes", perm), "x", x)
	}
	return apply(permuteOp{slices.Clone(perm)}, x)
}

// Transpose swaps the two axes of a matrix. Panics if x has another rank.
func Transpose(x *Value) *Value {
	rank("Transpose", "x", x, 2)
	return Permute(x, 1, 0)
}

type permuteOp struct{ perm []int }

func (permuteOp) Name() string { return "Permute" }
func (permuteOp) Needs() Needs { return needsNothing }

func (o permuteOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	shape := make([]int, len(o.perm))
	for i, a := range o.perm {
		shape[i] = in[0].Dim(a)
	}
	y := s.New(in[0].DType(), shape...)
	s.Backend().Permute(y, in[0], o.perm)
	return y, nil
}

func (o permuteOp) VJP(n *Node, dy *Value, _ []bool) []*Value {
	inverse := make([]int, len(o.perm))
	for i, a := range o.perm {
		inverse[a] = i
	}
	return []*Value{Permute(dy, inverse...)}
}

// Slice takes, along every axis, the elements start, start+step, … before stop. A nil step means 1
// everywhere. A negative step walks backwards, and then stop = −1 includes element 0.
// Panics unless start, stop (and step) have one entry for each axis and stay inside x.
func Slice(x *Value, start, stop, step []int) *Value {
	from := sliced("Slice", x, start, stop, step)
	return apply(boxOp{from, whole(from.size), x.Shape(), from.size}, x)
}

// SliceAxis takes x[…, start:stop, …] along one axis and everything along the others.
// Panics if the axis or the range lies outside x.
func SliceAxis(x *Value, axis, start, stop int) *Value {
	axis = normAxes("Slice", x, []int{axis})[0]
	from, to := make([]int, x.Rank()), slices.Clone(x.Shape())
	from[axis], to[axis] = start, stop
	return Slice(x, from, to, nil)
}

// Pad puts x into zeros: before[i] of them before and after[i] behind it along axis i. Panics
// unless before and after have one entry ≥ 0 for each axis.
func Pad(x *Value, before, after []int) *Value {
	to, shape := padded("Pad", x, x.Shape(), before, after)
	return apply(boxOp{whole(x.Shape()), to, x.Shape(), shape}, x)
}

// SlicePad is Pad(Slice(x, start, stop, step), before, after) in one copy.
func SlicePad(x *Value, start, stop, step, before, after []int) *Value {
	from := sliced("SlicePad", x, start, stop, step)
	to, shape := padded("SlicePad", x, from.size, before, after)
	return apply(boxOp{from, to, x.Shape(), shape}, x)
}

// A box is a strided region of a tensor.
type box struct{ start, step, size []int }

// whole is the box of all of a tensor.
func whole(shape []int) box {
	return box{make([]int, len(shape)), slices.Repeat([]int{1}, len(shape)), shape}
}

// sliced checks what Slice takes and returns it as a box of x.
func sliced(op string, x *Value, start, stop, step []int) box {
	r := x.Rank()
	if step == nil {
		step = slices.Repeat([]int{1}, r)
	}
	if len(start) != r || len(stop) != r || len(step) != r {
		misuse(op, fmt.Sprintf("expected %d entries of start, stop and step", r), "x", x)
	}
	size := make([]int, r)
	for i, n := range x.Shape() {
		a, b, s := start[i], stop[i], step[i]
		up := s > 0 && 0 <= a && a <= b && b <= n
		down := s < 0 && -1 <= b && b <= a && a < n
		if !up && !down {
			misuse(op, fmt.Sprintf("axis %d: %d:%d:%d does not lie in x", i, a, b, s), "x", x)
		}
		if up {
			size[i] = (b - a + s - 1) / s
		} else {
			size[i] = (a - b - s - 1) / -s
		}
	}
	return box{slices.Clone(start), slices.Clone(step), size}
}

// padded checks what Pad takes and returns where a tensor of the given size lies in the padded one,
// and that one's shape.
func padded(op string, x *Value, size, before, after []int) (box, tensor.Shape) {
	r := len(size)
	if len(before) != r || len(after) != r {
		misuse(op, fmt.Sprintf("expected %d entries of before and after", r), "x", x)
	}
	shape := slices.Clone(size)
	for i := range shape {
		if before[i] < 0 || after[i] < 0 {
			misuse(op, fmt.Sprintf("axis %d: negative padding", i), "x", x)
		}
		shape[i] += before[i] + after[i]
	}
	return box{slices.Clone(before), slices.Repeat([]int{1}, r), size}, shape
}

// boxOp copies a box of its input into a box, of the same size, of a tensor of zeros. Its adjoint
// copies the other way.
type boxOp struct {
	from, to box
	in, out  tensor.Shape
}

func (o boxOp) Name() string {
	switch {
	case o.covers():
		return "Slice"
	case o.in.Equal(o.from.size):
		return "Pad"
	}
	return "SlicePad"
}

// covers reports whether every element of the output is copied.
func (o boxOp) covers() bool { return o.out.Equal(o.to.size) }

func (boxOp) Needs() Needs { return needsNothing }

func (o boxOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	create := s.Zeros
	if o.covers() {
		create = s.New
	}
	y := create(in[0].DType(), o.out...)
	s.Backend().CopyRegion(y, in[0], tensor.Region{DstStart: o.to.start, DstStep: o.to.step,
		SrcStart: o.from.start, SrcStep: o.from.step, Size: o.to.size})
	return y, nil
}

func (o boxOp) VJP(_ *Node, dy *Value, _ []bool) []*Value {
	return []*Value{apply(boxOp{o.to, o.from, o.out, o.in}, dy)}
}

// Concat joins xs along axis. Panics if there are none, or if they differ in dtype or in another
// extent.
func Concat(axis int, xs ...*Value) *Value {
	if len(xs) == 0 {
		panic(&tensor.Error{Op: "Concat", Reason: "nothing to join"})
	}
	axis = normAxes("Concat", xs[0], []int{axis})[0]
	want := xs[0].Shape().Reduced([]int{axis})
	for _, x := range xs {
		if x.Rank() != len(want) || x.DType() != xs[0].DType() ||
			!x.Shape().Reduced([]int{axis}).Equal(want) {
			misuse("Concat", fmt.Sprintf("operands differ outside axis %d", axis), "x0 x", xs[0], x)
		}
	}
	return apply(concatOp{axis}, xs...)
}

// Split cuts x along axis into parts of the given sizes. Panics unless they add up to x's extent.
func Split(x *Value, axis int, sizes ...int) []*Value {
	axis = normAxes("Split", x, []int{axis})[0]
	total := 0
	for _, n := range sizes {
		total += n
	}
	if total != x.Dim(axis) || (len(sizes) > 0 && slices.Min(sizes) < 0) {
		misuse("Split", fmt.Sprintf("sizes %v do not add up along axis %d", sizes, axis), "x", x)
	}
	parts := make([]*Value, len(sizes))
	at := 0
	for i, n := range sizes {
		parts[i] = SliceAxis(x, axis, at, at+n)
		at += n
	}
	return parts
}

type concatOp struct{ axis int }

func (concatOp) Name() string { return "Concat" }
func (concatOp) Needs() Needs { return needsNothing }

func (o concatOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	shape := in[0].Shape().Clone()
	r := len(shape)
	shape[o.axis] = 0
	for _, x := range in {
		shape[o.axis] += x.Dim(o.axis)
	}
	y := s.New(in[0].DType(), shape...)
	zero, one, at := make([]int, r), slices.Repeat([]int{1}, r), make([]int, r)
	for _, x := range in {
		s.Backend().CopyRegion(y, x, tensor.Region{DstStart: slices.Clone(at), DstStep: one,
			SrcStart: zero, SrcStep: one, Size: x.Shape()})
		at[o.axis] += x.Dim(o.axis)
	}
	return y, nil
}

func (o concatOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	dxs := make([]*Value, len(n.in))
	at := 0
	for i, x := range n.in {
		if need[i] {
			dxs[i] = SliceAxis(dy, o.axis, at, at+x.Dim(o.axis))
		}
		at += x.Dim(o.axis)
	}
	return dxs
}
