package ref

import "afterimage/tensor"

// Random fills dst with numbers of the stream key at step (I32, one element): element i is
// Uniform01 or StdNormal of key.Word(step, i), rounded to dst's dtype.
func (b *Backend) Random(d tensor.Dist, key tensor.Key, dst, step *tensor.Tensor) {
	draw := tensor.Uniform01
	if d == tensor.Normal {
		draw = tensor.StdNormal
	}
	s := uint32(tensor.Host[int32](step)[0])
	out := make([]float64, dst.Size())
	for i := range out {
		out[i] = draw(key.Word(s, uint64(i)))
	}
	store(dst, out)
}
