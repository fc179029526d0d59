package kernels

import "afterimage/tensor"

type randomArgs struct {
	Dst, Step    uint64
	Seed, Stream uint64
	N            int64
	Normal, Pad  int32
}

// Random fills dst with numbers of the stream key at step: element i is a function of key, step and
// i alone.
func (e *Encoder) Random(d tensor.Dist, key tensor.Key, dst, step Array) {
	a := randomArgs{Dst: dst.Ptr, Step: step.Ptr, Seed: key.Seed, Stream: key.Stream,
		N: int64(dst.size()), Normal: b32(d == tensor.Normal)}
	stride(e, "random"+suffix("Random", dst), a, ceilDiv(dst.size(), 4))
}
