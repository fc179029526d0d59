package loss_test

import (
	"testing"

	"afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/nn/loss"
	"afterimage/tensor"
)

func TestDerivatives(t *testing.T) {
	labels := func(g *autodiff.Graph) *tensor.Tensor {
		return tensor.FromSlice(g.Scope(), []int32{0, 3, 2}, 3)
	}
	a, b := gradcheck.Normal(1, 3, 4), gradcheck.Normal(2, 3, 4)
	for name, f := range map[string]gradcheck.Func{
		"cross-entropy": func(g *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
			return loss.CrossEntropy(in[0], labels(g), 0.1)
		},
		"soft cross-entropy": func(g *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
			return loss.SoftCrossEntropy(in[0], autodiff.Sigmoid(in[1]))
		},
		"margin": func(g *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
			return loss.EachMargin(in[0], labels(g))
		},
		"DLR": func(g *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
			return loss.EachDLR(in[0], labels(g))
		},
		"KL": func(_ *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
			return loss.EachKL(in[0], in[1])
		},
		"MSE": func(_ *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
			return loss.MSE(in[0], in[1])
		},
		"L1": func(_ *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
			return loss.L1(in[0], in[1])
		},
		"hinge D": func(_ *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
			return loss.HingeDiscriminator(in[0], in[1])
		},
		"hinge G": func(_ *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
			return loss.HingeGenerator(in[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			gradcheck.Check(t, f, []gradcheck.Input{a, b})
		})
	}
}
