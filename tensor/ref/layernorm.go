package ref

import (
	"math"

	"afterimage/tensor"
)

// LayerNorm normalises each row of x; see tensor.LayerNormer.
func (b *Backend) LayerNorm(y, mean, rstd, x, gamma, beta *tensor.Tensor, eps float64) {
	xs, scale, shift := x.Floats(), gamma.Floats(), make([]float64, gamma.Size())
	if beta != nil {
		shift = beta.Floats()
	}
	c, out := gamma.Size(), make([]float64, len(xs))
	mu, rs := make([]float64, mean.Size()), make([]float64, mean.Size())
	for r := range mu {
		row := xs[r*c : (r+1)*c]
		sum, squares := 0.0, 0.0
		for _, v := range row {
			sum += v
		}
		mu[r] = sum / float64(c)
		for _, v := range row {
			squares += (v - mu[r]) * (v - mu[r])
		}
		rs[r] = 1 / math.Sqrt(squares/float64(c)+eps)
		for i, v := range row {
			out[r*c+i] = (v-mu[r])*rs[r]*scale[i] + shift[i]
		}
	}
	store(y, out)
	store(mean, mu)
	store(rstd, rs)
}

// LayerNormGrad computes rstd·(g − avg(g) − x̂·avg(g·x̂)), g = gamma·dy, row by row; see
// tensor.LayerNormer. Source: Ba, Kiros and Hinton, "Layer normalization", 2016; the formula is
// batch normalisation's (NormBackward) with rows for channels.
func (b *Backend) LayerNormGrad(dx, dy, x, mean, rstd, gamma *tensor.Tensor) {
	g, xs, mu, rs, scale := dy.Floats(), x.Floats(), mean.Floats(), rstd.Floats(), gamma.Floats()
	c, out := len(scale), make([]float64, len(xs))
	for r := range mu {
		sum, along := 0.0, 0.0
		for i, s := range scale {
			h := g[r*c+i] * s
			sum += h
			along += h * (xs[r*c+i] - mu[r]) * rs[r]
		}
		sum, along = sum/float64(c), along/float64(c)
		for i, s := range scale {
			unit := (xs[r*c+i] - mu[r]) * rs[r]
			out[r*c+i] = rs[r] * (g[r*c+i]*s - sum - unit*along)
		}
	}
	store(dx, out)
}
