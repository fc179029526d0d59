package autodiff_test

import (
	ad "afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/tensor"
)

// A Func and an Input of the table are gradcheck's.
type (
	fn    = gradcheck.Func
	input = gradcheck.Input
	vals  = []value
	value = *ad.Value
	graph = *ad.Graph
)

// A sample is one use of an exported function: a point away from kinks, where it is checked to
// order 2, and misuses that must be refused.
type sample struct {
	name   string // the exported function
	f      fn
	in     []input
	bad    []fn // called with the sample's inputs
	kind   kind
	refuse string // the name the refusal carries; name if empty
}

type kind uint8

const (
	differentiable kind = iota
	constant            // the gradient is zero by declaration
)

// Short forms for the table.
var (
	normal = gradcheck.Normal
	within = gradcheck.Range
)

func one(f func(x value) value) fn {
	return func(_ graph, in []value) value { return f(in[0]) }
}

func two(f func(x, y value) value) fn {
	return func(_ graph, in []value) value { return f(in[0], in[1]) }
}

// ints returns an I32 vector in g's scope, as a value.
func ints(g graph, v ...int32) value { return g.Const(idx(g, v...)) }

func idx(g graph, v ...int32) *tensor.Tensor { return tensor.FromSlice(g.Scope(), v, len(v)) }

// f32 returns zeros of another dtype than the samples'.
func f32(g graph, shape ...int) value { return g.Zeros(tensor.F32, shape...) }

func zeros(g graph, shape ...int) value { return g.Zeros(tensor.F64, shape...) }

// notFloat is the misuse every elementwise function of one operand refuses.
func notFloat(f func(x value) value) []fn {
	return []fn{func(g graph, _ vals) value { return f(ints(g, 1, 2)) }}
}

// notFitting are the misuses every broadcasting function of two operands refuses.
func notFitting(f func(x, y value) value) []fn {
	return []fn{
		func(g graph, _ vals) value { return f(zeros(g, 2, 3), zeros(g, 2)) },
		func(g graph, _ vals) value { return f(zeros(g, 3), f32(g, 3)) },
	}
}

// offZero are points at least 0.2 away from 0, of both signs.
func offZero(n uint32, shape ...int) input {
	in := normal(n, shape...)
	for i, v := range in.Data {
		if in.Data[i] = v + 0.2; v < 0 {
			in.Data[i] = v - 0.2
		}
	}
	return in
}

// distinct are points no two of which are closer than 0.1, in an order without pattern.
func distinct(shape ...int) input {
	in := input{Shape: shape, Data: make([]float64, tensor.Shape(shape).Size())}
	for i := range in.Data {
		in.Data[i] = 0.1 * float64((i*7919+13)%257-128)
	}
	return in
}

func unarySample(name string, f func(value) value, at input) sample {
	return sample{name: name, f: one(f), in: []input{at}, bad: notFloat(f)}
}

func binarySamples(
	name string, f func(x, y value) value, at func(n uint32, shape ...int) input,
) []sample {
	pair := func(a, b []int) sample {
		in := []input{at(1, a...), at(2, b...)}
		return sample{name: name, f: two(f), in: in, bad: notFitting(f)}
	}
	return []sample{pair([]int{2, 3}, []int{2, 3}), pair([]int{2, 3}, []int{3}),
		pair([]int{2, 1}, []int{1, 3}), pair([]int{}, []int{2, 3})}
}

// with binds the attributes of a function.
func with[P any](f func(value, P) value, p P) func(value) value {
	return func(x value) value { return f(x, p) }
}

func unarySamples() []sample {
	return []sample{
		unarySample("Neg", ad.Neg, normal(1, 5)),
		unarySample("Abs", ad.Abs, offZero(1, 5)),
		unarySample("Exp", ad.Exp, normal(1, 5)),
		unarySample("Log", ad.Log, within(1, 0.5, 2, 5)),
		unarySample("Sqrt", ad.Sqrt, within(1, 0.5, 2, 5)),
		unarySample("Rsqrt", ad.Rsqrt, within(1, 0.5, 2, 5)),
		unarySample("Recip", ad.Recip, within(1, -2, -0.5, 5)),
		unarySample("Square", ad.Square, normal(1, 5)),
		unarySample("Tanh", ad.Tanh, normal(1, 5)),
		unarySample("Sigmoid", ad.Sigmoid, normal(1, 5)),
		unarySample("Softplus", ad.Softplus, normal(1, 5)),
		unarySample("ReLU", ad.ReLU, offZero(1, 9)),
		unarySample("LeakyReLU", with(ad.LeakyReLU, 0.2), offZero(1, 9)),
		unarySample("Clamp", func(x value) value { return ad.Clamp(x, -1, 1) },
			gradcheck.Of([]int{5}, -2, -0.5, 0.3, 0.9, 1.7)),
		unarySample("Erf", ad.Erf, normal(1, 5)),
		unarySample("Sin", ad.Sin, normal(1, 5)),
		unarySample("Cos", ad.Cos, normal(1, 5)),
		unarySample("Tan", ad.Tan, within(1, -1, 1, 5)),
		unarySample("Asin", ad.Asin, within(1, -0.8, 0.8, 5)),
		unarySample("Acos", ad.Acos, within(1, -0.8, 0.8, 5)),
		unarySample("Atan", ad.Atan, normal(1, 5)),
		unarySample("Sinh", ad.Sinh, normal(1, 5)),
		unarySample("Cosh", ad.Cosh, normal(1, 5)),
		unarySample("Asinh", ad.Asinh, normal(1, 5)),
		unarySample("Acosh", ad.Acosh, within(1, 1.5, 3, 5)),
		unarySample("Atanh", ad.Atanh, within(1, -0.8, 0.8, 5)),
		unarySample("GELU", ad.GELU, normal(1, 5)),
		unarySample("SiLU", ad.SiLU, normal(1, 5)),
		unarySample("HardSwish", ad.HardSwish, gradcheck.Of([]int{5}, -4, -2, 0.3, 2, 3.5)),
		unarySample("Affine", func(x value) value { return ad.Affine(x, 3, -2) }, normal(1, 5)),
		unarySample("Scale", with(ad.Scale, 3.0), normal(1, 5)),
		unarySample("AddScalar", with(ad.AddScalar, 3.0), normal(1, 5)),
		unarySample("Pow", with(ad.Pow, 2.5), within(1, 0.5, 2, 5)),
		unarySample("Pow", with(ad.Pow, 1.0), normal(1, 5)),
		unarySample("Pow", with(ad.Pow, -2.0), offZero(1, 5)),
		unarySample("Sign", ad.Sign, offZero(1, 5)),
		unarySample("Step", ad.Step, offZero(1, 5)),
	}
}

func elementwiseSamples() []sample {
	list := unarySamples()
	list = append(list, binarySamples("Add", ad.Add, normal)...)
	list = append(list, binarySamples("Sub", ad.Sub, normal)...)
	list = append(list, binarySamples("Mul", ad.Mul, normal)...)
	list = append(list, binarySamples("Div", ad.Div, offZero)...)
	list = append(list, binarySamples("Maximum", ad.Maximum, normal)...)
	list = append(list, binarySamples("Minimum", ad.Minimum, normal)...)
	list = append(list, binarySamples("Greater", ad.Greater, normal)...)
	list = append(list, binarySamples("Equal", ad.Equal, normal)...)
	for i, s := range list {
		switch s.name {
		case "Sign", "Step", "Greater", "Equal":
			list[i].kind = constant
		case "Scale", "AddScalar":
			list[i].refuse = "Affine"
		case "LeakyReLU":
			list[i].bad = append(s.bad, one(with(ad.LeakyReLU, -0.1)))
		case "Clamp":
			list[i].bad = append(s.bad, one(func(x value) value { return ad.Clamp(x, 1, -1) }))
		}
	}
	mask := func(g graph) value {
		return g.Const(tensor.FromSlice(g.Scope(), []float64{1, 0, 2}, 3))
	}
	where := func(g graph, in vals) value { return ad.Where(mask(g), in[0], in[1]) }
	return append(list,
		sample{name: "Where", f: where, in: []input{normal(1, 2, 3), normal(2, 2, 3)}, bad: []fn{
			func(g graph, in vals) value { return ad.Where(mask(g), zeros(g, 2), in[1]) },
			func(g graph, in vals) value { return ad.Where(ints(g, 1, 0, 1), in[0], in[1]) }}},
		sample{name: "Where", f: where, in: []input{normal(1, 1), normal(2, 2, 1)},
			bad: []fn{func(g graph, in vals) value {
				return ad.Where(zeros(g, 3), zeros(g, 2), in[1])
			}}})
}

func reduceSamples() []sample {
	reduction := func(name, refuse string, f func(value, ...int) value) []sample {
		over := func(axes ...int) sample {
			return sample{name: name, refuse: refuse, in: []input{normal(1, 2, 3, 4)},
				f: one(func(x value) value { return f(x, axes...) }),
				bad: []fn{one(func(x value) value { return f(x, 3) }),
					one(func(x value) value { return f(x, 1, -2) }),
					func(g graph, _ vals) value { return f(ints(g, 1)) }}}
		}
		return []sample{over(), over(1), over(0, -1)}
	}
	list := reduction("Sum", "", ad.Sum)
	list = append(list, reduction("SumKeep", "Sum", ad.SumKeep)...)
	list = append(list, reduction("Mean", "", ad.Mean)...)
	list = append(list, reduction("MeanKeep", "Mean", ad.MeanKeep)...)
	list = append(list, reduction("Max", "", ad.Max)...)
	list = append(list, reduction("MaxKeep", "Max", ad.MaxKeep)...)
	to := func(shape ...int) fn {
		return one(func(x value) value { return ad.BroadcastTo(x, shape...) })
	}
	bad := []fn{to(3, 2), to(2), to(3, 1)}
	return append(list,
		sample{name: "BroadcastTo", f: to(2, 3), in: []input{normal(1, 2, 1)}, bad: bad},
		sample{name: "BroadcastTo", f: to(4, 1, 3), in: []input{normal(1, 3)}, bad: bad[:1]},
		sample{name: "BroadcastTo", f: to(1, 1, 3), in: []input{normal(1, 3)}, bad: bad[:1]})
}

func shapeSamples() []sample {
	a := []input{normal(1, 3, 4)}
	slice := func(start, stop, step []int) fn {
		return one(func(x value) value { return ad.Slice(x, start, stop, step) })
	}
	pad := func(before, after []int) fn {
		return one(func(x value) value { return ad.Pad(x, before, after) })
	}
	slicePad := func(start, stop, step, before []int) fn {
		return one(func(x value) value { return ad.SlicePad(x, start, stop, step, before, []int{2, 1}) })
	}
	return []sample{
		{name: "Cast", in: a, f: one(func(x value) value { return ad.Cast(x, tensor.F64) }),
			bad: []fn{one(func(x value) value { return ad.Cast(x, tensor.I32) }),
				one(func(x value) value { return ad.Cast(x, tensor.F16) }),
				func(g graph, _ vals) value { return ad.Cast(ints(g, 1), tensor.F32) }}},
		{name: "Reshape", in: a, f: one(func(x value) value { return ad.Reshape(x, 2, 6) }),
			bad: []fn{one(func(x value) value { return ad.Reshape(x, 5) }),
				one(func(x value) value { return ad.Reshape(x, -2, -6) })}},
		{name: "Permute", in: []input{normal(1, 2, 3, 4)},
			f: one(func(x value) value { return ad.Permute(x, 2, 0, 1) }),
			bad: []fn{one(func(x value) value { return ad.Permute(x, 0, 1) }),
				one(func(x value) value { return ad.Permute(x, 0, 1, 1) })}},
		{name: "Transpose", in: a, f: one(ad.Transpose),
			bad: []fn{func(g graph, _ vals) value { return ad.Transpose(zeros(g, 2)) }}},
		{name: "Slice", in: a, f: slice([]int{0, 3}, []int{3, -1}, []int{2, -2}), bad: []fn{
			slice([]int{0}, []int{1}, nil), slice([]int{0, 0}, []int{4, 1}, nil),
			slice([]int{0, 0}, []int{1, 1}, []int{1, 0}), slice([]int{2, 0}, []int{1, 1}, nil)}},
		{name: "SliceAxis", in: a, refuse: "Slice",
			f:   one(func(x value) value { return ad.SliceAxis(x, -1, 1, 3) }),
			bad: []fn{one(func(x value) value { return ad.SliceAxis(x, 2, 0, 1) })}},
		{name: "Pad", in: a, f: pad([]int{1, 0}, []int{2, 1}),
			bad: []fn{pad([]int{1}, []int{1}), pad([]int{-1, 0}, []int{0, 0})}},
		{name: "SlicePad", in: a, f: slicePad([]int{0, 3}, []int{3, -1}, []int{2, -2}, []int{1, 0}),
			bad: []fn{slicePad([]int{0, 0}, []int{4, 1}, nil, []int{1, 0}),
				slicePad([]int{0, 0}, []int{1, 1}, nil, []int{1}),
				slicePad([]int{0, 0}, []int{1, 1}, nil, []int{0, -1})}},
		{name: "Concat", in: []input{normal(1, 2, 3), normal(2, 2, 1), normal(3, 2, 2)},
			f: func(_ graph, in vals) value { return ad.Concat(-1, in...) },
			bad: []fn{func(_ graph, in vals) value { return ad.Concat(0, in...) },
				func(_ graph, in vals) value { return ad.Concat(2, in...) },
				func(g graph, in vals) value { return ad.Concat(0, in[0], f32(g, 2, 3)) }}},
		{name: "Split", in: a,
			f: one(func(x value) value {
				p := ad.Split(x, 1, 1, 3)
				return ad.Mul(p[0], p[1])
			}),
			bad: []fn{one(func(x value) value { return ad.Split(x, 1, 1, 2)[0] }),
				one(func(x value) value { return ad.Split(x, 1, 5, -1)[0] })}},
	}
}

func matMulSamples() []sample {
	var list []sample
	for _, stack := range [][]int{nil, {2}} {
		for flags := range 4 {
			tA, tB := flags&1 == 1, flags&2 == 2
			a, b := []int{3, 4}, []int{4, 2}
			if tA {
				a = []int{4, 3}
			}
			if tB {
				b = []int{2, 4}
			}
			mul := func(x, y value) value { return ad.MatMul(x, y, tA, tB) }
			list = append(list, sample{name: "MatMul", f: two(mul),
				in: []input{normal(1, append(stack[:len(stack):len(stack)], a...)...),
					normal(2, append(stack[:len(stack):len(stack)], b...)...)},
				bad: []fn{
					func(g graph, _ vals) value { return mul(zeros(g, 5, 6), zeros(g, 7, 8)) },
					func(g graph, _ vals) value {
						return mul(zeros(g, 2, 3, 3), zeros(g, 1, 3, 3))
					},
					func(g graph, _ vals) value { return mul(zeros(g, 3), zeros(g, 3)) },
					func(g graph, _ vals) value { return mul(zeros(g, 3, 3), f32(g, 3, 3)) }}})
		}
	}
	linear := func(_ graph, in vals) value { return ad.Linear(in[0], in[1], in[2]) }
	return append(list,
		sample{name: "Linear", f: linear,
			in: []input{normal(1, 3, 4), normal(2, 2, 4), normal(3, 2)},
			bad: []fn{func(_ graph, in vals) value { return ad.Linear(in[0], in[0], in[1]) },
				func(_ graph, in vals) value { return ad.Linear(in[0], in[2], nil) }}},
		sample{name: "Linear", f: two(func(x, w value) value { return ad.Linear(x, w, nil) }),
			in: []input{normal(1, 3, 4), normal(2, 2, 4)},
			bad: []fn{func(g graph, in vals) value {
				return ad.Linear(in[0], zeros(g, 2, 3), nil)
			}}})
}

// spectralSamples are of weights over their largest singular value.
func spectralSamples() []sample {
	divided := func(_ graph, in vals) value {
		return quotient(in[0], in[1], in[2], in[0].DType())
	}
	twice := func(w, u, v value) value {
		q := ad.Quotient{W: w, U: u, V: v, DType: tensor.F64}
		y := ad.SpectralQuotients([]ad.Quotient{q, q})
		return ad.Add(y[0], y[1])
	}
	misfit := func(w, u, v value, dt tensor.DType) value {
		return ad.SpectralQuotient(ad.Quotient{W: w, U: u, V: v, DType: dt})
	}
	vectors := []input{within(1, 0.5, 2, 3, 2, 2), within(2, 0.5, 2, 1, 3), within(3, 0.5, 2, 1, 4)}
	return []sample{
		{name: "SpectralQuotients", in: vectors,
			f:   func(_ graph, in vals) value { return twice(in[0], in[1], in[2]) },
			bad: []fn{func(_ graph, in vals) value { return twice(in[0], in[2], in[1]) }}},
		{name: "SpectralQuotient", f: divided, in: vectors,
			bad: []fn{
				func(g graph, in vals) value {
					return misfit(in[0], in[2], in[1], tensor.F64)
				},
				func(g graph, in vals) value {
					return misfit(in[0], ad.Reshape(in[1], 3), in[2], tensor.F64)
				},
				func(g graph, in vals) value {
					return misfit(in[0], in[1], in[2], tensor.BF16)
				}}},
	}
}

// quotient is SpectralQuotient where uᵀMv is known.
func quotient(w, u, v value, dt tensor.DType) value {
	var sigma value
	w.Graph().NoGrad(func() {
		mv := ad.MatMul(v, ad.Reshape(w, u.Dim(1), v.Dim(1)), false, true)
		sigma = ad.MatMul(mv, u, false, true).Keep()
	})
	return ad.SpectralQuotient(ad.Quotient{W: w, U: u, V: v, Sigma: sigma.Tensor(), DType: dt})
}

func indexSamples() []sample {
	a := []input{normal(1, 4, 3)}
	pick := func(x value) value { return ad.Gather(x, idx(x.Graph(), 2, 0, 2)) }
	put := func(x value) value { return ad.ScatterAdd(x, idx(x.Graph(), 1, 4, 1, 0), 5) }
	return []sample{
		{name: "Gather", f: one(pick), in: a, bad: []fn{
			func(g graph, _ vals) value { return pick(zeros(g)) },
			one(func(x value) value { return ad.Gather(x, x.Tensor()) })}},
		{name: "ScatterAdd", f: one(put), in: a, bad: []fn{
			func(g graph, _ vals) value { return put(zeros(g, 3, 3)) },
			one(func(x value) value { return ad.ScatterAdd(x, idx(x.Graph(), 0, 0, 0, 0), -1) })}},
		{name: "OneHot", kind: constant, in: a,
			f: func(g graph, _ vals) value { return ad.OneHot(g, idx(g, 1, 7), 3, tensor.F64) },
			bad: []fn{
				func(g graph, _ vals) value { return ad.OneHot(g, idx(g, 1), -1, tensor.F64) },
				func(g graph, _ vals) value { return ad.OneHot(g, idx(g, 1), 3, tensor.I32) },
				func(g graph, in vals) value {
					return ad.OneHot(g, in[0].Tensor(), 3, tensor.F64)
				}}},
	}
}

// head is the second of three parts of x [5, 3·2·4], as [2 5 4].
func head(x value) ad.View {
	l, _ := tensor.Dense(x.Shape()).Reshape(tensor.Shape{5, 3, 2, 4})
	l, _ = l.Slice(1, 1, 1, 1).Permute(2, 1, 0, 3).Reshape(tensor.Shape{2, 5, 4})
	return ad.View{X: x, Layout: l}
}

// turnedHead is head as [2 4 5].
func turnedHead(x value) ad.View { return ad.View{X: x, Layout: head(x).Permute(0, 2, 1)} }

func viewSamples() []sample {
	x := normal(1, 5, 24)
	of := func(shape tensor.Shape, offset int, strides ...int) fn {
		return func(_ graph, in vals) value {
			return ad.Gathered(ad.View{X: in[0], Layout: tensor.Layout{Shape: shape, Strides: strides,
				Offset: offset}})
		}
	}
	product := func(a, b func(value) ad.View, alpha float64, order ...int) fn {
		return func(_ graph, in vals) value {
			return ad.MatMulViews(a(in[0]), b(in[len(in)-1]), alpha, order)
		}
	}
	whole := func(x value) ad.View { return ad.View{X: x, Layout: tensor.Dense(x.Shape())} }
	bad := []fn{of(tensor.Shape{2, 3}, 0, 1, 1), of(tensor.Shape{3}, 118, 1),
		of(tensor.Shape{3}, -1, 1), of(tensor.Shape{3}, 9, -1), of(tensor.Shape{2, 3}, 0, 2, 1)}
	unfit := []fn{product(head, head, 1), product(head, whole, 1), func(g graph, in vals) value {
		return ad.MatMulViews(head(in[0]), turnedHead(f32(g, 5, 24)), 1, nil)
	}, product(head, turnedHead, 1, 0, 2, 1), product(head, turnedHead, 1, 1, 1, 2)}
	return []sample{
		{name: "Gathered", f: func(_ graph, in vals) value { return ad.Gathered(turnedHead(in[0])) },
			in: []input{x}, bad: bad},
		{name: "Gathered", f: of(tensor.Shape{2, 1, 2}, 3, 7, 500, 2), in: []input{x}, bad: bad},
		{name: "Gathered", f: of(tensor.Shape{6, 1, 20}, 0, 20, 7, 1), in: []input{x}, bad: bad},
		{name: "MatMulViews", f: product(head, turnedHead, 1), in: []input{x, normal(2, 5, 24)},
			bad: unfit},
		{name: "MatMulViews", f: product(turnedHead, head, 0.3, 1, 0, 2), in: []input{x}, bad: unfit},
	}
}

func softmaxSamples() []sample {
	scalar := func(f func(value) value) []fn {
		return append(notFloat(f), func(g graph, _ vals) value { return f(zeros(g)) })
	}
	attention := func(scale float64) fn {
		return func(_ graph, in vals) value { return ad.Attention(in[0], in[1], in[2], scale) }
	}
	unfit := []fn{
		func(_ graph, in vals) value { return ad.Attention(in[0], in[2], in[1], 1) },
		func(g graph, in vals) value { return ad.Attention(in[0], in[1], zeros(g, 2, 3, 2), 1) },
		func(g graph, in vals) value { return ad.Attention(in[0], in[1], f32(g, 2, 4, 2), 1) },
		func(g graph, in vals) value { return ad.Attention(zeros(g, 3, 3), in[1], in[2], 1) }}
	operands := []input{normal(1, 2, 3, 3), normal(2, 2, 4, 3), normal(3, 2, 4, 2)}
	return []sample{
		{name: "Attention", f: attention(1), in: operands, bad: unfit},
		{name: "Attention", f: attention(0.6), in: operands, bad: unfit},
		{name: "Softmax", f: one(ad.Softmax), in: []input{normal(1, 2, 2, 4)},
			bad: scalar(ad.Softmax)},
		{name: "LogSoftmax", f: one(ad.LogSoftmax), in: []input{normal(1, 3, 4)},
			bad: scalar(ad.LogSoftmax)},
		{name: "CrossEntropy", f: two(ad.CrossEntropy),
			in: []input{normal(1, 3, 4), within(2, 0.1, 0.5, 3, 4)},
			bad: []fn{func(g graph, in vals) value { return ad.CrossEntropy(in[0], zeros(g, 3)) },
				func(g graph, in vals) value { return ad.CrossEntropy(in[0], f32(g, 3, 4)) }}},
	}
}

// samples is the table: every exported differentiable function, on every path it has.
func samples() []sample {
	var list []sample
	for _, part := range [][]sample{
		elementwiseSamples(), reduceSamples(), shapeSamples(), spectralSamples(),
		matMulSamples(), convSamples(), convBiasActSamples(),
		indexSamples(), resampledSamples(), poolSamples(), softmaxSamples(), normSamples(),
		layerNormSamples(), viewSamples()} {
		list = append(list, part...)
	}
	return list
}
