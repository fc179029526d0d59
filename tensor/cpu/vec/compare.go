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
