package nn_test

import (
	"fmt"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/bench/pytorch/golden"
	"afterimage/nn"
	"afterimage/nn/loss"
	"afterimage/nn/models"
	"afterimage/nn/optim"
	"afterimage/tensor"
)

// The goldens of this file were made by bench/pytorch/layers.py.

type (
	values = []*autodiff.Value
	gGraph = *autodiff.Graph
)

// bind returns a training or evaluation pass in which the parameters have the given values.
func bind(g gGraph, mode nn.Mode, params []*nn.Param, in values) *nn.Ctx {
	c := nn.NewCtx(g, mode)
	for i, p := range params {
		c.Bind(p, in[i])
	}
	return c
}

func TestGoldenLinearAndConv(t *testing.T) {
	layer := func(l nn.Layer, params ...*nn.Param) golden.Func {
		return func(g gGraph, in values) *autodiff.Value {
			return l.Forward(bind(g, nn.Train, params, in[1:]), in[0])
		}
	}
	golden.Each(t, "testdata/linear.safetensors", golden.Default, func(r *golden.Run) {
		lin := nn.NewLinear(nn.LinearConfig{In: 5, Out: 4})
		r.Case("linear", layer(lin, lin.Weight, lin.Bias))
		conv := nn.NewConv2D(nn.ConvConfig{In: 4, Out: 6, Kernel: 3, Stride: 2, Pad: 1})
		r.Case("conv", layer(conv, conv.Weight, conv.Bias))
		grouped := nn.NewConv2D(nn.ConvConfig{In: 4, Out: 6, Kernel: 3, Pad: 2, Dilation: 2, Groups: 2})
		r.Case("conv groups", layer(grouped, grouped.Weight, grouped.Bias))
		r.Case("normalize", layer(&nn.Normalize{Mean: []float64{0.5, 0.4, 0.3},
			Std: []float64{0.25, 0.2, 0.5}}))
		table := nn.NewEmbedding(nn.EmbeddingConfig{Classes: 3, Dim: 4})
		r.Case("embedding", func(g gGraph, in values) *autodiff.Value {
			return table.Lookup(bind(g, nn.Train, []*nn.Param{table.Weight}, in), in[1].Tensor())
		})
	})
}

// TestGoldenBatchNorm follows the running statistics of torch.nn.BatchNorm2d over three training
// steps and compares both modes.
func TestGoldenBatchNorm(t *testing.T) {
	golden.Each(t, "testdata/batchnorm.safetensors", golden.Default, func(r *golden.Run) {
		l := nn.NewBatchNorm2D(3)
		nn.InitDType(r.Scope, l, 1, r.DType)
		l.Weight.T.SetFloats(r.Floats("eval/in1"))
		l.Bias.T.SetFloats(r.Floats("eval/in2"))
		for step := range 3 {
			name := fmt.Sprintf("step%d/", step)
			g := autodiff.NewGraph(r.Backend)
			c := nn.NewCtx(g, nn.Train)
			c.Updates = nn.NewUpdates(r.Backend)
			r.Compare(name+"y", l.Forward(c, g.Const(r.Tensor(fmt.Sprintf("in/step%d", step)))))
			c.Updates.Apply()
			g.Close()
			r.CompareTensor(name+"running_mean", l.Mean.T)
			r.CompareTensor(name+"running_var", l.Var.T)
		}
		r.Case("eval", func(g gGraph, in values) *autodiff.Value {
			return l.Forward(bind(g, nn.Eval, []*nn.Param{l.Weight, l.Bias, l.Mean, l.Var}, in[1:]), in[0])
		})
		r.Case("train", func(g gGraph, in values) *autodiff.Value {
			return l.Forward(bind(g, nn.Train, []*nn.Param{l.Weight, l.Bias}, in[1:]), in[0])
		})
	})
}

// TestGoldenConvNorm compares a convolution with the batch norm behind it: two layers in training,
// one folded convolution in evaluation.
func TestGoldenConvNorm(t *testing.T) {
	golden.Each(t, "testdata/convnorm.safetensors", golden.Default, func(r *golden.Run) {
		conv := nn.NewConv2D(nn.ConvConfig{In: 2, Out: 3, Kernel: 3, Pad: 1})
		bn := nn.NewBatchNorm2D(3)
		params := []*nn.Param{conv.Weight, conv.Bias, bn.Weight, bn.Bias, bn.Mean, bn.Var}
		for _, train := range []bool{true, false} {
			name := map[bool]string{true: "train", false: "eval"}[train]
			r.Case(name, func(g gGraph, in values) *autodiff.Value {
				return nn.ConvNorm(bind(g, nn.Mode(train), params, in[1:]), conv, bn, in[0])
			})
			r.Case("relu "+name, func(g gGraph, in values) *autodiff.Value {
				return nn.ConvNormReLU(bind(g, nn.Mode(train), params, in[1:7]), conv, bn, in[0], in[7])
			})
		}
	})
}

// TestGoldenStandingStats averages the statistics of three batches and evaluates with them.
func TestGoldenStandingStats(t *testing.T) {
	golden.Each(t, "testdata/standing.safetensors", golden.Default, func(r *golden.Run) {
		l := nn.NewBatchNorm2D(3)
		nn.InitDType(r.Scope, l, 1, r.DType)
		l.Weight.T, l.Bias.T = r.Tensor("in/gamma"), r.Tensor("in/beta")
		standing := nn.NewStandingStats(r.Backend)
		for k := range 3 {
			g := autodiff.NewGraph(r.Backend)
			c := nn.NewCtx(g, nn.Eval)
			c.Standing = standing
			l.Forward(c, g.Const(r.Tensor(fmt.Sprintf("in/%d", k))))
			g.Close()
		}
		standing.Apply()
		r.CompareTensor("running_mean", l.Mean.T)
		r.CompareTensor("running_var", l.Var.T)
		g := autodiff.NewGraph(r.Backend)
		defer g.Close()
		r.Compare("y", l.Forward(nn.NewCtx(g, nn.Eval), g.Const(r.Tensor("in/0"))))
	})
}

// TestGoldenSpectralNorm compares with torch.nn.utils.spectral_norm, which starts its iteration
// from u as ours does. Its evaluation mode, unlike ours, makes no iteration.
func TestGoldenSpectralNorm(t *testing.T) {
	golden.Each(t, "testdata/spectral.safetensors", golden.Default, func(r *golden.Run) {
		lin := nn.NewLinear(nn.LinearConfig{In: 5, Out: 4, Spectral: true})
		conv := nn.NewConv2D(nn.ConvConfig{In: 2, Out: 6, Kernel: 3, Pad: 1, NoBias: true,
			Spectral: true})
		r.Case("linear", func(g gGraph, in values) *autodiff.Value {
			params := []*nn.Param{lin.Weight, lin.Bias, lin.Spectral.U}
			return lin.Forward(bind(g, nn.Train, params, in[1:]), in[0])
		})
		r.Case("conv", func(g gGraph, in values) *autodiff.Value {
			return conv.Forward(bind(g, nn.Train, []*nn.Param{conv.Weight, conv.Spectral.U}, in[1:]), in[0])
		})
		pass := func(l nn.Layer, x string) {
			g := autodiff.NewGraph(r.Backend)
			defer g.Close()
			c := nn.NewCtx(g, nn.Train)
			c.Updates = nn.NewUpdates(r.Backend)
			l.Forward(c, g.Const(r.Tensor(x)))
			c.Updates.Apply()
		}
		set := func(p *nn.Param, name string) {
			p.T = r.Tensor(name)
		}
		set(lin.Weight, "linear/in1")
		set(lin.Bias, "linear/in2")
		set(lin.Spectral.U, "linear/in3")
		pass(lin, "linear/in0")
		r.CompareTensor("linear/u", lin.Spectral.U.T)
		pass(lin, "linear/in0")
		pass(lin, "linear/in0")
		r.CompareTensor("linear/u3", lin.Spectral.U.T)
		set(conv.Weight, "conv/in1")
		set(conv.Spectral.U, "conv/in2")
		pass(conv, "conv/in0")
		r.CompareTensor("conv/u", conv.Spectral.U.T)
	})
}

func TestGoldenConditionalBatchNorm(t *testing.T) {
	layer := func(cfg nn.CondNormConfig, train, relu bool) golden.Func {
		cfg.Channels, cfg.Cond = 3, 5
		l := nn.NewConditionalBatchNorm(cfg)
		params := []*nn.Param{l.Gain.Weight, l.Shift.Weight}
		switch {
		case cfg.Spectral:
			params = append(params, l.Gain.Spectral.U, l.Shift.Spectral.U)
		case !train:
			params = append(params, l.Mean, l.Var)
		}
		return func(g gGraph, in values) *autodiff.Value {
			c := bind(g, nn.Mode(train), params, in[2:])
			if relu {
				return l.ForwardReLU(c, in[0], in[1])
			}
			return l.Forward(c, in[0], in[1])
		}
	}
	golden.Each(t, "testdata/condnorm.safetensors", golden.Default, func(r *golden.Run) {
		r.Case("plain gain", layer(nn.CondNormConfig{PlainGain: true}, true, false))
		r.Case("biggan", layer(nn.CondNormConfig{}, true, false))
		r.Case("biggan relu", layer(nn.CondNormConfig{}, true, true))
		r.Case("spectral", layer(nn.CondNormConfig{Spectral: true}, true, false))
		r.Case("eval", layer(nn.CondNormConfig{}, false, false))
	})
}

func TestGoldenSelfAttention(t *testing.T) {
	golden.Each(t, "testdata/attention.safetensors", golden.Default, func(r *golden.Run) {
		a := nn.NewSelfAttention(8, 0, nil)
		r.Case("attention", func(g gGraph, in values) *autodiff.Value {
			params := []*nn.Param{a.Theta.Weight, a.Phi.Weight, a.G.Weight, a.O.Weight, a.Gamma,
				a.Theta.Spectral.U, a.Phi.Spectral.U, a.G.Spectral.U, a.O.Spectral.U}
			return a.Forward(bind(g, nn.Train, params, in[1:]), in[0])
		})
	})
}

// TestGoldenStreams compares random numbers with numpy's on every bit: integers, uniforms and
// normals are made of operations that IEEE 754 defines, in one order. In single precision only the
// rounding of the finished number remains, half a unit of 2⁻²³.
func TestGoldenStreams(t *testing.T) {
	golden.Each(t, "testdata/streams.safetensors", golden.Tolerances{F64: 0, F32: 0x1p-24},
		func(r *golden.Run) {
			key := tensor.NewKey(1<<40+7, "noise/train")
			step := tensor.FromSlice(r.Scope, []int32{5}, 1)
			for _, c := range []struct {
				name string
				dist tensor.Dist
			}{{"normal", tensor.Normal}, {"uniform", tensor.Uniform}} {
				x := r.Scope.New(r.DType, r.Array(c.name).Shape...)
				r.Backend.Random(c.dist, key, x, step)
				r.CompareTensor(c.name, x)
			}
			checkInit(r, "kaiming", nn.KaimingNormal{})
			checkInit(r, "xavier", nn.XavierNormal{})
			checkInit(r, "kaiming uniform", nn.KaimingUniform{})
			checkInit(r, "xavier uniform", nn.XavierUniform{})
			checkInit(r, "uniform init", nn.UniformInit{Bound: 0.25})
			checkInit(r, "normal init", nn.NormalInit{Std: 0.02})
		})
}

// orthogonalTol allows LAPACK's two implementations to round a QR decomposition of a few columns
// differently.
var orthogonalTol = golden.Tolerances{F64: 1e-14, F32: 1e-7}

func TestGoldenOrthogonal(t *testing.T) {
	golden.Each(t, "testdata/orthogonal.safetensors", orthogonalTol, func(r *golden.Run) {
		checkInit(r, "tall", nn.Orthogonal{})
		checkInit(r, "wide", nn.Orthogonal{})
	})
}

// checkInit compares the initial value of a parameter called name, of the seed 3.
func checkInit(r *golden.Run, name string, init nn.Initializer) {
	p := &nn.Param{Shape: r.Array(name).Shape, Init: init}
	nn.InitDType(r.Scope, nn.Params{{Name: name, Param: p}}, 3, r.DType)
	r.CompareTensor(name, p.T)
}

// resNet20Seed is the seed of bench/pytorch/resnet20.py.
const resNet20Seed = 11

// resNet20 returns the classifier with nn.Init's weights, which resnet20.py computes itself.
func resNet20(r *golden.Run) *models.Classifier {
	m, err := models.New("resnet20-cifar", models.Options{})
	if err != nil {
		r.T.Fatal(err)
	}
	nn.InitDType(r.Scope, m, resNet20Seed, r.DType)
	return m
}

// resNet20Loss returns the loss of a pass on the images of a step. The batch lives in s.
func resNet20Loss(r *golden.Run, s *tensor.Scope, m *models.Classifier, c *nn.Ctx, step, n int,
) *autodiff.Value {
	x := s.New(r.DType, n, 32, 32, 3)
	at := tensor.FromSlice(s, []int32{int32(step)}, 1)
	r.Backend.Random(tensor.Uniform, tensor.NewKey(resNet20Seed, "golden/images"), x, at)
	rng := tensor.NewRNG(tensor.NewKey(resNet20Seed, "golden/labels"), uint32(step))
	labels := make([]int32, n)
	for i := range labels {
		labels[i] = int32(rng.IntN(10))
	}
	return loss.CrossEntropy(m.Forward(c, c.Graph.Const(x)), tensor.FromSlice(s, labels, n), 0)
}

// resNet20Tol: the double-precision bound is that of twenty layers in a chain, each a sum of up to
// 576 products. In single precision batch normalisation over eight pixels of two images amplifies
// rounding on the way back, a gradient's entries being differences of much larger ones.
var resNet20Tol = golden.Tolerances{F64: 1e-13, F32: 2e-5}

// TestGoldenResNet20Step compares loss and every gradient of one step of the whole network, and
// then the losses of three steps of SGD and the running statistics they leave behind.
func TestGoldenResNet20Step(t *testing.T) {
	if testing.Short() {
		t.Skip("short: the reference backend takes a second for a whole network")
	}
	golden.Each(t, "testdata/resnet20_step.safetensors", resNet20Tol, func(r *golden.Run) {
		m := resNet20(r)
		params := nn.Trainable(m)
		g := autodiff.NewGraph(r.Backend)
		defer g.Close()
		c := nn.NewCtx(g, nn.Train, params)
		l := resNet20Loss(r, r.Scope, m, c, 0, 2)
		r.Compare("loss", l)
		names := make([]string, len(params))
		for i, p := range params {
			names[i] = p.Name
		}
		r.Gradients(names, autodiff.Grad(l, c.Values(params)))

		r.CompareFloats("steps/loss", resNet20Steps(r, m, 3, 2))
		for name, p := range m.Params() {
			if p.Buffer && (strings.HasPrefix(name, "bn1.") || strings.HasPrefix(name, "layer3.2.bn2.")) {
				r.CompareTensor("steps/"+name, p.T)
			}
		}
	})
}

// TestGoldenResNet20 makes twenty steps of SGD and compares the loss curve with PyTorch's.
func TestGoldenResNet20(t *testing.T) {
	if testing.Short() {
		t.Skip("short: twenty steps of ResNet-20 take seconds")
	}
	golden.OnlySingle(t, "testdata/resnet20_curve.safetensors", 1e-4, func(r *golden.Run) {
		r.Curve("loss", resNet20Steps(r, resNet20(r), 20, 16))
	})
}

// resNet20Steps makes steps of SGD on n images each and returns the losses.
func resNet20Steps(r *golden.Run, m *models.Classifier, steps, n int) []float64 {
	const lr = 1.0 / 128 // exact in single precision, as the optimizer holds it
	params := nn.Trainable(m)
	opt := optim.NewSGD(r.Scope, params, optim.SGDConfig{Momentum: 0.9, WeightDecay: 1e-4})
	var curve []float64
	for step := range steps {
		s, g := tensor.NewScope(r.Backend), autodiff.NewGraph(r.Backend)
		c := nn.NewCtx(g, nn.Train, params)
		c.Updates = nn.NewUpdates(r.Backend)
		l := resNet20Loss(r, s, m, c, step, n)
		grads := autodiff.Grad(l, c.Values(params))
		opt.Begin(step+1, lr)
		opt.Update(grads)
		c.Updates.Apply()
		curve = append(curve, l.Item())
		g.Close()
		s.Close()
	}
	return curve
}
