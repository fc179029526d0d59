package vec

import "math"

// ColSum accumulates acc[c] += Σ_r x[r,c], for x [rows, C] with C = len(acc): the gradient of a
// bias, and the mean. The Go variant adds rows in order in float64; the assembly adds 16
// rows in float32 before it adds the result to acc.
func ColSum(acc []float64, x []float32) {
	wholeRows("ColSum", len(x), len(acc))
	active.colSum(acc, x)
}

// ColSumWeighted accumulates acc[c] += Σ_r weight[r]·x[r,c], for x [rows, C] with C = len(acc) and
// a weight for each row: a row vector times a matrix. It adds as ColSum does.
func ColSumWeighted(acc []float64, x, weight []float32) {
	wholeRows("ColSumWeighted", len(x), len(acc))
	sameLen("ColSumWeighted", len(x), len(weight)*len(acc))
	active.colSumWeighted(acc, x, weight)
}

// ColMoments accumulates, per channel of x [rows, C],
//
//	sum[c]   += Σ_r (x[r,c] - shift[c])
//	sumSq[c] += Σ_r (x[r,c] - shift[c])²
//
// from which BNStats makes mean and variance. A shift near the mean (the first row of the tensor
// does) keeps the variance free of cancellation; all chunks of one tensor must use the same shift.
func ColMoments(sum, sumSq []float64, x, shift []float32) {
	sameLen("ColMoments", len(sum), len(sumSq), len(shift))
	wholeRows("ColMoments", len(x), len(sum))
	active.colMoments(sum, sumSq, x, shift)
}

// BNStats turns ColMoments' sums over n rows into mean[c] = shift[c] + sum[c]/n and the biased
// variance[c] = sumSq[c]/n - (sum[c]/n)², never negative. For n = 0 both are NaN.
func BNStats(mean, variance []float32, sum, sumSq []float64, shift []float32, n int) {
	sameLen("BNStats", len(mean), len(variance), len(sum), len(sumSq), len(shift))
	for c := range mean {
		m := sum[c] / float64(n)
		mean[c] = float32(float64(shift[c]) + m)
		v := sumSq[c]/float64(n) - m*m
		if v < 0 {
			v = 0
		}
		variance[c] = float32(v)
	}
}

// ColDot2 accumulates the two sums of batch norm's backward pass, per channel of dy, x [rows, C]:
//
//	sumDy[c]     += Σ_r dy[r,c]
//	sumDyXhat[c] += Σ_r dy[r,c]·xhat[r,c],  xhat = (x[r,c] - mean[c])·rstd[c]
//
// They are the gradients of beta and gamma.
func ColDot2(sumDy, sumDyXhat []float64, dy, x, mean, rstd []float32) {
	sameLen("ColDot2", len(sumDy), len(sumDyXhat), len(mean), len(rstd))
	sameLen("ColDot2", len(dy), len(x))
	wholeRows("ColDot2", len(x), len(sumDy))
	active.colDot2(sumDy, sumDyXhat, dy, x, mean, rstd)
}

// ColDot2ReLU is ColDot2 with dy taken as 0 where ScaleShiftReLU(x) is, that is, but for where
// x[r,c]·scale[c] + shift[c] > 0, with the same rounding.
func ColDot2ReLU(sumDy, sumDyXhat []float64, dy, x, mean, scale, shift, rstd []float32) {
	const op = "ColDot2ReLU"
	sameLen(op, len(sumDy), len(sumDyXhat), len(mean), len(scale), len(shift), len(rstd))
	sameLen(op, len(dy), len(x))
	wholeRows(op, len(x), len(sumDy))
	active.colDot2ReLU(sumDy, sumDyXhat, dy, x, mean, scale, shift, rstd)
}

// Rstd computes rstd[c] = 1/√(variance[c] + eps), evaluated in float64 and rounded once.
func Rstd(rstd, variance []float32, eps float64) {
	sameLen("Rstd", len(rstd), len(variance))
	for c, v := range variance {
		rstd[c] = float32(1 / math.Sqrt(float64(v)+eps))
	}
}

func colSumGo(acc []float64, x []float32) {
	for n := len(acc); len(x) > 0; x = x[n:] {
		for c, v := range x[:n] {
			acc[c] += float64(v)
		}
	}
}

func colSumWeightedGo(acc []float64, x, weight []float32) {
	for r, w := range weight {
		for c, v := range x[r*len(acc):][:len(acc)] {
			acc[c] += float64(w * v)
		}
	}
}

func colMomentsGo(sum, sumSq []float64, x, shift []float32) {
	for n := len(sum); len(x) > 0; x = x[n:] {
		for c, v := range x[:n] {
			u := float64(v) - float64(shift[c])
			sum[c] += u
			sumSq[c] += u * u
		}
	}
}

func colDot2Go(s, t []float64, dy, x, mean, rstd []float32) {
	for n := len(s); len(x) > 0; dy, x = dy[n:], x[n:] {
		for c, g := range dy[:n] {
			xhat := (float64(x[c]) - float64(mean[c])) * float64(rstd[c])
			s[c] += float64(g)
			t[c] += float64(g) * xhat
		}
	}
}

func colDot2ReLUGo(s, t []float64, dy, x, mean, scale, shift, rstd []float32) {
	for n := len(s); len(x) > 0; dy, x = dy[n:], x[n:] {
		for c, g := range dy[:n] {
			if scaled(x[c], scale[c], shift[c]) > 0 {
				xhat := (float64(x[c]) - float64(mean[c])) * float64(rstd[c])
				s[c] += float64(g)
				t[c] += float64(g) * xhat
			}
		}
	}
}
