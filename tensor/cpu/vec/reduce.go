package vec

import "math"

// Sum returns Σ x[i]. The Go variant adds in float64 in index order; the assembly adds at
// most 16 values per lane in float32 before it moves the lane into float64.
func Sum(x []float32) float64 { return active.sum(x) }

// Dot returns Σ x[i]·y[i]. The Go variant rounds each product to float32 and adds in float64; the
// assembly adds at most 16 products per lane in float32 before it moves the lane into float64.
func Dot(x, y []float32) float64 {
	sameLen("Dot", len(x), len(y))
	return active.dot(x, y)
}

// AddDoubles computes acc[i] += x[i]: how the sums of chunks are put together.
func AddDoubles(acc, x []float64) {
	sameLen("AddDoubles", len(acc), len(x))
	active.addDoubles(acc, x)
}

// ArgMax returns the index of the largest x[i]: the first one if several are equal, the first
// NaN if there is one (PyTorch), -1 for an empty x.
func ArgMax(x []float32) int { return active.argMax(x) }

func sumGo(x []float32) float64 {
	var s float64
	for _, v := range x {
		s += float64(v)
	}
	return s
}

func dotGo(x, y []float32) float64 {
	var s float64
	for i, v := range x {
		s += float64(v * y[i])
	}
	return s
}

func addDoublesGo(acc, x []float64) {
	for i, v := range x {
		acc[i] += v
	}
}

// maxOfGo returns the largest x[i]: NaN if any is NaN, -Inf for an empty x.
func maxOfGo(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		if v > m || v != v {
			m = v
		}
		if m != m {
			return m
		}
	}
	return m
}

func argMaxGo(x []float32) int {
	if len(x) == 0 {
		return -1
	}
	at, m := 0, x[0]
	for i, v := range x {
		if m != m {
			return at
		}
		if v > m || v != v {
			at, m = i, v
		}
	}
	return at
}
