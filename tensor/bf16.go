package tensor

import "math"

// ToBF16 rounds v to the nearest bfloat16, ties to even, and returns its bits: the upper half of an
// F32. A NaN stays one.
func ToBF16(v float32) uint16 {
	bits := math.Float32bits(v)
	if v != v {
		return uint16(bits>>16) | 0x40 // whatever the dropped half held
	}
	return uint16((bits + 0x7FFF + bits>>16&1) >> 16)
}

// FromBF16 returns the number whose bits as a bfloat16 are given.
func FromBF16(bits uint16) float32 { return math.Float32frombits(uint32(bits) << 16) }

// bf16Bytes returns v, rounded to F32 and that to BF16, as a tensor's bytes.
func bf16Bytes(v []float64) []byte {
	half := make([]uint16, len(v))
	for i, x := range v {
		half[i] = ToBF16(float32(x))
	}
	return asBytes(half)
}

// fromBF16 returns the elements of a BF16 tensor.
func fromBF16(t *Tensor) []float64 {
	half := make([]uint16, t.Size())
	t.backend.Download(asBytes(half), t.Buffer())
	out := make([]float64, len(half))
	for i, b := range half {
		out[i] = float64(FromBF16(b))
	}
	return out
}
