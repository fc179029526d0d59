package attack_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/attack"
	"afterimage/nn/loss"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// linear is a classifier whose worst perturbation is known: logits = flatten(x)·Wᵀ.
type linear struct{ *nn.Linear }

func (l linear) Forward(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	return l.Linear.Forward(c, nn.Flatten(x))
}

// curved is a small convolutional classifier.
type curved struct{ nn.Sequential }

const (
	images, side, channels, classes = 6, 4, 2, 3
	pixels                          = side * side * channels
)

type fixture struct {
	s       *tensor.Scope
	x       *tensor.Tensor
	labels  *tensor.Tensor
	step    *tensor.Tensor
	key     tensor.Key
	linear  linear
	curved  curved
	weights []float64
}

func setup(t testing.TB) *fixture {
	b := ref.New()
	f := &fixture{s: tensor.NewScope(b), key: tensor.NewKey(3, "attack")}
	t.Cleanup(f.s.Close)
	f.linear = linear{nn.NewLinear(nn.LinearConfig{In: pixels, Out: classes, NoBias: true})}
	f.curved = curved{nn.Sequential{
		nn.NewConv2D(nn.ConvConfig{In: channels, Out: 8, Kernel: 3, Pad: 1}),
		nn.Func(autodiff.Softplus),
		nn.Func(nn.Flatten), nn.NewLinear(nn.LinearConfig{In: side * side * 8, Out: classes})}}
	nn.Init(f.s, f.linear, 1)
	nn.Init(f.s, f.curved, 2)
	f.weights = f.linear.Weight.T.Floats()
	f.step = f.s.Zeros(tensor.I32, 1)
	f.x = f.s.New(tensor.F32, images, side, side, channels)
	b.Random(tensor.Uniform, tensor.NewKey(1, "x"), f.x, f.step)
	f.labels = tensor.FromSlice(f.s, []int32{0, 1, 2, 0, 1, 2}, images)
	return f
}

func (f *fixture) loss(m attack.Model, x *tensor.Tensor) []float64 {
	g := autodiff.NewGraph(f.s.Backend())
	defer g.Close()
	logits := m.Forward(nn.NewCtx(g, nn.Eval), g.Const(x))
	return loss.EachCrossEntropy(logits, f.labels, 0).Tensor().Floats()
}

// ulp allows for rounding of x ± Eps in single precision.
const ulp = 1e-6

// inBall fails unless adv lies in [0, 1] and within eps of x.
func (f *fixture) inBall(t *testing.T, cfg attack.Config, adv *tensor.Tensor) {
	t.Helper()
	x, y := f.x.Floats(), adv.Floats()
	for i := range images {
		sq, most := 0.0, 0.0
		for j := i * pixels; j < (i+1)*pixels; j++ {
			if y[j] < 0 || y[j] > 1 {
				t.Fatalf("%v: pixel %d is %g", cfg.Norm, j, y[j])
			}
			d := y[j] - x[j]
			sq += d * d
			most = max(most, math.Abs(d))
		}
		if cfg.Norm == attack.Linf && most > cfg.Eps+ulp ||
			cfg.Norm == attack.L2 && math.Sqrt(sq) > cfg.Eps+ulp {
			t.Errorf("image %d is %g (largest) and %g (Euclidean) away, outside %v %g", i, most,
				math.Sqrt(sq), cfg.Norm, cfg.Eps)
		}
	}
}

func TestPGDRaisesTheLossInsideTheBall(t *testing.T) {
	f := setup(t)
	clean := f.loss(f.curved, f.x)
	for _, norm := range []attack.Norm{attack.Linf, attack.L2} {
		for objective := attack.CrossEntropy; objective <= attack.DLR; objective++ {
			for _, random := range []bool{false, true} {
				cfg := attack.Config{Norm: norm, Eps: 0.1, Steps: 5, RandomStart: random,
					UseBest: true, Objective: objective}
				if norm == attack.L2 {
					cfg.Eps = 0.5
				}
				adv := attack.PGD(f.s, f.curved, f.x, f.labels, cfg, f.key, f.step)
				f.inBall(t, cfg, adv)
				for i, v := range f.loss(f.curved, adv) {
					if objective == attack.CrossEntropy && v <= clean[i] {
						t.Errorf("%v, random start %v: image %d's loss went from %g to %g", norm,
							random, i, clean[i], v)
					}
				}
			}
		}
	}
}

// For two classes of a linear model the worst point of the box is at ±Eps by the sign of the weight
// difference, cut to [0, 1].
func TestPGDFindsTheOptimumOfALinearModel(t *testing.T) {
	f := setup(t)
	two := linear{nn.NewLinear(nn.LinearConfig{In: pixels, Out: 2, NoBias: true})}
	nn.Init(f.s, two, 5)
	w := two.Weight.T.Floats()
	f.labels = f.s.Zeros(tensor.I32, images)
	const eps = 0.2
	x := f.x.Floats()

	cfg := attack.Config{Norm: attack.Linf, Eps: eps, Steps: 10, RandomStart: true}
	adv := attack.PGD(f.s, two, f.x, f.labels, cfg, f.key, f.step).Floats()
	for i, v := range adv {
		d := w[pixels+i%pixels] - w[i%pixels]
		if want := min(max(x[i]+math.Copysign(eps, d), 0), 1); math.Abs(v-want) > ulp {
			t.Fatalf("L∞: pixel %d is %g, want %g", i, v, want)
		}
	}

	mid := f.s.Full(tensor.F32, 0.5, images, side, side, channels) // far from 0 and 1: no clamping
	cfg = attack.Config{Norm: attack.L2, Eps: eps, Steps: 10, RandomStart: true, StepSize: 4 * eps}
	norm := 0.0
	for j := range pixels {
		norm += (w[pixels+j] - w[j]) * (w[pixels+j] - w[j])
	}
	adv = attack.PGD(f.s, two, mid, f.labels, cfg, f.key, f.step).Floats()
	const converged = 1e-4 // 10 steps of 4·Eps shrink the start's component by 5¹⁰, then F32
	for i, v := range adv {
		want := 0.5 + eps*(w[pixels+i%pixels]-w[i%pixels])/math.Sqrt(norm)
		if math.Abs(v-want) > converged {
			t.Fatalf("L2: pixel %d is %g, want %g", i, v, want)
		}
	}
}

func TestFGSMIsOneSignedStep(t *testing.T) {
	f := setup(t)
	g := autodiff.NewGraph(f.s.Backend())
	defer g.Close()
	x := g.Leaf(f.x)
	l := loss.CrossEntropy(f.curved.Forward(nn.NewCtx(g, nn.Eval), x), f.labels, 0)
	grad := autodiff.Grad(l, []*autodiff.Value{x})[0].Tensor().Floats()
	const eps = 0.05
	adv := attack.PGD(f.s, f.curved, f.x, f.labels, attack.FGSM(eps), f.key, nil).Floats()
	for i, v := range f.x.Floats() {
		if want := min(max(v+math.Copysign(eps, grad[i]), 0), 1); math.Abs(adv[i]-want) > ulp {
			t.Fatalf("pixel %d: got %g, want %g", i, adv[i], want)
		}
	}
}

// A zero gradient moves nothing: sign(0) = 0.
func TestZeroGradientDoesNotMove(t *testing.T) {
	f := setup(t)
	f.linear.Weight.T.SetFloats(make([]float64, classes*pixels))
	for _, norm := range []attack.Norm{attack.Linf, attack.L2} {
		cfg := attack.Config{Norm: norm, Eps: 0.1, Steps: 3}
		adv := attack.PGD(f.s, f.linear, f.x, f.labels, cfg, f.key, nil)
		if !slices.Equal(adv.Floats(), f.x.Floats()) {
			t.Errorf("%v: moved", norm)
		}
	}
}

func TestDeterministicAndKeyed(t *testing.T) {
	f := setup(t)
	cfg := attack.Config{Norm: attack.L2, Eps: 0.3, Steps: 2, RandomStart: true}
	run := func(key tensor.Key, step float64) []float64 {
		f.step.SetFloats([]float64{step})
		return attack.PGD(f.s, f.curved, f.x, f.labels, cfg, key, f.step).Floats()
	}
	a := run(f.key, 4)
	if !slices.Equal(a, run(f.key, 4)) {
		t.Error("the same seed and step gave other images")
	}
	if slices.Equal(a, run(f.key, 5)) || slices.Equal(a, run(tensor.NewKey(4, "attack"), 4)) {
		t.Error("another step or seed gave the same images")
	}
}

// The best iterate is at least as good as the last one, image by image, from the same start.
func TestUseBest(t *testing.T) {
	f := setup(t)
	cfg := attack.Config{Norm: attack.Linf, Eps: 0.3, Steps: 6, StepSize: 0.5,
		RandomStart: true} // overshoots
	last := f.loss(f.curved, attack.PGD(f.s, f.curved, f.x, f.labels, cfg, f.key, f.step))
	cfg.UseBest = true
	best := f.loss(f.curved, attack.PGD(f.s, f.curved, f.x, f.labels, cfg, f.key, f.step))
	for i := range best {
		if best[i] < last[i]-ulp {
			t.Errorf("image %d: best %g, last %g", i, best[i], last[i])
		}
	}
}

// What the last step reached is among what UseBest chooses from: steps that always gain end there.
func TestUseBestOfGains(t *testing.T) {
	f := setup(t)
	cfg := attack.Config{Norm: attack.Linf, Eps: 0.3, Steps: 2, StepSize: 1e-3}
	reach := func(c attack.Config) []float64 {
		return attack.PGD(f.s, f.curved, f.x, f.labels, c, f.key, f.step).Floats()
	}
	one := cfg
	one.Steps = 1
	before := f.loss(f.curved, attack.PGD(f.s, f.curved, f.x, f.labels, one, f.key, f.step))
	after := f.loss(f.curved, attack.PGD(f.s, f.curved, f.x, f.labels, cfg, f.key, f.step))
	for i := range after {
		if after[i] <= before[i] {
			t.Fatalf("image %d: the loss goes from %g to %g, which tests nothing", i, before[i], after[i])
		}
	}
	last := reach(cfg)
	cfg.UseBest = true
	if !slices.Equal(reach(cfg), last) {
		t.Error("the best iterate is not the last one, which is")
	}
}

// A search leaves nothing behind but its result, and parameters get no gradient.
func TestMemoryIsGivenBack(t *testing.T) {
	f := setup(t)
	before := f.s.Live()
	cfg := attack.Config{Norm: attack.L2, Eps: 0.3, Steps: 3, RandomStart: true, UseBest: true}
	attack.PGD(f.s, f.curved, f.x, f.labels, cfg, f.key, f.step)
	attack.Evaluate(f.s, f.curved, f.x, f.labels, cfg, f.key, 0)
	if got := f.s.Live(); got != before+1 {
		t.Errorf("%d tensors live, want %d", got, before+1)
	}
}

// counted counts the images whose gradient or scores were asked for.
type counted struct {
	attack.Model
	images int
}

func (c *counted) Forward(ctx *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	c.images += x.Dim(0)
	return c.Model.Forward(ctx, x)
}

func TestEvaluateSkipsBrokenImages(t *testing.T) {
	f := setup(t)
	m := &counted{Model: f.curved}
	cfg := attack.Config{Norm: attack.Linf, Eps: 0, Steps: 1, RandomStart: true, Restarts: 2}
	right := attack.Correct(f.s, f.curved, f.x, f.labels)
	robust := attack.Evaluate(f.s, m, f.x, f.labels, cfg, f.key, 0)
	if !slices.Equal(right, robust) {
		t.Errorf("with Eps 0: right %v, robust %v", right, robust)
	}
	n := 0
	for _, ok := range right {
		if ok {
			n++
		}
	}
	if want := images + 3*2*n; m.images != want { // one look at all; 3 runs of 1 step and 1 check
		t.Errorf("%d images went through the model, want %d (%d right)", m.images, want, n)
	}
	cfg.Eps, cfg.Steps = 1, 5
	robust = attack.Evaluate(f.s, f.curved, f.x, f.labels, cfg, f.key, 0)
	if slices.Contains(robust, true) {
		t.Errorf("with Eps 1 some images stand: %v", robust)
	}
}

// Which images stand does not depend on how they are cut into batches, though some fall in each
// run.
func TestEvaluateIgnoresBatches(t *testing.T) {
	f := setup(t)
	const n = 50
	all := f.s.New(tensor.F32, n, side, side, channels)
	f.s.Backend().Random(tensor.Uniform, tensor.NewKey(9, "x"), all, f.step)
	labels := attack.Predict(f.s, f.curved, all)
	x := tensor.ToHost[float32](all)
	for _, norm := range []attack.Norm{attack.Linf, attack.L2} {
		cfg := attack.Config{Norm: norm, Eps: 0.06, StepSize: 0.01, Steps: 1, RandomStart: true,
			Restarts: 2}
		if norm == attack.L2 {
			cfg.Eps, cfg.StepSize = 0.4, 0.05
		}
		evaluate := func(batch int, key tensor.Key) (robust []bool) {
			for at := 0; at < n; at += batch {
				end := min(at+batch, n)
				robust = append(robust, attack.Evaluate(f.s, f.curved,
					tensor.FromSlice(f.s, x[at*pixels:end*pixels], end-at, side, side, channels),
					tensor.FromSlice(f.s, labels[at:end], end-at), cfg, key, at)...)
			}
			return robust
		}
		whole := evaluate(n, f.key)
		if one := evaluate(7, f.key); !slices.Equal(one, whole) {
			t.Errorf("%v: in batches of 7\n%v, in one\n%v", norm, one, whole)
		}
		// The comparison must be able to fail: another start changes which images stand.
		if slices.Equal(evaluate(n, tensor.NewKey(4, "attack")), whole) {
			t.Errorf("%v: the random start decides nothing: %v", norm, whole)
		}
	}
}

func TestSquare(t *testing.T) {
	f := setup(t)
	pred := attack.Predict(f.s, f.linear, f.x)
	f.labels = tensor.FromSlice(f.s, pred, images) // all right at first
	cfg := attack.SquareConfig{Eps: 0.25, Queries: 60}
	adv := attack.Square(f.s, f.linear, f.x, f.labels, cfg, f.key, nil)
	f.inBall(t, attack.Config{Norm: attack.Linf, Eps: cfg.Eps}, adv)
	before, after := f.loss(f.linear, f.x), f.loss(f.linear, adv)
	for i := range after {
		if after[i] <= before[i] {
			t.Errorf("image %d: loss %g → %g", i, before[i], after[i])
		}
	}
	again := attack.Square(f.s, f.linear, f.x, f.labels, cfg, f.key, nil)
	if !slices.Equal(again.Floats(), adv.Floats()) {
		t.Error("the same seed gave other images")
	}
	// An image's search does not depend on its neighbours in the batch.
	one := tensor.FromSlice(f.s, tensor.ToHost[float32](f.x)[2*pixels:3*pixels], 1, side, side,
		channels)
	alone := attack.Square(f.s, f.linear, one, tensor.FromSlice(f.s, pred[2:3], 1), cfg, f.key,
		[]int32{2})
	if !slices.Equal(alone.Floats(), adv.Floats()[2*pixels:3*pixels]) {
		t.Error("image 2 alone ends elsewhere")
	}
	// Two linear logits have no local minimum that coordinates cannot leave (three may have).
	two := linear{nn.NewLinear(nn.LinearConfig{In: pixels, Out: 2, NoBias: true})}
	nn.Init(f.s, two, 5)
	labels := tensor.FromSlice(f.s, attack.Predict(f.s, two, f.x), images)
	cfg = attack.SquareConfig{Eps: 1, Queries: 400}
	robust := attack.EvaluateSquare(f.s, two, f.x, labels, cfg, f.key, 0)
	if slices.Contains(robust, true) {
		t.Errorf("with Eps 1 some images stand: %v", robust)
	}
}

func TestMisuse(t *testing.T) {
	f := setup(t)
	for want, cfg := range map[string]attack.Config{
		"Steps 0 must be at least 1":                  {Eps: 0.1},
		"RandomStart needs a step":                    {Eps: 0.1, Steps: 1, RandomStart: true},
		"Eps -1 and StepSize 0 must not be negative":  {Eps: -1, Steps: 1},
		"attack.PGD: unknown Norm or Objective: x [6": {Norm: 7, Steps: 1},
	} {
		err := tensor.Try(func() { attack.PGD(f.s, f.curved, f.x, f.labels, cfg, f.key, nil) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Robust accuracy of a model on a batch under PGD-20 at 8/255.
func ExampleEvaluate() {
	s := tensor.NewScope(ref.New())
	defer s.Close()
	m := linear{nn.NewLinear(nn.LinearConfig{In: 12, Out: 2})}
	nn.Init(s, m, 1)
	x := s.Full(tensor.F32, 0.5, 3, 2, 2, 3)
	labels := tensor.FromSlice(s, attack.Predict(s, m, x), 3)
	cfg := attack.Config{Norm: attack.Linf, Eps: 8.0 / 255, Steps: 20, RandomStart: true}
	fmt.Println(attack.Evaluate(s, m, x, labels, cfg, tensor.NewKey(1, "eval"), 0))
	// Output: [true true true]
}
