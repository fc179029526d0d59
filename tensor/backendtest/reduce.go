package backendtest

import (
	"fmt"
	"math"

	"afterimage/tensor"
)

// reductions are shapes with axes: all, none, first, last, middle, several, adjacent and not,
// spatial, extents 1 and 0, one long.
var reductions = []struct{ shape, axes []int }{
	{[]int{0}, []int{0}}, {[]int{1}, []int{0}}, {[]int{1009}, []int{0}}, {[]int{70001}, []int{0}},
	{[]int{}, nil},
	{[]int{5, 67}, nil}, {[]int{5, 67}, []int{0}}, {[]int{5, 67}, []int{1}},
	{[]int{5, 67}, []int{0, 1}},
	{[]int{1009, 3}, []int{0}}, {[]int{3, 1009}, []int{1}}, {[]int{4099, 64}, []int{0}},
	{[]int{17, 16}, []int{1}},
	{[]int{4, 7, 17}, []int{1}}, {[]int{4, 7, 17}, []int{0, 2}}, {[]int{4, 7, 17}, []int{2, 0}},
	{[]int{4, 7, 17}, []int{0, 1}},
	{[]int{3, 4, 5, 19}, []int{1, 2}}, {[]int{3, 4, 5, 19}, []int{0, 1, 2}},
	{[]int{3, 4, 5, 19}, []int{0, 3}},
	{[]int{3, 1, 5, 1}, []int{1, 3}}, {[]int{2, 3, 2, 3, 5}, []int{1, 3}},
	{[]int{2, 32, 32, 17}, []int{1, 2}}, {[]int{40, 3001}, []int{0}}, {[]int{2, 70, 1300}, []int{1}},
	{[]int{5, 64, 301}, []int{0, 2}}, {[]int{3000, 10}, []int{1}},
	{[]int{0, 5}, []int{0}}, {[]int{5, 0}, []int{0}}, {[]int{5, 0}, []int{1}},
	{[]int{2, 0, 3}, []int{1}},
}

// reduceFamily tests Reduce, ArgMax and Softmax.
func reduceFamily(f *family) {
	for _, r := range reductions {
		f.check(fmt.Sprintf("reduce/%v over %v", r.shape, r.axes), func(e *env) {
			x := e.in(normal(0.3, 1), r.shape...)
			small := x.Shape().Reduced(r.axes)
			for op := tensor.Sum; op <= tensor.MinOf; op++ {
				if op == tensor.Mean && x.Size() == 0 && small.Size() > 0 {
					continue // 0/0: the contract says nothing
				}
				y := e.out(small...)
				e.Reduce(op, y, x, r.axes)
				tol := exactly()
				if op == tensor.Sum || op == tensor.Mean {
					tol = withinSum(kSum, func() *tensor.Tensor {
						m := e.out(small...)
						e.Reduce(op, m, e.abs(x), r.axes)
						return m
					})
				}
				e.want([]string{"sum", "mean", "max", "min"}[op], y, tol)
			}
		})
	}
	f.checkIn("reduce/bf16 to f32", tensor.F32, reduceWidening)
	f.check("reduce/specials", reduceSpecials)
	f.check("argmax", argMaxCase)
	f.check("softmax", func(e *env) { softmaxCase(e, false) })
	f.check("logsoftmax", func(e *env) { softmaxCase(e, true) })
}

// reduceWidening reduces BF16 to F32: what a backend adds up in must come out unrounded.
func reduceWidening(e *env) {
	for _, r := range reductions {
		x := e.freeze(e.fresh(tensor.BF16, tensor.BF16, normal(0.3, 1), r.shape))
		small := x.Shape().Reduced(r.axes)
		for op := tensor.Sum; op <= tensor.MinOf; op++ {
			if op == tensor.Mean && x.Size() == 0 && small.Size() > 0 {
				continue // 0/0: the contract says nothing
			}
			y := e.scope.New(tensor.F32, small...)
			e.Reduce(op, y, x, r.axes)
			tol := exactly()
			if op == tensor.Sum || op == tensor.Mean {
				tol = withinSum(kSum, func() *tensor.Tensor {
					abs, m := e.scope.New(tensor.BF16, r.shape...), e.scope.New(tensor.F32, small...)
					e.Unary(tensor.Abs, tensor.Attr{}, abs, x)
					e.Reduce(op, m, abs, r.axes)
					return m
				})
			}
			e.want(fmt.Sprintf("%v over %v, operation %d", r.shape, r.axes, op), y, tol)
		}
	}
}

// reduceSpecials puts one NaN or infinity at every place of a vector in turn: NaN must come
// through the maximum wherever it stands.
func reduceSpecials(e *env) {
	const rows = 67
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		g := func(r *tensor.RNG, i int) float64 {
			if i/rows == i%rows {
				return v
			}
			return r.Normal()
		}
		x := e.in(g, rows, rows)
		for op := tensor.Sum; op <= tensor.MinOf; op++ {
			for axis := range 2 {
				y := e.out(x.Shape().Reduced([]int{axis})...)
				e.Reduce(op, y, x, []int{axis})
				e.want(fmt.Sprintf("op %d axis %d with %v", op, axis, v), y,
					withinOne(kSum*rows, rows))
			}
		}
	}
}

func argMaxCase(e *env) {
	few := func(r *tensor.RNG, _ int) float64 { return float64(r.IntN(4)) } // many ties
	nan := math.NaN()
	for _, s := range [][]int{{1}, {7}, {5, 1}, {5, 10}, {33, 17}, {3, 1009}, {2, 3, 65}, {0, 4},
		{300, 1000}} {
		dst := s[:len(s)-1]
		for i, g := range []gen{normal(0, 1), few, cycle(2), cycle(-1, nan, 3, nan),
			spiked(few, 2, nan),
			cycle(math.Inf(-1)), cycle(math.Inf(-1), math.Inf(1))} {
			y := e.outInts(dst...)
			e.ArgMax(y, e.in(g, s...))
			e.want(fmt.Sprintf("%v values %d", s, i), y, exactly())
		}
	}
}

func softmaxCase(e *env, log bool) {
	run := func(name string, x, y *tensor.Tensor) {
		vals := x.Floats() // before an aliased output overwrites them
		k := x.Dim(-1)
		e.Softmax(log, y, x)
		got := y.Floats()
		e.want(name, y, tolerance{k: kTranscendental,
			mag: func() []float64 { return softmaxMagnitude(log, vals, got, k) }})
	}
	for _, s := range [][]int{{1}, {10}, {0, 3}, {5, 1}, {64, 10}, {7, 17}, {3, 1009}, {2, 3, 33},
		{300, 100}, {1, 30011}} {
		for _, std := range []float64{1, 30, 1000} {
			run(fmt.Sprintf("%v σ=%v", s, std), e.in(normal(5, std), s...), e.out(s...))
		}
	}
	inf := math.Inf(1)
	for i, g := range []gen{cycle(-inf, 1, 2), cycle(-inf), spiked(normal(0, 1), 4, math.NaN()),
		spiked(normal(0, 1), 4, inf), cycle(3e38, -3e38), cycle(1e4), cycle(-inf, -inf, -inf, 0)} {
		run(fmt.Sprintf("specials %d", i), e.in(g, 7, 12), e.out(7, 12))
	}
	x := e.state(normal(0, 2), 33, 17)
	run("dst==x", x, x)
}

// softmaxMagnitude allows for the rounding of x − max, which the exponential turns into a relative
// error |x − max|·ε, and for the logarithm's terms.
func softmaxMagnitude(log bool, x, y []float64, k int) []float64 {
	m := make([]float64, len(x))
	for start := 0; start < len(x); start += k {
		top := math.Inf(-1)
		for _, v := range x[start : start+k] {
			top = max(top, v)
		}
		for i := start; i < start+k; i++ {
			switch below := top - x[i]; {
			case log:
				m[i] = below + math.Log(float64(k)) + 1
			case y[i] > 0:
				m[i] = y[i] * (1 + below)
			}
		}
	}
	return m
}
