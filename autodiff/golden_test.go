package autodiff_test

import (
	"testing"

	ad "afterimage/autodiff"
	"afterimage/bench/pytorch/golden"
	"afterimage/tensor"
)

// The goldens of this file were made by bench/pytorch/ops.py.

// A goldenCase is a case of a golden file and our function for it.
type goldenCase struct {
	name string
	f    golden.Func
}

func runGolden(t *testing.T, file string, tol golden.Tolerances, cases []goldenCase) {
	golden.Each(t, "testdata/"+file+".safetensors", tol, func(r *golden.Run) {
		for _, c := range cases {
			r.Case(c.name, c.f)
		}
	})
}

// golden1 and golden2 adapt functions of one and two operands.
func golden1(name string, f func(x value) value) goldenCase {
	return goldenCase{name, func(_ graph, in vals) value { return f(in[0]) }}
}

func golden2(name string, f func(x, y value) value) goldenCase {
	return goldenCase{name, func(_ graph, in vals) value { return f(in[0], in[1]) }}
}

func TestGoldenElementwise(t *testing.T) {
	leaky := with(ad.LeakyReLU, 0.2)
	cases := []goldenCase{
		golden1("neg", ad.Neg), golden1("abs", ad.Abs), golden1("exp", ad.Exp),
		golden1("log", ad.Log), golden1("sqrt", ad.Sqrt), golden1("rsqrt", ad.Rsqrt),
		golden1("recip", ad.Recip), golden1("square", ad.Square), golden1("tanh", ad.Tanh),
		golden1("sigmoid", ad.Sigmoid), golden1("softplus", ad.Softplus),
		golden1("relu", ad.ReLU), golden1("leaky_relu", leaky),
		golden1("clamp", func(x value) value { return ad.Clamp(x, -1, 1) }),
		golden1("erf", ad.Erf), golden1("gelu", ad.GELU),
		golden1("silu", ad.SiLU), golden1("hard_swish", ad.HardSwish),
		golden1("affine", func(x value) value { return ad.Affine(x, 3, -2) }),
		golden1("add_scalar", with(ad.AddScalar, 3.0)), golden1("scale", with(ad.Scale, -0.5)),
		golden1("pow2.5", with(ad.Pow, 2.5)), golden1("pow-2", with(ad.Pow, -2.0)),
		golden1("pow3", with(ad.Pow, 3.0)),
		golden1("sign", ad.Sign), golden1("step", ad.Step),
		golden1("abs/edge", ad.Abs), golden1("relu/edge", ad.ReLU),
		golden1("leaky_relu/edge", leaky),
		golden1("clamp/edge", func(x value) value { return ad.Clamp(x, -1, 1) }),
		golden2("greater", ad.Greater), golden2("equal", ad.Equal),
		{"where", func(_ graph, in vals) value { return ad.Where(in[0], in[1], in[2]) }},
		golden1("cast", func(x value) value { return ad.Cast(ad.Cast(x, tensor.BF16), x.DType()) }),
	}
	for _, shapes := range []string{"2x3,2x3", "2x3,3", "2x1,1x3", ",2x3"} {
		cases = append(cases, golden2("add/"+shapes, ad.Add), golden2("sub/"+shapes, ad.Sub),
			golden2("mul/"+shapes, ad.Mul), golden2("div/"+shapes, ad.Div),
			golden2("maximum/"+shapes, ad.Maximum), golden2("minimum/"+shapes, ad.Minimum))
	}
	runGolden(t, "elementwise", golden.Default, cases)
}

func TestGoldenTrigonometric(t *testing.T) {
	runGolden(t, "trigonometric", golden.Default, []goldenCase{
		golden1("sin", ad.Sin), golden1("cos", ad.Cos), golden1("tan", ad.Tan),
		golden1("asin", ad.Asin), golden1("acos", ad.Acos), golden1("atan", ad.Atan),
		golden1("sinh", ad.Sinh), golden1("cosh", ad.Cosh), golden1("asinh", ad.Asinh),
		golden1("acosh", ad.Acosh), golden1("atanh", ad.Atanh),
	})
}

func TestGoldenShape(t *testing.T) {
	over := func(name string, axes ...int) []goldenCase {
		return []goldenCase{
			golden1("sum/"+name, func(x value) value { return ad.Sum(x, axes...) }),
			golden1("mean/"+name, func(x value) value { return ad.Mean(x, axes...) }),
			golden1("max/"+name, func(x value) value { return ad.Max(x, axes...) })}
	}
	cases := append(over("all"), over("1", 1)...)
	cases = append(cases, over("0,2", 0, 2)...)
	cases = append(cases,
		golden1("sum keep", func(x value) value { return ad.SumKeep(x, 0, 2) }),
		golden1("mean keep", func(x value) value { return ad.MeanKeep(x, 0, 2) }),
		golden1("max keep", func(x value) value { return ad.MaxKeep(x, 0, 2) }),
		golden1("max/tied", func(x value) value { return ad.Max(x, 1) }),
		golden1("broadcast", func(x value) value { return ad.BroadcastTo(x, 4, 2, 3) }),
		golden1("reshape", func(x value) value { return ad.Reshape(x, 2, 6) }),
		golden1("permute", func(x value) value { return ad.Permute(x, 2, 0, 1) }),
		golden1("transpose", ad.Transpose),
		golden1("slice", func(x value) value { // rows 0 and 2, columns 3 and 1
			return ad.Slice(x, []int{0, 3}, []int{3, -1}, []int{2, -2})
		}),
		golden1("slice_axis", func(x value) value { return ad.SliceAxis(x, -1, 1, 3) }),
		golden1("pad", func(x value) value { return ad.Pad(x, []int{1, 0}, []int{2, 1}) }),
		goldenCase{"concat", func(_ graph, in vals) value { return ad.Concat(-1, in...) }},
		golden1("split", func(x value) value {
			p := ad.Split(x, 1, 1, 3)
			return ad.Mul(p[0], p[1])
		}),
		golden2("gather", func(x, i value) value { return ad.Gather(x, i.Tensor()) }),
		golden2("scatter_add", func(x, i value) value { return ad.ScatterAdd(x, i.Tensor(), 5) }),
		goldenCase{"one_hot", func(g graph, in vals) value {
			return ad.OneHot(g, in[0].Tensor(), 4, tensor.F64)
		}})
	runGolden(t, "shape", golden.Default, cases)
}

func TestGoldenMatMul(t *testing.T) {
	definition := func(_ graph, in vals) value {
		return ad.SpectralQuotient(ad.Quotient{W: in[0], U: in[1], V: in[2], DType: in[0].DType()})
	}
	kernel := func(_ graph, in vals) value {
		return quotient(in[0], in[1], in[2], in[0].DType())
	}
	cases := []goldenCase{
		{"linear", func(_ graph, in vals) value { return ad.Linear(in[0], in[1], in[2]) }},
		golden2("linear/no_bias", func(x, w value) value { return ad.Linear(x, w, nil) }),
		{"spectral_quotient", definition}, {"spectral_quotient/kernel", kernel},
	}
	for _, stack := range []string{"plain", "stack"} {
		for flags, name := range []string{"nn", "tn", "nt", "tt"} {
			cases = append(cases, golden2("matmul/"+stack+"/"+name, func(a, b value) value {
				return ad.MatMul(a, b, flags&1 == 1, flags&2 == 2)
			}))
		}
	}
	runGolden(t, "matmul", golden.Default, cases)
}

// goldenConvs are the attributes that ops.py calls CONVS.
func goldenConvs() map[string]tensor.ConvParams {
	attr := func(v ...int) tensor.ConvParams {
		return tensor.ConvParams{StrideH: v[0], StrideW: v[1], PadTop: v[2], PadLeft: v[3],
			PadBottom: v[4], PadRight: v[5], DilH: v[6], DilW: v[7], Groups: v[8]}
	}
	return map[string]tensor.ConvParams{
		"plain": attr(1, 1, 0, 0, 0, 0, 1, 1, 1), "same": attr(1, 1, 1, 1, 1, 1, 1, 1, 1),
		"stride": attr(2, 3, 1, 0, 0, 1, 1, 1, 1), "dilation": attr(1, 1, 2, 3, 2, 3, 2, 3, 1),
		"groups": attr(1, 1, 1, 1, 1, 1, 1, 1, 2), "depthwise": attr(2, 1, 1, 1, 1, 1, 1, 1, 4),
		"all": attr(2, 2, 1, 2, 2, 0, 2, 1, 2),
	}
}

// TestGoldenConv holds all three convolutions against PyTorch's and their double backward.
func TestGoldenConv(t *testing.T) {
	for _, file := range []struct {
		name   string
		kh, kw int
		convs  []string
	}{
		{"conv", 3, 2, []string{"plain", "stride"}},
		{"conv_dilation", 3, 2, []string{"dilation", "all"}},
		{"conv_groups", 3, 2, []string{"groups", "depthwise"}},
		{"conv_square", 3, 3, []string{"plain", "same"}},
	} {
		var cases []goldenCase
		for _, name := range file.convs {
			p := goldenConvs()[name]
			cases = append(cases,
				golden2(name+"/forward", func(x, w value) value { return ad.Conv2D(x, w, p) }),
				golden2(name+"/input_grad", func(y, w value) value {
					return ad.Conv2DInputGrad(y, w, 5, 5, p)
				}),
				golden2(name+"/weight_grad", func(x, y value) value {
					return ad.Conv2DWeightGrad(x, y, file.kh, file.kw, p)
				}))
		}
		t.Run(file.name, func(t *testing.T) { runGolden(t, file.name, golden.Default, cases) })
	}
}

// TestGoldenFusedConv holds the convolution that ends with bias, residual and ReLU.
func TestGoldenFusedConv(t *testing.T) {
	p := goldenConvs()["same"]
	runGolden(t, "conv_fused", golden.Default, []goldenCase{
		{"bias", func(_ graph, in vals) value {
			return ad.Conv2DBiasAct(in[0], in[1], in[2], nil, false, p)
		}},
		{"bias relu", func(_ graph, in vals) value {
			return ad.Conv2DBiasAct(in[0], in[1], in[2], nil, true, p)
		}},
		{"res", func(_ graph, in vals) value {
			return ad.Conv2DBiasAct(in[0], in[1], nil, in[2], false, p)
		}},
		{"bias res relu", func(_ graph, in vals) value {
			return ad.Conv2DBiasAct(in[0], in[1], in[2], in[3], true, p)
		}},
	})
}

// TestGoldenTransposedConv holds Conv2DInputGrad against conv_transpose2d with output padding.
func TestGoldenTransposedConv(t *testing.T) {
	transposed := func(name string, h, w, stride, pad, dil, groups int) goldenCase {
		p := tensor.ConvParams{StrideH: stride, StrideW: stride, PadTop: pad, PadLeft: pad,
			PadBottom: pad, PadRight: pad, DilH: dil, DilW: dil, Groups: groups}
		return golden2(name, func(y, k value) value { return ad.Conv2DInputGrad(y, k, h, w, p) })
	}
	// The extents are PyTorch's: (n−1)·stride − 2·pad + dil·(k−1) + output padding + 1, n = 2, 3.
	runGolden(t, "conv_transposed", golden.Default, []goldenCase{
		transposed("plain", 4, 5, 1, 0, 1, 1), transposed("stride", 4, 6, 2, 1, 1, 1),
		transposed("groups", 3, 5, 2, 1, 1, 2), transposed("dilation", 6, 9, 3, 2, 2, 1)})
}

// TestGoldenResampledConv holds convolutions joined with the resampling beside them against the two
// steps.
func TestGoldenResampledConv(t *testing.T) {
	var cases []goldenCase
	for name, k := range map[string]int{"3": 3, "5": 5} {
		p := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1,
			PadTop: k / 2, PadLeft: k / 2, PadBottom: k / 2, PadRight: k / 2}
		twice := p
		twice.StrideH, twice.StrideW = 2, 2
		cases = append(cases, golden2(name+" enlarged", func(x, w value) value {
			return ad.Conv2DInputGrad(x, ad.UpsampledFilter(w), 6, 8, ad.UpsampledParams(k, k, p))
		}), golden2(name+" halved", func(x, w value) value {
			return ad.Conv2D(x, ad.PooledFilter(w), twice)
		}))
	}
	runGolden(t, "conv_resampled", golden.Default, cases)
}

func TestGoldenPool(t *testing.T) {
	square := func(k, s, p int, ceil bool) tensor.PoolParams {
		return tensor.PoolParams{KH: k, KW: k, StrideH: s, StrideW: s, PadTop: p, PadLeft: p,
			PadBottom: p, PadRight: p, CeilMode: ceil}
	}
	cases := []goldenCase{
		golden1("max tied", with(ad.MaxPool, square(3, 2, 1, false))),
		golden1("max small", with(ad.MaxPool, square(3, 2, 0, true))),
		golden1("avg small", with(ad.AvgPool, tensor.PoolParams{KH: 3, KW: 2, StrideH: 2, StrideW: 2,
			PadTop: 1, PadBottom: 1, CeilMode: true})),
		golden1("avg small count", with(ad.AvgPool, tensor.PoolParams{KH: 3, KW: 2, StrideH: 2,
			StrideW: 2, PadTop: 1, PadBottom: 1, CeilMode: true, CountPad: true})),
		golden1("upsample", with(ad.Upsample, 2)), golden1("upsample3", with(ad.Upsample, 3)),
		golden1("global avg", ad.GlobalAvgPool), golden1("global sum", ad.GlobalSumPool),
	}
	for _, c := range []struct {
		name string
		p    tensor.PoolParams
	}{
		{"2", square(2, 2, 0, false)}, {"3/2,1", square(3, 2, 1, false)},
		{"3/2,1 ceil", square(3, 2, 1, true)},
		{"2x3/3x2", tensor.PoolParams{KH: 2, KW: 3, StrideH: 3, StrideW: 2, PadTop: 1, PadBottom: 1,
			CeilMode: true}},
	} {
		counted := c.p
		counted.CountPad = true
		cases = append(cases, golden1("max "+c.name, with(ad.MaxPool, c.p)),
			golden1("avg "+c.name, with(ad.AvgPool, c.p)),
			golden1("avg "+c.name+" count", with(ad.AvgPool, counted)))
	}
	runGolden(t, "pool", golden.Default, cases)
}

// TestGoldenPoolGrad holds the adjoints of pooling and upsampling as functions of their own.
func TestGoldenPoolGrad(t *testing.T) {
	var cases []goldenCase
	for name, p := range map[string]tensor.PoolParams{
		"2": {KH: 2, KW: 2, StrideH: 2, StrideW: 2},
		"3/2,1 ceil": {KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1, PadBottom: 1,
			PadRight: 1, CeilMode: true},
	} {
		counted := p
		counted.CountPad = true
		cases = append(cases,
			golden1("avg "+name, func(y value) value { return ad.AvgPoolGrad(y, 5, 6, p) }),
			golden1("avg "+name+" count", func(y value) value {
				return ad.AvgPoolGrad(y, 5, 6, counted)
			}))
	}
	runGolden(t, "pool_grad", golden.Default, append(cases,
		golden1("upsample 2", with(ad.UpsampleGrad, 2)),
		golden1("upsample 3", with(ad.UpsampleGrad, 3))))
}

func TestGoldenNorm(t *testing.T) {
	train := func(_ graph, in vals) value { return batchNorm(in[0], in[1], in[2]) }
	relu := func(_ graph, in vals) value {
		if len(in) == 4 {
			return batchNormReLU(in[0], in[1], in[2], in[3])
		}
		return batchNormReLU(in[0], in[1], in[2], nil)
	}
	// Evaluation folds statistics, gain and shift into one affine map.
	eval := func(relu bool) golden.Func {
		return func(_ graph, in vals) value {
			scale := ad.Mul(in[1], ad.Rsqrt(ad.AddScalar(in[4], bnEps)))
			return ad.ScaleShift(in[0], scale, ad.Sub(in[2], ad.Mul(in[3], scale)), nil, relu)
		}
	}
	runGolden(t, "norm", golden.Default, []goldenCase{
		{"batch_norm", train}, {"batch_norm/vector", train}, {"batch_norm/conditional", train},
		{"batch_norm_relu", relu}, {"batch_norm_relu/res", relu},
		{"scale_shift/res", func(_ graph, in vals) value {
			return ad.ScaleShift(in[0], in[1], in[2], in[3], true)
		}},
		{"batch_norm_relu/conditional", relu}, {"eval", eval(false)}, {"eval_relu", eval(true)}})
}

func TestGoldenLayerNorm(t *testing.T) {
	f := func(_ graph, in vals) value {
		if len(in) == 2 {
			return ad.LayerNorm(in[0], in[1], nil, bnEps)
		}
		return ad.LayerNorm(in[0], in[1], in[2], bnEps)
	}
	runGolden(t, "layer_norm", golden.Default, []goldenCase{
		{"layer_norm", f}, {"layer_norm/no beta", f}, {"layer_norm/vector", f}})
}

// TestGoldenView holds views: copied, and multiplied where they lie, which is what happens to
// constants.
func TestGoldenView(t *testing.T) {
	// part is one of the parts of x [batch place part head channel], as [batch head place channel].
	part := func(x value, i int) ad.View {
		s := x.Shape()
		l, _ := tensor.Dense(s).Slice(2, i, 1, 1).Permute(0, 2, 3, 1, 4).Reshape(
			tensor.Shape{s[0], s[3], s[1], s[4]})
		return ad.View{X: x, Layout: l}
	}
	scores := func(_ graph, in vals) value {
		keys := part(in[1], 0)
		keys.Layout = keys.Permute(0, 1, 3, 2)
		return ad.MatMulViews(part(in[0], 1), keys, 0.6, nil)
	}
	mixed := func(_ graph, in vals) value {
		p := ad.View{X: in[0], Layout: tensor.Dense(in[0].Shape())}
		return ad.MatMulViews(p, part(in[1], 1), 1, []int{0, 2, 1, 3})
	}
	runGolden(t, "view", golden.Default, []goldenCase{
		golden1("gathered", func(x value) value {
			l := tensor.Dense(x.Shape()).Permute(2, 0, 1).Slice(0, 1, 2, 3).Slice(2, 1, 1, 3)
			return ad.Gathered(ad.View{X: x, Layout: l})
		}),
		golden1("gathered/in order", func(x value) value {
			return ad.Gathered(ad.View{X: x, Layout: tensor.Dense(tensor.Shape{6, 4})})
		}),
		{"scores", scores}, {"mixed", mixed}, {"scores/constants", scores},
		{"mixed/constants", mixed}})
}

func TestGoldenSoftmax(t *testing.T) {
	smoothed := func(name string, s float64) goldenCase {
		return goldenCase{name, func(g graph, in vals) value {
			z := in[0]
			target := ad.OneHot(g, in[1].Tensor(), z.Dim(1), z.DType())
			return ad.CrossEntropy(z, ad.Affine(target, 1-s, s/float64(z.Dim(1))))
		}}
	}
	runGolden(t, "softmax", golden.Default, []goldenCase{
		golden1("softmax", ad.Softmax), golden1("log_softmax", ad.LogSoftmax),
		golden1("log_softmax/large", ad.LogSoftmax),
		golden2("cross_entropy/soft", ad.CrossEntropy),
		smoothed("cross_entropy/0.0", 0), smoothed("cross_entropy/0.1", 0.1)})
}

func TestGoldenAttention(t *testing.T) {
	scaled := func(name string, scale float64) goldenCase {
		return goldenCase{name, func(_ graph, in vals) value {
			return ad.Attention(in[0], in[1], in[2], scale)
		}}
	}
	runGolden(t, "attention", golden.Default, []goldenCase{scaled("attention/1", 1),
		scaled("attention/0.6", 0.6)})
}
