package optim_test

import (
	"fmt"
	"testing"

	"afterimage/autodiff"
	"afterimage/bench/pytorch/golden"
	"afterimage/nn"
	"afterimage/nn/optim"
	"afterimage/tensor"
)

// The goldens of this file were made by bench/pytorch/optimizers.py.

// goldenParams returns the two parameters the optimizers start from.
func goldenParams(r *golden.Run) nn.Params {
	var ps nn.Params
	for i := range 2 {
		name := fmt.Sprintf("p%d", i)
		x := r.Tensor("in/" + name)
		ps = append(ps, nn.Named{Name: name, Param: &nn.Param{Shape: x.Shape(), T: x}})
	}
	return ps
}

// goldenGrads returns the gradients of step t.
func goldenGrads(r *golden.Run, g *autodiff.Graph, t int) []*autodiff.Value {
	return []*autodiff.Value{g.Const(r.Tensor(fmt.Sprintf("in/grad%d/p0", t))),
		g.Const(r.Tensor(fmt.Sprintf("in/grad%d/p1", t)))}
}

// TestGoldenOptimizers compares the parameters after each of five steps.
func TestGoldenOptimizers(t *testing.T) {
	sgd := func(c optim.SGDConfig) func(*tensor.Scope, nn.Params) optim.Optimizer {
		return func(s *tensor.Scope, ps nn.Params) optim.Optimizer { return optim.NewSGD(s, ps, c) }
	}
	adam := func(c optim.AdamConfig) func(*tensor.Scope, nn.Params) optim.Optimizer {
		return func(s *tensor.Scope, ps nn.Params) optim.Optimizer { return optim.NewAdam(s, ps, c) }
	}
	golden.Each(t, "testdata/optimizers.safetensors", golden.Default, func(r *golden.Run) {
		rates := r.Floats("in/rates")
		for _, c := range []struct {
			name string
			make func(*tensor.Scope, nn.Params) optim.Optimizer
		}{
			{"sgd", sgd(optim.SGDConfig{})},
			{"sgd decay", sgd(optim.SGDConfig{WeightDecay: 0.1})},
			{"momentum", sgd(optim.SGDConfig{Momentum: 0.9, WeightDecay: 0.1})},
			{"nesterov", sgd(optim.SGDConfig{Momentum: 0.9, WeightDecay: 0.1, Nesterov: true})},
			{"adam", adam(optim.AdamConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8})},
			{"adam biggan", adam(optim.AdamConfig{Beta2: 0.999, Eps: 1e-6})},
			{"adamw", adam(optim.AdamConfig{Beta1: 0.9, Beta2: 0.99, Eps: 1e-3, WeightDecay: 0.1})},
		} {
			ps := goldenParams(r)
			o := c.make(r.Scope, ps)
			for t, lr := range rates {
				g := autodiff.NewGraph(r.Backend)
				o.Begin(t+1, lr)
				o.Update(goldenGrads(r, g, t))
				g.Close()
				for _, p := range ps {
					r.CompareTensor(fmt.Sprintf("%s/%d/%s", c.name, t, p.Name), p.Param.T)
				}
			}
		}
		for _, limit := range []float64{1, 100} { // below and above the norm
			g := autodiff.NewGraph(r.Backend)
			clipped, norm := optim.ClipNorm(goldenGrads(r, g, 0), limit)
			name := fmt.Sprintf("clip %g/", limit)
			r.Compare(name+"norm", norm)
			for i, d := range clipped {
				r.Compare(fmt.Sprintf("%sp%d", name, i), d)
			}
			g.Close()
		}
	})
}

// TestGoldenEMA compares with torch.optim.swa_utils.AveragedModel, whose first update copies.
func TestGoldenEMA(t *testing.T) {
	golden.Each(t, "testdata/average.safetensors", golden.Default, func(r *golden.Run) {
		m := nn.NewBatchNorm2D(4)
		nn.InitDType(r.Scope, m, 1, r.DType)
		e := optim.NewEMA(r.Scope, m, optim.EMAConfig{Decay: 0.875, Start: 1})
		for t := range 5 {
			for name, p := range m.Params() {
				p.T.SetFloats(r.Floats(fmt.Sprintf("in/%d/%s", t, name)))
			}
			e.Begin(t + 1)
			e.Update()
			for name, p := range e.Params() {
				if name != "decay" {
					r.CompareTensor(fmt.Sprintf("%d/%s", t, name), p.T)
				}
			}
		}
	})
}

// TestGoldenYoungEMA compares the decay that grows with the average's age.
func TestGoldenYoungEMA(t *testing.T) {
	golden.Each(t, "testdata/average_warmup.safetensors", golden.Default, func(r *golden.Run) {
		x := &nn.Param{Shape: tensor.Shape{4}, T: r.Tensor("in/0")}
		e := optim.NewEMA(r.Scope, nn.Params{{Name: "x", Param: x}},
			optim.EMAConfig{Decay: 0.25, Start: 1, WarmUp: true})
		for t := range 5 {
			x.T.SetFloats(r.Floats(fmt.Sprintf("in/%d", t)))
			e.Begin(t + 1)
			e.Update()
			for name, p := range e.Params() {
				if name == "ema.x" {
					r.CompareTensor(fmt.Sprintf("%d/ema", t), p.T)
				}
			}
		}
	})
}

// TestGoldenSchedules compares learning rates. PyTorch's OneCycleLR of n steps ends with step n−1
// and turns at step pct·n − 1.
func TestGoldenSchedules(t *testing.T) {
	const lr = 0.1
	golden.Each(t, "testdata/schedules.safetensors", golden.Default, func(r *golden.Run) {
		for _, c := range []struct {
			name string
			s    optim.Schedule
		}{
			{"step", optim.Steps(lr, 0.3, 7, 14, 21, 28)},
			{"multistep", optim.Steps(lr, 0.1, 5, 11, 20)},
			{"cosine", optim.Cosine(lr, 0.01, 24)},
			{"onecycle", optim.OneCycle(lr, 25, 1e4, 10, 40)},
			{"onecycle div", optim.OneCycle(lr, 10, 100, 12, 30)},
			{"triangular", optim.Triangular(lr, 6, 20)},
			{"warmup", optim.WarmUp(8, optim.Constant(lr))},
			{"constant", optim.Constant(lr)},
			{"warmup cosine", optim.WarmUp(5, optim.Cosine(lr, 0, 20))},
		} {
			got := make([]float64, len(r.Floats(c.name)))
			for i := range got {
				got[i] = c.s(i)
			}
			r.CompareFloats(c.name, got)
		}
	})
}
