package kernels

import "fmt"

type gatherArgs struct {
	Dst, X, Idx uint64
	N, Row      int64
}

type scatterAddArgs struct {
	Dst, X, Idx  uint64
	Rows, N, Row int64
}

type oneHotArgs struct {
	Dst, Idx   uint64
	N, Classes int64
}

// rowSize returns the elements of one index along the first axis.
func rowSize(x Array) int { return x.Shape[1:].Size() }

// Gather copies rows: dst[i, …] = x[idx[i], …].
func (e *Encoder) Gather(dst, x, idx Array) {
	size, row := dst.DType.Size(), rowSize(x)
	w := wordSize(size, dst.Ptr, x.Ptr, []int{row}, [][]int{{1}, {1}})
	row = row * size / w
	n := idx.size()
	a := gatherArgs{dst.Ptr, x.Ptr, idx.Ptr, int64(n), int64(row)}
	stride(e, fmt.Sprintf("gather_b%d", w), a, n*row)
}

// ScatterAdd sets dst to zero and adds rows in order: dst[idx[i], …] += x[i, …].
func (e *Encoder) ScatterAdd(dst, x, idx Array) {
	const tile = 256
	rows, row := dst.dim(0), rowSize(dst)
	a := scatterAddArgs{dst.Ptr, x.Ptr, idx.Ptr, int64(rows), int64(idx.size()), int64(row)}
	grid := [3]int{ceilDiv(row, tile), min(rows, maxGridYZ), 1}
	emit(e, "scatter_add"+suffix("ScatterAdd", dst), a, grid, [3]uint32{tile, 1, 1}, 0)
}

// OneHot writes dst[i, idx[i]] = 1 and 0 elsewhere.
func (e *Encoder) OneHot(dst, idx Array) {
	a := oneHotArgs{dst.Ptr, idx.Ptr, int64(idx.size()), int64(dst.dim(1))}
	stride(e, "one_hot"+suffix("OneHot", dst), a, dst.size())
}
