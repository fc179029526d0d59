package cpu

import "afterimage/tensor"

// randomGrain is how many blocks a thread draws at a time: some 10 µs of normal numbers, so that
// a batch's noise is drawn by all threads.
const randomGrain = 128

// Random fills dst from a stream; see tensor.Backend. Every block of four elements is one Philox
// call, so the split over threads cannot show.
func (b *Backend) Random(d tensor.Dist, key tensor.Key, dst, step *tensor.Tensor) {
	if dst.DType() != tensor.F32 {
		b.ref.Random(d, key, dst, step)
		return
	}
	t := uint32(tensor.Host[int32](step)[0])
	y := tensor.Host[float32](dst)
	f := tensor.Uniform01
	if d == tensor.Normal {
		f = tensor.StdNormal
	}
	blocks := (len(y) + 3) / 4
	b.split(blocks, randomGrain, func(lo, hi int) {
		for k := lo; k < hi; k++ {
			w := key.Block(t, uint64(k))
			for j, i := 0, 4*k; i < min(4*k+4, len(y)); i, j = i+1, j+1 {
				y[i] = float32(f(w[j]))
			}
		}
	})
}
