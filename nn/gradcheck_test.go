package nn_test

import (
	"testing"

	"afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// checkLayer tests first and second derivatives of forward with respect to extra inputs and every
// trainable parameter of m. Buffers keep their initial values, singular vectors those of a first
// iteration.
func checkLayer(t *testing.T, m nn.Module, mode nn.Mode, inputs []gradcheck.Input,
	forward func(c *nn.Ctx, in []*autodiff.Value) *autodiff.Value, norms ...*nn.SpectralNorm) {
	t.Helper()
	s := tensor.NewScope(ref.New())
	defer s.Close()
	nn.InitDType(s, m, 11, tensor.F64)
	params := nn.Trainable(m)
	n := len(inputs)
	for i, p := range params {
		inputs = append(inputs, gradcheck.Normal(uint32(1000+i), p.Param.Shape...))
	}
	gradcheck.Check(t, func(g *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
		c := nn.NewCtx(g, mode)
		for i, p := range params {
			c.Bind(p.Param, in[n+i])
		}
		for i, sn := range norms {
			fixed := func(draw int, size int) *autodiff.Value {
				x := gradcheck.Normal(uint32(draw+i), 1, size)
				return g.Const(tensor.FromSlice(g.Scope(), x.Data, 1, size))
			}
			nn.FixSpectral(c, sn, fixed(2000, sn.W.Shape[0]), fixed(3000, sn.W.Shape[1:].Size()))
		}
		return forward(c, in[:n])
	}, inputs)
}

// image is the input of layers on images, [N H W C].
var image = gradcheck.Normal(1, 2, 4, 3, 4)

// checkOne is checkLayer for a layer of one input.
func checkOne(
	t *testing.T, l nn.Layer, mode nn.Mode, in gradcheck.Input, norms ...*nn.SpectralNorm,
) {
	t.Helper()
	checkLayer(t, l, mode, []gradcheck.Input{in},
		func(c *nn.Ctx, in []*autodiff.Value) *autodiff.Value { return l.Forward(c, in[0]) }, norms...)
}

func TestLayerDerivatives(t *testing.T) {
	t.Run("conv", func(t *testing.T) {
		l := nn.NewConv2D(nn.ConvConfig{In: 4, Out: 2, Kernel: 3, Stride: 2, Pad: 1, Groups: 2})
		checkOne(t, l, nn.Eval, image)
	})
	t.Run("spectral conv", func(t *testing.T) {
		l := nn.NewConv2D(nn.ConvConfig{In: 4, Out: 3, Kernel: 2, Spectral: true})
		checkOne(t, l, nn.Train, image, l.Spectral)
	})
	t.Run("linear", func(t *testing.T) {
		checkOne(t, nn.NewLinear(nn.LinearConfig{In: 3, Out: 2}), nn.Eval, gradcheck.Normal(1, 4, 3))
	})
	t.Run("spectral linear", func(t *testing.T) {
		l := nn.NewLinear(nn.LinearConfig{In: 3, Out: 2, NoBias: true, Spectral: true})
		checkOne(t, l, nn.Eval, gradcheck.Normal(1, 4, 3), l.Spectral)
	})
	t.Run("embedding", func(t *testing.T) {
		l := nn.NewEmbedding(nn.EmbeddingConfig{Classes: 3, Dim: 2, Spectral: true})
		checkLayer(t, l, nn.Eval, []gradcheck.Input{gradcheck.Normal(1, 4, 3)},
			func(c *nn.Ctx, in []*autodiff.Value) *autodiff.Value { return l.Mix(c, in[0]) },
			l.Spectral)
	})
	t.Run("normalize", func(t *testing.T) {
		checkOne(t, &nn.Normalize{Mean: []float64{1, 2, 3, 4}, Std: []float64{1, .5, 2, 3}}, nn.Eval,
			image)
	})
	t.Run("attention", func(t *testing.T) {
		l := nn.NewSelfAttention(8, 0, nil)
		// A draw at which the scores' gradients do not cancel, which would magnify rounding.
		checkOne(t, l, nn.Eval, gradcheck.Normal(5, 2, 2, 4, 8),
			l.Theta.Spectral, l.Phi.Spectral, l.G.Spectral, l.O.Spectral)
	})
}

// TestNormDerivatives checks batch norms in training, where statistics depend on the input, and in
// evaluation.
func TestNormDerivatives(t *testing.T) {
	for _, c := range []struct {
		name string
		mode nn.Mode
	}{{"train", nn.Train}, {"eval", nn.Eval}} {
		t.Run("batch norm "+c.name, func(t *testing.T) {
			checkOne(t, nn.NewBatchNorm2D(4), c.mode, image)
		})
		t.Run("batch norm residual relu "+c.name, func(t *testing.T) {
			l := nn.NewBatchNorm2D(4)
			checkLayer(t, l, c.mode, []gradcheck.Input{image, gradcheck.Normal(2, 2, 4, 3, 4)},
				func(c *nn.Ctx, in []*autodiff.Value) *autodiff.Value {
					return l.ForwardReLU(c, in[0], in[1])
				})
		})
		t.Run("conditional batch norm "+c.name, func(t *testing.T) {
			l := nn.NewConditionalBatchNorm(nn.CondNormConfig{Channels: 4, Cond: 2, Spectral: true})
			checkLayer(t, l, c.mode, []gradcheck.Input{image, gradcheck.Normal(2, 2, 2)},
				func(c *nn.Ctx, in []*autodiff.Value) *autodiff.Value {
					return l.ForwardReLU(c, in[0], in[1])
				},
				l.Gain.Spectral, l.Shift.Spectral)
		})
	}
}
