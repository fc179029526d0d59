package cpu

import (
	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// NormStats computes batch statistics per channel; see tensor.Backend. One pass over x: sums of
// differences from the first row, which keeps the variance free of cancellation.
func (b *Backend) NormStats(mean, variance, rstd, x *tensor.Tensor, eps float64) {
	if !f32(mean, x) || x.Size() == 0 {
		b.Backend.NormStats(mean, variance, rstd, x, eps)
		return
	}
	s, c := host(x), x.Dim(-1)
	m := len(s) / c
	p := b.columns(1, m, c, 2, func(acc []float64, lo, hi int) {
		vec.ColMoments(acc[:c], acc[c:], s[lo:hi], s[:c])
	})
	vec.BNStats(host(mean), host(variance), p.sums[:c], p.sums[c:], s[:c], m)
	p.done()
	vec.Rstd(host(rstd), host(variance), eps)
}

// NormApply computes y = act(x·scale + shift + res); see tensor.Backend.
func (b *Backend) NormApply(y, x, scale, shift, res *tensor.Tensor, relu bool) {
	if !f32(y, x, scale, shift, res) || x.Size() == 0 {
		b.Backend.NormApply(y, x, scale, shift, res, relu)
		return
	}
	d, s, r, sc, sh := host(y), host(x), host(res), host(scale), host(shift)
	c := x.Dim(-1)
	b.samples(x, scale, func(n, lo, hi int) {
		sc, sh := sc[n*c:(n+1)*c], sh[n*c:(n+1)*c]
		switch {
		case r == nil && relu:
			vec.ScaleShiftReLU(d[lo:hi], s[lo:hi], sc, sh)
		case r == nil:
			vec.ScaleShift(d[lo:hi], s[lo:hi], sc, sh)
		case relu:
			vec.ScaleShiftAddReLU(d[lo:hi], s[lo:hi], r[lo:hi], sc, sh)
		default:
			vec.ScaleShiftAdd(d[lo:hi], s[lo:hi], r[lo:hi], sc, sh)
		}
	})
}

// samples calls f on ranges of whole rows of x that share row n of a [C] (n = 0 throughout) or
// [N C] coefficient.
func (b *Backend) samples(x, coef *tensor.Tensor, f func(n, lo, hi int)) {
	c := x.Dim(-1)
	outer, rows := 1, x.Size()/c
	if coef.Rank() == 2 {
		outer, rows = x.Dim(0), rows/x.Dim(0)
	}
	grain := max(1, chunk/c)
	per := (rows + grain - 1) / grain
	b.pool.Run(outer*per, func(i int) {
		n, t := i/per, i%per
		f(n, (n*rows+t*grain)*c, (n*rows+min((t+1)*grain, rows))*c)
	})
}

// NormBackward computes the gradients of batch normalisation; see tensor.Backend.
//
// With g the (masked) cotangent and, for each row n of gamma (one row for [C]),
// s1[n] = Σ g, s2[n] = Σ g·xhat over that row's pixels: dbeta = s1, dgamma = s2, and with
// S1 = Σₙ gamma[n]·s1[n], S2 = Σₙ gamma[n]·s2[n] over all m pixels
//
//	dx = rstd·(gamma[n]·g − S1/m − xhat·S2/m)
//
// which is a[n]·g + b·(x − mean) + d with a = gamma·rstd, b = −rstd²·S2/m, d = −rstd·S1/m.
func (b *Backend) NormBackward(
	dx, dgamma, dbeta, dres, dy, x, y, mean, rstd, gamma *tensor.Tensor,
) {
	if !f32(dy, x, y, gamma) || x.Size() == 0 {
		b.Backend.NormBackward(dx, dgamma, dbeta, dres, dy, x, y, mean, rstd, gamma)
		return
	}
	if dres != nil && y != nil {
		// The masked cotangent is wanted by itself: what follows reads it instead of dy and y.
		b.Binary(tensor.ReLUMask, dres, dy, y)
		dy, y = dres, nil
	}
	g, s, out, c := host(dy), host(x), host(y), x.Dim(-1)
	mu, rs, ga := host(mean), host(rstd), host(gamma)
	m, outer := len(s)/c, len(ga)/c
	p := b.columns(outer, m/outer, c, 2, func(acc []float64, lo, hi int) {
		if out == nil {
			vec.ColDot2(acc[:c], acc[c:], g[lo:hi], s[lo:hi], mu, rs)
		} else {
			vec.ColDot2ReLU(acc[:c], acc[c:], g[lo:hi], s[lo:hi], out[lo:hi], mu, rs)
		}
	})
	for n := range outer {
		s1, s2 := p.sums[2*n*c:(2*n+1)*c], p.sums[(2*n+1)*c:(2*n+2)*c]
		store(dbeta, n*c, s1)
		store(dgamma, n*c, s2)
	}
	if dx != nil {
		b.normInput(host(dx), g, s, out, p.sums, mu, rs, x, gamma)
	}
	p.done()
	if dres != nil && dres != dy {
		b.Cast(dres, dy)
	}
}

// normInput is the dx part of NormBackward.
func (b *Backend) normInput(
	dx, g, s, out []float32, sums []float64, mu, rs []float32, x, gamma *tensor.Tensor,
) {
	c, ga := x.Dim(-1), host(gamma)
	m, outer := float64(len(s)/c), len(ga)/c
	scratch := b.pool.Borrow((outer + 2) * c)
	a, bb, d := scratch[:outer*c], scratch[outer*c:(outer+1)*c], scratch[(outer+1)*c:]
	for k := range c {
		S1, S2 := 0.0, 0.0
		for n := range outer {
			w := float64(ga[n*c+k])
			S1 += w * sums[2*n*c+k]
			S2 += w * sums[(2*n+1)*c+k]
			a[n*c+k] = float32(w * float64(rs[k]))
		}
		r := float64(rs[k])
		bb[k], d[k] = float32(-r*r*S2/m), float32(-r*S1/m)
	}
	b.samples(x, gamma, func(n, lo, hi int) {
		a := a[n*c : (n+1)*c]
		if out == nil {
			vec.BNBackward(dx[lo:hi], g[lo:hi], s[lo:hi], mu, a, bb, d)
		} else {
			vec.BNBackwardReLU(dx[lo:hi], g[lo:hi], s[lo:hi], out[lo:hi], mu, a, bb, d)
		}
	})
	b.pool.Return(scratch)
}

// store rounds v into t from element at on; t may be nil.
func store(t *tensor.Tensor, at int, v []float64) {
	if t == nil {
		return
	}
	for i, x := range v {
		host(t)[at+i] = float32(x)
	}
}
