package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"

	"afterimage/tensor"
)

// Float32s returns the elements as float32, converting every dtype: F16 and BF16 exactly, F64 and
// the integers rounded to nearest even, Bool to 0 or 1 (any non-zero byte is true). The result is a
// new slice. It panics with *tensor.Error when Check would fail.
func (a Array) Float32s() []float32 {
	a.must("Float32s")
	out := make([]float32, a.Len())
	if a.DType == tensor.F32 { // the common case, kept free of the conversion through float64
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(a.Data[4*i:]))
		}
		return out
	}
	// Through float64 is one rounding: f16, bf16, i32 and u8 are exact in float64. I64 is not.
	for i := range out {
		if a.DType == tensor.I64 {
			out[i] = float32(int64(binary.LittleEndian.Uint64(a.Data[8*i:])))
			continue
		}
		out[i] = float32(a.at(i))
	}
	return out
}

// Float64s is Float32s for float64; only I64 beyond 2^53 is rounded.
func (a Array) Float64s() []float64 {
	a.must("Float64s")
	out := make([]float64, a.Len())
	for i := range out {
		out[i] = a.at(i)
	}
	return out
}

// Int64s returns the elements of an I64, I32, U8 or Bool array as int64, in a new slice.
// It panics with *tensor.Error for a floating-point array or when Check would fail.
func (a Array) Int64s() []int64 {
	a.must("Int64s")
	if a.DType.IsFloat() {
		panic(&tensor.Error{Op: "checkpoint.Int64s",
			Reason: fmt.Sprintf("expected an integer array, got %v %v", a.DType, a.Shape)})
	}
	out := make([]int64, a.Len())
	for i := range out {
		if a.DType == tensor.I64 {
			out[i] = int64(binary.LittleEndian.Uint64(a.Data[8*i:]))
			continue
		}
		out[i] = int64(a.at(i))
	}
	return out
}

func (a Array) must(op string) {
	if err := a.Check(); err != nil {
		panic(&tensor.Error{Op: "checkpoint." + op, Reason: err.Error()})
	}
}

// at returns element i as float64.
func (a Array) at(i int) float64 {
	le := binary.LittleEndian
	switch a.DType {
	case tensor.F32:
		return float64(math.Float32frombits(le.Uint32(a.Data[4*i:])))
	case tensor.F64:
		return math.Float64frombits(le.Uint64(a.Data[8*i:]))
	case tensor.F16:
		return float64(f16ToF32(le.Uint16(a.Data[2*i:])))
	case tensor.BF16:
		return float64(math.Float32frombits(uint32(le.Uint16(a.Data[2*i:])) << 16))
	case tensor.I64:
		return float64(int64(le.Uint64(a.Data[8*i:])))
	case tensor.I32:
		return float64(int32(le.Uint32(a.Data[4*i:])))
	case tensor.U8:
		return float64(a.Data[i])
	default: // Bool: Check has refused everything else
		if a.Data[i] != 0 {
			return 1
		}
		return 0
	}
}

// f16ToF32 converts IEEE binary16 to binary32; every value, infinity and NaN payload is kept.
func f16ToF32(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp := uint32(h>>10) & 0x1f
	frac := uint32(h) & 0x3ff
	switch exp {
	case 0: // zero or subnormal: frac · 2^-24, exact in binary32
		v := float32(frac) * 0x1p-24
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	default: // rebias 15 to 127
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	}
}

// f32ToF16 rounds binary32 to binary16, ties to even. What rounds beyond 65504 becomes infinity;
// NaN stays NaN.
func f32ToF16(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits>>16) & 0x8000
	bits &= 0x7fffffff
	switch {
	case bits > 0x7f800000: // quiet NaN with the upper payload bits
		return sign | 0x7e00 | uint16(bits>>13)&0x3ff
	case bits >= 0x477ff000: // 65520 and above round to infinity
		return sign | 0x7c00
	case bits >= 0x38800000: // normal in binary16: 2^-14 and above
		bits += 0xfff + bits>>13&1 // round half to even; a carry moves into the exponent correctly
		return sign | uint16((bits-0x38000000)>>13)
	default: // subnormal: a multiple of 2^-24, rounded by the hardware's round to even
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(bits))*0x1p24))
	}
}
