package ref

import (
	"math"

	"afterimage/tensor"
)

// Fill sets every element to v, converted to dst's dtype as Cast does.
func (b *Backend) Fill(dst *tensor.Tensor, v float64) {
	store := storer(dst)
	for i := range dst.Size() {
		store(i, v)
	}
}

// Cast converts elementwise through float64, which holds every value of the dtypes involved:
// float to integer truncates toward zero and saturates, NaN becomes 0; F32 and BF16 round to
// nearest even. Equal dtypes copy bits.
func (b *Backend) Cast(dst, x *tensor.Tensor) {
	if dst.DType() == x.DType() {
		copy(hostBytes(dst), hostBytes(x))
		return
	}
	load, store := loader(x), storer(dst)
	for i := range dst.Size() {
		store(i, load(i))
	}
}

// loader returns a function that reads element i of t as float64.
func loader(t *tensor.Tensor) func(i int) float64 {
	switch t.DType() {
	case tensor.F32:
		s := tensor.Host[float32](t)
		return func(i int) float64 { return float64(s[i]) }
	case tensor.F64:
		s := tensor.Host[float64](t)
		return func(i int) float64 { return s[i] }
	case tensor.BF16:
		s := words[uint16](t)
		return func(i int) float64 { return float64(tensor.FromBF16(s[i])) }
	case tensor.I32:
		s := tensor.Host[int32](t)
		return func(i int) float64 { return float64(s[i]) }
	case tensor.U8:
		s := tensor.Host[uint8](t)
		return func(i int) float64 { return float64(s[i]) }
	}
	panic(badDType("Cast", t))
}

// storer returns a function that converts v and writes it to element i of t.
func storer(t *tensor.Tensor) func(i int, v float64) {
	switch t.DType() {
	case tensor.F32:
		s := tensor.Host[float32](t)
		return func(i int, v float64) { s[i] = float32(v) }
	case tensor.F64:
		s := tensor.Host[float64](t)
		return func(i int, v float64) { s[i] = v }
	case tensor.BF16:
		s := words[uint16](t)
		return func(i int, v float64) { s[i] = tensor.ToBF16(float32(v)) }
	case tensor.I32:
		s := tensor.Host[int32](t)
		return func(i int, v float64) { s[i] = int32(saturate(v, math.MinInt32, math.MaxInt32)) }
	case tensor.U8:
		s := tensor.Host[uint8](t)
		return func(i int, v float64) { s[i] = uint8(saturate(v, 0, math.MaxUint8)) }
	}
	panic(badDType("Cast", t))
}

// saturate clamps v to [lo, hi] and maps NaN to 0; Go's conversion then truncates toward zero.
func saturate(v, lo, hi float64) float64 {
	if v != v {
		return 0
	}
	return min(max(v, lo), hi)
}

// Unary computes dst = op(x) elementwise.
func (b *Backend) Unary(op tensor.UnaryOp, p tensor.Attr, dst, x *tensor.Tensor) {
	switch dst.DType() {
	case tensor.F32:
		unaryLoop[float32](unaryFunc(op, p), dst, x)
	case tensor.F64:
		unaryLoop[float64](unaryFunc(op, p), dst, x)
	case tensor.BF16:
		b.inF32(func(f widening) { b.Unary(op, p, f.out(dst), f.in(x)) })
	default:
		panic(badDType("Unary", dst, x))
	}
}

// UnaryChain computes dst = s(x) or x·s(x) elementwise; see tensor.Chainer.
func (b *Backend) UnaryChain(dst, x *tensor.Tensor, gate bool, steps ...tensor.UnaryStep) {
	var fs []func(float64) float64
	for _, s := range steps {
		fs = append(fs, unaryFunc(s.Op, s.Attr))
	}
	switch dst.DType() {
	case tensor.F32:
		chainLoop[float32](fs, gate, dst, x)
	case tensor.F64:
		chainLoop[float64](fs, gate, dst, x)
	default:
		panic(badDType("UnaryChain", dst, x))
	}
}

func chainLoop[T tensor.Float](fs []func(float64) float64, gate bool, dst, x *tensor.Tensor) {
	d := tensor.Host[T](dst)
	for i, v := range tensor.Host[T](x) {
		y := v
		for _, f := range fs {
			y = T(f(float64(y)))
		}
		if gate {
			y *= v
		}
		d[i] = y
	}
}

func unaryLoop[T tensor.Float](f func(float64) float64, dst, x *tensor.Tensor) {
	d := tensor.Host[T](dst)
	for i, v := range tensor.Host[T](x) {
		d[i] = T(f(float64(v)))
	}
}

// truth is 1 for true and 0 for false.
func truth(c bool) float64 {
	if c {
		return 1
	}
	return 0
}

func unaryFunc(op tensor.UnaryOp, p tensor.Attr) func(x float64) float64 {
	switch op {
	case tensor.Neg:
		return func(x float64) float64 { return -x }
	case tensor.Abs:
		return math.Abs
	case tensor.Sign:
		return sign
	case tensor.Step:
		return func(x float64) float64 { return truth(x > 0) }
	case tensor.Exp:
		return math.Exp
	case tensor.Log:
		return math.Log
	case tensor.Sqrt:
		return math.Sqrt
	case tensor.Rsqrt:
		return func(x float64) float64 { return 1 / math.Sqrt(x) }
	case tensor.Recip:
		return func(x float64) float64 { return 1 / x }
	case tensor.Square:
		return func(x float64) float64 { return x * x }
	case tensor.Tanh:
		return math.Tanh
	case tensor.Sigmoid:
		return sigmoid
	case tensor.Softplus:
		return func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
	case tensor.ReLU:
		return func(x float64) float64 { return max(x, 0) } // Go's max propagates NaN
	case tensor.LeakyReLU:
		return func(x float64) float64 { return leaky(x, p.A) }
	case tensor.Clamp:
		return func(x float64) float64 { return min(max(x, p.A), p.B) }
	case tensor.Affine:
		return func(x float64) float64 { return p.A*x + p.B }
	case tensor.Pow:
		return func(x float64) float64 { return math.Pow(x, p.A) }
	case tensor.Erf:
		return math.Erf
	case tensor.InRange:
		return func(x float64) float64 { return truth(p.A < x && x < p.B) }
	}
	panic(&tensor.Error{Op: "Unary", Reason: "unknown opcode"})
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0 // zero or NaN, the contract follows PyTorch
}

// sigmoid never raises e to a positive power, so it keeps its relative accuracy on both sides.
func sigmoid(x float64) float64 {
	if x < 0 {
		e := math.Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-x))
}

func leaky(x, a float64) float64 {
	if x > 0 {
		return x
	}
	return a * x
}

// Binary computes dst = op(x, y) with x and y broadcast to dst's shape.
func (b *Backend) Binary(op tensor.BinaryOp, dst, x, y *tensor.Tensor) {
	switch dst.DType() {
	case tensor.F32:
		binaryLoop[float32](binaryFunc(op), dst, x, y)
	case tensor.F64:
		binaryLoop[float64](binaryFunc(op), dst, x, y)
	case tensor.BF16:
		b.inF32(func(f widening) { b.Binary(op, f.out(dst), f.in(x), f.in(y)) })
	default:
		panic(badDType("Binary", dst, x, y))
	}
}

func binaryLoop[T tensor.Float](f func(x, y float64) float64, dst, x, y *tensor.Tensor) {
	d, xs, ys := tensor.Host[T](dst), tensor.Host[T](x), tensor.Host[T](y)
	out := dst.Shape()
	at := 0
	sx, sy := broadcastStrides(x.Shape(), out), broadcastStrides(y.Shape(), out)
	eachRow(out, 0, 0, sx, sy, func(n, i, j, di, dj int) {
		for range n {
			d[at] = T(f(float64(xs[i]), float64(ys[j])))
			at, i, j = at+1, i+di, j+dj
		}
	})
}

func binaryFunc(op tensor.BinaryOp) func(x, y float64) float64 {
	switch op {
	case tensor.Add:
		return func(x, y float64) float64 { return x + y }
	case tensor.Sub:
		return func(x, y float64) float64 { return x - y }
	case tensor.Mul:
		return func(x, y float64) float64 { return x * y }
	case tensor.Div:
		return func(x, y float64) float64 { return x / y }
	case tensor.Max:
		return func(x, y float64) float64 { return max(x, y) }
	case tensor.Min:
		return func(x, y float64) float64 { return min(x, y) }
	case tensor.Greater:
		return func(x, y float64) float64 { return truth(x > y) }
	case tensor.Equal:
		return func(x, y float64) float64 { return truth(x == y) }
	case tensor.ReLUMask:
		return func(x, y float64) float64 {
			if y > 0 {
				return x
			}
			return 0
		}
	}
	panic(&tensor.Error{Op: "Binary", Reason: "unknown opcode"})
}

// Select computes dst = cond ≠ 0 ? x : y elementwise. A NaN condition is ≠ 0.
func (b *Backend) Select(dst, cond, x, y *tensor.Tensor) {
	switch dst.DType() {
	case tensor.F32:
		selectLoop[float32](dst, cond, x, y)
	case tensor.F64:
		selectLoop[float64](dst, cond, x, y)
	case tensor.BF16:
		b.inF32(func(f widening) { b.Select(f.out(dst), f.in(cond), f.in(x), f.in(y)) })
	default:
		panic(badDType("Select", dst, cond, x, y))
	}
}

func selectLoop[T tensor.Float](dst, cond, x, y *tensor.Tensor) {
	d, xs, ys := tensor.Host[T](dst), tensor.Host[T](x), tensor.Host[T](y)
	for i, c := range tensor.Host[T](cond) {
		if c != 0 {
			d[i] = xs[i]
		} else {
			d[i] = ys[i]
		}
	}
}
