package cpu

import (
	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// NormStats computes batch statistics per channel; see tensor.Backend. One pass over x: sums of
// differences from the first row, which keeps the variance free of cancellation.
func (b *Backend) NormStats(mean, variance, rstd, scale, shift, x, gamma, beta *tensor.Tensor,
	eps float64) {
	if !f32(mean, x) || x.Size() == 0 {
		b.ref.NormStats(mean, variance, rstd, scale, shift, x, gamma, beta, eps)
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
	if gamma != nil {
		b.foldNorm(host(scale), host(shift), host(gamma), host(beta), host(mean), host(rstd))
	}
}

// foldNorm computes scale = gamma·rstd and shift = beta − scale·mean, row by row.
func (b *Backend) foldNorm(scale, shift, gamma, beta, mean, rstd []float32) {
	c := len(mean)
	b.split(len(gamma)/c, max(1, chunk/c), func(lo, hi int) {
		for at := lo * c; at < hi*c; at += c {
			a, s := scale[at:at+c], shift[at:at+c]
			vec.Mul(a, gamma[at:at+c], rstd)
			vec.Mul(s, a, mean)
			vec.Sub(s, beta[at:at+c], s)
		}
	})
}

// NormApply computes y = act(x·scale + shift + res); see tensor.Backend.
func (b *Backend) NormApply(y, x, scale, shift, res *tensor.Tensor, relu bool) {
	if !f32(y, x, scale, shift, res) || x.Size() == 0 {
		b.ref.NormApply(y, x, scale, shift, res, relu)
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
// which is a[n]·g + b·(x − mean) + d with a = gamma·rstd, b = −rstd²·S2/m, d = −rstd·S1/m. A ReLU
// without a residual was positive where x·a + shift is, and its mask costs no memory traffic.
func (b *Backend) NormBackward(
	dx, dgamma, dbeta, dres, dy, x, y, shift, mean, rstd, gamma *tensor.Tensor,
) {
	masked := dres // by y, and read twice instead of dy and y
	if masked == nil {
		masked = dx
	}
	if !f32(dy, x, y, shift, gamma) || x.Size() == 0 || y != nil && masked == nil {
		b.ref.NormBackward(dx, dgamma, dbeta, dres, dy, x, y, shift, mean, rstd, gamma)
		return
	}
	if y != nil {
		b.Binary(tensor.ReLUMask, masked, dy, y)
		dy = masked
	} else if dres != nil {
		b.Cast(dres, dy) // now: dx may be dy
	}
	g, s, c := host(dy), host(x), x.Dim(-1)
	k := b.newNormCoefficients(x, shift, mean, rstd, gamma)
	p := b.columns(k.outer, len(s)/c/k.outer, c, 2, func(acc []float64, lo, hi int) {
		if shift == nil {
			vec.ColDot2(acc[:c], acc[c:], g[lo:hi], s[lo:hi], k.mean, k.rstd)
			return
		}
		row := k.row(lo)
		vec.ColDot2ReLU(acc[:c], acc[c:], g[lo:hi], s[lo:hi], k.mean, k.a[row:row+c],
			k.shift[row:row+c], k.rstd)
	})
	for n := range k.outer {
		s1, s2 := p.sums[2*n*c:(2*n+1)*c], p.sums[(2*n+1)*c:(2*n+2)*c]
		store(dbeta, n*c, s1)
		store(dgamma, n*c, s2)
	}
	if dx != nil {
		k.reduce(p.sums, host(gamma))
		b.normInput(host(dx), g, s, k, x, gamma)
	}
	p.done()
	b.pool.Return(k.scratch)
}

// normCoefficients are the numbers of a channel in NormBackward.
type normCoefficients struct {
	c, outer, each       int       // channels, rows of gamma, elements of x for each
	mean, rstd, shift, a []float32 // shift and a [outer C]; shift nil without a mask
	b, d                 []float32
	scratch              []float32
}

// newNormCoefficients returns them but for b and d, which need the sums.
func (b *Backend) newNormCoefficients(
	x, shift, mean, rstd, gamma *tensor.Tensor,
) *normCoefficients {
	c, ga := x.Dim(-1), host(gamma)
	k := &normCoefficients{c: c, outer: len(ga) / c, mean: host(mean), rstd: host(rstd),
		shift: host(shift)}
	k.each = x.Size() / k.outer
	k.scratch = b.pool.Borrow(len(ga) + 2*c)
	k.a, k.b, k.d = k.scratch[:len(ga)], k.scratch[len(ga):len(ga)+c], k.scratch[len(ga)+c:]
	for at := 0; at < len(ga); at += c { // to the bit what NormApply was given as its scale
		vec.Mul(k.a[at:at+c], ga[at:at+c], k.rstd)
	}
	return k
}

// row is where the coefficients of element i's row of gamma begin.
func (k *normCoefficients) row(i int) int { return i / k.each * k.c }

// reduce makes b and d of NormBackward's sums, and S1 and S2 of the first row's.
func (k *normCoefficients) reduce(sums []float64, gamma []float32) {
	c, m := k.c, float64(k.each/k.c*k.outer)
	S1, S2 := sums[:c], sums[c:2*c]
	for i, w := range gamma[:c] {
		S1[i], S2[i] = 0+float64(w)*S1[i], 0+float64(w)*S2[i] // never -0, as a sum from 0 on
	}
	for n := 1; n < k.outer; n++ {
		s1, s2 := sums[2*n*c:][:c], sums[(2*n+1)*c:][:c]
		for i, w := range gamma[n*c:][:c] {
			S1[i] += float64(w) * s1[i]
			S2[i] += float64(w) * s2[i]
		}
	}
	for i, x := range k.rstd {
		r := float64(x)
		k.b[i], k.d[i] = float32(-r*r*S2[i]/m), float32(-r*S1[i]/m)
	}
}

// normInput is the dx part of NormBackward.
func (b *Backend) normInput(
	dx, g, s []float32, k *normCoefficients, x, gamma *tensor.Tensor,
) {
	b.samples(x, gamma, func(n, lo, hi int) {
		from, to := n*k.c, (n+1)*k.c
		if k.shift == nil {
			vec.BNBackward(dx[lo:hi], g[lo:hi], s[lo:hi], k.mean, k.a[from:to], k.b, k.d)
		} else {
			vec.BNBackwardReLU(dx[lo:hi], g[lo:hi], s[lo:hi], k.mean, k.a[from:to], k.b, k.d,
				k.shift[from:to])
		}
	})
}

// store rounds v into t from element at on; t may be nil.
func store(t *tensor.Tensor, at int, v []float64) {
	if t == nil {
		return
	}
	to := host(t)[at:][:len(v)]
	for i, x := range v {
		to[i] = float32(x)
	}
}
