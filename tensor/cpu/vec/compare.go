package vec

// Greater computes dst[i] = 1 where x[i] > y[i] and 0 elsewhere, NaN included.
func Greater(dst, x, y []float32) {
	sameLen("Greater", len(dst), len(x), len(y))
	active.greater(dst, x, y)
}

// Equal computes dst[i] = 1 where x[i] = y[i] and 0 elsewhere, NaN included.
func Equal(dst, x, y []float32) {
	sameLen("Equal", len(dst), len(x), len(y))
	active.equal(dst, x, y)
}

// GreaterScalar computes dst[i] = 1 where x[i] > s and 0 elsewhere.
func GreaterScalar(dst, x []float32, s float32) {
	sameLen("GreaterScalar", len(dst), len(x))
	active.greaterScalar(dst, x, s)
}

// EqualScalar computes dst[i] = 1 where x[i] = s and 0 elsewhere.
func EqualScalar(dst, x []float32, s float32) {
	sameLen("EqualScalar", len(dst), len(x))
	active.equalScalar(dst, x, s)
}

// Select computes dst[i] = x[i] where cond[i] ≠ 0 (a NaN is not 0) and y[i] elsewhere.
func Select(dst, cond, x, y []float32) {
	sameLen("Select", len(dst), len(cond), len(x), len(y))
	active.selectOf(dst, cond, x, y)
}

// MaxIndex takes x into a running maximum: where x[i] > best[i], or where x[i] is NaN and best[i]
// is not, it sets best[i] = x[i] and idx[i] = at. One call for each position of a window after the
// first, whose values best and idx begin with, is max pooling: the first maximum wins, NaN wins.
// No two operands may overlap.
func MaxIndex(best []float32, idx []int32, x []float32, at int32) {
	sameLen("MaxIndex", len(best), len(idx), len(x))
	active.maxIndex(best, idx, x, at)
}

func indicator(b bool) float32 {
	if b {
		return 1
	}
	return 0
}

func greaterGo(dst, x, y []float32) {
	for i, v := range x {
		dst[i] = indicator(v > y[i])
	}
}

func equalGo(dst, x, y []float32) {
	for i, v := range x {
		dst[i] = indicator(v == y[i])
	}
}

func greaterScalarGo(dst, x []float32, s float32) {
	for i, v := range x {
		dst[i] = indicator(v > s)
	}
}

func equalScalarGo(dst, x []float32, s float32) {
	for i, v := range x {
		dst[i] = indicator(v == s)
	}
}

func selectGo(dst, cond, x, y []float32) {
	for i, c := range cond {
		if c != 0 {
			dst[i] = x[i]
		} else {
			dst[i] = y[i]
		}
	}
}

func maxIndexGo(best []float32, idx []int32, x []float32, at int32) {
	for i, v := range x {
		if b := best[i]; v > b || v != v && b == b {
			best[i], idx[i] = v, at
		}
	}
}
