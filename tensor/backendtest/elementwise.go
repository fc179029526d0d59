package backendtest

import (
	"fmt"
	"math"

	"afterimage/tensor"
)

// sizes hold 0, 1, the neighbours of vector and unroll widths, primes, and one size that a
// backend with threads will split.
var sizes = []int{0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 257, 1009,
	70001}

// smallSizes are for cases that already multiply.
var smallSizes = []int{0, 1, 7, 8, 16, 17, 67, 1009}

// specials are the values at which elementwise kernels go wrong: zeros, infinities, NaN, the ends
// of F32's range, the points where eˣ overflows and underflows there, ties and ones.
var specials = []float64{0, math.Copysign(0, -1), 1, -1, 0.5, -0.5, 2, -2, 3, -3, math.Inf(1),
	math.Inf(-1),
	math.NaN(), 0x1p-126, -0x1p-126, 1e-20, -1e-20, 1e20, -1e20, 3e38, -3e38,
	88.5, 89, -87, -88.5, -104, 200, -200, 1 + 0x1p-23, 1 - 0x1p-24, 1e-4, -1e-4, 10, -10}

// unaryCase says over which values an opcode is tested and how closely.
type unaryCase struct {
	op   tensor.UnaryOp
	name string
	attr tensor.Attr
	g    gen
	k    float64
	// mag gives the magnitude at x when the result's own is too strict.
	mag func(x float64) float64
}

func unaryCases() []unaryCase {
	wide, near := signedLog(-20, 20), normal(0, 3)
	positive := func(r *tensor.RNG, i int) float64 { return math.Abs(wide(r, i)) }
	affine := func(x float64) float64 { return math.Abs(-1.7*x) + 0.3 }
	cs := []unaryCase{
		{tensor.Neg, "neg", tensor.Attr{}, wide, 0, nil},
		{tensor.Abs, "abs", tensor.Attr{}, wide, 0, nil},
		{tensor.Sign, "sign", tensor.Attr{}, near, 0, nil},
		{tensor.Step, "step", tensor.Attr{}, near, 0, nil},
		{tensor.Exp, "exp", tensor.Attr{}, uniform(-80, 80), kTranscendental, nil},
		{tensor.Log, "log", tensor.Attr{}, positive, kTranscendental, nil},
		{tensor.Sqrt, "sqrt", tensor.Attr{}, positive, kRounded, nil},
		{tensor.Rsqrt, "rsqrt", tensor.Attr{}, positive, 2 * kRounded, nil},
		{tensor.Recip, "recip", tensor.Attr{}, wide, kRounded, nil},
		{tensor.Square, "square", tensor.Attr{}, wide, kRounded, nil},
		{tensor.Tanh, "tanh", tensor.Attr{}, near, kTranscendental, nil},
		{tensor.Tanh, "tanh-small", tensor.Attr{}, normal(0, 0.01), kTranscendental, nil},
		{tensor.Sigmoid, "sigmoid", tensor.Attr{}, normal(0, 8), kTranscendental, nil},
		{tensor.Softplus, "softplus", tensor.Attr{}, normal(0, 8), kTranscendental, nil},
		{tensor.ReLU, "relu", tensor.Attr{}, near, 0, nil},
		{tensor.LeakyReLU, "leakyrelu", tensor.Attr{A: 0.2}, near, 2 * kRounded, nil},
		{tensor.LeakyReLU, "leakyrelu-negative", tensor.Attr{A: -0.5}, near, kRounded, nil},
		{tensor.Clamp, "clamp", tensor.Attr{A: -1, B: 0.75}, near, 0, nil},
		{tensor.Affine, "affine", tensor.Attr{A: -1.7, B: 0.3}, near, 2 * kRounded, affine},
		{tensor.Erf, "erf", tensor.Attr{}, normal(0, 1), kTranscendental, nil},
		{tensor.InRange, "inrange", tensor.Attr{A: -1, B: 0.5}, near, 0, nil},
	}
	for _, a := range []float64{2, 3, 0.5, -0.5, -1, -2, 1.7, -0.75, 1, 0} {
		grow := func(x float64) float64 { // ε in the logarithm is ε·|a·log x| in the power
			p, l := math.Abs(math.Pow(x, a)), math.Abs(math.Log(math.Abs(x)))
			if a == 0 || math.IsInf(l, 0) {
				return p
			}
			return p * (1 + math.Abs(a)*l)
		}
		cs = append(cs, unaryCase{tensor.Pow, fmt.Sprintf("pow%v", a), tensor.Attr{A: a}, positive,
			kTranscendental, grow})
	}
	return cs
}

func (c unaryCase) tolerance(x *tensor.Tensor) tolerance {
	if c.mag == nil {
		return within(c.k)
	}
	vals := x.Floats() // before an aliased output overwrites them
	return tolerance{k: c.k, mag: func() []float64 {
		for i, v := range vals {
			vals[i] = c.mag(v)
		}
		return vals
	}}
}

// elementwiseFamily tests Cast, Unary, Binary and Select.
func elementwiseFamily(f *family) {
	for _, c := range unaryCases() {
		f.check("unary/"+c.name, func(e *env) {
			for _, n := range sizes {
				x := e.in(c.g, n)
				y := e.out(n)
				e.Unary(c.op, c.attr, y, x)
				e.want(fmt.Sprint(n), y, c.tolerance(x))
			}
			x := e.in(cycle(specials...), 2*len(specials)+1)
			y := e.out(x.Size())
			e.Unary(c.op, c.attr, y, x)
			e.want("specials", y, c.tolerance(x))
			z := e.state(c.g, 1009)
			tol := c.tolerance(z)
			e.Unary(c.op, c.attr, z, z)
			e.want("dst==x", z, tol)
		})
	}
	for op := tensor.Add; op <= tensor.ReLUMask; op++ {
		f.check("binary/"+binaryNames[op], func(e *env) { binaryCase(e, op) })
	}
	f.check("select", selectCase)
	f.check("add, mask", addMaskCase)
	castCases(f)
	checkChains(f)
}

var binaryNames = [...]string{"add", "sub", "mul", "div", "max", "min", "greater", "equal",
	"relumask"}

// broadcasts are triples dst, x, y: equal shapes, scalars, rows, columns, middle axes, per-sample
// channels, lower ranks, both sides stretched, empty.
var broadcasts = [][3][]int{
	{{3, 5}, {}, {3, 5}}, {{3, 5}, {3, 5}, {1}}, {{37}, {1}, {37}}, {{0}, {1}, {0}}, {{}, {}, {}},
	{{5, 67}, {5, 67}, {67}}, {{5, 67}, {1, 67}, {5, 67}}, {{5, 67}, {5, 67}, {5, 1}},
	{{67, 33}, {67, 1}, {1, 33}},
	{{4, 7, 17}, {4, 1, 17}, {4, 7, 17}}, {{4, 7, 17}, {4, 7, 17}, {1, 7, 1}},
	{{4, 7, 17}, {4, 7, 1}, {7, 17}},
	{{3, 4, 5, 19}, {3, 4, 5, 19}, {3, 1, 1, 19}}, {{3, 4, 5, 32}, {3, 1, 1, 32}, {3, 4, 5, 32}},
	{{3, 4, 5, 19}, {3, 4, 5, 19}, {19}}, {{3, 4, 5, 1}, {3, 4, 5, 1}, {3, 1, 1, 1}},
	{{2, 3, 2, 3, 4}, {3, 1, 3, 1}, {2, 1, 2, 1, 4}},
	{{3, 0, 5}, {3, 1, 5}, {3, 0, 1}}, {{2, 64, 64, 16}, {2, 64, 64, 16}, {2, 1, 1, 16}},
	{{7, 1, 1}, {7, 1, 1}, {1, 1, 1}}, {{70, 9, 130}, {70, 1, 130}, {9, 1}},
	{{300, 10}, {300, 10}, {300, 1}}, {{3, 4099, 5}, {5}, {3, 4099, 5}},
}

func binaryCase(e *env, op tensor.BinaryOp) {
	k := 0.0
	if op <= tensor.Div {
		k = kRounded
	}
	apply := func(name string, x, y *tensor.Tensor, shape ...int) {
		d := e.out(shape...)
		e.Binary(op, d, x, y)
		e.want(name, d, within(k))
	}
	g := normal(0, 2)
	for _, n := range sizes {
		apply(fmt.Sprint(n), e.in(g, n), e.in(g, n), n)
	}
	for _, b := range broadcasts {
		apply(fmt.Sprint(b), e.in(g, b[1]...), e.in(g, b[2]...), b[0]...)
	}
	s := len(specials)
	apply("specials", e.in(cycle(specials...), s*s), e.in(stretch(s, specials...), s*s), s*s)
	few := cycle(-1, 0, 1, 2, 2) // with ties
	apply("ties", e.in(few, 101), e.in(stretch(2, 2, 0, -1), 101), 101)

	x, y := e.state(g, 13, 67), e.in(g, 67)
	e.Binary(op, x, x, y)
	e.want("dst==x", x, within(k))
	y = e.state(g, 13, 67)
	e.Binary(op, y, e.in(g, 13, 1), y)
	e.want("dst==y", y, within(k))
	z := e.state(g, 1009)
	e.Binary(op, z, z, z)
	e.want("dst==x==y", z, within(k))
}

func selectCase(e *env) {
	cond := cycle(0, 1, math.Copysign(0, -1), -3, math.NaN(), 0, math.Inf(1))
	g := spiked(normal(0, 1), 3, math.NaN())
	for _, n := range sizes {
		d := e.out(n)
		e.Select(d, e.in(cond, n), e.in(g, n), e.in(g, n))
		e.want(fmt.Sprint(n), d, exactly())
	}
	for alias := range 3 {
		ts := []*tensor.Tensor{e.state(cond, 1009), e.state(g, 1009), e.state(g, 1009)}
		e.Select(ts[alias], ts[0], ts[1], ts[2])
		e.want(fmt.Sprintf("dst==operand %d", alias), ts[alias], exactly())
	}
}

// addMaskCase wants a tensor.SumMasker to do at once what Add and ReLUMask do one after the other,
// to the bit.
func addMaskCase(e *env) {
	mask := cycle(1, 0, -2, math.Copysign(0, -1), math.NaN(), 0.5, math.Inf(1))
	for _, n := range sizes {
		x1, x2, y := e.state(normal(0, 1), n), e.in(normal(0, 1), n), e.in(mask, n)
		want, dx := e.out(n), e.out(n)
		e.Binary(tensor.Add, want, x1, x2)
		e.Binary(tensor.ReLUMask, want, want, y)
		if b, ok := e.Backend.(tensor.SumMasker); ok {
			b.AddReLUMask(dx, x1, x2, y)
			b.AddReLUMask(x1, x1, x2, y)
		} else {
			e.Cast(dx, want)
			e.Cast(x1, want)
		}
		e.Binary(tensor.Sub, dx, dx, want)
		e.Binary(tensor.Sub, x1, x1, want)
		e.want(fmt.Sprintf("%d, difference", n), dx, exactly())
		e.want(fmt.Sprintf("%d in place, difference", n), x1, exactly())
	}
}

// castCases runs every pair of dtypes over values that both the contract and C agree on: no
// float beyond I32's range becomes an I32.
func castCases(f *family) {
	host := []tensor.DType{tensor.F32, tensor.F64, tensor.I32, tensor.U8}
	values := cycle(0, 1, -1, 0.5, -0.5, 1.9999, -1.9999, 2.5, 254.9, 255, 255.5, 256, 1000, -1000,
		127, 128, 1e6, -1e6, 16777217)
	for _, from := range host {
		for _, to := range host {
			if f.s.options.NoF64 != "" && (from == tensor.F64 || to == tensor.F64) {
				continue
			}
			f.checkIn(fmt.Sprintf("cast/%v-%v", from, to), tensor.F32, func(e *env) {
				for _, n := range smallSizes {
					x := e.scope.New(from, n)
					v := make([]float64, n)
					for i := range v {
						if v[i] = values(nil, i); from == tensor.U8 {
							v[i] = float64(i % 256)
						}
					}
					x.SetFloats(v)
					y := e.scope.New(to, n)
					e.Cast(y, e.freeze(x))
					e.want(fmt.Sprint(n), y, exactly())
				}
			})
		}
	}
	f.checkIn("cast/bf16", tensor.F32, func(e *env) {
		ties := cycle(1, 1+0x1p-8, 1+0x1p-8+0x1p-20, 1+3*0x1p-8, -1-0x1p-8, 3.14159, math.Inf(1),
			math.Inf(-1),
			math.NaN(), 0, 3.3961e38, 1e-30)
		for _, n := range smallSizes {
			x, half, y := e.scope.New(tensor.F32, n), e.scope.New(tensor.BF16, n),
				e.scope.New(tensor.F32, n)
			v := make([]float64, n)
			for i := range v {
				v[i] = ties(nil, i)
			}
			x.SetFloats(v)
			e.Cast(half, x)
			e.Cast(y, half)
			e.want(fmt.Sprint(n), y, exactly())
		}
	})
	f.check("cast/alias", func(e *env) {
		x := e.state(normal(0, 1), 1009)
		e.Cast(x, x)
		e.want("dst==x", x, exactly())
	})
}

// chains are the steps of tensor.Chainer that networks have (HardSwish, SiLU, GELU), and one that
// no network has.
func chains() [][]tensor.UnaryStep {
	return [][]tensor.UnaryStep{
		{{Op: tensor.Affine, Attr: tensor.Attr{A: 1.0 / 6, B: 0.5}},
			{Op: tensor.Clamp, Attr: tensor.Attr{A: 0, B: 1}}},
		{{Op: tensor.Sigmoid}},
		{{Op: tensor.Affine, Attr: tensor.Attr{A: math.Sqrt2 / 2}}, {Op: tensor.Erf},
			{Op: tensor.Affine, Attr: tensor.Attr{A: 0.5, B: 0.5}}},
		{{Op: tensor.Abs}, {Op: tensor.Pow, Attr: tensor.Attr{A: 1.7}}},
	}
}

// checkChains wants a tensor.Chainer to do at once what kernels do one after the other, to the bit.
func checkChains(f *family) {
	for i, steps := range chains() {
		for _, gate := range []bool{false, true} {
			f.check(fmt.Sprintf("chain %d, gate %v", i, gate), func(e *env) {
				for _, n := range sizes {
					chainCase(e, steps, gate, e.in(normal(0, 3), n))
				}
				chainCase(e, steps, gate, e.in(cycle(specials...), 2*len(specials)+1))
			})
		}
	}
}

func chainCase(e *env, steps []tensor.UnaryStep, gate bool, x *tensor.Tensor) {
	b, ok := e.Backend.(tensor.Chainer)
	if !ok || e.dt == tensor.BF16 {
		return
	}
	y, once, same := e.out(x.Size()), e.out(x.Size()), e.out(x.Size())
	e.Unary(steps[0].Op, steps[0].Attr, y, x)
	for _, s := range steps[1:] {
		e.Unary(s.Op, s.Attr, y, y)
	}
	if gate {
		e.Binary(tensor.Mul, y, x, y)
	}
	b.UnaryChain(once, x, gate, steps...)
	e.Cast(same, x)
	b.UnaryChain(same, same, gate, steps...)
	got, inPlace := once.Floats(), same.Floats()
	for i, v := range y.Floats() {
		if math.Float64bits(got[i]) != math.Float64bits(v) && (v == v || got[i] == got[i]) ||
			math.Float64bits(inPlace[i]) != math.Float64bits(v) && (v == v || inPlace[i] == inPlace[i]) {
			e.fault("of %d numbers, number %d is %g and, in place, %g at once, %g step by step", x.Size(),
				i, got[i], inPlace[i], v)
			return
		}
	}
}
