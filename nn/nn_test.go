package nn_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/nntest"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// layers returns one of each layer that has parameters.
func layers() map[string]nn.Module {
	return map[string]nn.Module{
		"conv":      nn.NewConv2D(nn.ConvConfig{In: 4, Out: 6, Kernel: 3, Pad: 1, Groups: 2}),
		"sn conv":   nn.NewConv2D(nn.ConvConfig{In: 4, Out: 6, Kernel: 3, Spectral: true}),
		"linear":    nn.NewLinear(nn.LinearConfig{In: 3, Out: 2}),
		"sn linear": nn.NewLinear(nn.LinearConfig{In: 3, Out: 2, NoBias: true, Spectral: true}),
		"embedding": nn.NewEmbedding(nn.EmbeddingConfig{Classes: 3, Dim: 2, Spectral: true}),
		"bn":        nn.NewBatchNorm2D(3),
		"cbn": nn.NewConditionalBatchNorm(nn.CondNormConfig{Channels: 3, Cond: 2,
			Spectral: true}),
		"attention": nn.NewSelfAttention(8, 0, nil),
		"sequential": nn.Sequential{nn.NewLinear(nn.LinearConfig{In: 3, Out: 2}),
			nn.Func(autodiff.ReLU),
			nn.NewLinear(nn.LinearConfig{In: 2, Out: 1})},
	}
}

func TestEveryLayerListsItsParameters(t *testing.T) {
	for name, m := range layers() {
		t.Run(name, func(t *testing.T) { nntest.CheckParams(t, m) })
	}
}

func TestNames(t *testing.T) {
	want := map[string]string{
		"conv":       "weight bias",
		"sn conv":    "weight bias weight_u",
		"sn linear":  "weight weight_u",
		"embedding":  "weight weight_u",
		"bn":         "weight bias running_mean running_var",
		"cbn":        "gain.weight gain.weight_u bias.weight bias.weight_u running_mean running_var",
		"sequential": "0.weight 0.bias 2.weight 2.bias",
		"attention": "theta.weight theta.weight_u phi.weight phi.weight_u g.weight g.weight_u " +
			"o.weight o.weight_u gamma",
	}
	all := layers()
	for layer, names := range want {
		var got []string
		for n := range all[layer].Params() {
			got = append(got, n)
		}
		if strings.Join(got, " ") != names {
			t.Errorf("%s: got %v, want %s", layer, got, names)
		}
	}
}

// env is a scope and graph on the reference backend.
type env struct {
	s *tensor.Scope
	g *autodiff.Graph
}

func newEnv(t *testing.T) env {
	b := ref.New()
	e := env{tensor.NewScope(b), autodiff.NewGraph(b)}
	t.Cleanup(func() { e.g.Close(); e.s.Close() })
	return e
}

// normal returns deterministic normal numbers.
func (e env) normal(seed uint64, shape ...int) *tensor.Tensor {
	x := e.s.New(tensor.F64, shape...)
	x.SetFloats(nn.NormalInit{Std: 1}.Values(tensor.NewRNG(tensor.NewKey(seed, "test"), 0), shape))
	return x
}

func maxDiff(a, b []float64) float64 {
	d := 0.0
	for i := range a {
		d = max(d, math.Abs(a[i]-b[i]))
	}
	return d
}

// f64Tol bounds rounding in sums of up to a few hundred products of order 1 in double precision.
const f64Tol = 1e-12

func TestBatchNormTrainAndEval(t *testing.T) {
	e := newEnv(t)
	l := nn.NewBatchNorm2D(2)
	nn.InitDType(e.s, l, 1, tensor.F64)
	l.Weight.T.SetFloats([]float64{2, -1})
	l.Bias.T.SetFloats([]float64{0.5, 3})
	x := e.normal(1, 3, 2, 2, 2)
	xs := x.Floats()
	mean, variance := make([]float64, 2), make([]float64, 2)
	const n = 12
	for i, v := range xs {
		mean[i%2] += v / n
	}
	for i, v := range xs {
		variance[i%2] += (v - mean[i%2]) * (v - mean[i%2]) / n
	}
	gamma, beta := l.Weight.T.Floats(), l.Bias.T.Floats()
	want := make([]float64, len(xs))
	for i, v := range xs {
		c := i % 2
		want[i] = gamma[c]*(v-mean[c])/math.Sqrt(variance[c]+1e-5) + beta[c]
	}
	c := nn.NewCtx(e.g, nn.Train)
	c.Updates = nn.NewUpdates(e.g.Backend())
	got := l.Forward(c, e.g.Const(x)).Tensor().Floats()
	if d := maxDiff(got, want); d > f64Tol {
		t.Errorf("training output differs by %g", d)
	}
	if rm := l.Mean.T.Floats(); rm[0] != 0 {
		t.Errorf("running mean changed before Apply: %v", rm)
	}
	c.Updates.Apply()
	for ch := range 2 {
		if got, want := l.Mean.T.Floats()[ch], 0.1*mean[ch]; math.Abs(got-want) > f64Tol {
			t.Errorf("running mean %d: got %g, want %g", ch, got, want)
		}
		if got, want := l.Var.T.Floats()[ch],
			0.9+0.1*variance[ch]*n/(n-1); math.Abs(got-want) > f64Tol {
			t.Errorf("running variance %d: got %g, want %g", ch, got, want)
		}
	}
	rm, rv := l.Mean.T.Floats(), l.Var.T.Floats()
	res := e.normal(2, 3, 2, 2, 2)
	for i, v := range xs {
		ch := i % 2
		want[i] = max(gamma[ch]*(v-rm[ch])/math.Sqrt(rv[ch]+1e-5)+beta[ch]+res.Floats()[i], 0)
	}
	got = l.ForwardReLU(nn.NewCtx(e.g, nn.Eval), e.g.Const(x), e.g.Const(res)).Tensor().Floats()
	if d := maxDiff(got, want); d > f64Tol {
		t.Errorf("evaluation output differs by %g", d)
	}
}

func TestBatchNormRefusesOneValueInTraining(t *testing.T) {
	e := newEnv(t)
	l := nn.NewBatchNorm2D(2)
	nn.InitDType(e.s, l, 1, tensor.F64)
	err := tensor.Try(func() {
		l.Forward(nn.NewCtx(e.g, nn.Train), e.g.Const(e.normal(1, 1, 1, 1,
			2)))
	})
	if err == nil || !strings.Contains(err.Error(), "at least 2 values") {
		t.Errorf("got %v", err)
	}
}

func TestStandingStatistics(t *testing.T) {
	e := newEnv(t)
	l := nn.NewConditionalBatchNorm(nn.CondNormConfig{Channels: 2, Cond: 3})
	nn.InitDType(e.s, l, 1, tensor.F64)
	standing := nn.NewStandingStats(e.g.Backend())
	want := make([]float64, 2)
	for i := range 4 {
		x := e.normal(uint64(i), 2, 3, 3, 2)
		for j, v := range x.Floats() {
			want[j%2] += v / 18 / 4
		}
		c := nn.NewCtx(e.g, nn.Eval)
		c.Standing = standing
		l.Forward(c, e.g.Const(x), e.g.Const(e.normal(9, 2, 3)))
	}
	standing.Apply()
	if d := maxDiff(l.Mean.T.Floats(), want); d > f64Tol {
		t.Errorf("standing mean differs by %g", d)
	}
}

// A conditional layer whose matrices are zero is a plain one with gain 1 and shift 0.
func TestConditionalBatchNorm(t *testing.T) {
	e := newEnv(t)
	for _, train := range []bool{true, false} {
		l := nn.NewConditionalBatchNorm(nn.CondNormConfig{Channels: 2, Cond: 3,
			Init: nn.Constant(0)})
		plain := nn.NewBatchNorm2D(2)
		nn.InitDType(e.s, l, 1, tensor.F64)
		nn.InitDType(e.s, plain, 1, tensor.F64)
		x, cond := e.g.Const(e.normal(1, 2, 3, 3, 2)), e.g.Const(e.normal(2, 2, 3))
		c := nn.NewCtx(e.g, nn.Mode(train))
		got, want := l.Forward(c, x, cond).Tensor().Floats(), plain.Forward(c, x).Tensor().Floats()
		if d := maxDiff(got, want); d > f64Tol {
			t.Errorf("train %v: differs by %g", train, d)
		}
		relu := l.ForwardReLU(c, x, cond).Tensor().Floats()
		for i, v := range got {
			if relu[i] != max(v, 0) {
				t.Fatalf("train %v: ForwardReLU[%d] = %g, want max(%g, 0)", train, i, relu[i], v)
			}
		}
		twice := l.ForwardReLUUpsampled(c, x, cond, 2).Tensor().Floats()
		for i, v := range relu { // [2 3 3 2]: element i of the small image is at 2·row, 2·column
			n, y, z, ch := i/18, i/6%3, i/2%3, i%2
			if at := ((n*6+2*y)*6+2*z)*2 + ch; twice[at] != v || twice[at+14] != v {
				t.Fatalf("train %v: enlarged, element %d is %g and %g, want %g", train, at, twice[at],
					twice[at+14], v)
			}
		}
		l.PlainGain = true
		for i, v := range l.Forward(c, x, cond).Tensor().Floats() {
			if v != 0 {
				t.Fatalf("train %v: with gain W·c = 0, output %d is %g", train, i, v)
			}
		}
	}
}

// Constants made first inside a Tidy are used again after it.
func TestDerivedValuesOutliveTidy(t *testing.T) {
	e := newEnv(t)
	l := nn.NewConv2D(nn.ConvConfig{In: 2, Out: 2, Kernel: 1, Spectral: true})
	bn := nn.NewBatchNorm2D(2)
	norm := &nn.Normalize{Mean: []float64{0.1, 0.2}, Std: []float64{0.3, 0.4}}
	net := nn.Sequential{norm, l, bn}
	nn.InitDType(e.s, net, 1, tensor.F64)
	x := e.g.Const(e.normal(1, 1, 2, 2, 2))
	c := nn.NewCtx(e.g, nn.Eval)
	var outs [2][]float64
	for i := range outs {
		outs[i] = e.g.Tidy(func() *autodiff.Value { return net.Forward(c, x) }).Tensor().Floats()
	}
	if !slices.Equal(outs[0], outs[1]) {
		t.Errorf("%v, then %v", outs[0], outs[1])
	}
}

// TestBoundWeightsStay: a value given to Bind is the caller's, however often layers use it.
func TestBoundWeightsStay(t *testing.T) {
	e := newEnv(t)
	conv := nn.NewConv2D(nn.ConvConfig{In: 2, Out: 3, Kernel: 3, Pad: 1})
	lin := nn.NewLinear(nn.LinearConfig{In: 2, Out: 3})
	nn.InitDType(e.s, nn.Sequential{conv, lin}, 1, tensor.F64)
	e.g.NoGrad(func() {
		c := nn.NewCtx(e.g, nn.Eval)
		for _, p := range []*nn.Param{conv.Weight, lin.Weight} {
			c.Bind(p, autodiff.Scale(e.g.Const(p.T), 2))
		}
		for range 2 { // panics if the first use freed them
			conv.Forward(c, e.g.Zeros(tensor.F64, 1, 4, 4, 2))
			lin.Forward(c, e.g.Zeros(tensor.F64, 1, 2))
		}
	})
}

func TestEmbeddingMixEqualsLookupOnOneHot(t *testing.T) {
	e := newEnv(t)
	emb := nn.NewEmbedding(nn.EmbeddingConfig{Classes: 4, Dim: 3, Spectral: true})
	nn.InitDType(e.s, emb, 1, tensor.F64)
	idx := tensor.FromSlice(e.s, []int32{2, 0, 3}, 3)
	c := nn.NewCtx(e.g, nn.Eval)
	look := emb.Lookup(c, idx).Tensor().Floats()
	mixed := emb.Mix(c, autodiff.OneHot(e.g, idx, 4, tensor.F64)).Tensor().Floats()
	if d := maxDiff(look, mixed); d > f64Tol {
		t.Errorf("differ by %g", d)
	}
}

func TestConvMACsAgreeWithOutput(t *testing.T) {
	e := newEnv(t)
	l := nn.NewConv2D(nn.ConvConfig{In: 4, Out: 6, Kernel: 3, Stride: 2, Pad: 1, Dilation: 2,
		Groups: 2})
	nn.InitDType(e.s, l, 1, tensor.F64)
	y := l.Forward(nn.NewCtx(e.g, nn.Eval), e.g.Const(e.normal(1, 1, 9, 8, 4)))
	macs, oh, ow := l.MACs(9, 8)
	if y.Dim(1) != oh || y.Dim(2) != ow {
		t.Errorf("MACs says %d×%d, Forward gives %v", oh, ow, y.Shape())
	}
	if want := oh * ow * 6 * 9 * 2; macs != want {
		t.Errorf("got %d MACs, want %d", macs, want)
	}
}

func TestMisuse(t *testing.T) {
	for want, f := range map[string]func(){
		"NewConv2D: Groups 3 must divide In 4 and Out 6": func() {
			nn.NewConv2D(nn.ConvConfig{In: 4, Out: 6, Kernel: 3, Groups: 3})
		},
		"NewLinear: In 0 and Out 2 must be positive": func() { nn.NewLinear(nn.LinearConfig{Out: 2}) },
		"NewSelfAttention: channels 12 must be a positive multiple of 8": func() {
			nn.NewSelfAttention(12, 0, nil)
		},
	} {
		err := tensor.Try(f)
		var te *tensor.Error
		if !errors.As(err, &te) || err.Error() != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	e := newEnv(t)
	l := nn.NewLinear(nn.LinearConfig{In: 2, Out: 2})
	err := tensor.Try(func() { l.Forward(nn.NewCtx(e.g, nn.Eval), e.g.Const(e.normal(1, 1, 2))) })
	if err == nil || !strings.Contains(err.Error(), "call Init or load weights first") {
		t.Errorf("a layer without values: got %v", err)
	}
}
