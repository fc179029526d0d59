package metrics

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Argmax returns the index of the largest value of each row of logits [n, k]; the first maximum
// wins.
func Argmax(logits *mat.Dense) []int32 {
	n, _ := logits.Dims()
	out := make([]int32, n)
	for i := range out {
		row := logits.RawRowView(i)
		for j, v := range row {
			if v > row[out[i]] {
				out[i] = int32(j)
			}
		}
	}
	return out
}

// Agreement returns, per image, 1 if the classifier gives the reconstruction the class it gave
// the original, argmax f(x′) = argmax f(x), else 0. Shapes [n, k] must agree; else it panics.
func Agreement(recon, orig *mat.Dense) []float64 {
	sameDims("metrics.Agreement", recon, orig)
	a, b := Argmax(recon), Argmax(orig)
	out := make([]float64, len(a))
	for i := range out {
		if a[i] == b[i] {
			out[i] = 1
		}
	}
	return out
}

// LogitDistance returns, per image, ‖f(x′) − f(x)‖ / ‖f(x)‖ in the Euclidean norm; 0 is perfect.
// An all-zero f(x) gives NaN if f(x′) is zero too, else +Inf.
// Shapes [n, k] must agree; else it panics.
func LogitDistance(recon, orig *mat.Dense) []float64 {
	n, k := sameDims("metrics.LogitDistance", recon, orig)
	out := make([]float64, n)
	zero := make([]float64, k)
	for i := range out {
		x := orig.RawRowView(i)
		out[i] = math.Sqrt(squaredDistance(recon.RawRowView(i), x) / squaredDistance(x, zero))
	}
	return out
}
