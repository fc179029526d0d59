package loss_test

import (
	"testing"

	"afterimage/autodiff"
	"afterimage/bench/pytorch/golden"
	"afterimage/nn/loss"
)

// TestGolden holds every loss against PyTorch's to second order; made by bench/pytorch/losses.py.
func TestGolden(t *testing.T) {
	type values = []*autodiff.Value
	golden.Each(t, "testdata/losses.safetensors", golden.Default, func(r *golden.Run) {
		check := func(name string, f func(in values) *autodiff.Value) {
			r.Case(name, func(_ *autodiff.Graph, in values) *autodiff.Value { return f(in) })
		}
		for _, c := range []struct {
			name      string
			smoothing float64
		}{{"0.0", 0}, {"0.1", 0.1}} {
			check("ce "+c.name, func(in values) *autodiff.Value {
				return loss.CrossEntropy(in[0], in[1].Tensor(), c.smoothing)
			})
			check("each ce "+c.name, func(in values) *autodiff.Value {
				return loss.EachCrossEntropy(in[0], in[1].Tensor(), c.smoothing)
			})
		}
		check("soft ce", func(in values) *autodiff.Value {
			return loss.SoftCrossEntropy(in[0], in[1])
		})
		check("mse", func(in values) *autodiff.Value { return loss.MSE(in[0], in[1]) })
		check("l1", func(in values) *autodiff.Value { return loss.L1(in[0], in[1]) })
		check("hinge d", func(in values) *autodiff.Value {
			return loss.HingeDiscriminator(in[0], in[1])
		})
		check("hinge g", func(in values) *autodiff.Value { return loss.HingeGenerator(in[0]) })
		check("kl", func(in values) *autodiff.Value { return loss.EachKL(in[0], in[1]) })
		check("margin", func(in values) *autodiff.Value {
			return loss.EachMargin(in[0], in[1].Tensor())
		})
		check("dlr", func(in values) *autodiff.Value { return loss.EachDLR(in[0], in[1].Tensor()) })
	})
}
