package kernels

import (
	"math"
	"slices"

	"afterimage/tensor"
)

type reduceRowsArgs struct {
	Dst, X                uint64
	Rows, N, Chunk        int64
	Chunks                int64
	Scale                 float64
	Op, PerRow            int32
	PartialIn, PartialOut int32
}

type reduceColumnsArgs struct {
	Dst, X                         uint64
	Outer, Stride                  int64
	N, Chunk                       int64
	Scale                          float64
	Columns, Chunks                int32
	Op, PartialIn, PartialOut, Pad int32
}

type reduceGeneralArgs struct {
	Dst, X                    uint64
	Outputs, N                int64
	KeptStride, ReducedStride [maxRank]int64
	KeptShape, ReducedShape   [maxRank]int32
	Scale                     float64
	Kept, Reduced             int32
	Op, Pad                   int32
}

type rowsArgs struct {
	Dst, X      uint64
	Rows, N     int64
	PerRow, Log int32
}

// accSize returns the bytes of the type in which values of t are accumulated (Acc of port.h).
func accSize(t Array) int { return max(t.DType.Size(), 4) }

// split cuts n steps into chunks of equal length, so that parallel·chunks parts are worth a card:
// at most wanted parts in all, none shorter than least. It returns the number and the length.
func split(n, parallel, wanted, least int) (chunks, length int) {
	chunks = max(min(wanted/max(parallel, 1), n/least), 1)
	length = ceilDiv(n, chunks)
	return ceilDiv(n, max(length, 1)), length
}

// Reduce reduces over axes; dst has x's shape with 1 at every reduced axis, and x's dtype or,
// beside BF16, F32.
func (e *Encoder) Reduce(op tensor.ReduceOp, dst, x Array, axes []int) {
	n := 1
	var kept, reduced []int // axes of x
	for i := range x.Shape {
		if slices.Contains(axes, i) || slices.Contains(axes, i-len(x.Shape)) {
			reduced = append(reduced, i)
			n *= x.Shape[i]
		} else {
			kept = append(kept, i)
		}
	}
	if dst.size() == 0 {
		return
	}
	scale := 1.0
	if op == tensor.Mean {
		scale = float64(n)
	}
	pick := func(axes []int) (shape []int, st []int) {
		var all [][]int
		for _, i := range axes {
			shape, st = append(shape, x.Shape[i]), append(st, x.Shape.Strides()[i])
		}
		if shape, all = collapse(shape, st); len(all) > 0 {
			st = all[0]
		}
		return shape, st
	}
	ks, kst := pick(kept)
	rs, rst := pick(reduced)
	switch {
	case n == 0 || len(rs) == 0 && op != tensor.Mean:
		e.reduceTrivial(op, dst, x, n)
	case len(rs) <= 1 && len(ks) <= 1 && (len(rs) == 0 || rst[0] == 1):
		e.reduceRows(op, dst, x, dst.size(), n, scale)
	case len(rs) == 1 && (len(ks) == 1 || len(ks) == 2 && ks[0] <= maxGridYZ) && kst[len(ks)-1] == 1:
		e.reduceColumns(op, dst, x, ks, kst, n, rst[0], scale)
	default:
		if dst.DType != x.DType { // the kernel has one type: x is widened for it
			wide := Array{Ptr: e.Scratch(x.size() * dst.DType.Size()), DType: dst.DType, Shape: x.Shape}
			e.Cast(wide, x)
			x = wide
		}
		e.reduceGeneral(op, dst, x, ks, kst, rs, rst, n, scale)
	}
}

// last names the kernel of rows or columns that writes dst, of x or of the sums of its chunks, and
// says whether it reads or writes the type that sums have. That is F32 beside BF16: where dst is
// F32 as well the kernel leaves it as it leaves a chunk's sums, and F32's own joins those.
func last(kernel string, dst, x Array, chunked bool) (entry string, in, out int32) {
	widens := dst.DType != x.DType
	if widens && chunked {
		return kernel + suffix("Reduce", dst), 0, 0
	}
	return kernel + suffix("Reduce", x), b32(chunked), b32(widens)
}

// reduceTrivial serves sets of no element (their start value) and of one (a copy).
func (e *Encoder) reduceTrivial(op tensor.ReduceOp, dst, x Array, n int) {
	if n > 0 {
		e.Cast(dst, x)
		return
	}
	e.Fill(dst, emptyValue(op))
}

// reduceRows plans x [rows, n] → dst [rows].
func (e *Encoder) reduceRows(op tensor.ReduceOp, dst, x Array, rows, n int, scale float64) {
	chunks, length := split(n, rows, 1024, 4096)
	entry := "reduce_rows" + suffix("Reduce", x)
	a := reduceRowsArgs{Dst: dst.Ptr, X: x.Ptr, Rows: int64(rows), N: int64(n),
		Chunk: int64(length), Chunks: 1, Scale: scale, Op: int32(op)}
	if chunks > 1 {
		b := a
		b.Dst, b.Scale, b.PartialOut = e.Scratch(rows*chunks*accSize(x)), 1, 1
		b.Rows, b.Chunks = int64(rows*chunks), int64(chunks)
		e.rows(entry, &b.PerRow, rows*chunks, length, func(g [3]int) {
			emit(e, entry, b, g, [3]uint32{block, 1, 1}, 0)
		})
		a.X, a.N = b.Dst, int64(chunks)
	}
	entry, a.PartialIn, a.PartialOut = last("reduce_rows", dst, x, chunks > 1)
	a.Chunk = a.N
	e.rows(entry, &a.PerRow, rows, int(a.N), func(g [3]int) {
		emit(e, entry, a, g, [3]uint32{block, 1, 1}, 0)
	})
}

// rows chooses how many threads share a row of n elements and gives the grid for that.
func (e *Encoder) rows(entry string, perRow *int32, rows, n int, launch func(grid [3]int)) {
	*perRow = block
	if n <= shortRow {
		*perRow = warp
	}
	launch([3]int{ceilDiv(rows, block/int(*perRow)), 1, 1})
}

const (
	warp     = 32
	shortRow = 1024 // a warp reads it in at most 32 steps
)

// reduceColumns plans x[o·outer + r·step + c] → dst[o, c] over r < n; the kept axes are [outer,
// columns] or [columns].
func (e *Encoder) reduceColumns(op tensor.ReduceOp, dst, x Array, ks, kst []int, n, step int,
	scale float64,
) {
	const lanes = 8 // COLUMN_LANES of reduce.cu
	outer, columns := 1, ks[len(ks)-1]
	a := reduceColumnsArgs{Dst: dst.Ptr, X: x.Ptr, Stride: int64(step), N: int64(n),
		Scale: scale, Columns: i32(columns), Chunks: 1, Op: int32(op)}
	if len(ks) == 2 {
		outer, a.Outer = ks[0], int64(kst[0])
	}
	tiles := ceilDiv(columns, warp)
	chunks, length := split(n, tiles*outer, 1024, 64)
	run := func(entry string, a reduceColumnsArgs) {
		grid := [3]int{tiles, int(a.Chunks), outer}
		emit(e, entry, a, grid, [3]uint32{warp, lanes, 1}, 0)
	}
	if chunks > 1 {
		b := a
		b.Dst, b.Scale, b.PartialOut = e.Scratch(outer*chunks*columns*accSize(x)), 1, 1
		b.Chunks, b.Chunk = i32(chunks), int64(length)
		run("reduce_columns"+suffix("Reduce", x), b)
		a.X, a.N = b.Dst, int64(chunks)
		a.Outer, a.Stride = int64(chunks*columns), int64(columns)
	}
	a.Chunk = a.N
	entry, in, out := last("reduce_columns", dst, x, chunks > 1)
	a.PartialIn, a.PartialOut = in, out
	run(entry, a)
}

// reduceGeneral plans any other choice of axes.
func (e *Encoder) reduceGeneral(op tensor.ReduceOp, dst, x Array, ks, kst, rs, rst []int, n int,
	scale float64,
) {
	checkRank("Reduce", ks)
	checkRank("Reduce", rs)
	a := reduceGeneralArgs{Dst: dst.Ptr, X: x.Ptr, Outputs: int64(dst.size()), N: int64(n),
		KeptStride: int64s(kst), ReducedStride: int64s(rst), KeptShape: int32s(ks),
		ReducedShape: int32s(rs), Scale: scale, Kept: int32(len(ks)), Reduced: int32(len(rs)),
		Op: int32(op)}
	emit(e, "reduce_general"+suffix("Reduce", x), a,
		[3]int{min(dst.size(), 1<<20), 1, 1}, [3]uint32{128, 1, 1}, 0)
}

// ArgMax writes the index of the largest element along the last axis of x.
func (e *Encoder) ArgMax(dst, x Array) {
	a := rowsArgs{Dst: dst.Ptr, X: x.Ptr, Rows: int64(dst.size()), N: int64(x.dim(-1)),
		PerRow: warp}
	emit(e, "argmax"+suffix("ArgMax", x), a,
		[3]int{ceilDiv(dst.size(), block/warp), 1, 1}, [3]uint32{block, 1, 1}, 0)
}

// Softmax computes along the last axis of x: exp(x−max)/Σ, or with log set x−max−log Σ.
func (e *Encoder) Softmax(log bool, dst, x Array) {
	if x.size() == 0 {
		return
	}
	n := x.dim(-1)
	a := rowsArgs{Dst: dst.Ptr, X: x.Ptr, Rows: int64(x.size() / n), N: int64(n), Log: b32(log)}
	entry := "softmax" + suffix("Softmax", x)
	e.rows(entry, &a.PerRow, x.size()/n, n, func(g [3]int) {
		emit(e, entry, a, g, [3]uint32{block, 1, 1}, 0)
	})
}

// emptyValue is the reduction of no element.
func emptyValue(op tensor.ReduceOp) float64 {
	switch op {
	case tensor.Mean:
		return math.NaN()
	case tensor.MaxOf:
		return math.Inf(-1)
	case tensor.MinOf:
		return math.Inf(1)
	}
	return 0
}

// b32 is 1 for true.
func b32(v bool) int32 {
	if v {
		return 1
	}
	return 0
}
