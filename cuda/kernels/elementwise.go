package kernels

import (
	"math"

	"afterimage/tensor"
)

type fillArgs struct {
	Dst     uint64
	N       int64
	Pattern uint64
}

type unaryArgs struct {
	Dst, X uint64
	N      int64
	A, B   float64
	Op     int32
	Pad    int32
}

type binaryArgs struct {
	Dst, X, Y uint64
	N         int64
	Sx, Sy    [maxRank]int64
	Shape     [maxRank]int32
	Rank, Op  int32
}

type selectArgs struct {
	Dst, Cond, X, Y uint64
	N               int64
}

type addReluMaskArgs struct {
	Dx, A, B, Y uint64
	N           int64
}

type castArgs struct {
	Dst, X uint64
	N      int64
}

// packBytes is what a thread of an element-wise kernel moves at a time; grids are sized by it.
const packBytes = 16

// packs returns how many such portions t has.
func packs(t Array) int { return ceilDiv(t.size()*t.DType.Size(), packBytes) }

// Fill sets every element to v, converted to dst's dtype as Cast does.
func (e *Encoder) Fill(dst Array, v float64) {
	a := fillArgs{Dst: dst.Ptr, N: int64(dst.size()), Pattern: pattern(dst, v)}
	stride(e, "fill"+widthSuffix("Fill", dst), a, packs(dst))
}

// pattern returns the bits of v as an element of t.
func pattern(t Array, v float64) uint64 {
	switch t.DType {
	case tensor.F32:
		return uint64(math.Float32bits(float32(v)))
	case tensor.F64:
		return math.Float64bits(v)
	case tensor.BF16:
		return uint64(tensor.ToBF16(float32(v)))
	case tensor.I32:
		return uint64(uint32(int32(saturate(v, math.MinInt32, math.MaxInt32))))
	case tensor.U8:
		return uint64(uint8(saturate(v, 0, math.MaxUint8)))
	}
	panic(badDType("Fill", t))
}

// saturate clamps v to [lo, hi] and maps NaN to 0.
func saturate(v, lo, hi float64) float64 {
	if v != v {
		return 0
	}
	return min(max(v, lo), hi)
}

// Cast converts element-wise; equal dtypes copy.
func (e *Encoder) Cast(dst, x Array) {
	if dst.DType == x.DType {
		e.copyFlat(dst, x)
		return
	}
	for _, t := range []Array{dst, x} {
		switch t.DType {
		case tensor.F32, tensor.F64, tensor.BF16, tensor.I32, tensor.U8:
		default:
			panic(badDType("Cast", dst, x))
		}
	}
	entry := "cast_" + dst.DType.String() + "_" + x.DType.String()
	stride(e, entry, castArgs{dst.Ptr, x.Ptr, int64(x.size())}, ceilDiv(x.size(), 2))
}

// Unary computes dst = op(x) element-wise.
func (e *Encoder) Unary(op tensor.UnaryOp, p tensor.Attr, dst, x Array) {
	a := unaryArgs{Dst: dst.Ptr, X: x.Ptr, N: int64(x.size()), A: p.A, B: p.B, Op: int32(op)}
	stride(e, "unary"+suffix("Unary", dst), a, packs(dst))
}

// Binary computes dst = op(x, y) with x and y broadcast to dst's shape.
func (e *Encoder) Binary(op tensor.BinaryOp, dst, x, y Array) {
	shape, st := collapse(dst.Shape, broadcastStrides(x.Shape, dst.Shape),
		broadcastStrides(y.Shape, dst.Shape))
	a := binaryArgs{Dst: dst.Ptr, X: x.Ptr, Y: y.Ptr, N: int64(dst.size()), Op: int32(op)}
	work := packs(dst)
	if len(shape) > 1 {
		checkRank("Binary", shape)
		a.Rank, a.Shape, work = int32(len(shape)), int32s(shape), dst.size()
	}
	a.Sx, a.Sy = int64s(st[0]), int64s(st[1])
	stride(e, "binary"+suffix("Binary", dst), a, work)
}

// AddReLUMask computes dx = y > 0 ? a + b : 0; dx may be a or b.
func (e *Encoder) AddReLUMask(dx, a, b, y Array) {
	args := addReluMaskArgs{dx.Ptr, a.Ptr, b.Ptr, y.Ptr, int64(dx.size())}
	stride(e, "add_relu_mask"+suffix("AddReLUMask", dx), args, packs(dx))
}

// Select computes dst = cond ≠ 0 ? x : y.
func (e *Encoder) Select(dst, cond, x, y Array) {
	a := selectArgs{dst.Ptr, cond.Ptr, x.Ptr, y.Ptr, int64(dst.size())}
	stride(e, "select"+suffix("Select", dst), a, packs(dst))
}
