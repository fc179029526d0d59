package backendtest

import (
	"fmt"
	"math"

	"afterimage/tensor"
)

// matMulSizes are [m n k]: empty, one, tails around tile sizes, primes, thin, flat and deep.
var matMulSizes = [][3]int{
	{0, 3, 2}, {3, 0, 2}, {3, 2, 0}, {1, 1, 1}, {1, 17, 5}, {17, 1, 5}, {5, 7, 1}, {2, 3, 4},
	{7, 8, 9},
	{8, 16, 32}, {15, 17, 33}, {14, 32, 64}, {13, 31, 63}, {16, 48, 65}, {31, 64, 128},
	{67, 71, 73}, {1, 1000, 64},
	{129, 10, 127}, {6, 16, 1009}, {64, 64, 64}, {97, 101, 257}, {128, 130, 300}, {3, 515, 11},
	{515, 3, 11},
}

var transposes = []tensor.MatMulParams{{}, {TransA: true}, {TransB: true},
	{TransA: true, TransB: true}}

// matMulFamily tests MatMul in all four transpositions, with and without a batch, and the products
// of a tensor.Viewer.
func matMulFamily(f *family) {
	for _, p := range transposes {
		name := fmt.Sprintf("ta=%v tb=%v", p.TransA, p.TransB)
		for _, s := range matMulSizes {
			f.check(fmt.Sprintf("%s/%v", name, s), func(e *env) { matMulCase(e, p, s, nil) })
		}
		for _, s := range [][4]int{{0, 2, 3, 4}, {1, 5, 6, 7}, {3, 17, 19, 23}, {16, 8, 8, 8},
			{5, 1, 33, 65}, {2, 64, 65, 66}} {
			f.check(fmt.Sprintf("%s/batch %v", name, s), func(e *env) {
				matMulCase(e, p, [3]int(s[1:]), s[:1])
			})
		}
		f.check(name+"/specials", func(e *env) { matMulSpecials(e, p) })
	}
	if _, ok := f.s.one.Backend.(tensor.Viewer); !ok {
		return
	}
	for _, s := range [][5]int{{1, 1, 1, 1, 1}, {2, 3, 5, 4, 3}, {1, 2, 33, 17, 40}, {3, 1, 0, 4, 2},
		{2, 2, 3, 4, 0}, {2, 2, 3, 0, 4}, {1, 2, 47, 64, 70}, {2, 1, 1, 9, 5}, {1, 2, 6, 1, 7}} {
		f.checkWide(fmt.Sprintf("views %v", s), func(e *env) { matMulViewsCase(e, s) })
	}
}

// matMulShapes returns the operand shapes as they lie in memory.
func matMulShapes(p tensor.MatMulParams, s [3]int, batch []int) (d, a, b []int) {
	m, n, k := s[0], s[1], s[2]
	shape := func(r, c int, trans bool) []int {
		if trans {
			r, c = c, r
		}
		return append(append([]int{}, batch...), r, c)
	}
	return shape(m, n, false), shape(m, k, p.TransA), shape(k, n, p.TransB)
}

func matMulCase(e *env, p tensor.MatMulParams, s [3]int, batch []int) {
	ds, as, bs := matMulShapes(p, s, batch)
	a, b, d := e.in(normal(0, 1), as...), e.in(normal(0.2, 1), bs...), e.out(ds...)
	tol := withinSum(kSum, func() *tensor.Tensor {
		m := e.out(ds...)
		e.MatMul(m, e.abs(a), e.abs(b), p)
		return m
	})
	e.MatMul(d, a, b, p)
	e.want("MatMul", d, tol)
	if e.grid == tensor.BF16 {
		wide := e.outChannels(ds...)
		e.MatMul(wide, a, b, p)
		e.want("MatMul in F32", wide, tol)
	}
}

// matMulSpecials checks that one NaN or infinity reaches its row or column and nothing else, and
// that 0·Inf is NaN: no kernel may skip zeros.
func matMulSpecials(e *env, p tensor.MatMulParams) {
	s := [3]int{19, 37, 23}
	ds, as, bs := matMulShapes(p, s, nil)
	g := uniform(0.5, 1)
	bound := withinOne(kSum*float64(s[2]), s[0]*s[1])
	for _, v := range []float64{math.NaN(), math.Inf(1)} {
		for _, at := range []int{0, 100, s[0]*s[2] - 1} {
			d := e.out(ds...)
			e.MatMul(d, e.in(spiked(g, at, v), as...), e.in(g, bs...), p)
			e.want(fmt.Sprintf("a with %v at %d", v, at), d, bound)
			d = e.out(ds...)
			e.MatMul(d, e.in(g, as...), e.in(spiked(g, at, v), bs...), p)
			e.want(fmt.Sprintf("b with %v at %d", v, at), d, bound)
		}
	}
	d := e.out(ds...)
	e.MatMul(d, e.in(cycle(0), as...), e.in(spiked(g, 40, math.Inf(1)), bs...), p)
	e.want("0·Inf", d, bound)
}

// matMulViewsCase multiplies heads [B H m k] that lie as [B m 2 H k] and [B H k n] in each of the
// ways in which they can: row by row, turned, and with gaps between elements. The second product
// goes to heads that lie side by side.
func matMulViewsCase(e *env, s [5]int) {
	b, h, m, k, n := s[0], s[1], s[2], s[3], s[4]
	fuser := e.Backend.(tensor.Viewer)
	x := tensor.View{T: e.in(normal(0, 1), b, m, 2, h, k)}
	x.Layout, _ = tensor.Dense(x.T.Shape()).Slice(2, 1, 1, 1).Permute(0, 2, 3, 1, 4).Reshape(
		tensor.Shape{b, h, m, k})
	for i, order := range [][]int{{0, 1, 2, 3}, {0, 2, 1, 3}, {0, 3, 1, 2}, {3, 0, 1, 2}} {
		extents := tensor.Shape{b, h, k, n}
		shape, back := make([]int, 4), make([]int, 4)
		for at, axis := range order {
			shape[at], back[axis] = extents[axis], at
		}
		y := tensor.View{T: e.in(normal(0, 1), shape...)}
		y.Layout = tensor.Dense(y.T.Shape()).Permute(back...)
		for _, alpha := range []float64{1, -0.25} {
			dst, sizes := e.out(b, h, m, n), e.out(b, h, m, n)
			to := tensor.Dense(tensor.Shape{b, h, m, n})
			if alpha != 1 {
				dst, sizes = e.out(b, m, h, n), e.out(b, m, h, n)
				to = tensor.Dense(tensor.Shape{b, m, h, n}).Permute(0, 2, 1, 3)
			}
			fuser.MatMulViews(tensor.View{T: dst, Layout: to}, x, y, alpha)
			fuser.MatMulViews(tensor.View{T: sizes, Layout: to},
				tensor.View{T: e.abs(x.T), Layout: x.Layout},
				tensor.View{T: e.abs(y.T), Layout: y.Layout}, 1)
			e.want(fmt.Sprintf("order %d alpha %g", i, alpha), dst,
				tolerance{k: kSum, mag: sizes.Floats})
		}
	}
}
