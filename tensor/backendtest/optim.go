package backendtest

import (
	"fmt"
	"math"

	"afterimage/tensor"
)

// paramShapes are one optimizer call's parameters: several tensors, empty and tiny ones among them.
var paramShapes = [][]int{{17, 33}, {1}, {0}, {3, 3, 3, 8}, {67}, {40009}}

// optimSteps is how often each optimizer runs: enough for momentum and bias correction to act.
const optimSteps = 5

// states draws one tensor for each parameter.
func states(e *env, g gen) []*tensor.Tensor {
	var ts []*tensor.Tensor
	for _, s := range paramShapes {
		ts = append(ts, e.state(g, s...))
	}
	return ts
}

func wantAll(e *env, name string, ts []*tensor.Tensor, tol func(n int) tolerance) {
	for i, t := range ts {
		e.want(fmt.Sprintf("%s[%d]", name, i), t, tol(t.Size()))
	}
}

func nearOne(n int) tolerance { return withinOne(kSteps, n) }

// optimFamily tests SGD, Adam and Lerp over several steps, Blend, and the gradients' norm.
// Parameters lie in (−1, 1) and gradients near 1, so bounds are absolute.
func optimFamily(f *family) {
	for _, p := range []tensor.SGDParams{{}, {WeightDecay: 0.1}, {Momentum: 0.9},
		{Momentum: 0.9, WeightDecay: 5e-4},
		{Momentum: 0.9, WeightDecay: 1e-2, Nesterov: true}} {
		f.checkWide(fmt.Sprintf("sgd/%+v", p), func(e *env) { sgdCase(e, p) })
	}
	for _, p := range []tensor.AdamParams{{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8},
		{Beta1: 0, Beta2: 0.999, Eps: 1e-6},
		{Beta1: 0.5, Beta2: 0.9, Eps: 1e-8, WeightDecay: 0.05}} {
		f.checkWide(fmt.Sprintf("adam/%+v", p), func(e *env) { adamCase(e, p) })
	}
	f.checkWide("lerp", func(e *env) {
		for _, decay := range []float64{0, 0.5, 0.999, 1} {
			dst, src := states(e, uniform(-1, 1)), states(e, uniform(-1, 1))
			for range 3 {
				e.Lerp(dst, src, e.scalar(decay))
			}
			wantAll(e, fmt.Sprint("lerp ", decay), dst, nearOne)
		}
	})
	f.checkWide("blend", blendCase)
	f.checkWide("squared norm", squaredNormCase)
	f.checkWide("scale", scaleCase)
	if _, ok := f.s.one.Backend.(tensor.Shadower); ok {
		f.checkIn("shadows", tensor.F32, shadowCase)
	}
}

// blendCase blends tensors with factors of their own, more than one launch's table holds. Of one
// that is not kept no NaN may come.
func blendCase(e *env) {
	var dst, src []*tensor.Tensor
	var keep, add []float64
	for i := range 130 {
		n, old := i%7, gen(uniform(-1, 1))
		if i == 70 {
			n = 9001
		}
		k, a := float64(i%3)/2, 0.1*float64(i%4)
		if k == 0 {
			old = cycle(math.NaN())
		}
		dst, src = append(dst, e.state(old, n)), append(src, e.in(uniform(-1, 1), n))
		keep, add = append(keep, k), append(add, a)
	}
	e.Blend(dst, src, keep, add)
	wantAll(e, "blend", dst, nearOne)
	e.Blend(nil, nil, nil, nil)
}

// shadowCase wants a tensor.Shadower to move parameters as SGD and Adam do, and to leave beside
// them what Cast makes of them.
func shadowCase(e *env) {
	b := e.Backend.(tensor.Shadower)
	var halves []*tensor.Tensor
	params, buf := states(e, uniform(-1, 1)), states(e, cycle(0))
	m, v := states(e, cycle(0)), states(e, cycle(0))
	for _, p := range params {
		halves = append(halves, e.scope.New(tensor.BF16, p.Shape()...))
	}
	halves[1] = nil // a bias, for example
	for step := range optimSteps {
		lr, t := e.scalar(0.1/float64(1+step)), e.ints([]int32{int32(step + 1)}, 1)
		b.SGDShadow(tensor.SGDParams{Momentum: 0.9, WeightDecay: 1e-2, Nesterov: true}, params,
			states(e, normal(0, 1)), buf, halves, lr)
		wantShadows(e, fmt.Sprint("sgd ", step), params, halves)
		b.AdamShadow(tensor.AdamParams{Beta1: 0.5, Beta2: 0.9, Eps: 1e-8, WeightDecay: 0.05}, params,
			states(e, normal(0, 1)), m, v, halves, lr, t)
		wantShadows(e, fmt.Sprint("adam ", step), params, halves)
	}
}

func wantShadows(e *env, name string, params, halves []*tensor.Tensor) {
	wantAll(e, name, params, nearOne)
	for i, half := range halves {
		if half != nil {
			off := e.scope.Like(half)
			e.Cast(off, params[i])
			e.Binary(tensor.Sub, off, off, half)
			e.want(fmt.Sprintf("%s, shadow %d, difference", name, i), off, exactly())
		}
	}
}

// scaleCase wants a tensor.ManyScaler to do what multiplications one by one do, to the bit.
func scaleCase(e *env) {
	b, able := e.Backend.(tensor.ManyScaler)
	var xs, ys []*tensor.Tensor
	factor := e.in(cycle(0.3), 1)
	for i := range 150 { // more than one launch's table holds
		n := i % 7
		if i == 70 {
			n = 9001
		}
		xs, ys = append(xs, e.in(normal(0, 1), n)), append(ys, e.out(n))
		e.Binary(tensor.Mul, ys[i], xs[i], factor)
	}
	outs := make([]*tensor.Tensor, len(xs))
	for i, y := range ys {
		outs[i] = e.out(y.Size())
		e.Cast(outs[i], y)
	}
	if able {
		b.ScaleAll(outs, xs, factor)
	}
	for i, y := range ys {
		e.Binary(tensor.Sub, y, y, outs[i])
		e.want(fmt.Sprintf("scale %d, difference", i), y, exactly())
	}
}

// squaredNormCase draws parameters of which one has every kind of number that must show, and sums
// that exceed F32 although no square does.
func squaredNormCase(e *env) {
	dst := e.out(1)
	for i, g := range []gen{normal(0, 1), cycle(0), spiked(normal(0, 1), 66, math.NaN()),
		spiked(normal(0, 1), 66, math.Inf(-1)), spiked(cycle(1), 66, 1e30), cycle(0x1p63),
		spiked(cycle(1e-30), 66, 1)} {
		xs := states(e, g)
		e.SquaredNorm(dst, xs)
		e.want(fmt.Sprint("squared norm ", i), dst, within(kSum))
	}
	var many []*tensor.Tensor // more than one launch's table holds
	for i := range 450 {
		many = append(many, e.in(normal(0, 1), i%7))
	}
	e.SquaredNorm(dst, many)
	e.want("of many", dst, within(kSum))
	e.SquaredNorm(dst, nil)
	e.want("of none", dst, exactly())
}

func sgdCase(e *env, p tensor.SGDParams) {
	params := states(e, uniform(-1, 1))
	var buf []*tensor.Tensor
	if p.Momentum != 0 {
		buf = states(e, cycle(0))
	}
	for step := range optimSteps {
		grads := states(e, normal(0, 1))
		e.SGD(p, params, grads, buf, e.scalar(0.1/float64(1+step)))
		wantAll(e, fmt.Sprint("p after ", step), params, nearOne)
	}
	wantAll(e, "buf", buf, nearOne)
}

func adamCase(e *env, p tensor.AdamParams) {
	params, m, v := states(e, uniform(-1, 1)), states(e, cycle(0)), states(e, cycle(0))
	for step := range optimSteps {
		grads := states(e, normal(0, 1))
		t := e.ints([]int32{int32(step + 1)}, 1)
		e.Adam(p, params, grads, m, v, e.scalar(0.01), t)
		wantAll(e, fmt.Sprint("p after ", step), params, nearOne)
	}
	wantAll(e, "m", m, nearOne)
	// v is a sum of squares: nothing cancels, and 1 − β₂ taken in F32 would show.
	wantAll(e, "v", v, func(int) tolerance { return within(kSum) })
}
