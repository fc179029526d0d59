package vec

// Add computes dst[i] = x[i] + y[i].
func Add(dst, x, y []float32) { sameLen("Add", len(dst), len(x), len(y)); active.add(dst, x, y) }

// Sub computes dst[i] = x[i] - y[i].
func Sub(dst, x, y []float32) { sameLen("Sub", len(dst), len(x), len(y)); active.sub(dst, x, y) }

// Mul computes dst[i] = x[i] · y[i].
func Mul(dst, x, y []float32) { sameLen("Mul", len(dst), len(x), len(y)); active.mul(dst, x, y) }

// Div computes dst[i] = x[i] / y[i], correctly rounded.
func Div(dst, x, y []float32) { sameLen("Div", len(dst), len(x), len(y)); active.div(dst, x, y) }

// Max computes dst[i] = max(x[i], y[i]); NaN if either is NaN, y[i] where the two are equal
// (which tells -0 from +0 apart).
func Max(dst, x, y []float32) { sameLen("Max", len(dst), len(x), len(y)); active.max(dst, x, y) }

// Min computes dst[i] = min(x[i], y[i]); NaN if either is NaN, y[i] where the two are equal.
func Min(dst, x, y []float32) { sameLen("Min", len(dst), len(x), len(y)); active.min(dst, x, y) }

// AddTo accumulates dst[i] += x[i].
func AddTo(dst, x []float32) { sameLen("AddTo", len(dst), len(x)); active.addTo(dst, x) }

// AXPBY computes dst[i] = a·x[i] + b·y[i], evaluated as fma(a, x, b·y) in the assembly.
func AXPBY(dst []float32, a float32, x []float32, b float32, y []float32) {
	sameLen("AXPBY", len(dst), len(x), len(y))
	active.axpby(dst, a, x, b, y)
}

// AXPY accumulates y[i] += a·x[i].
func AXPY(y []float32, a float32, x []float32) {
	sameLen("AXPY", len(y), len(x))
	active.axpy(y, a, x)
}

// ReLUGrad computes dx[i] = dy[i] where y[i] > 0 and 0 elsewhere: the gradient of ReLU from its
// output y, with ReLU'(0) = 0.
func ReLUGrad(dx, dy, y []float32) {
	sameLen("ReLUGrad", len(dx), len(dy), len(y))
	active.reluGrad(dx, dy, y)
}

// AddReLUGrad computes dx[i] = a[i] + b[i] where y[i] > 0 and 0 elsewhere: ReLUGrad of a sum.
func AddReLUGrad(dx, a, b, y []float32) {
	sameLen("AddReLUGrad", len(dx), len(a), len(b), len(y))
	active.addReLUGrad(dx, a, b, y)
}

// AddScalar computes dst[i] = x[i] + s.
func AddScalar(dst, x []float32, s float32) {
	sameLen("AddScalar", len(dst), len(x))
	active.addScalar(dst, x, s)
}

// SubScalar computes dst[i] = x[i] - s.
func SubScalar(dst, x []float32, s float32) {
	sameLen("SubScalar", len(dst), len(x))
	active.addScalar(dst, x, -s)
}

// RSubScalar computes dst[i] = s - x[i].
func RSubScalar(dst, x []float32, s float32) {
	sameLen("RSubScalar", len(dst), len(x))
	active.rsubScalar(dst, x, s)
}

// MulScalar computes dst[i] = x[i] · s.
func MulScalar(dst, x []float32, s float32) {
	sameLen("MulScalar", len(dst), len(x))
	active.mulScalar(dst, x, s)
}

// DivScalar computes dst[i] = x[i] / s, correctly rounded (not by the reciprocal).
func DivScalar(dst, x []float32, s float32) {
	sameLen("DivScalar", len(dst), len(x))
	active.divScalar(dst, x, s)
}

// RDivScalar computes dst[i] = s / x[i], correctly rounded.
func RDivScalar(dst, x []float32, s float32) {
	sameLen("RDivScalar", len(dst), len(x))
	active.rdivScalar(dst, x, s)
}

// MaxScalar computes dst[i] = max(x[i], s), with Max's conventions.
func MaxScalar(dst, x []float32, s float32) {
	sameLen("MaxScalar", len(dst), len(x))
	active.maxScalar(dst, x, s)
}

// MinScalar computes dst[i] = min(x[i], s), with Min's conventions.
func MinScalar(dst, x []float32, s float32) {
	sameLen("MinScalar", len(dst), len(x))
	active.minScalar(dst, x, s)
}

func addGo(dst, x, y []float32) {
	for i, v := range x {
		dst[i] = v + y[i]
	}
}

func subGo(dst, x, y []float32) {
	for i, v := range x {
		dst[i] = v - y[i]
	}
}

func mulGo(dst, x, y []float32) {
	for i, v := range x {
		dst[i] = v * y[i]
	}
}

func divGo(dst, x, y []float32) {
	for i, v := range x {
		dst[i] = v / y[i]
	}
}

func maxGo(dst, x, y []float32) {
	for i, v := range x {
		dst[i] = max1(v, y[i])
	}
}

func minGo(dst, x, y []float32) {
	for i, v := range x {
		dst[i] = min1(v, y[i])
	}
}

func max1(x, y float32) float32 {
	if x > y || x != x {
		return x
	}
	return y
}

func min1(x, y float32) float32 {
	if x < y || x != x {
		return x
	}
	return y
}

func addToGo(dst, x []float32) {
	for i, v := range x {
		dst[i] += v
	}
}

func axpbyGo(dst []float32, a float32, x []float32, b float32, y []float32) {
	for i, v := range x {
		dst[i] = a*v + b*y[i]
	}
}

func axpyGo(y []float32, a float32, x []float32) {
	for i, v := range x {
		y[i] += a * v
	}
}

func reluGradGo(dx, dy, y []float32) {
	for i, v := range y {
		var g float32
		if v > 0 {
			g = dy[i]
		}
		dx[i] = g
	}
}

func addReLUGradGo(dx, a, b, y []float32) {
	for i, v := range a {
		v += b[i]
		if !(y[i] > 0) {
			v = 0
		}
		dx[i] = v
	}
}

func addScalarGo(dst, x []float32, s float32) {
	for i, v := range x {
		dst[i] = v + s
	}
}

func rsubScalarGo(dst, x []float32, s float32) {
	for i, v := range x {
		dst[i] = s - v
	}
}

func mulScalarGo(dst, x []float32, s float32) {
	for i, v := range x {
		dst[i] = v * s
	}
}

func divScalarGo(dst, x []float32, s float32) {
	for i, v := range x {
		dst[i] = v / s
	}
}

func rdivScalarGo(dst, x []float32, s float32) {
	for i, v := range x {
		dst[i] = s / v
	}
}

func maxScalarGo(dst, x []float32, s float32) {
	for i, v := range x {
		dst[i] = max1(v, s)
	}
}

func minScalarGo(dst, x []float32, s float32) {
	for i, v := range x {
		dst[i] = min1(v, s)
	}
}
