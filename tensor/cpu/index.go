package cpu

import (
	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// Gather copies rows; see tensor.Backend. Imported networks enlarge images by it, cut them up and
// look up embeddings.
func (b *Backend) Gather(dst, x, idx *tensor.Tensor) {
	if x.DType().Size() != 4 || dst.Size() == 0 {
		b.ref.Gather(dst, x, idx)
		return
	}
	y, s, at := words(dst), words(x), tensor.Host[int32](idx)
	row := len(y) / len(at)
	b.split(len(at), max(1, chunk/row), func(lo, hi int) {
		if row == 1 {
			for i, k := range at[lo:hi] {
				y[lo+i] = s[k]
			}
			return
		}
		for i := lo; i < hi; i++ {
			copy(y[i*row:(i+1)*row], s[int(at[i])*row:])
		}
	})
}

const (
	// scatterColumns is how many columns of its rows a tile of ScatterAdd takes: rows may meet,
	// columns never do.
	scatterColumns = 64
	// scatterVector is how many of them are worth a call of a vector loop.
	scatterVector = 16
)

// ScatterAdd adds rows in order, in float64; see tensor.Backend. Rows of some columns alone are
// left to one thread.
func (b *Backend) ScatterAdd(dst, x, idx *tensor.Tensor) {
	if !f32(dst, x) || x.Size() == 0 || dst.Size() == 0 {
		b.ref.ScatterAdd(dst, x, idx)
		return
	}
	y, s, at := host(dst), host(x), tensor.Host[int32](idx)
	row := len(s) / len(at)
	b.split(row, scatterColumns, func(lo, hi int) {
		w := hi - lo
		sums := b.doubles(dst.Dim(0) * w)
		clear(sums)
		for i, k := range at {
			to, from := sums[int(k)*w:][:w], s[i*row+lo:][:w]
			if w >= scatterVector {
				vec.ColSum(to, from)
				continue
			}
			for j, v := range from {
				to[j] += float64(v)
			}
		}
		for i := range dst.Dim(0) {
			for j, v := range sums[i*w:][:w] {
				y[i*row+lo+j] = float32(v)
			}
		}
		b.giveBack(sums)
	})
}

// OneHot writes rows of zeros with a one; see tensor.Backend.
func (b *Backend) OneHot(dst, idx *tensor.Tensor) {
	if !f32(dst) || dst.Size() == 0 {
		b.ref.OneHot(dst, idx)
		return
	}
	y, at, k := host(dst), tensor.Host[int32](idx), dst.Dim(1)
	b.split(len(at), max(1, chunk/k), func(lo, hi int) {
		clear(y[lo*k : hi*k])
		for n := lo; n < hi; n++ {
			if i := int(at[n]); i >= 0 && i < k {
				y[n*k+i] = 1
			}
		}
	})
}
