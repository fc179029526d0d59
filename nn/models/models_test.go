package models_test

import (
	"math"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/loss"
	"afterimage/nn/models"
	"afterimage/nn/nntest"
	"afterimage/nn/optim"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/ref"
)

func build(t *testing.T, name string, o models.Options) *models.Classifier {
	t.Helper()
	m, err := models.New(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Published counts, or counts computed from the published architecture.
func TestParameterCounts(t *testing.T) {
	for name, want := range map[string]int{
		"resnet20-cifar": 269_722, "resnet32-cifar": 464_154, "resnet44-cifar": 658_586,
		"resnet56-cifar": 853_018, "resnet110-cifar": 1_727_962,
		"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032,
		"resnet101": 44_549_160, "resnet152": 60_192_808,
		"resnet18-cifar": 11_173_962, "resnet50-cifar": 23_520_842,
		"resnet101-cifar": 42_512_970, "resnet152-cifar": 58_156_618,
		"preactresnet18": 11_171_146, "preactresnet18-bn": 11_172_170,
	} {
		if got := nn.Count(build(t, name, models.Options{})); got != want {
			t.Errorf("%s: %d parameters, want %d", name, got, want)
		}
	}
	hundred := build(t, "resnet18-cifar", models.Options{Classes: 100})
	if got := nn.Count(hundred); got != 11_220_132 {
		t.Errorf("resnet18-cifar with 100 classes: %d parameters", got)
	}
}

// Costs in GMAC that others count for these networks (fvcore, torchvision), to the digits given.
func TestMACs(t *testing.T) {
	for name, want := range map[string]struct{ gmac, tol float64 }{
		"resnet20-cifar": {0.041, 0.0005}, "resnet56-cifar": {0.1255, 0.0005},
		"resnet110-cifar": {0.253, 0.0005},
		"resnet18-cifar":  {0.555, 0.002}, "preactresnet18": {0.555, 0.002},
		"resnet18": {1.82, 0.01}, "resnet50": {4.09, 0.01},
	} {
		got := float64(build(t, name, models.Options{}).MACs()) / 1e9
		if math.Abs(got-want.gmac) > want.tol {
			t.Errorf("%s: %.4f GMAC, want %g", name, got, want.gmac)
		}
	}
}

func TestEveryModelListsItsParameters(t *testing.T) {
	for _, name := range models.List() {
		nntest.CheckParams(t, build(t, name, models.Options{}))
	}
}

func TestPublishedNames(t *testing.T) {
	for name, want := range map[string][]string{
		"resnet20-cifar": {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight",
			"layer3.2.bn2.bias", "linear.bias"},
		"resnet50": {"layer1.0.downsample.0.weight", "layer4.0.downsample.1.running_mean",
			"layer3.5.conv3.weight", "fc.weight"},
		"resnet18-cifar": {"layer2.0.shortcut.0.weight", "layer2.0.shortcut.1.bias",
			"linear.weight"},
		"preactresnet18": {"layer1.0.bn1.weight", "layer2.0.shortcut.0.weight", "linear.weight"},
	} {
		have := map[string]bool{}
		for n := range build(t, name, models.Options{}).Params() {
			have[n] = true
		}
		for _, n := range want {
			if !have[n] {
				t.Errorf("%s has no parameter %s", name, n)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct {
		arch string
		o    models.Options
		want string
	}{
		{"resnet19", models.Options{},
			`models: New: no network is called "resnet19": expected one of convnet-mnist, lenet5,`},
		{"resnet18", models.Options{InputSize: 16},
			"models: New: resnet18: InputSize 16 is too small: expected at least 32"},
		{"resnet8", models.Options{Mean: []float64{0}, Std: []float64{1, 1, 1}},
			"models: New: resnet8: Mean has 1 and Std 3 values: expected 3 each, or none"},
		{"resnet8", models.Options{Mean: []float64{0, 0, 0}, Std: []float64{1, 0, 1}},
			"models: New: resnet8: Std [1 0 1] must be positive"},
		{"resnet8", models.Options{Mean: []float64{0, 0, 0}, Std: []float64{1, 1, math.Inf(1)}},
			"models: New: resnet8: Std [1 1 +Inf] must be positive"},
		{"resnet8", models.Options{Mean: []float64{0, math.NaN(), 0}, Std: []float64{1, 1, 1}},
			"models: New: resnet8: Mean [0 NaN 0] must be finite"},
	} {
		if m, err := models.New(tc.arch, tc.o); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("got %v, %v; want %q", m, err, tc.want)
		}
	}
	m := build(t, "resnet8", models.Options{})
	b := ref.New()
	s := tensor.NewScope(b)
	defer s.Close()
	g := autodiff.NewGraph(b)
	defer g.Close()
	small := g.Const(s.Zeros(tensor.F32, 1, 28, 28, 3))
	err := tensor.Try(func() { m.Forward(nn.NewCtx(g, nn.Eval), small) })
	want := "expected images [N 32 32 3]: x [1 28 28 3] f32"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("wrong image size: got %v", err)
	}
}

// Every architecture that is small enough for the reference backend gives logits and features of
// the shapes it promises, the same in a graph with gradients and in one without.
func TestForwardShapes(t *testing.T) {
	for name, features := range map[string]int{
		"resnet8": 64, "resnet2b": 100, "lenet5": 84, "convnet-mnist": 100} {
		t.Run(name, func(t *testing.T) {
			b := ref.New()
			s := tensor.NewScope(b)
			defer s.Close()
			m := build(t, name, models.Options{Classes: 7})
			nn.Init(s, m, 1)
			x := randomImages(s, 2, m)
			var logits [2][]float64
			for i, learn := range []nn.Params{nil, nn.Trainable(m)} {
				g := autodiff.NewGraph(b)
				pen, out := m.Features(nn.NewCtx(g, nn.Eval, learn), g.Const(x))
				if !pen.Shape().Equal(tensor.Shape{2, features}) ||
					!out.Shape().Equal(tensor.Shape{2, 7}) {
					t.Errorf("features %v, logits %v", pen.Shape(), out.Shape())
				}
				logits[i] = out.Tensor().Floats()
				g.Close()
			}
			for i, v := range logits[0] {
				if v != logits[1][i] {
					t.Fatalf("logit %d is %g without and %g with gradients", i, v, logits[1][i])
				}
			}
		})
	}
}

func randomImages(s *tensor.Scope, n int, m *models.Classifier) *tensor.Tensor {
	x := s.New(tensor.F32, n, m.InputSize(), m.InputSize(), m.Channels())
	step := s.Zeros(tensor.I32, 1)
	s.Backend().Random(tensor.Uniform, tensor.NewKey(1, "images"), x, step)
	return x
}

// A tiny network learns 16 random images by heart: layers, losses and SGD work together.
func TestTinyResNetOverfits(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	m := build(t, "resnet8", models.Options{Classes: 4, InputSize: 8,
		Mean: []float64{.5, .5, .5}, Std: []float64{.25, .25, .25}})
	nn.Init(s, m, 1)
	params := nn.Trainable(m)
	opt := optim.NewSGD(s, params, optim.SGDConfig{Momentum: 0.9, WeightDecay: 1e-4})
	x := randomImages(s, 16, m)
	labels := tensor.FromSlice(s, []int32{0, 1, 2, 3, 0, 1, 2, 3, 3, 2, 1, 0, 3, 2, 1, 0}, 16)
	const steps = 25
	lr := optim.WarmUp(3, optim.Constant(0.05))
	first, last := 0.0, 0.0
	for t := range steps {
		g := autodiff.NewGraph(b)
		c := nn.NewCtx(g, nn.Train, params)
		c.Updates = nn.NewUpdates(b)
		l := loss.CrossEntropy(m.Forward(c, g.Const(x)), labels, 0)
		grads := autodiff.Grad(l, c.Values(params))
		opt.Begin(t+1, lr(t))
		opt.Update(grads)
		c.Updates.Apply()
		if last = l.Item(); t == 0 {
			first = last
		}
		g.Close()
	}
	if first < 0.7*math.Log(4) || last > 0.1 {
		t.Errorf("loss went from %.3f to %.3f in %d steps: expected from about log 4 to below 0.1",
			first, last, steps)
	}
	if live := s.Live(); live == 0 {
		t.Error("the parameters are gone")
	}
}
