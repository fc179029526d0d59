package ref

import (
	"math"

	"afterimage/tensor"
)

// NormStats computes per channel (last axis) the mean, the biased variance and
// rstd = 1/√(variance + eps), in two passes: the variance is the mean of (x − mean)². With gamma,
// scale = gamma·rstd and shift = beta − scale·mean follow.
func (b *Backend) NormStats(mean, variance, rstd, scale, shift, x, gamma, beta *tensor.Tensor,
	eps float64) {
	b.moments(mean, variance, rstd, x, eps)
	if gamma != nil {
		b.Binary(tensor.Mul, scale, gamma, rstd)
		b.Binary(tensor.Mul, shift, scale, mean)
		b.Binary(tensor.Sub, shift, beta, shift)
	}
}

func (b *Backend) moments(mean, variance, rstd, x *tensor.Tensor, eps float64) {
	switch x.DType() {
	case tensor.F32:
		normStatsLoop[float32](mean, variance, rstd, x, eps)
	case tensor.F64:
		normStatsLoop[float64](mean, variance, rstd, x, eps)
	case tensor.BF16:
		b.inF32(func(f widening) { b.moments(mean, variance, rstd, f.in(x), eps) })
	default:
		panic(badDType("NormStats", mean, variance, rstd, x))
	}
}

func normStatsLoop[T tensor.Float](mean, variance, rstd, x *tensor.Tensor, eps float64) {
	xs, c := tensor.Host[T](x), x.Dim(-1)
	mu, sq, rs := make([]float64, c), make([]float64, c), make([]float64, c)
	if c == 0 {
		return
	}
	m := float64(len(xs) / c)
	for i, v := range xs {
		mu[i%c] += float64(v)
	}
	for ch := range mu {
		mu[ch] /= m
	}
	for i, v := range xs {
		d := float64(v) - mu[i%c]
		sq[i%c] += d * d
	}
	for ch := range sq {
		sq[ch] /= m
		rs[ch] = 1 / math.Sqrt(sq[ch]+eps)
	}
	store(mean, mu)
	store(variance, sq)
	store(rstd, rs)
}

// rowOf returns the function that maps a flat position of x to that of a per-channel tensor
// [C] or, with one row for each sample (first axis of x), [N C].
func rowOf(perChannel, x *tensor.Tensor) func(i int) int {
	c := x.Dim(-1)
	if perChannel.Rank() == 1 {
		return func(i int) int { return i % c }
	}
	each := x.Shape()[1:].Size()
	return func(i int) int { return i/each*c + i%c }
}

// NormApply computes y = act(x·scale + shift + res), act = ReLU if relu else identity.
func (b *Backend) NormApply(y, x, scale, shift, res *tensor.Tensor, relu bool) {
	switch y.DType() {
	case tensor.F32:
		normApplyLoop[float32](y, x, scale, shift, res, relu)
	case tensor.F64:
		normApplyLoop[float64](y, x, scale, shift, res, relu)
	case tensor.BF16:
		b.inF32(func(f widening) { b.NormApply(f.out(y), f.in(x), scale, shift, f.in(res), relu) })
	default:
		panic(badDType("NormApply", y, x, scale, shift))
	}
}

func normApplyLoop[T tensor.Float](y, x, scale, shift, res *tensor.Tensor, relu bool) {
	ys, a, b := tensor.Host[T](y), tensor.Host[T](scale), tensor.Host[T](shift)
	var rs []T
	if res != nil {
		rs = tensor.Host[T](res)
	}
	ai, bi := rowOf(scale, x), rowOf(shift, x)
	for i, v := range tensor.Host[T](x) {
		out := float64(v)*float64(a[ai(i)]) + float64(b[bi(i)])
		if res != nil {
			out += float64(rs[i])
		}
		if relu {
			out = max(out, 0)
		}
		ys[i] = T(out)
	}
}

// NormBackward computes the gradients of y = act(gamma·x̂ + beta + res), x̂ = (x−mean)·rstd, with
// mean and rstd functions of x. With g = dy, or dy·[y > 0] when y or shift is given, and averages
// over the m elements of a channel:
//
//	dres   = g
//	dbeta  = Σ g,  dgamma = Σ g·x̂        over what shares the element of gamma
//	dx     = rstd·(h − avg(h) − x̂·avg(h·x̂)),  h = g·gamma
//
// Source: Ioffe and Szegedy, "Batch normalization", 2015, section 3.
func (b *Backend) NormBackward(
	dx, dgamma, dbeta, dres, dy, x, y, shift, mean, rstd, gamma *tensor.Tensor,
) {
	switch dy.DType() {
	case tensor.F32:
		normBackwardLoop[float32](dx, dgamma, dbeta, dres, dy, x, y, shift, mean, rstd, gamma)
	case tensor.F64:
		normBackwardLoop[float64](dx, dgamma, dbeta, dres, dy, x, y, shift, mean, rstd, gamma)
	case tensor.BF16:
		b.inF32(func(f widening) {
			b.NormBackward(f.out(dx), dgamma, dbeta, f.out(dres), f.in(dy), f.in(x), f.in(y), shift,
				mean, rstd, gamma)
		})
	default:
		panic(badDType("NormBackward", dy, x, mean, rstd, gamma))
	}
}

func normBackwardLoop[T tensor.Float](
	dx, dgamma, dbeta, dres, dy, x, y, shift, mean, rstd, gamma *tensor.Tensor,
) {
	g, c := masked[T](dy, y), x.Dim(-1)
	mu, rs, gs := tensor.Host[T](mean), tensor.Host[T](rstd), tensor.Host[T](gamma)
	if shift != nil {
		sh := tensor.Host[T](shift)
		row := rowOf(shift, x)
		for i, v := range tensor.Host[T](x) {
			k := row(i)
			if !(T(float64(v)*float64(gs[k]*rs[k%c])+float64(sh[k])) > 0) {
				g[i] = 0
			}
		}
	}
	xhat := make([]float64, len(g))
	for i, v := range tensor.Host[T](x) {
		xhat[i] = (float64(v) - float64(mu[i%c])) * float64(rs[i%c])
	}
	row := rowOf(gamma, x)
	sumG, sumGX := make([]float64, len(gs)), make([]float64, len(gs))
	avgH, avgHX := make([]float64, c), make([]float64, c)
	for i, v := range g {
		k := row(i)
		sumG[k] += v
		sumGX[k] += v * xhat[i]
	}
	m := float64(len(g)) / float64(c)
	for k, v := range gs { // h and g differ by gamma, which the elements behind sumG[k] share
		avgH[k%c] += float64(v) * sumG[k] / m
		avgHX[k%c] += float64(v) * sumGX[k] / m
	}
	storeIf(dgamma, sumGX)
	storeIf(dbeta, sumG)
	storeIf(dres, g)
	if dx == nil {
		return
	}
	for i, v := range g {
		h := v * float64(gs[row(i)])
		xhat[i] = float64(rs[i%c]) * (h - avgH[i%c] - xhat[i]*avgHX[i%c])
	}
	store(dx, xhat)
}

// masked returns dy, zero where y, when given, is not positive.
func masked[T tensor.Float](dy, y *tensor.Tensor) []float64 {
	g := make([]float64, dy.Size())
	for i, v := range tensor.Host[T](dy) {
		g[i] = float64(v)
	}
	if y != nil {
		for i, v := range tensor.Host[T](y) {
			if !(v > 0) {
				g[i] = 0
			}
		}
	}
	return g
}

// storeIf stores unless the caller did not want the result.
func storeIf(dst *tensor.Tensor, v []float64) {
	if dst != nil {
		store(dst, v)
	}
}
