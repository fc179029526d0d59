package cpu

import "afterimage/tensor"

// Gather copies rows; see tensor.Backend. The reference serves it: a copy of each row is all there
// is to it, and networks look few rows up in a step, those of a batch's labels.
func (b *Backend) Gather(dst, x, idx *tensor.Tensor) { b.ref.Gather(dst, x, idx) }

// ScatterAdd adds rows; see tensor.Backend. The reference serves it as it does Gather, whose
// gradient it is.
func (b *Backend) ScatterAdd(dst, x, idx *tensor.Tensor) { b.ref.ScatterAdd(dst, x, idx) }

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
