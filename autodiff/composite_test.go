package autodiff_test

import (
	"fmt"
	"slices"
	"testing"

	ad "afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// TestBatchNormComposite compares the fused op, whose plain gradient is a kernel's, with its
// definition in elementary ops: values, gradients, gradients of gradients.
func TestBatchNormComposite(t *testing.T) {
	definition := func(relu bool) fn {
		return normFunc(func(x, gamma, beta, res value) value {
			axes := []int{0, 1, 2}[:x.Rank()-1]
			if gamma.Rank() == 2 && x.Rank() == 4 {
				n, c := gamma.Dim(0), gamma.Dim(1)
				gamma, beta = ad.Reshape(gamma, n, 1, 1, c), ad.Reshape(beta, n, 1, 1, c)
			}
			centred := ad.Sub(x, ad.MeanKeep(x, axes...))
			std := ad.Sqrt(ad.AddScalar(ad.MeanKeep(ad.Square(centred), axes...), bnEps))
			y := ad.Add(ad.Mul(gamma, ad.Div(centred, std)), beta)
			if res != nil {
				y = ad.Add(y, res)
			}
			if relu {
				y = ad.ReLU(y)
			}
			return y
		})
	}
	for variant := range 8 {
		rank2, perSample, res := variant&1 == 1, variant&2 == 2, variant&4 == 4
		name := fmt.Sprintf("rank2=%v/perSample=%v/res=%v", rank2, perSample, res)
		t.Run(name, func(t *testing.T) {
			in := normInputs(rank2, perSample, res)
			gradcheck.Same(t, normFunc(batchNormReLU), definition(true), in)
			if !res {
				plain := func(x, a, b, _ value) value { return batchNorm(x, a, b) }
				gradcheck.Same(t, normFunc(plain), definition(false), in)
			}
		})
	}
}

// TestLayerNormComposite compares the fused op likewise, with and without beta.
func TestLayerNormComposite(t *testing.T) {
	definition := func(_ graph, in vals) value {
		centred := ad.Sub(in[0], ad.MeanKeep(in[0], -1))
		std := ad.Sqrt(ad.AddScalar(ad.MeanKeep(ad.Square(centred), -1), bnEps))
		y := ad.Mul(in[1], ad.Div(centred, std))
		if len(in) == 3 {
			y = ad.Add(y, in[2])
		}
		return y
	}
	for _, s := range layerNormSamples() {
		gradcheck.Same(t, s.f, definition, s.in)
	}
}

// TestConvBiasActComposite compares the convolution with an epilogue with its definition.
func TestConvBiasActComposite(t *testing.T) {
	for i, p := range convs() {
		oh, ow := p.Out(5, 6, 3, 2)
		in := []input{normal(1, 2, 5, 6, 4), normal(2, 4, 3, 2, 4/p.Groups), normal(3, 4),
			normal(4, 2, oh, ow, 4)}
		for _, relu := range []bool{false, true} {
			fused := func(_ graph, in vals) value {
				return ad.Conv2DBiasAct(in[0], in[1], in[2], in[3], relu, p)
			}
			definition := func(_ graph, in vals) value {
				y := ad.Add(ad.Add(ad.Conv2D(in[0], in[1], p), in[2]), in[3])
				if relu {
					y = ad.ReLU(y)
				}
				return y
			}
			t.Run(fmt.Sprintf("%d/relu=%v", i, relu), func(t *testing.T) {
				gradcheck.Same(t, fused, definition, in)
			})
		}
	}
}

// TestConvChainComposite compares the convolution with an activation behind it, where no gradient
// is asked, with its definition to the bit, and gradients where a pass is recorded after all.
func TestConvChainComposite(t *testing.T) {
	for i, p := range convs() {
		oh, ow := p.Out(5, 6, 3, 2)
		in := []input{normal(1, 2, 5, 6, 4), normal(2, 4, 3, 2, 4/p.Groups), normal(3, 4),
			normal(4, 2, oh, ow, 4)}
		for name, act := range map[string]ad.Activation{"GELU": ad.GELUAct(), "SiLU": ad.SiLUAct(),
			"HardSwish": ad.HardSwishAct(), "HardSigmoid": ad.HardSigmoidAct(0.3, 0.4),
			"Sigmoid": ad.SigmoidAct(), "Clamp": ad.ClampAct(-1, 2)} {
			definition := func(_ graph, in vals) value {
				return act.Of(ad.Conv2DBiasAct(in[0], in[1], in[2], in[3], false, p))
			}
			g, v := open(t, in)
			var once value
			g.NoGrad(func() { once = ad.Conv2DAct(v[0], v[1], v[2], v[3], act, p) })
			want := definition(g, v)
			if !slices.Equal(once.Tensor().Floats(), want.Tensor().Floats()) {
				t.Errorf("%d, %s: not what it is composed of", i, name)
			}
			recorded := ad.Conv2DAct(v[0], v[1], v[2], v[3], act, p)
			if once.NeedsGrad() || !recorded.NeedsGrad() {
				t.Errorf("%d, %s: recorded where it should not be, or not where it should", i, name)
			}
		}
		gradcheck.Same(t, func(_ graph, in vals) value {
			return ad.ConvSiLUAtOnce(in[0], in[1], in[2], in[3], p)
		}, func(_ graph, in vals) value {
			return ad.SiLU(ad.Conv2DBiasAct(in[0], in[1], in[2], in[3], false, p))
		}, in)
	}
}

// TestAttentionComposite compares attention's kernels with their definition.
func TestAttentionComposite(t *testing.T) {
	in := []input{normal(1, 2, 5, 3), normal(2, 2, 4, 3), normal(3, 2, 4, 6)}
	for _, scale := range []float64{1, 0.6} {
		fused := func(_ graph, in vals) value { return ad.Attention(in[0], in[1], in[2], scale) }
		definition := func(_ graph, in vals) value {
			p := ad.Softmax(ad.Scale(ad.MatMul(in[0], in[1], false, true), scale))
			return ad.MatMul(p, in[2], false, false)
		}
		gradcheck.Same(t, fused, definition, in)
	}
}

// TestViewsComposite compares views and their products with the ops that move elements.
func TestViewsComposite(t *testing.T) {
	moved := func(x value) value {
		parts := ad.Permute(ad.Reshape(x, 5, 3, 2, 4), 1, 2, 3, 0)
		return ad.Reshape(ad.SliceAxis(parts, 0, 1, 2), 2, 4, 5)
	}
	gathered := func(_ graph, in vals) value { return ad.Gathered(turnedHead(in[0])) }
	gradcheck.Same(t, gathered, func(_ graph, in vals) value { return moved(in[0]) },
		[]input{normal(1, 5, 24)})
	in := []input{normal(1, 5, 24), normal(2, 5, 24)}
	definition := func(_ graph, in vals) value {
		return ad.Scale(ad.MatMul(ad.Permute(moved(in[0]), 0, 2, 1), moved(in[1]), false, false), 0.3)
	}
	product := func(_ graph, in vals) value {
		return ad.MatMulViews(head(in[0]), turnedHead(in[1]), 0.3, nil)
	}
	gradcheck.Same(t, product, definition, in)
	gradcheck.Same(t, func(_ graph, in vals) value {
		return ad.MatMulViewsAtOnce(head(in[0]), turnedHead(in[1]), 0.3, 0, 1, 2)
	}, definition, in)
	gradcheck.Same(t, func(_ graph, in vals) value {
		return ad.MatMulViewsAtOnce(head(in[0]), turnedHead(in[1]), 0.3, 1, 0, 2)
	}, func(g graph, in vals) value { return ad.Permute(definition(g, in), 1, 0, 2) }, in)
	g, v := open(t, in)
	var once value
	g.NoGrad(func() { once = product(g, v) })
	if once.NeedsGrad() || !product(g, v).NeedsGrad() {
		t.Error("recorded where it should not be, or not where it should")
	}
}

// TestGatheredWithoutViews compares a backend that takes no views with one that does.
func TestGatheredWithoutViews(t *testing.T) {
	run := func(b tensor.Backend) (y, dx []float64) {
		g := ad.NewGraph(b)
		defer g.Close()
		x := g.Leaf(tensor.FromSlice(g.Scope(), normal(1, 5, 24).Data, 5, 24))
		v := ad.Gathered(turnedHead(x)).Keep()
		grad := ad.Grad(ad.Sum(ad.Exp(v)), []value{x})[0]
		return v.Tensor().Floats(), grad.Tensor().Floats()
	}
	y, dx := run(ref.New())
	plainY, plainDX := run(struct{ tensor.Backend }{ref.New()})
	if !slices.Equal(y, plainY) || !slices.Equal(dx, plainDX) {
		t.Errorf("got %v and %v, want %v and %v", plainY, plainDX, y, dx)
	}
}

// TestChainComposite compares activations in one pass, of which networks ask no gradient, with
// their definitions: values to the bit where nothing is recorded, and gradients where a pass is
// recorded after all.
func TestChainComposite(t *testing.T) {
	in := []input{normal(1, 3, 7)}
	for name, f := range map[string]func(value) value{"GELU": ad.GELU, "SiLU": ad.SiLU,
		"HardSwish": ad.HardSwish} {
		g, v := open(t, in)
		var once value
		g.NoGrad(func() { once = f(v[0]) })
		got, want := once.Tensor().Floats(), f(v[0]).Tensor().Floats()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v at once, %v step by step", name, got, want)
		}
		if f(v[0]).NeedsGrad() != true || once.NeedsGrad() {
			t.Errorf("%s: recorded where it should not be, or not where it should", name)
		}
	}
	gradcheck.Same(t, func(_ graph, in vals) value { return ad.SiLUAtOnce(in[0]) },
		func(_ graph, in vals) value { return ad.Mul(in[0], ad.Sigmoid(in[0])) }, in)
}
