package vec

import "math"

// Fill sets dst[i] = v.
func Fill(dst []float32, v float32) { active.fill(dst, v) }

// Neg computes dst[i] = -x[i].
func Neg(dst, x []float32) { sameLen("Neg", len(dst), len(x)); active.neg(dst, x) }

// Abs computes dst[i] = |x[i]|.
func Abs(dst, x []float32) { sameLen("Abs", len(dst), len(x)); active.abs(dst, x) }

// Sqrt computes dst[i] = √x[i], correctly rounded; NaN below zero.
func Sqrt(dst, x []float32) { sameLen("Sqrt", len(dst), len(x)); active.sqrt(dst, x) }

// Rsqrt computes dst[i] = 1/√x[i] by a correctly rounded root and a correctly rounded division.
func Rsqrt(dst, x []float32) { sameLen("Rsqrt", len(dst), len(x)); active.rsqrt(dst, x) }

// Square computes dst[i] = x[i]².
func Square(dst, x []float32) { sameLen("Square", len(dst), len(x)); active.square(dst, x) }

// Recip computes dst[i] = 1/x[i], correctly rounded.
func Recip(dst, x []float32) { sameLen("Recip", len(dst), len(x)); active.recip(dst, x) }

// Exp computes dst[i] = e^x[i] within 1 ulp. Overflow gives +Inf, underflow passes through the
// subnormal numbers to 0.
func Exp(dst, x []float32) { sameLen("Exp", len(dst), len(x)); active.exp(dst, x) }

// Log computes dst[i] = ln x[i] within 1 ulp. Log(0) = -Inf, below zero NaN; subnormal
// arguments are exact numbers like any other.
func Log(dst, x []float32) { sameLen("Log", len(dst), len(x)); active.log(dst, x) }

// Tanh computes dst[i] = tanh x[i] within 2 ulp, odd in x to the last bit; it never falls where x
// grows.
func Tanh(dst, x []float32) { sameLen("Tanh", len(dst), len(x)); active.tanh(dst, x) }

// Erf computes dst[i] = erf x[i], the error function, within 1.25 ulp, odd in x to the last bit.
func Erf(dst, x []float32) { sameLen("Erf", len(dst), len(x)); active.erf(dst, x) }

// Sigmoid computes dst[i] = 1/(1+e^-x[i]) within 3 ulp wherever that is a normal number;
// below about -88 the assembly gives 0.
func Sigmoid(dst, x []float32) { sameLen("Sigmoid", len(dst), len(x)); active.sigmoid(dst, x) }

// SiLU computes dst[i] = x[i]·sigmoid(x[i]), to the bits of Sigmoid and Mul.
func SiLU(dst, x []float32) { sameLen("SiLU", len(dst), len(x)); active.silu(dst, x) }

// GELU computes dst[i] = x[i]·(erf(x[i]/√2)/2 + 1/2), to the bits of Affine, Erf, Affine and Mul.
func GELU(dst, x []float32) { sameLen("GELU", len(dst), len(x)); active.gelu(dst, x) }

// Softplus computes dst[i] = max(x[i],0) + ln(1+e^-|x[i]|), which is ln(1+e^x) without
// overflow, within 3 ulp.
func Softplus(dst, x []float32) { sameLen("Softplus", len(dst), len(x)); active.softplus(dst, x) }

// ReLU computes dst[i] = 0 where x[i] < 0 and x[i] elsewhere, so NaN stays NaN (PyTorch).
func ReLU(dst, x []float32) { sameLen("ReLU", len(dst), len(x)); active.relu(dst, x) }

// Step computes dst[i] = 1 where x[i] > 0 and 0 elsewhere (at 0 and at NaN too).
func Step(dst, x []float32) { sameLen("Step", len(dst), len(x)); active.step(dst, x) }

// Sign computes dst[i] = -1, 0 or 1 by the sign of x[i]; ±0 and NaN give 0, as in PyTorch.
func Sign(dst, x []float32) { sameLen("Sign", len(dst), len(x)); active.sign(dst, x) }

// LeakyReLU computes dst[i] = alpha·x[i] where x[i] < 0 and x[i] elsewhere.
func LeakyReLU(dst, x []float32, alpha float32) {
	sameLen("LeakyReLU", len(dst), len(x))
	active.leakyReLU(dst, x, alpha)
}

// Clamp computes dst[i] = min(max(x[i], lo), hi); NaN stays NaN. It assumes lo ≤ hi.
func Clamp(dst, x []float32, lo, hi float32) {
	sameLen("Clamp", len(dst), len(x))
	active.clamp(dst, x, lo, hi)
}

// Affine computes dst[i] = a·x[i] + b.
func Affine(dst, x []float32, a, b float32) {
	sameLen("Affine", len(dst), len(x))
	active.affine(dst, x, a, b)
}

// HardSwish computes dst[i] = x[i]·min(max(a·x[i] + b, 0), 1), to the bits of Affine, Clamp and
// Mul.
func HardSwish(dst, x []float32, a, b float32) {
	sameLen("HardSwish", len(dst), len(x))
	active.hardSwish(dst, x, a, b)
}

// InRange computes dst[i] = 1 where lo < x[i] < hi and 0 elsewhere: the derivative of Clamp.
func InRange(dst, x []float32, lo, hi float32) {
	sameLen("InRange", len(dst), len(x))
	active.inRange(dst, x, lo, hi)
}

func fillGo(dst []float32, v float32) {
	for i := range dst {
		dst[i] = v
	}
}

func negGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = -v
	}
}

func absGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = math.Float32frombits(math.Float32bits(v) &^ (1 << 31))
	}
}

func sqrtGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = float32(math.Sqrt(float64(v)))
	}
}

func rsqrtGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = 1 / float32(math.Sqrt(float64(v)))
	}
}

func squareGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = v * v
	}
}

func recipGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = 1 / v
	}
}

// The transcendental functions are evaluated in float64 and rounded once, which is as good as
// correctly rounded: the specification the vector variants are measured against.

func expGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = float32(math.Exp(float64(v)))
	}
}

func logGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = float32(math.Log(float64(v)))
	}
}

func tanhGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = float32(math.Tanh(float64(v)))
	}
}

func erfGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = float32(math.Erf(float64(v)))
	}
}

func sigmoidGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = float32(1 / (1 + math.Exp(-float64(v))))
	}
}

func siluGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = v * float32(1/(1+math.Exp(-float64(v))))
	}
}

func geluGo(dst, x []float32) {
	for i, v := range x {
		e := float32(math.Erf(float64(v*float32(1/math.Sqrt2) + 0)))
		dst[i] = v * (0.5*e + 0.5)
	}
}

func softplusGo(dst, x []float32) {
	for i, v := range x {
		u := float64(v)
		dst[i] = float32(math.Max(u, 0) + math.Log1p(math.Exp(-math.Abs(u))))
	}
}

func reluGo(dst, x []float32) {
	for i, v := range x {
		if v < 0 {
			v = 0
		}
		dst[i] = v
	}
}

func stepGo(dst, x []float32) {
	for i, v := range x {
		var s float32
		if v > 0 {
			s = 1
		}
		dst[i] = s
	}
}

func signGo(dst, x []float32) {
	for i, v := range x {
		var s float32
		if v > 0 {
			s = 1
		} else if v < 0 {
			s = -1
		}
		dst[i] = s
	}
}

func leakyReLUGo(dst, x []float32, alpha float32) {
	for i, v := range x {
		if v < 0 {
			v *= alpha
		}
		dst[i] = v
	}
}

func clampGo(dst, x []float32, lo, hi float32) {
	for i, v := range x {
		if v < lo {
			v = lo
		}
		if v > hi {
			v = hi
		}
		dst[i] = v
	}
}

func hardSwishGo(dst, x []float32, a, b float32) {
	for i, v := range x {
		gate := a*v + b
		if gate < 0 {
			gate = 0
		}
		if gate > 1 {
			gate = 1
		}
		dst[i] = v * gate
	}
}

func affineGo(dst, x []float32, a, b float32) {
	for i, v := range x {
		dst[i] = a*v + b
	}
}

func inRangeGo(dst, x []float32, lo, hi float32) {
	for i, v := range x {
		dst[i] = indicator(lo < v && v < hi)
	}
}
