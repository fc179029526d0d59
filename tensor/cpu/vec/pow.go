package vec

import "math"

// Pow computes dst[i] = x[i]^a by the conventions of math.Pow, x^0 = 1 for NaN as well, within 1
// ulp but for a = 3, -1/2 and -2, which round twice. Those and 1, 2, 1/2 and -1, of which networks
// are made, have loops of their own. Others are e^(a·ln x) in float64, whose error does not show in
// a float32, and math.Pow itself where x is no positive finite number. dst may be x.
func Pow(dst, x []float32, a float64) {
	sameLen("Pow", len(dst), len(x))
	switch a {
	case 0:
		active.fill(dst, 1)
	case 1:
		copy(dst, x)
	case 2:
		active.square(dst, x)
	case 3:
		cube(dst, x)
	case 0.5:
		root(dst, x)
	case -0.5:
		root(dst, x)
		active.recip(dst, dst)
	case -1:
		active.recip(dst, x)
	case -2:
		active.square(dst, x)
		active.recip(dst, dst)
	default:
		power(dst, x, a)
	}
}

func cube(dst, x []float32) {
	for i, v := range x {
		dst[i] = v * v * v
	}
}

// root is √x but for x^(1/2) = +Inf at -Inf and +0 at -0.
func root(dst, x []float32) {
	for i, v := range x {
		if v < -math.MaxFloat32 {
			v = -v
		}
		dst[i] = float32(math.Sqrt(float64(v + 0)))
	}
}

func power(dst, x []float32, a float64) {
	finite := !math.IsInf(a, 0) && !math.IsNaN(a)
	for i, v := range x {
		if finite && v > 0 && v <= math.MaxFloat32 {
			dst[i] = float32(math.Exp(a * math.Log(float64(v))))
		} else {
			dst[i] = float32(math.Pow(float64(v), a))
		}
	}
}
