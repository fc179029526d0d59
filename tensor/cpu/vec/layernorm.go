package vec

import "math"

// LayerNorm computes dst[r,c] = (x[r,c] - mean[r])·rstd[r]·gamma[c] + beta[c] with each row's mean
// and rstd[r] = 1/√(variance + eps), variance biased, which it writes as well. The sums are made as
// Sum and Dot make theirs; the squares are of x[r,c] - mean[r], so that nothing cancels.
func LayerNorm(dst, mean, rstd, x, gamma, beta []float32, eps float64) {
	sameLen("LayerNorm", len(dst), len(x))
	sameLen("LayerNorm", len(gamma), len(beta))
	wholeRows("LayerNorm", len(x), len(gamma))
	sameLen("LayerNorm", len(x)/max(len(gamma), 1), len(mean), len(rstd))
	active.layerNorm(dst, mean, rstd, x, gamma, beta, eps)
}

// layerNormFunc is LayerNorm.
type layerNormFunc = func(dst, mean, rstd, x, gamma, beta []float32, eps float64)

func layerNormGo(dst, mean, rstd, x, gamma, beta []float32, eps float64) {
	n := len(gamma)
	for r := range mean {
		y, row := dst[r*n:(r+1)*n], x[r*n:(r+1)*n]
		mean[r] = float32(sumGo(row) / float64(n))
		for c, v := range row {
			y[c] = v - mean[r]
		}
		rstd[r] = float32(1 / math.Sqrt(dotGo(y, y)/float64(n)+eps))
		for c, s := range gamma {
			y[c] = float32(y[c]*rstd[r]*s) + beta[c]
		}
	}
}
