package backendtest

import (
	"fmt"
	"math"
	"slices"

	"afterimage/tensor"
)

// convCase is one geometry: n images h×w×c, o filters kh×kw.
type convCase struct {
	n, h, w, c, o, kh, kw int
	p                     tensor.ConvParams
}

// square has one stride, one padding all round, no dilation and no groups.
func square(stride, pad int) tensor.ConvParams {
	return tensor.ConvParams{StrideH: stride, StrideW: stride, PadTop: pad, PadLeft: pad,
		PadBottom: pad, PadRight: pad, DilH: 1, DilW: 1, Groups: 1}
}

func dilated(p tensor.ConvParams, h, w int) tensor.ConvParams {
	p.DilH, p.DilW = h, w
	return p
}

func grouped(p tensor.ConvParams, groups int) tensor.ConvParams {
	p.Groups = groups
	return p
}

// uneven has different strides and four different paddings.
var uneven = tensor.ConvParams{StrideH: 2, StrideW: 1, PadTop: 2, PadLeft: 0, PadBottom: 1,
	PadRight: 3, DilH: 1, DilW: 1, Groups: 1}

// convCases: what networks use (3×3, 1×1, strided, 7×7 stems, 4×4 stride 2), then what breaks
// kernels: odd channels, tiny images, output 1×1, gaps between windows, a last row no window
// reaches, dilation, groups, depthwise, empty.
var convCases = []convCase{
	{2, 8, 8, 16, 16, 3, 3, square(1, 1)}, {1, 9, 11, 16, 32, 3, 3, square(1, 1)},
	{2, 8, 8, 32, 16, 1, 1, square(1, 0)},
	{2, 9, 9, 16, 32, 3, 3, square(2, 1)}, {2, 8, 8, 16, 32, 1, 1, square(2, 0)},
	{1, 16, 16, 3, 16, 3, 3, square(1, 1)},
	{1, 17, 19, 3, 8, 7, 7, square(2, 3)}, {2, 8, 8, 4, 8, 4, 4, square(2, 1)},
	{1, 6, 7, 64, 48, 3, 3, square(1, 1)},
	{1, 8, 8, 16, 3, 3, 3, square(1, 1)}, {3, 7, 5, 5, 7, 3, 3, square(1, 1)},
	{2, 7, 7, 1, 1, 3, 3, square(1, 1)},
	{2, 5, 5, 17, 33, 3, 3, square(1, 0)}, {1, 13, 9, 19, 23, 5, 3, square(1, 2)},
	{2, 1, 1, 8, 9, 3, 3, square(1, 1)},
	{2, 2, 2, 16, 16, 3, 3, square(1, 1)}, {1, 3, 3, 32, 16, 3, 3, square(1, 0)},
	{2, 4, 4, 16, 10, 4, 4, square(1, 0)},
	{1, 1, 9, 16, 16, 1, 3, square(1, 1)}, {1, 9, 1, 16, 16, 3, 1, square(1, 1)},
	{1, 10, 10, 4, 6, 2, 2, square(3, 0)},
	{1, 11, 11, 3, 5, 3, 3, square(4, 0)}, {2, 9, 10, 6, 8, 3, 3, uneven},
	{1, 8, 7, 16, 16, 3, 2, uneven},
	{1, 7, 7, 3, 4, 3, 3, tensor.ConvParams{StrideH: 1, StrideW: 1, PadTop: 4, PadLeft: 5,
		PadBottom: 3, PadRight: 4, DilH: 1, DilW: 1, Groups: 1}},
	{1, 12, 12, 8, 8, 3, 3, dilated(square(1, 2), 2, 2)},
	{1, 13, 11, 5, 6, 3, 3, dilated(square(2, 1), 3, 2)},
	{2, 7, 7, 8, 12, 3, 3, grouped(square(1, 1), 2)},
	{1, 7, 7, 6, 6, 3, 3, grouped(square(1, 1), 6)},
	{1, 9, 9, 6, 12, 3, 3, grouped(square(2, 1), 6)},
	{1, 6, 6, 9, 15, 1, 1, grouped(square(1, 0), 3)},
	{1, 6, 6, 32, 64, 3, 3, grouped(dilated(square(1, 2), 2, 1), 4)},
	{0, 5, 5, 3, 4, 3, 3, square(1, 1)}, {2, 2, 2, 3, 4, 3, 3, square(1, 0)},
	{2, 5, 5, 3, 0, 3, 3, square(1, 1)}, {1, 5, 5, 0, 3, 3, 3, square(1, 1)},
	{4, 32, 32, 8, 16, 3, 3, square(1, 1)}, {1, 20, 20, 48, 40, 3, 3, square(1, 1)},
	{33, 4, 4, 16, 16, 3, 3, square(1, 1)},
}

func (c convCase) String() string {
	s := fmt.Sprintf("%dx%dx%dx%d %dx%dx%d s%d%d p%d%d%d%d", c.n, c.h, c.w, c.c, c.o, c.kh, c.kw,
		c.p.StrideH, c.p.StrideW, c.p.PadTop, c.p.PadLeft, c.p.PadBottom, c.p.PadRight)
	if c.p.DilH*c.p.DilW > 1 {
		s += fmt.Sprintf(" d%d%d", c.p.DilH, c.p.DilW)
	}
	if c.p.Groups > 1 {
		s += fmt.Sprintf(" g%d", c.p.Groups)
	}
	return s
}

func (c convCase) shapes() (x, w, y []int) {
	oh, ow := c.p.Out(c.h, c.w, c.kh, c.kw)
	return []int{c.n, c.h, c.w, c.c}, []int{c.o, c.kh, c.kw, c.c / c.p.Groups},
		[]int{c.n, oh, ow, c.o}
}

// winograd reports whether a backend may compute c by F(4×4,3×3), which mixes neighbouring pixels:
// its error is relative to the largest magnitude around, and NaN spreads over a tile.
func (c convCase) winograd() bool {
	return c.kh == 3 && c.kw == 3 && c.p.StrideH*c.p.StrideW*c.p.DilH*c.p.DilW == 1
}

// convFamily tests the convolution triple against ref and as adjoints.
func convFamily(f *family) {
	for _, c := range convCases {
		f.check(c.String(), func(e *env) { c.run(e) })
	}
	f.check("nan", func(e *env) { convNaN(e, f.s.options.PaddingMultiplied != "") })
}

func (c convCase) run(e *env) {
	xs, ws, ys := c.shapes()
	x, w, dy := e.in(normal(0.1, 1), xs...), e.in(normal(0, 1), ws...), e.in(normal(0.1, 1), ys...)
	y, dx, dw := e.out(ys...), e.out(xs...), e.out(ws...)
	e.Conv2D(y, x, w, c.p)
	e.Conv2DInputGrad(dx, dy, w, c.p)
	e.Conv2DWeightGrad(dw, x, dy, c.p)
	e.want("y", y, c.tolerance(e, func() *tensor.Tensor {
		m := e.out(ys...)
		e.Conv2D(m, e.abs(x), e.abs(w), c.p)
		return m
	}))
	e.want("dx", dx, c.tolerance(e, func() *tensor.Tensor {
		m := e.out(xs...)
		e.Conv2DInputGrad(m, e.abs(dy), e.abs(w), c.p)
		return m
	}))
	tol := c.tolerance(e, func() *tensor.Tensor {
		m := e.out(ws...)
		e.Conv2DWeightGrad(m, e.abs(x), e.abs(dy), c.p)
		return m
	})
	e.want("dw", dw, tol)
	if e.grid == tensor.BF16 {
		wide := e.outChannels(ws...)
		e.Conv2DWeightGrad(wide, x, dy, c.p)
		e.want("dw in F32", wide, tol)
	}
	c.epilogue(e, x, w)
	e.adjoint("Conv2DInputGrad", e.kConv(kSum), y, dy, x, dx)
	e.adjoint("Conv2DWeightGrad", e.kConv(kSum), y, dy, w, dw)
}

// epilogue tests the forward direction with what can follow it. The bias may enter anywhere in the
// sum.
func (c convCase) epilogue(e *env, x, w *tensor.Tensor) {
	_, _, ys := c.shapes()
	bias, res := e.inChannels(normal(0, 1), c.o), e.in(normal(0, 1), ys...)
	for _, relu := range []bool{false, true} {
		for k, r := range []*tensor.Tensor{nil, res} {
			y := e.out(ys...)
			e.Conv2DBiasAct(y, x, w, bias, r, relu, c.p)
			name := fmt.Sprintf("y, relu=%v, residuals=%d", relu, k)
			tol := c.tolerance(e, func() *tensor.Tensor {
				m := e.out(ys...)
				if r != nil {
					r = e.abs(r)
				}
				e.Conv2DBiasAct(m, e.abs(x), e.abs(w), e.abs(bias), r, false, c.p)
				return m
			})
			if e.grid == tensor.BF16 { // which may round before it adds
				tol.k += roundBF16 / epsilon(tensor.F32)
			}
			e.want(name, y, tol)
		}
		c.placed(e, x, w, bias, relu)
	}
	c.placed(e, x, w, nil, true)
	for _, steps := range chains() {
		for _, gate := range []bool{false, true} {
			c.chained(e, x, w, bias, res, gate, steps)
		}
	}
}

// chained wants a tensor.ConvChainer to do at once what two kernels do, to the bit.
func (c convCase) chained(e *env, x, w, bias, res *tensor.Tensor, gate bool,
	steps []tensor.UnaryStep) {
	b, ok := e.Backend.(tensor.ConvChainer)
	if !ok || e.dt == tensor.BF16 {
		return
	}
	_, _, ys := c.shapes()
	y, once := e.out(ys...), e.out(ys...)
	e.Conv2DBiasAct(y, x, w, bias, res, false, c.p)
	b.UnaryChain(y, y, gate, steps...)
	b.Conv2DChain(once, x, w, bias, res, c.p, gate, steps...)
	got := once.Floats()
	for i, v := range y.Floats() {
		if math.Float64bits(got[i]) != math.Float64bits(v) && (v == v || got[i] == got[i]) {
			e.fault("gate %v, %v: number %d is %g at once, %g by two kernels", gate, steps, i, got[i], v)
			return
		}
	}
}

// placed wants a tensor.ConvPlacer to write what Conv2DBiasAct computes between other channels.
func (c convCase) placed(e *env, x, w, bias *tensor.Tensor, relu bool) {
	b, ok := e.Backend.(tensor.ConvPlacer)
	if !ok {
		return
	}
	_, _, ys := c.shapes()
	const before, after = 3, 2
	wide := append(slices.Clone(ys[:3]), before+ys[3]+after)
	got, want, y := e.out(wide...), e.out(wide...), e.out(ys...)
	e.Fill(got, 7)
	e.Fill(want, 7)
	e.Conv2DBiasAct(y, x, w, bias, nil, relu, c.p)
	zero, one := make([]int, 4), []int{1, 1, 1, 1}
	e.CopyRegion(want, y, tensor.Region{DstStart: []int{0, 0, 0, before}, DstStep: one,
		SrcStart: zero, SrcStep: one, Size: ys})
	b.Conv2DPlace(got, before, x, w, bias, relu, c.p)
	was := want.Floats()
	for i, v := range got.Floats() {
		if math.Float64bits(was[i]) != math.Float64bits(v) && (v == v || was[i] == was[i]) {
			e.fault("number %d is %g placed, %g by way of a copy", i, v, was[i])
			return
		}
	}
}

// kConv adds to a bound what rounding a result to bfloat16 may cost, 2⁻⁸ of it.
func (e *env) kConv(k float64) float64 {
	if e.bf16Results {
		k += roundBF16 / epsilon(tensor.F32)
	}
	return k
}

func (c convCase) tolerance(e *env, mag func() *tensor.Tensor) tolerance {
	if !c.winograd() {
		return withinSum(e.kConv(kSum), mag)
	}
	return tolerance{k: e.kConv(kWinograd), mag: func() []float64 {
		m := mag().Floats()
		top := 0.0
		for _, v := range m {
			top = max(top, v)
		}
		for i := range m {
			m[i] = top
		}
		return m
	}}
}

// convNaN puts one NaN into each operand: whatever depends on it must be NaN, and nothing else
// unless a Winograd tile spreads it or, in the weight gradient, the padding is multiplied. In the
// weights all outputs of one channel depend on it.
func convNaN(e *env, paddingMultiplied bool) {
	for _, c := range []convCase{
		{2, 9, 9, 5, 7, 3, 3, square(2, 1)}, {2, 6, 6, 16, 16, 1, 1, square(1, 0)},
		{1, 12, 12, 3, 8, 7, 7, square(2, 3)},
	} {
		xs, ws, ys := c.shapes()
		g := uniform(0.5, 1) // positive: nothing cancels, so sums bound themselves
		x, dy := e.in(spiked(g, 77, math.NaN()), xs...), e.in(spiked(g, 33, math.NaN()), ys...)
		w := e.in(g, ws...)
		y, dx, dw := e.out(ys...), e.out(xs...), e.out(ws...)
		e.Conv2D(y, x, w, c.p)
		e.Conv2DInputGrad(dx, dy, w, c.p)
		e.Conv2DWeightGrad(dw, x, dy, c.p)
		e.want(c.String()+" y", y, within(e.kConv(kSum)))
		e.want(c.String()+" dx", dx, within(e.kConv(kSum)))
		tol := within(e.kConv(kSum))
		tol.orNaN = paddingMultiplied && c.p.PadTop > 0
		e.want(c.String()+" dw", dw, tol)
	}
	c := convCase{1, 12, 12, 16, 16, 3, 3, square(1, 1)}
	xs, ws, ys := c.shapes()
	const pixel, channels = 5*12 + 6, 16
	y := e.out(ys...)
	e.Conv2D(y, e.in(spiked(normal(0, 1), pixel*channels+3, math.NaN()), xs...),
		e.in(normal(0, 1), ws...), c.p)
	v := y.Floats()
	for _, at := range []int{pixel - 13, pixel - 12, pixel - 11, pixel - 1, pixel, pixel + 1,
		pixel + 11, pixel + 12, pixel + 13} {
		for o, got := range v[at*channels : (at+1)*channels] {
			if got == got {
				e.fault("NaN at pixel %d did not reach pixel %d, channel %d: %v", pixel, at, o, got)
			}
		}
	}
}
