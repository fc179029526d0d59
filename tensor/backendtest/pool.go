package backendtest

import (
	"fmt"
	"math"

	"afterimage/tensor"
)

// poolCase is one geometry over n images h×w×c.
type poolCase struct {
	n, h, w, c int
	p          tensor.PoolParams
}

func window(k, stride, pad int) tensor.PoolParams {
	return tensor.PoolParams{KH: k, KW: k, StrideH: stride, StrideW: stride, PadTop: pad,
		PadLeft: pad, PadBottom: pad, PadRight: pad}
}

// poolCases: what networks use, then overlap, gaps, ceil mode with overhang, uneven everything,
// windows as large as the image, empty. Each runs with CountPad off and on.
var poolCases = []poolCase{
	{2, 8, 8, 16, window(2, 2, 0)}, {2, 9, 9, 17, window(3, 2, 1)},
	{1, 16, 16, 64, window(3, 2, 1)}, {2, 7, 7, 33, window(7, 7, 0)},
	{1, 7, 9, 5, window(2, 2, 0)}, {1, 6, 6, 1, window(3, 1, 1)}, {2, 10, 8, 3, window(2, 3, 0)},
	{1, 1, 1, 8, window(1, 1, 0)},
	{1, 7, 8, 6, tensor.PoolParams{KH: 3, KW: 3, StrideH: 2, StrideW: 2, CeilMode: true}},
	{1, 8, 8, 6, tensor.PoolParams{KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1,
		PadBottom: 1, PadRight: 1, CeilMode: true}},
	{1, 5, 5, 4, tensor.PoolParams{KH: 2, KW: 2, StrideH: 3, StrideW: 3, CeilMode: true}},
	{3, 7, 5, 37, tensor.PoolParams{KH: 7, KW: 5, StrideH: 1, StrideW: 2}}, // the whole image
	{2, 7, 6, 5, tensor.PoolParams{KH: 3, KW: 2, StrideH: 1, StrideW: 2, PadTop: 2, PadLeft: 0,
		PadBottom: 1, PadRight: 1}},
	{0, 4, 4, 3, window(2, 2, 0)}, {1, 1, 1, 3, window(2, 2, 0)}, {1, 4, 4, 0, window(2, 2, 0)},
	{4, 32, 32, 20, window(2, 2, 0)}, {4, 16, 15, 40, window(3, 1, 1)},
}

// poolFamily tests MaxPool, PoolGather, PoolScatter, AvgPool and AvgPoolGrad.
func poolFamily(f *family) {
	for i, c := range poolCases {
		name := fmt.Sprintf("%d %dx%dx%dx%d", i, c.n, c.h, c.w, c.c)
		f.check("max/"+name, c.runMax)
		for _, count := range []bool{false, true} {
			c.p.CountPad = count
			f.check(fmt.Sprintf("avg/%s count=%v", name, count), c.runAvg)
		}
	}
	f.check("max/specials", maxPoolSpecials)
}

func (c poolCase) shapes() (x, y []int) {
	oh, ow := c.p.Out(c.h, c.w)
	return []int{c.n, c.h, c.w, c.c}, []int{c.n, oh, ow, c.c}
}

func (c poolCase) runMax(e *env) {
	xs, ys := c.shapes()
	// ties, and below the padding's zero
	few := func(r *tensor.RNG, _ int) float64 { return float64(r.IntN(3)) - 4 }
	for i, g := range []gen{normal(-1, 1), few} {
		x, y, idx := e.in(g, xs...), e.out(ys...), e.outInts(ys...)
		e.MaxPool(y, idx, x, c.p)
		e.want(fmt.Sprintf("y %d", i), y, exactly())
		e.want(fmt.Sprintf("idx %d", i), idx, exactly())
		e.maxAlone(i, x, c)
		z, dy, dx := e.out(ys...), e.in(normal(0, 1), ys...), e.out(xs...)
		e.PoolGather(z, x, idx)
		e.want("PoolGather", z, exactly())
		e.PoolScatter(dx, dy, idx)
		e.want("PoolScatter", dx, withinSum(kSum, func() *tensor.Tensor {
			m := e.out(xs...)
			e.PoolScatter(m, e.abs(dy), idx)
			return m
		}))
		e.adjoint("PoolScatter", kSum, z, dy, x, dx)
	}
}

func (c poolCase) runAvg(e *env) {
	xs, ys := c.shapes()
	x, dy := e.in(normal(0, 1), xs...), e.in(normal(0, 1), ys...)
	y, dx := e.out(ys...), e.out(xs...)
	e.AvgPool(y, x, c.p)
	e.AvgPoolGrad(dx, dy, c.p)
	e.want("AvgPool", y, withinSum(kSum, func() *tensor.Tensor {
		m := e.out(ys...)
		e.AvgPool(m, e.abs(x), c.p)
		return m
	}))
	e.want("AvgPoolGrad", dx, withinSum(kSum, func() *tensor.Tensor {
		m := e.out(xs...)
		e.AvgPoolGrad(m, e.abs(dy), c.p)
		return m
	}))
	e.adjoint("AvgPoolGrad", kSum, y, dy, x, dx)
}

// maxPoolSpecials: NaN wins and the first of several does; an image of −Inf still has a winner, and
// padding never is one.
func maxPoolSpecials(e *env) {
	c := poolCase{2, 7, 7, 17, window(3, 2, 1)}
	xs, ys := c.shapes()
	nan := math.NaN()
	for i, g := range []gen{cycle(1, nan, 2, 0, 5), cycle(nan), cycle(math.Inf(-1)),
		cycle(-1, math.Inf(1), -2),
		spiked(cycle(math.Inf(1)), 200, nan)} {
		x, y, idx := e.in(g, xs...), e.out(ys...), e.outInts(ys...)
		e.MaxPool(y, idx, x, c.p)
		e.want(fmt.Sprintf("y %d", i), y, exactly())
		e.want(fmt.Sprintf("idx %d", i), idx, exactly())
		e.maxAlone(i, x, c)
	}
}

// maxAlone is MaxPool where nobody asks for the winners.
func (e *env) maxAlone(i int, x *tensor.Tensor, c poolCase) {
	_, ys := c.shapes()
	y := e.out(ys...)
	e.MaxPool(y, nil, x, c.p)
	e.want(fmt.Sprintf("y alone %d", i), y, exactly())
}
