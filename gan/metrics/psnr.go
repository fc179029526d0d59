package metrics

import "math"

// MSE returns, per image, the mean squared error between a and b over all H·W·C values, in units
// of [0, 1] whatever the ranges of the batches. Shapes [N H W C] must agree; else it panics.
func MSE(a, b Images) []float64 {
	sameShape("metrics.MSE", a, b)
	n := a.Size()
	x, y := make([]float64, n), make([]float64, n)
	out := make([]float64, a.N)
	for i := range out {
		a.unit(i, x)
		b.unit(i, y)
		sum := 0.0
		for j := range x {
			d := x[j] - y[j]
			sum += d * d
		}
		out[i] = sum / float64(n)
	}
	return out
}

// PSNR returns, per image, the peak signal-to-noise ratio in dB, 10·log10(R²/MSE), where the
// peak R is the width of the range; pixels are not quantised to 8 bits first. Equal images give
// +Inf. A reported PSNR is the mean of these, not the PSNR of the mean error.
// Shapes [N H W C] must agree; else it panics.
func PSNR(a, b Images) []float64 {
	out := MSE(a, b)
	for i, e := range out {
		out[i] = -10 * math.Log10(e) // units of [0, 1]: R = 1
	}
	return out
}
