package backendtest

import (
	"fmt"
	"math"

	"afterimage/tensor"
)

// normShapes: images, matrices, one sample, one channel, one element, odd channels, many rows.
var normShapes = [][]int{{2, 4, 4, 16}, {5, 33}, {1, 3, 3, 7}, {8, 5, 5, 1}, {1, 1}, {3, 7, 5, 17},
	{300, 64}, {16, 16, 16, 24}}

// normFamily tests NormStats, NormApply and NormBackward.
func normFamily(f *family) {
	for _, s := range append(normShapes, []int{20011, 3}) {
		for _, mean := range []float64{0, 1e4, -1e6} {
			f.check(fmt.Sprintf("stats/%v mean=%v", s, mean),
				func(e *env) { normStatsCase(e, s, mean) })
		}
	}
	for _, s := range append(normShapes, []int{0, 4, 4, 5}, []int{2, 0, 3}) {
		for _, perSample := range []bool{false, true} {
			name := fmt.Sprintf("%v perSample=%v", s, perSample)
			f.check("fold/"+name, func(e *env) { normFoldCase(e, s, perSample) })
			f.check("apply/"+name, func(e *env) { normApplyCase(e, s, perSample) })
			if tensor.Shape(s).Size() > 0 {
				f.check("backward/"+name, func(e *env) { normBackwardCase(e, s, perSample, 0) })
				f.check("relu/"+name, func(e *env) { normReLUCase(e, s, perSample) })
			}
		}
	}
	for _, s := range [][]int{{2, 4, 4, 16}, {1, 3, 5, 7}, {3, 1, 2, 33}} {
		for _, perSample := range []bool{false, true} {
			f.check(fmt.Sprintf("upsample/%v perSample=%v", s, perSample),
				func(e *env) { normUpsampleCase(e, s, perSample) })
		}
	}
	far := []int{3, 5, 5, 17}
	f.check("backward/mean=1000", func(e *env) { normBackwardCase(e, far, false, 1000) })
	f.check("nan", normNaN)
}

// normStatsCase bounds the variance by ε·(var + σ·|mean|): rounding x − mean costs ε·|x| at
// worst, and the textbook E[x²] − E[x]², which costs ε·mean², fails here.
func normStatsCase(e *env, s []int, center float64) {
	const eps = 1e-5
	c := s[len(s)-1]
	x := e.in(normal(center, 1.5), s...)
	mean, variance, rstd := e.outChannels(c), e.outChannels(c), e.outChannels(c)
	e.NormStats(mean, variance, rstd, nil, nil, x, nil, nil, eps)
	mu, v, r := mean.Floats(), variance.Floats(), rstd.Floats()
	varMag := func(i int) float64 {
		return v[i] + math.Sqrt(v[i])*math.Abs(mu[i]) + epsilon(e.grid)*mu[i]*mu[i]
	}
	each := func(f func(i int) float64) func() []float64 {
		return func() []float64 {
			m := make([]float64, c)
			for i := range m {
				m[i] = f(i)
			}
			return m
		}
	}
	e.want("mean", mean,
		tolerance{k: kSum, mag: each(func(i int) float64 { return math.Abs(mu[i]) + math.Sqrt(v[i]) })})
	e.want("variance", variance, tolerance{k: kSum, mag: each(varMag)})
	if tensor.Shape(s).Size() == c {
		return // one element: the variance is rounding error alone, and rstd follows it anywhere
	}
	e.want("rstd", rstd,
		tolerance{k: kSum, mag: each(func(i int) float64 { return r[i] + varMag(i)*r[i]*r[i]*r[i]/2 })})
}

// normFoldCase wants scale and shift to be what the statistics beside them make of gamma and beta,
// but for rounding.
func normFoldCase(e *env, s []int, perSample bool) {
	c, pc := s[len(s)-1], perChannel(s, perSample)
	x := e.in(normal(0.5, 1.5), s...)
	gamma, beta := e.inChannels(normal(1, 0.5), pc...), e.inChannels(normal(0, 1), pc...)
	mean, variance, rstd := e.outChannels(c), e.outChannels(c), e.outChannels(c)
	scale, shift := e.outChannels(pc...), e.outChannels(pc...)
	e.NormStats(mean, variance, rstd, scale, shift, x, gamma, beta, 1e-5)
	if tensor.Shape(s).Size() == 0 {
		return // statistics of nothing are NaN
	}
	off, product := e.outChannels(pc...), e.outChannels(pc...)
	e.Binary(tensor.Mul, product, gamma, rstd)
	e.Binary(tensor.Sub, off, product, scale)
	e.want("scale, difference", off, sumOfSizes(product))
	e.Binary(tensor.Mul, product, scale, mean)
	e.Binary(tensor.Sub, off, beta, product)
	e.Binary(tensor.Sub, off, off, shift)
	e.want("shift, difference", off, sumOfSizes(product, beta))
}

// sumOfSizes bounds the error of a few operations on terms.
func sumOfSizes(terms ...*tensor.Tensor) tolerance {
	return tolerance{k: kChain, mag: func() []float64 {
		m := make([]float64, terms[0].Size())
		for _, t := range terms {
			for i, v := range t.Floats() {
				m[i] += math.Abs(v)
			}
		}
		return m
	}}
}

// perChannel returns the shape [C] or [N C] for x of shape s.
func perChannel(s []int, perSample bool) []int {
	if perSample {
		return []int{s[0], s[len(s)-1]}
	}
	return s[len(s)-1:]
}

func normApplyCase(e *env, s []int, perSample bool) {
	pc := perChannel(s, perSample)
	x, scale, shift := e.in(normal(0, 1), s...), e.inChannels(normal(1, 1), pc...),
		e.inChannels(normal(0, 1), pc...)
	res := e.in(normal(0, 1), s...)
	mag := func(r *tensor.Tensor) func() *tensor.Tensor {
		return func() *tensor.Tensor {
			m := e.out(s...)
			if r != nil {
				r = e.abs(r)
			}
			e.NormApply(m, e.abs(x), e.abs(scale), e.abs(shift), r, false)
			return m
		}
	}
	for _, relu := range []bool{false, true} {
		for _, r := range []*tensor.Tensor{nil, res} {
			y := e.out(s...)
			e.NormApply(y, x, scale, shift, r, relu)
			e.want(fmt.Sprintf("relu=%v res=%v", relu, r != nil), y, withinSum(kChain, mag(r)))
		}
	}
	inPlace := e.scope.Like(x)
	e.Cast(inPlace, x)
	e.NormApply(inPlace, inPlace, scale, shift, res, true)
	e.want("y==x", inPlace, withinSum(kChain, mag(res)))
	inPlace = e.scope.Like(res)
	e.Cast(inPlace, res)
	e.NormApply(inPlace, x, scale, shift, inPlace, true)
	e.want("y==res", inPlace, withinSum(kChain, mag(res)))
}

func normBackwardCase(e *env, s []int, perSample bool, center float64) {
	c, pc := s[len(s)-1], perChannel(s, perSample)
	x, dy := e.in(normal(center, 1), s...), e.in(normal(0.2, 1), s...)
	y := e.in(cycle(1, 0, -2, 0.5, 3), s...) // y = 0 and below are masked
	gamma := e.inChannels(normal(1, 0.5), pc...)
	mean, rstd := e.inChannels(normal(center, 0.2), c), e.inChannels(uniform(0.5, 2), c)
	for _, mask := range []*tensor.Tensor{nil, y} {
		dx, dgamma, dbeta, dres := e.out(s...), e.outChannels(pc...), e.outChannels(pc...),
			e.out(s...)
		e.NormBackward(dx, dgamma, dbeta, dres, dy, x, mask, nil, mean, rstd, gamma)
		m := newNormMagnitudes(dy, x, mean, rstd, gamma)
		e.want("dx", dx, tolerance{k: kSum, mag: func() []float64 { return m.dx }})
		e.want("dgamma", dgamma, tolerance{k: kSum, mag: func() []float64 { return m.dgamma }})
		e.want("dbeta", dbeta, tolerance{k: kSum, mag: func() []float64 { return m.dbeta }})
		e.want("dres", dres, exactly())
		for i, dres := range []*tensor.Tensor{nil, e.out(s...)} {
			over := e.scope.Like(dy)
			e.Cast(over, dy)
			e.NormBackward(over, dgamma, dbeta, dres, over, x, mask, nil, mean, rstd, gamma)
			e.Binary(tensor.Sub, over, over, dx)
			e.want(fmt.Sprintf("dx==dy %d, difference", i), over, exactly())
			if dres != nil {
				e.want("dx==dy, dres", dres, exactly())
			}
		}
	}
	plain, over := e.out(s...), e.scope.Like(x)
	e.Cast(over, x)
	e.NormBackward(plain, nil, nil, nil, dy, x, nil, nil, mean, rstd, gamma)
	e.NormBackward(over, nil, nil, nil, dy, over, nil, nil, mean, rstd, gamma)
	e.Binary(tensor.Sub, over, over, plain)
	e.want("dx==x, difference", over, exactly())
	// Each output alone, the others nil, must not depend on the rest.
	for only := range 4 {
		o := [4]*tensor.Tensor{}
		o[only] = e.out(s...)
		if only == 1 || only == 2 {
			o[only] = e.outChannels(pc...)
		}
		e.NormBackward(o[0], o[1], o[2], o[3], dy, x, y, nil, mean, rstd, gamma)
		m := newNormMagnitudes(dy, x, mean, rstd, gamma)
		e.want(fmt.Sprintf("only %d", only), o[only], tolerance{k: kSum, mag: func() []float64 {
			return [][]float64{m.dx, m.dgamma, m.dbeta, e.abs(dy).Floats()}[only]
		}})
	}
}

// normReLUCase wants a ReLU found from x and shift to be the one that NormApply applied: the
// gradients are those of its output, to the bit, all together and each alone.
func normReLUCase(e *env, s []int, perSample bool) {
	c, pc := s[len(s)-1], perChannel(s, perSample)
	x, dy := e.state(normal(0, 1), s...), e.in(normal(0.2, 1), s...)
	gamma, shift := e.inChannels(normal(0, 1), pc...), e.inChannels(normal(0, 0.5), pc...)
	mean, rstd := e.inChannels(normal(0, 0.2), c), e.inChannels(uniform(0.5, 2), c)
	scale, y := e.scope.Like(gamma), e.scope.Like(x)
	e.Binary(tensor.Mul, scale, gamma, rstd)
	e.NormApply(y, x, scale, shift, nil, true)
	outs := func() [3]*tensor.Tensor {
		return [3]*tensor.Tensor{e.out(s...), e.outChannels(pc...), e.outChannels(pc...)}
	}
	want, all, alone := outs(), outs(), outs()
	e.NormBackward(want[0], want[1], want[2], nil, dy, x, y, nil, mean, rstd, gamma)
	e.NormBackward(all[0], all[1], all[2], nil, dy, x, nil, shift, mean, rstd, gamma)
	e.Cast(alone[0], dy)
	e.NormBackward(alone[0], nil, nil, nil, alone[0], x, nil, shift, mean, rstd, gamma)
	e.NormBackward(nil, alone[1], nil, nil, dy, x, nil, shift, mean, rstd, gamma)
	e.NormBackward(nil, nil, alone[2], nil, dy, x, nil, shift, mean, rstd, gamma)
	e.NormBackward(x, nil, nil, nil, dy, x, nil, shift, mean, rstd, gamma)
	e.Binary(tensor.Sub, x, x, want[0])
	e.want("dx==x, difference", x, exactly())
	for i, w := range want {
		for _, got := range []*tensor.Tensor{all[i], alone[i]} {
			e.Binary(tensor.Sub, got, got, w)
			e.want(fmt.Sprintf("output %d, difference", i), got, exactly())
		}
	}
}

// normMagnitudes are the sums of absolute values behind NormBackward's results, ignoring the mask.
type normMagnitudes struct{ dx, dgamma, dbeta []float64 }

func newNormMagnitudes(dy, x, mean, rstd, gamma *tensor.Tensor) normMagnitudes {
	g, xv, mu, r, ga := dy.Floats(), x.Floats(), mean.Floats(), rstd.Floats(), gamma.Floats()
	c, each := len(mu), x.Shape()[1:].Size()
	row := func(i int) int {
		if gamma.Rank() == 1 {
			return i % c
		}
		return i/each*c + i%c
	}
	m := normMagnitudes{make([]float64, len(g)), make([]float64, len(ga)), make([]float64, len(ga))}
	h, hx := make([]float64, c), make([]float64, c)
	xhat := func(i int) float64 { return math.Abs(xv[i]-mu[i%c]) * r[i%c] }
	for i, v := range g {
		v = math.Abs(v)
		m.dbeta[row(i)] += v
		m.dgamma[row(i)] += v * xhat(i)
		h[i%c] += v * math.Abs(ga[row(i)])
		hx[i%c] += v * math.Abs(ga[row(i)]) * xhat(i)
	}
	count := float64(len(g) / c)
	for i, v := range g {
		m.dx[i] = r[i%c] * (math.Abs(v*ga[row(i)]) + h[i%c]/count + xhat(i)*hx[i%c]/count)
	}
	return m
}

// normUpsampleCase wants a tensor.NormUpsampler to do at once what NormApply and Upsample do one
// after the other, to the bit.
func normUpsampleCase(e *env, s []int, perSample bool) {
	pc := perChannel(s, perSample)
	x := e.in(normal(0, 1), s...)
	scale, shift := e.inChannels(normal(1, 1), pc...), e.inChannels(normal(0, 1), pc...)
	for _, k := range []int{1, 2, 3} {
		for _, relu := range []bool{false, true} {
			small, y := e.scope.Like(x), e.out(s[0], k*s[1], k*s[2], s[3])
			e.NormApply(small, x, scale, shift, nil, relu)
			e.Upsample(y, small, k)
			if b, ok := e.Backend.(tensor.NormUpsampler); ok {
				once := e.out(y.Shape()...)
				b.NormUpsample(once, x, scale, shift, relu, k)
				e.Binary(tensor.Sub, y, y, once)
			} else {
				e.Fill(y, 0)
			}
			e.want(fmt.Sprintf("k=%d relu=%v, difference", k, relu), y, exactly())
		}
	}
}

// normNaN: a NaN stays within its channel, and the ReLU passes it on.
func normNaN(e *env) {
	const c = 17
	s := []int{3, 5, c}
	x := e.in(spiked(normal(0, 1), 20, math.NaN()), s...)
	mean, variance, rstd := e.outChannels(c), e.outChannels(c), e.outChannels(c)
	e.NormStats(mean, variance, rstd, nil, nil, x, nil, nil, 1e-5)
	for _, t := range []*tensor.Tensor{mean, variance, rstd} {
		e.want("stats", t, withinOne(kSum, c))
	}
	y := e.out(s...)
	e.NormApply(y, x, e.inChannels(cycle(1), c), e.inChannels(cycle(0), c), nil, true)
	e.want("apply", y, exactly())
}
