package backendtest

import (
	"fmt"

	"afterimage/tensor"
)

// permutations are shapes with axis orders: identity, transposes, NHWC to NCHW and back,
// attention's head split, rotations, channel shuffles, extents 0 and 1.
var permutations = []struct{ shape, perm []int }{
	{[]int{}, []int{}}, {[]int{7}, []int{0}}, {[]int{0, 3}, []int{1, 0}},
	{[]int{5, 7}, []int{0, 1}}, {[]int{5, 7}, []int{1, 0}},
	{[]int{67, 129}, []int{1, 0}}, {[]int{1, 33}, []int{1, 0}}, {[]int{3, 5, 7}, []int{2, 0, 1}},
	{[]int{3, 5, 7}, []int{1, 0, 2}},
	{[]int{3, 17, 33}, []int{0, 2, 1}}, {[]int{2, 8, 9, 3}, []int{0, 3, 1, 2}},
	{[]int{2, 3, 8, 9}, []int{0, 2, 3, 1}},
	{[]int{2, 5, 4, 16}, []int{0, 2, 1, 3}}, {[]int{16, 3, 3, 8}, []int{3, 1, 2, 0}},
	{[]int{2, 3, 4, 5, 6}, []int{4, 2, 0, 3, 1}},
	{[]int{4, 32, 32, 17}, []int{0, 3, 1, 2}},
	{[]int{2, 5, 5, 2, 29}, []int{0, 1, 2, 4, 3}}, {[]int{3, 2, 40}, []int{2, 0, 1}},
	{[]int{2, 24}, []int{1, 0}}, {[]int{2, 4, 31}, []int{1, 2, 0}},
}

// regions are shapes of dst and x with boxes: all, padding, cropping, channel slice, reversal,
// stride on either side, space to depth's gather, one element, none.
var regions = []struct {
	dst, x []int
	r      tensor.Region
}{
	{ints{7}, ints{7}, box(ints{0}, ints{1}, ints{0}, ints{1}, ints{7})},
	{ints{}, ints{}, tensor.Region{}},
	{ints{9, 10}, ints{5, 6}, box(ints{2, 3}, ints{1, 1}, ints{0, 0}, ints{1, 1}, ints{5, 6})},
	{ints{3, 4}, ints{9, 10}, box(ints{0, 0}, ints{1, 1}, ints{4, 5}, ints{1, 1}, ints{3, 4})},
	{ints{2, 4, 4, 19}, ints{2, 4, 4, 7},
		box(ints{0, 0, 0, 11}, one4, zero4, one4, ints{2, 4, 4, 7})},
	{ints{2, 6, 8, 3}, ints{2, 6, 8, 3},
		box(zero4, one4, ints{0, 0, 7, 0}, ints{1, 1, -1, 1}, ints{2, 6, 8, 3})},
	{ints{2, 6, 8, 3}, ints{2, 3, 4, 3},
		box(ints{0, 1, 0, 0}, ints{1, 2, 2, 1}, zero4, one4, ints{2, 3, 4, 3})},
	{ints{2, 3, 4, 3}, ints{2, 6, 8, 3},
		box(zero4, one4, ints{0, 1, 1, 0}, ints{1, 2, 2, 1}, ints{2, 3, 4, 3})},
	{ints{33}, ints{70}, box(ints{32}, ints{-1}, ints{1}, ints{2}, ints{33})},
	{ints{5, 5}, ints{5, 5}, box(ints{4, 4}, ints{1, 1}, ints{0, 2}, ints{1, 1}, ints{1, 1})},
	{ints{5, 5}, ints{5, 5}, box(ints{0, 0}, ints{1, 1}, ints{0, 0}, ints{1, 1}, ints{3, 0})},
	{ints{4, 40, 40, 8}, ints{4, 32, 32, 8},
		box(ints{0, 4, 4, 0}, one4, zero4, one4, ints{4, 32, 32, 8})},
}

// ints, box and these two keep the table above legible.
type ints = []int

var one4, zero4 = ints{1, 1, 1, 1}, ints{0, 0, 0, 0}

func box(dstStart, dstStep, srcStart, srcStep, size ints) tensor.Region {
	return tensor.Region{DstStart: dstStart, DstStep: dstStep, SrcStart: srcStart, SrcStep: srcStep,
		Size: size}
}

// reversed swaps source and destination: the adjoint of a region copied into zeros.
func reversed(r tensor.Region) tensor.Region {
	return box(r.SrcStart, r.SrcStep, r.DstStart, r.DstStep, r.Size)
}

// copyFamily tests Permute and CopyRegion, as moves of bits and as linear maps.
func copyFamily(f *family) {
	for _, c := range permutations {
		f.check(fmt.Sprintf("permute/%v by %v", c.shape, c.perm), func(e *env) {
			x := e.in(normal(0, 1), c.shape...)
			out, back := make([]int, len(c.perm)), make([]int, len(c.perm))
			for i, p := range c.perm {
				out[i], back[p] = c.shape[p], i
			}
			y := e.out(out...)
			e.Permute(y, x, c.perm)
			e.want("Permute", y, exactly())
			dy, dx := e.in(normal(0, 1), out...), e.out(c.shape...)
			e.Permute(dx, dy, back)
			e.adjoint("Permute", kRounded, y, dy, x, dx)
			again := e.out(c.shape...)
			e.Permute(again, y, back)
			e.want("round trip", again, exactly())
		})
	}
	for i, c := range regions {
		f.check(fmt.Sprintf("region/%d %v from %v", i, c.dst, c.x), func(e *env) {
			x := e.in(normal(0, 1), c.x...)
			full := e.state(cycle(7), c.dst...)
			e.CopyRegion(full, x, c.r)
			e.want("outside stays", full, exactly())
			y, dx := e.state(cycle(0), c.dst...), e.state(cycle(0), c.x...)
			e.CopyRegion(y, x, c.r)
			dy := e.in(normal(0, 1), c.dst...)
			e.CopyRegion(dx, dy, reversed(c.r))
			e.adjoint("CopyRegion", kRounded, y, dy, x, dx)
		})
	}
	f.checkIn("ints", tensor.F32, func(e *env) {
		x := e.intsBelow(1<<30, 5, 7)
		y := e.outInts(7, 5)
		e.Permute(y, x, []int{1, 0})
		e.want("Permute i32", y, exactly())
		b := e.scope.New(tensor.U8, 5, 7)
		e.Cast(b, x)
		c := e.scope.Zeros(tensor.U8, 5, 7)
		e.CopyRegion(c, b, box(ints{1, 0}, ints{1, 1}, ints{0, 6}, ints{1, -1}, ints{4, 7}))
		e.want("CopyRegion u8", c, exactly())
	})
}

// viewFamily tests the copies of a tensor.Viewer; its products are matMulFamily's.
func viewFamily(f *family) {
	if _, ok := f.s.one.Backend.(tensor.Viewer); !ok {
		return
	}
	for i, l := range viewed() {
		for _, dt := range []tensor.DType{tensor.F32, tensor.F64, tensor.BF16} {
			f.checkIn(fmt.Sprintf("copy %d %v", i, l.Shape), dt, func(e *env) { copyViewCase(e, l) })
		}
	}
}

// viewed are views of 3·4·5·32 elements: all in order, turned, steps, one element of each of many
// rows, blocks for a transposing kernel, nothing.
func viewed() []tensor.Layout {
	all := tensor.Dense(tensor.Shape{3, 4, 5, 32})
	flat, _ := all.Reshape(tensor.Shape{60, 32})
	return []tensor.Layout{all, all.Permute(3, 1, 0, 2), all.Slice(1, 1, 2, 2), all.Slice(3, 31, 1, 1),
		flat.Permute(1, 0), all.Slice(3, 3, 1, 20).Permute(1, 2, 3, 0), all.Slice(2, 4, 1, 0),
		all.Slice(3, 1, 5, 6).Slice(0, 2, 1, 1).Permute(0, 3, 2, 1)}
}

// copyViewCase copies from a view and to one, between whose elements nothing may change.
func copyViewCase(e *env, l tensor.Layout) {
	b := e.Backend.(tensor.Viewer)
	x, part := e.in(normal(0, 1), 3, 4, 5, 32), e.in(normal(0, 1), l.Shape...)
	y, all := e.out(l.Shape...), e.state(normal(0, 1), 3, 4, 5, 32)
	dense := tensor.Dense(l.Shape)
	b.CopyView(tensor.View{T: y, Layout: dense}, tensor.View{T: x, Layout: l})
	b.CopyView(tensor.View{T: all, Layout: l}, tensor.View{T: part, Layout: dense})
	e.want("from", y, exactly())
	e.want("to", all, exactly())
}
