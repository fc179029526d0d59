package backendtest

import (
	"fmt"
	"math"

	"afterimage/tensor"
)

// layerNormFamily tests the kernels of a tensor.LayerNormer: no row, one, widths around vectors of
// 8 and 16, a transformer's, and a mean that is large beside the deviation.
func layerNormFamily(f *family) {
	if _, ok := f.s.one.Backend.(tensor.LayerNormer); !ok {
		return
	}
	for _, s := range [][]int{{0, 5}, {3, 2}, {1, 7}, {2, 5, 17}, {33}, {3, 7, 96}, {300, 64},
		{5, 768}, {2, 20011}} {
		for _, mean := range []float64{0, 100} {
			f.check(fmt.Sprintf("%v mean=%v", s, mean), func(e *env) {
				layerNormCase(e, s, normal(mean, 1.5))
			})
		}
	}
	f.check("nan", func(e *env) {
		layerNormCase(e, []int{4, 20}, spiked(normal(0, 1), 30, math.NaN()))
	})
}

// layerNormCase bounds errors as normStatsCase does: rounding x − mean costs ε·|mean| at worst. The
// gradient is asked for the statistics that the kernel gave.
func layerNormCase(e *env, s []int, g gen) {
	const eps = 1e-5
	b, c := e.Backend.(tensor.LayerNormer), s[len(s)-1]
	x, dy := e.in(g, s...), e.in(normal(0.5, 1), s...)
	gamma, beta := e.inChannels(normal(1, 0.5), c), e.inChannels(normal(0, 1), c)
	mean, rstd := e.outChannels(s[:len(s)-1]...), e.outChannels(s[:len(s)-1]...)
	y, plain, dx := e.out(s...), e.out(s...), e.out(s...)
	b.LayerNorm(plain, mean, rstd, x, gamma, nil, eps)
	b.LayerNorm(y, mean, rstd, x, gamma, beta, eps)
	b.LayerNormGrad(dx, dy, x, mean, rstd, gamma)
	mu, r, scale, shift := mean.Floats(), rstd.Floats(), gamma.Floats(), beta.Floats()
	far := func(i int) float64 { return 1 + math.Abs(mu[i])*r[i] } // of a unit's error, from x − mean
	e.want("mean", mean, tolerance{k: kSum, mag: func() []float64 {
		return eachOf(mu, func(i int) float64 { return math.Abs(mu[i]) + 1/r[i] })
	}})
	e.want("rstd", rstd, tolerance{k: kSum, mag: func() []float64 {
		return eachOf(mu, func(i int) float64 { return r[i] * far(i) })
	}})
	sizes := func(beta []float64) func() []float64 {
		return func() []float64 {
			xs := x.Floats()
			return eachOf(xs, func(i int) float64 {
				unit := math.Abs(xs[i]-mu[i/c]) * r[i/c]
				return math.Abs(scale[i%c])*(unit+1)*far(i/c) + math.Abs(beta[i%c])
			})
		}
	}
	e.want("y", y, tolerance{k: kSum, mag: sizes(shift)})
	e.want("y without beta", plain, tolerance{k: kSum, mag: sizes(make([]float64, c))})
	e.want("dx", dx, tolerance{k: kSum, mag: func() []float64 {
		return layerNormMagnitude(x.Floats(), dy.Floats(), mu, r, scale)
	}})
}

// layerNormMagnitude adds up the sizes of dx's terms.
func layerNormMagnitude(x, dy, mean, rstd, gamma []float64) []float64 {
	c, m := len(gamma), make([]float64, len(x))
	for r := range mean {
		far, sum, along := 1+math.Abs(mean[r])*rstd[r], 0.0, 0.0
		for i, s := range gamma {
			h, unit := math.Abs(dy[r*c+i]*s), math.Abs(x[r*c+i]-mean[r])*rstd[r]
			sum, along = sum+h/float64(c), along+h*(unit+far)/float64(c)
		}
		for i, s := range gamma {
			unit := math.Abs(x[r*c+i]-mean[r]) * rstd[r]
			m[r*c+i] = rstd[r] * (math.Abs(dy[r*c+i]*s) + sum + (unit+far)*along) * far
		}
	}
	return m
}

// eachOf is f of every index of x.
func eachOf(x []float64, f func(i int) float64) []float64 {
	m := make([]float64, len(x))
	for i := range m {
		m[i] = f(i)
	}
	return m
}
