package ref

import (
	"math"

	"afterimage/tensor"
)

// Reduce reduces over axes; dst has x's shape with 1 at every reduced axis. Over an empty set the
// sum is 0, the mean NaN, the maximum −Inf, the minimum +Inf.
func (b *Backend) Reduce(op tensor.ReduceOp, dst, x *tensor.Tensor, axes []int) {
	switch x.DType() {
	case tensor.F32:
		reduceLoop[float32](op, dst, x)
	case tensor.F64:
		reduceLoop[float64](op, dst, x)
	case tensor.BF16:
		b.inF32(func(f widening) { b.Reduce(op, f.out(dst), f.in(x), axes) })
	default:
		panic(badDType("Reduce", dst, x))
	}
}

// reduceLoop folds x, in row-major order, into one float64 accumulator for each element of dst.
func reduceLoop[T tensor.Float](op tensor.ReduceOp, dst, x *tensor.Tensor) {
	d, xs := tensor.Host[T](dst), tensor.Host[T](x)
	acc := make([]float64, len(d))
	start, fold := reduceFunc(op)
	for i := range acc {
		acc[i] = start
	}
	at := 0
	st := broadcastStrides(dst.Shape(), x.Shape())
	eachRow(x.Shape(), 0, 0, st, st, func(n, i, _, di, _ int) {
		for range n {
			acc[i] = fold(acc[i], float64(xs[at]))
			at, i = at+1, i+di
		}
	})
	scale := 1.0
	if op == tensor.Mean {
		scale = float64(len(xs)) / float64(len(d)) // elements that met in each accumulator
	}
	for i, a := range acc {
		d[i] = T(a / scale)
	}
}

func reduceFunc(op tensor.ReduceOp) (start float64, fold func(a, x float64) float64) {
	switch op {
	case tensor.Sum, tensor.Mean:
		return 0, func(a, x float64) float64 { return a + x }
	case tensor.MaxOf:
		return math.Inf(-1), func(a, x float64) float64 { return max(a, x) }
	case tensor.MinOf:
		return math.Inf(1), func(a, x float64) float64 { return min(a, x) }
	}
	panic(&tensor.Error{Op: "Reduce", Reason: "unknown opcode"})
}

// ArgMax writes the index of the largest element along the last axis of x; the first maximum
// wins and a NaN counts as largest.
func (b *Backend) ArgMax(dst, x *tensor.Tensor) {
	switch x.DType() {
	case tensor.F32:
		argMaxLoop[float32](dst, x)
	case tensor.F64:
		argMaxLoop[float64](dst, x)
	case tensor.BF16:
		b.inF32(func(f widening) { b.ArgMax(dst, f.in(x)) })
	default:
		panic(badDType("ArgMax", dst, x))
	}
}

func argMaxLoop[T tensor.Float](dst, x *tensor.Tensor) {
	xs, k := tensor.Host[T](x), x.Dim(-1)
	d := tensor.Host[int32](dst)
	for i := range d {
		best := 0
		for j, v := range xs[i*k : i*k+k] {
			if beats(float64(v), float64(xs[i*k+best])) {
				best = j
			}
		}
		d[i] = int32(best)
	}
}

// beats reports whether v replaces the maximum so far: it is larger, or the first NaN.
func beats(v, best float64) bool { return v > best || v != v && best == best }

// Softmax computes along the last axis of x: exp(x−max)/Σ, or with log set x−max−log Σ.
func (b *Backend) Softmax(log bool, dst, x *tensor.Tensor) {
	switch dst.DType() {
	case tensor.F32:
		softmaxLoop[float32](log, dst, x)
	case tensor.F64:
		softmaxLoop[float64](log, dst, x)
	case tensor.BF16:
		b.inF32(func(f widening) { b.Softmax(log, f.out(dst), f.in(x)) })
	default:
		panic(badDType("Softmax", dst, x))
	}
}

func softmaxLoop[T tensor.Float](log bool, dst, x *tensor.Tensor) {
	xs, d, k := tensor.Host[T](x), tensor.Host[T](dst), x.Dim(-1)
	for i := 0; i < len(xs); i += k {
		row := xs[i : i+k]
		top, sum := math.Inf(-1), 0.0
		for _, v := range row {
			top = max(top, float64(v))
		}
		for _, v := range row {
			sum += math.Exp(float64(v) - top)
		}
		for j, v := range row {
			if log {
				d[i+j] = T(float64(v) - top - math.Log(sum))
			} else {
				d[i+j] = T(math.Exp(float64(v)-top) / sum)
			}
		}
	}
}
