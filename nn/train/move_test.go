package train_test

import (
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/optim"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A roundingRef is tensor/ref where networks compute in BF16; it counts how often n numbers are
// rounded to it.
type roundingRef struct {
	*ref.Backend
	n, rounded int
}

func (*roundingRef) Activations() tensor.DType { return tensor.BF16 }

func (b *roundingRef) Cast(dst, x *tensor.Tensor) {
	if dst.DType() == tensor.BF16 && x.DType() == tensor.F32 && x.Size() == b.n {
		b.rounded++
	}
	b.Backend.Cast(dst, x)
}

// shadowless hides that a backend's optimizers can write shadows.
type shadowless struct{ halfKeeper }

type halfKeeper interface {
	tensor.Backend
	Activations() tensor.DType
}

// TestShadowedSteps trains a convolution with the optimizer writing what the next pass reads, and
// rounding in every pass, and wants the same numbers: after steps, after weights were written by
// somebody else, and while the average stands in for them.
func TestShadowedSteps(t *testing.T) {
	for name, start := range map[string]starter{
		"sgd": func(s *tensor.Scope, ps nn.Params) optim.Optimizer {
			return optim.NewSGD(s, ps, optim.SGDConfig{Momentum: 0.9, WeightDecay: 0.1, SpareGains: true})
		},
		"adam": func(s *tensor.Scope, ps nn.Params) optim.Optimizer {
			return optim.NewAdam(s, ps, optim.AdamConfig{Beta1: 0.5, Beta2: 0.9, Eps: 1e-6})
		},
	} {
		const weights = 4 * 3 * 3 * 3
		b := &roundingRef{Backend: ref.New(ref.WithPoison()), n: weights}
		want, _ := shadowedRun(shadowless{b}, &b.rounded, start)
		got, roundings := shadowedRun(b, &b.rounded, start)
		if !slices.Equal(got, want) {
			t.Errorf("%s: other numbers than with weights rounded in each pass", name)
		}
		// The first pass rounds, and so does making the shadow.
		if !slices.Equal(roundings, []int{2, 0, 0, 0, 0}) {
			t.Errorf("%s: the weights were rounded %v times in the passes", name, roundings)
		}
		if left := b.Outstanding(); left != 0 {
			t.Errorf("%s: %d bytes are left", name, left)
		}
	}
}

// A starter makes an optimizer of parameters.
type starter func(*tensor.Scope, nn.Params) optim.Optimizer

// shadowedRun makes steps of a small network and returns all numbers it met, and how many weights
// each pass rounded, which b counts in count.
func shadowedRun(b halfKeeper, count *int, start starter) (numbers []float64, roundings []int) {
	s := tensor.NewScope(b)
	defer s.Close()
	conv := nn.NewConv2D(nn.ConvConfig{In: 3, Out: 4, Kernel: 3})
	ps := nn.List(conv)
	nn.Init(s, conv, 1)
	opt, ema := start(s, ps), optim.NewEMA(s, ps, optim.EMAConfig{Decay: 0.5})
	x := s.New(tensor.F32, 2, 5, 5, 3)
	b.Random(tensor.Normal, tensor.NewKey(1, "x"), x, s.Zeros(tensor.I32, 1))
	forward := func(c *nn.Ctx) *autodiff.Value {
		return c.Leave(conv.Forward(c, c.Enter(c.Graph.Const(x))))
	}
	move := train.NewMove(b)
	defer move.Close()
	for i := range 5 {
		*count = 0
		got := move.Measure(b, nil, ps, func(p *train.Pass) {
			p.Minimise(autodiff.Sum(autodiff.Square(forward(p.Ctx))))
		})
		roundings = append(roundings, *count)
		opt.Begin(i+1, 0.01)
		ema.Begin(i + 1)
		move.Update(func(p *train.Pass) { opt.Update(p.Gradients()); ema.Update() })
		if i == 2 { // as a checkpoint is loaded
			conv.Weight.T.SetFloats(slices.Repeat([]float64{0.3, -0.1, 0.7}, conv.Weight.T.Size()/3))
		}
		g := autodiff.NewGraph(b)
		look := func() {
			numbers = append(numbers, forward(nn.NewCtx(g, nn.Eval)).Tensor().Floats()...)
		}
		ema.With(look)
		look()
		numbers = append(append(numbers, got...), conv.Weight.T.Floats()...)
		g.Close()
	}
	return numbers, roundings
}
