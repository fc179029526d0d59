package cpu

import (
	"slices"
	"unsafe"

	"afterimage/tensor"
	"afterimage/tensor/cpu/gemm/micro"
)

// words returns the elements of a 4-byte tensor as bit patterns, so that F32 and I32 share
// one text.
func words(t *tensor.Tensor) []uint32 {
	n := t.Size()
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*uint32)(unsafe.Pointer(&t.Buffer().(tensor.HostBuffer).HostBytes()[0])), n)
}

// bits sees float32s as bit patterns.
func bits(f []float32) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(f))), len(f))
}

// Permute reorders axes; see tensor.Backend.
func (b *Backend) Permute(dst, x *tensor.Tensor, perm []int) {
	if x.DType().Size() != 4 {
		b.ref.Permute(dst, x, perm)
		return
	}
	st := x.Shape().Strides()
	src := make([]int, len(perm))
	for i, p := range perm {
		src[i] = st[p]
	}
	b.strided(words(dst), words(x), dst.Shape(), dst.Shape().Strides(), src, 0, 0)
}

// CopyRegion copies a strided box; see tensor.Backend.
func (b *Backend) CopyRegion(dst, x *tensor.Tensor, r tensor.Region) {
	if x.DType().Size() != 4 {
		b.ref.CopyRegion(dst, x, r)
		return
	}
	ds, xs := dst.Shape().Strides(), x.Shape().Strides()
	d0, x0 := 0, 0
	for i := range r.Size {
		d0 += r.DstStart[i] * ds[i]
		x0 += r.SrcStart[i] * xs[i]
		ds[i] *= r.DstStep[i]
		xs[i] *= r.SrcStep[i]
	}
	b.strided(words(dst), words(x), r.Size, ds, xs, d0, x0)
}

// CopyView copies rows, or blocks of them where one side's rows are the other's columns; see
// tensor.Viewer.
func (b *Backend) CopyView(dst, src tensor.View) {
	if src.T.DType().Size() != 4 {
		b.ref.CopyView(dst, src)
		return
	}
	b.strided(words(dst.T), words(src.T), src.Shape, dst.Strides, src.Strides, dst.Offset, src.Offset)
}

// strided copies size[0]×size[1]×… elements from x to dst, both walked with their own strides.
// Neighbouring axes that are contiguous on both sides are merged, so that most calls end up as
// rows of memory copies; rows are shared out over the threads.
func (b *Backend) strided(dst, x []uint32, size, ds, xs []int, d0, x0 int) {
	size, ds, xs = merge(size, ds, xs)
	total := tensor.Shape(size).Size()
	if total == 0 {
		return
	}
	if b.transposed(dst, x, size, ds, xs, d0, x0) || b.zipped(dst, x, size, ds, xs, d0, x0) {
		return
	}
	last := len(size) - 1
	inner, di, xi := size[last], ds[last], xs[last]
	rows := total / inner
	if last == 1 && di == 1 && xi == 1 {
		b.split(rows, max(1, chunk/inner), func(lo, hi int) {
			for r := lo; r < hi; r++ {
				copy(dst[d0+r*ds[0]:][:inner], x[x0+r*xs[0]:][:inner])
			}
		})
		return
	}
	b.split(rows, max(1, chunk/inner), func(lo, hi int) {
		idx := make([]int, last)
		d, s := d0, x0
		for i, r := last-1, lo; i >= 0; i-- {
			idx[i] = r % size[i]
			r /= size[i]
			d += idx[i] * ds[i]
			s += idx[i] * xs[i]
		}
		for range hi - lo {
			if di == 1 && xi == 1 {
				copy(dst[d:d+inner], x[s:s+inner])
			} else {
				for k, p, q := 0, d, s; k < inner; k, p, q = k+1, p+di, q+xi {
					dst[p] = x[q]
				}
			}
			for i := last - 1; i >= 0; i-- {
				idx[i]++
				d += ds[i]
				s += xs[i]
				if idx[i] < size[i] {
					break
				}
				d -= idx[i] * ds[i]
				s -= idx[i] * xs[i]
				idx[i] = 0
			}
		}
	})
}

// turned is the number of rows that a transposing kernel takes.
const turned = 16

// transposed is strided where rows of dst are columns of x: a filter OHWI as IHWO, for example.
// Sixteen elements of a row of dst are sixteen rows of x, read along. It reports whether the copy
// is such.
func (b *Backend) transposed(dst, x []uint32, size, ds, xs []int, d0, x0 int) bool {
	row := len(size) - 1       // neighbours in dst
	col := slices.Index(xs, 1) // neighbours in x
	if col < 0 || col == row || ds[row] != 1 || size[row] < turned || size[col] < turned ||
		min(ds[col], xs[row]) < 0 {
		return false
	}
	var outer []int // the other axes
	for i := range size {
		if i != row && i != col {
			outer = append(outer, i)
		}
	}
	blocks, total := size[row]/turned, 1
	for _, i := range outer {
		total *= size[i]
	}
	d, s := floats(dst), floats(x)
	b.pool.Run(total*(blocks+1), func(n int) {
		at, from, block := d0, x0, n%(blocks+1)
		for i, r := len(outer)-1, n/(blocks+1); i >= 0; i-- {
			k := r % size[outer[i]]
			r /= size[outer[i]]
			at, from = at+k*ds[outer[i]], from+k*xs[outer[i]]
		}
		at, from = at+block*turned, from+block*turned*xs[row]
		if block < blocks {
			micro.Transpose16(micro.Best(), d[at:], ds[col], s[from:], xs[row], turned, size[col])
			return
		}
		for i := range size[row] % turned {
			for k := range size[col] {
				dst[at+i+k*ds[col]] = x[from+i*xs[row]+k]
			}
		}
	})
	return true
}

// zipped is strided where each pair in dst has an element of each of two rows of x, as the channels
// of two groups that are dealt out in turn. It reports whether the copy is such.
func (b *Backend) zipped(dst, x []uint32, size, ds, xs []int, d0, x0 int) bool {
	last := len(size) - 1
	if last < 1 || last > 2 || size[last] != 2 || ds[last] != 1 || ds[last-1] != 2 ||
		xs[last-1] != 1 {
		return false
	}
	rows, n, dRow, xRow := 1, size[last-1], 0, 0
	if last == 2 {
		rows, dRow, xRow = size[0], ds[0], xs[0]
	}
	d, s := floats(dst), floats(x)
	b.split(rows, max(1, chunk/(2*n)), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			at := x0 + r*xRow
			micro.Zip(micro.Best(), d[d0+r*dRow:], s[at:][:n], s[at+xs[last]:])
		}
	})
	return true
}

// floats sees bit patterns as float32s, for kernels that only move them.
func floats(w []uint32) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(&w[0])), len(w))
}

// merge drops axes of extent 1 and joins axes that are contiguous on both sides.
func merge(size, ds, xs []int) (msize, mds, mxs []int) {
	for i, n := range size {
		if n == 1 {
			continue
		}
		if k := len(msize) - 1; k >= 0 && mds[k] == n*ds[i] && mxs[k] == n*xs[i] {
			msize[k], mds[k], mxs[k] = msize[k]*n, ds[i], xs[i]
			continue
		}
		msize, mds, mxs = append(msize, n), append(mds, ds[i]), append(mxs, xs[i])
	}
	if len(msize) == 0 {
		return []int{1}, []int{1}, []int{1}
	}
	return msize, mds, mxs
}
