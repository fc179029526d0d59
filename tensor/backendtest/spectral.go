package backendtest

import (
	"fmt"
	"math"
	"slices"

	"afterimage/tensor"
)

// spectrals are shapes of weights: more rows than columns and fewer, one of each, several chunks.
var spectrals = [][]int{{1, 1}, {5, 7}, {17, 3, 3, 2}, {64, 3, 3, 16}, {1, 300}, {257, 1},
	{33, 1009}}

// spectralFamily tests the kernels of a tensor.SpectralFuser.
func spectralFamily(f *family) {
	if _, ok := f.s.one.Backend.(tensor.SpectralFuser); !ok {
		return
	}
	f.checkWide("iterate", func(e *env) {
		b := e.Backend.(tensor.SpectralFuser)
		var w, u, v, next, sigma []*tensor.Tensor
		var eps []float64
		for i, s := range spectrals {
			for _, g := range []gen{normal(0, 1), cycle(0)} {
				w, u = append(w, e.in(g, s...)), append(u, e.in(normal(0, 1), s[0]))
				v, next = append(v, e.out(1, tensor.Shape(s[1:]).Size())), append(next, e.out(1, s[0]))
				sigma, eps = append(sigma, e.out(1)), append(eps, math.Pow(10, float64(-i)))
			}
		}
		b.PowerIterate(next, v, sigma, w, u, eps)
		for i := range w { // the vectors have norm 1, or are 0
			e.want(fmt.Sprint("v of ", w[i].Shape()), v[i], withinOne(kSum, v[i].Size()))
			e.want(fmt.Sprint("next of ", w[i].Shape()), next[i], withinOne(kSum, next[i].Size()))
			e.want(fmt.Sprint("sigma of ", w[i].Shape()), sigma[i], tolerance{k: kSum,
				mag: func() []float64 { return []float64{norm(w[i].Floats())} }})
		}
		b.PowerIterate(nil, nil, nil, nil, nil, nil)
	})
	f.checkWide("quotient", func(e *env) {
		b := e.Backend.(tensor.SpectralFuser)
		for _, s := range spectrals {
			// Positive numbers, of which σ may be any.
			positive := uniform(0.5, 1.5)
			w, dy := e.in(positive, s...), e.in(normal(0, 1), s...)
			u, v := e.in(positive, 1, s[0]), e.in(positive, 1, tensor.Shape(s[1:]).Size())
			y, sigma, dw := e.out(s...), e.in(positive, 1), e.out(s...)
			b.SpectralQuotient(y, w, sigma)
			e.want(fmt.Sprint("y ", s), y, within(kChain))
			b.SpectralQuotientGrad(dw, dy, w, u, v, sigma)
			e.want(fmt.Sprint("dw ", s), dw, tolerance{k: kSum, mag: func() []float64 {
				return quotientMagnitude(w, dy, u, v, sigma)
			}})
		}
	})
	f.checkIn("quotient in bf16", tensor.F32, spectralHalf)
	f.checkIn("many quotients", tensor.F32, spectralMany)
}

// spectralMany wants many quotients and gradients at once, more than a table of them holds, to be
// what they are one by one, to the bit; every third quotient is in BF16.
func spectralMany(e *env) {
	b, able := e.Backend.(tensor.ManySpectralFuser)
	var y, dw, dy, w, u, v, sigma []*tensor.Tensor
	for i := range 20 * len(spectrals) {
		s, dt := spectrals[i%len(spectrals)], e.dt
		if i%3 == 0 && !e.oracle {
			dt = tensor.BF16
		}
		dw, w = append(dw, e.out(s...)), append(w, e.in(normal(0, 1), s...))
		y = append(y, e.scope.New(dt, s...))
		dy = append(dy, e.freeze(e.fresh(dt, tensor.BF16, normal(0, 1), s)))
		u = append(u, e.in(normal(0, 1), 1, s[0]))
		v = append(v, e.in(normal(0, 1), 1, tensor.Shape(s[1:]).Size()))
		sigma = append(sigma, e.in(uniform(0.5, 1.5), 1))
	}
	if able {
		b.SpectralQuotients(y, w, sigma)
		b.SpectralQuotientGrads(dw, dy, w, u, v, sigma)
		b.SpectralQuotients(nil, nil, nil)
		b.SpectralQuotientGrads(nil, nil, nil, nil, nil, nil)
	}
	for i := range w {
		alone := e.Backend.(tensor.SpectralFuser)
		one, grad := e.scope.New(y[i].DType(), w[i].Shape()...), e.out(w[i].Shape()...)
		alone.SpectralQuotient(one, w[i], sigma[i])
		alone.SpectralQuotientGrad(grad, dy[i], w[i], u[i], v[i], sigma[i])
		if able && (!slices.Equal(one.Floats(), y[i].Floats()) ||
			!slices.Equal(grad.Floats(), dw[i].Floats())) {
			e.fault("quotient %d of %v or its gradient differs from that made alone", i, w[i].Shape())
		}
	}
}

// spectralHalf tests quotients in BF16 beside F32 operands, and their gradients.
func spectralHalf(e *env) {
	b, half := e.Backend.(tensor.SpectralFuser), tensor.BF16
	if e.oracle {
		half = e.dt
	}
	for _, s := range spectrals {
		positive := uniform(0.5, 1.5)
		w, dy := e.in(positive, s...), e.freeze(e.fresh(half, tensor.BF16, normal(0, 1), s))
		u, v := e.in(positive, 1, s[0]), e.in(positive, 1, tensor.Shape(s[1:]).Size())
		y, sigma, dw := e.scope.New(half, s...), e.in(positive, 1), e.out(s...)
		b.SpectralQuotient(y, w, sigma)
		e.want(fmt.Sprint("y ", s), y, within(kChain))
		b.SpectralQuotientGrad(dw, dy, w, u, v, sigma)
		e.want(fmt.Sprint("dw ", s), dw, tolerance{k: kSum, mag: func() []float64 {
			return quotientMagnitude(w, dy, u, v, sigma)
		}})
	}
}

// norm is the Euclidean norm.
func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

// quotientMagnitude is the size of the two terms of a quotient's gradient.
func quotientMagnitude(w, dy, u, v, sigma *tensor.Tensor) []float64 {
	m, us, vs, s := dy.Floats(), u.Floats(), v.Floats(), sigma.Item()
	inner := 0.0
	for i, a := range w.Floats() {
		inner += math.Abs(a * m[i])
	}
	for i := range m {
		m[i] = math.Abs(m[i])/s + inner/(s*s)*us[i/len(vs)]*vs[i%len(vs)]
	}
	return m
}
