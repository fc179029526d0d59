package kernels

import (
	"fmt"

	"afterimage/tensor"
)

type copyArgs struct {
	Dst, Src uint64
	Bytes    int64
}

type stridedArgs struct {
	Dst, Src  uint64
	N         int64
	Sd, Ss    [maxRank]int64
	Shape     [maxRank]int32
	Rank, Pad int32
}

type transposeArgs struct {
	Dst, Src         uint64
	SrcBatch, SrcCol int64
	Rows, Cols       int32
}

// copyFlat copies all elements in order.
func (e *Encoder) copyFlat(dst, x Array) {
	bytes := x.size() * x.DType.Size()
	stride(e, "copy_bytes", copyArgs{dst.Ptr, x.Ptr, int64(bytes)}, ceilDiv(bytes, packBytes))
}

// Permute computes dst = x with its axes reordered: dst axis i is x axis perm[i].
func (e *Encoder) Permute(dst, x Array, perm []int) {
	xs := x.Shape.Strides()
	st := make([]int, len(perm))
	for i, p := range perm {
		st[i] = xs[p]
	}
	e.move(dst, x, dst.Shape, 0, 0, dst.Shape.Strides(), st)
}

// CopyRegion copies the box r from x into dst; elements of dst outside the box stay.
func (e *Encoder) CopyRegion(dst, x Array, r tensor.Region) {
	dst0, x0 := 0, 0
	ds, xs := dst.Shape.Strides(), x.Shape.Strides()
	for i := range r.Size {
		dst0 += r.DstStart[i] * ds[i]
		x0 += r.SrcStart[i] * xs[i]
		ds[i] *= r.DstStep[i]
		xs[i] *= r.SrcStep[i]
	}
	e.move(dst, x, tensor.Shape(r.Size), dst0, x0, ds, xs)
}

// A View is an array's elements in another layout.
type View struct {
	Of Array
	tensor.Layout
}

// CopyView copies src's elements to the places of dst, of the same shape and dtype.
func (e *Encoder) CopyView(dst, src View) {
	e.move(dst.Of, src.Of, src.Shape, dst.Offset, src.Offset, dst.Strides, src.Strides)
}

// move plans the strided copy of a box with strides and origins in elements.
func (e *Encoder) move(dst, x Array, box tensor.Shape, d0, x0 int, ds, xs []int) {
	n := box.Size()
	if n == 0 {
		return
	}
	shape, st := collapseBelow(maxExtent, box, [][]int{ds, xs})
	size := dst.DType.Size()
	dst.Ptr += uint64(d0 * size)
	x.Ptr += uint64(x0 * size)
	if e.transposes(dst, x, shape, st[0], st[1]) {
		return
	}
	if len(shape) == 0 {
		shape, st = []int{1}, [][]int{{1}, {1}}
	}
	checkRank("Copy", shape)
	w := wordSize(size, dst.Ptr, x.Ptr, shape, st)
	last := len(shape) - 1
	a := stridedArgs{Dst: dst.Ptr, Src: x.Ptr, N: int64(n * size / w), Rank: int32(len(shape))}
	for i, extent := range shape {
		a.Shape[i] = i32(extent)
		a.Sd[i], a.Ss[i] = int64(st[0][i]*size/w), int64(st[1][i]*size/w)
	}
	if w > size { // the last axis is contiguous and counts in words now
		a.Shape[last], a.Sd[last], a.Ss[last] = i32(shape[last]*size/w), 1, 1
	}
	stride(e, fmt.Sprintf("strided_b%d", w), a, n*size/w)
}

// wordSize returns the widest word, in bytes, by which the box can be copied.
func wordSize(size int, d, s uint64, shape []int, st [][]int) int {
	last := len(shape) - 1
	if st[0][last] != 1 || st[1][last] != 1 {
		return size
	}
	for w := 16; w > size; w /= 2 {
		fits := shape[last]*size%w == 0 && d%uint64(w) == 0 && s%uint64(w) == 0
		for i := range last {
			fits = fits && st[0][i]*size%w == 0 && st[1][i]*size%w == 0
		}
		if fits {
			return w
		}
	}
	return size
}

// transposes plans a batch of plain transpositions, if that is what the box is: dst contiguous, the
// source contiguous along the last axis but one.
func (e *Encoder) transposes(dst, x Array, shape []int, ds, ss []int) bool {
	const minSide = 8
	r := len(shape)
	if r != 2 && r != 3 {
		return false
	}
	rows, cols := shape[r-2], shape[r-1]
	if ss[r-2] != 1 || ds[r-1] != 1 || ds[r-2] != cols || min(rows, cols) < minSide {
		return false
	}
	batch, a := 1, transposeArgs{Dst: dst.Ptr, Src: x.Ptr, SrcCol: int64(ss[r-1]),
		Rows: i32(rows), Cols: i32(cols)}
	if r == 3 {
		if ds[0] != rows*cols || shape[0] > maxGridYZ {
			return false
		}
		batch, a.SrcBatch = shape[0], int64(ss[0])
	}
	const tile, tileRows = 32, 8 // TILE and TILE_ROWS of copy.cu
	if ceilDiv(rows, tile) > maxGridYZ {
		return false
	}
	grid := [3]int{ceilDiv(cols, tile), ceilDiv(rows, tile), batch}
	emit(e, "transpose"+widthSuffix("Copy", dst), a, grid, [3]uint32{tile, tileRows, 1}, 0)
	return true
}
