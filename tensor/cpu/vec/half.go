package vec

import "math"

// F16ToF32 converts IEEE binary16 bit patterns to float32, exactly. A NaN stays a (quiet) NaN.
func F16ToF32(dst []float32, x []uint16) {
	sameLen("F16ToF32", len(dst), len(x))
	active.f16ToF32(dst, x)
}

// F32ToF16 converts to IEEE binary16, rounding to nearest even: too large becomes Inf, subnormal
// results are kept, NaN becomes a quiet NaN.
func F32ToF16(dst []uint16, x []float32) {
	sameLen("F32ToF16", len(dst), len(x))
	active.f32ToF16(dst, x)
}

// BF16ToF32 converts bfloat16 bit patterns to float32, exactly.
func BF16ToF32(dst []float32, x []uint16) {
	sameLen("BF16ToF32", len(dst), len(x))
	active.bf16ToF32(dst, x)
}

// F32ToBF16 converts to bfloat16, rounding to nearest even; subnormal numbers are kept, NaN
// becomes a quiet NaN.
func F32ToBF16(dst []uint16, x []float32) {
	sameLen("F32ToBF16", len(dst), len(x))
	active.f32ToBF16(dst, x)
}

func f16ToF32Go(dst []float32, x []uint16) {
	for i, h := range x {
		dst[i] = f16ToF32(h)
	}
}

func f16ToF32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp, man := uint32(h>>10)&31, uint32(h)&0x3ff
	switch exp {
	case 0: // zero or subnormal: man · 2^-24, exact in float32
		return math.Float32frombits(sign | math.Float32bits(float32(man)*0x1p-24))
	case 31:
		if man != 0 {
			man |= 0x200 // quiet
		}
		return math.Float32frombits(sign | 0x7f800000 | man<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | man<<13)
}

func f32ToF16Go(dst []uint16, x []float32) {
	for i, v := range x {
		dst[i] = f32ToF16(v)
	}
}

func f32ToF16(v float32) uint16 {
	b := math.Float32bits(v)
	sign := uint16(b >> 16 & 0x8000)
	b &^= 1 << 31
	switch {
	case b > 0x7f800000: // NaN
		return sign | 0x7e00 | uint16(b>>13&0x3ff)
	case b >= 0x477ff000: // 65520 and above round to Inf
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: let float32 addition round at the 2^-24 place
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	}
	// Rebias, then round to nearest even at bit 13; a carry into the exponent is right.
	b -= (127 - 15) << 23
	return sign | uint16((b+0xfff+(b>>13&1))>>13)
}

func bf16ToF32Go(dst []float32, x []uint16) {
	for i, h := range x {
		dst[i] = math.Float32frombits(uint32(h) << 16)
	}
}

func f32ToBF16Go(dst []uint16, x []float32) {
	for i, v := range x {
		b := math.Float32bits(v)
		if v != v {
			dst[i] = uint16(b>>16) | 0x40
			continue
		}
		dst[i] = uint16((b + 0x7fff + (b >> 16 & 1)) >> 16)
	}
}
