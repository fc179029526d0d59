package cpu

import (
	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// LayerNorm normalises each row of x while it is in the first-level cache; see tensor.LayerNormer.
func (b *Backend) LayerNorm(y, mean, rstd, x, gamma, beta *tensor.Tensor, eps float64) {
	if !f32(y, mean, rstd, x, gamma, beta) || x.Size() == 0 {
		b.ref.LayerNorm(y, mean, rstd, x, gamma, beta, eps)
		return
	}
	out, mu, rs, in, scale, shift := host(y), host(mean), host(rstd), host(x), host(gamma), host(beta)
	c := len(scale)
	if shift == nil {
		shift = b.pool.Borrow(c)
		defer b.pool.Return(shift)
		clear(shift)
	}
	b.split(len(mu), max(1, chunk/c), func(lo, hi int) {
		vec.LayerNorm(out[lo*c:hi*c], mu[lo:hi], rs[lo:hi], in[lo*c:hi*c], scale, shift, eps)
	})
}

// LayerNormGrad computes rstd·(g − avg(g) − x̂·avg(g·x̂)), g = gamma·dy, row by row; see
// tensor.LayerNormer.
func (b *Backend) LayerNormGrad(dx, dy, x, mean, rstd, gamma *tensor.Tensor) {
	if !f32(dx, dy, x, mean, rstd, gamma) || dx.Size() == 0 {
		b.ref.LayerNormGrad(dx, dy, x, mean, rstd, gamma)
		return
	}
	out, g, in, mu, rs, scale := host(dx), host(dy), host(x), host(mean), host(rstd), host(gamma)
	c := len(scale)
	b.split(len(mu), max(1, chunk/4/c), func(lo, hi int) {
		unit := b.pool.Borrow(c)
		defer b.pool.Return(unit)
		for r := lo; r < hi; r++ {
			row := out[r*c : (r+1)*c : (r+1)*c]
			vec.AddScalar(unit, in[r*c:(r+1)*c], -mu[r])
			vec.MulScalar(unit, unit, rs[r])
			vec.Mul(row, g[r*c:(r+1)*c], scale)
			avg, along := vec.Sum(row)/float64(c), vec.Dot(row, unit)/float64(c)
			vec.AddScalar(row, row, float32(-avg))
			vec.AXPBY(row, rs[r], row, -rs[r]*float32(along), unit)
		}
	})
}
