package nn

import (
	"fmt"
	"iter"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// SelfAttention mixes every position of an image with all others, x [N H W C] with H and W even:
//
//	θ = 1×1 C→C/8,  φ = pool(1×1 C→C/8),  g = pool(1×1 C→C/2),  pool = 2×2 maximum,
//	A = softmax over keys of θ·φᵀ (no 1/√d),  y = x + γ·(1×1 C/2→C)(A·g).
//
// γ is one learned number that starts at 0. The convolutions have no bias and are spectrally
// normalised. Parameters: "theta", "phi", "g", "o" (convolutions), "gamma" [1].
//
// Source: Zhang et al., "Self-attention generative adversarial networks", ICML 2019, in the form
// BigGAN's implementations share.
type SelfAttention struct {
	Theta, Phi, G, O *Conv2D
	Gamma            *Param
}

// NewSelfAttention declares a block; spectralEps 0 means DefaultSpectralEps, init nil PyTorch's
// default. Panics with *tensor.Error unless channels is a positive multiple of 8.
func NewSelfAttention(channels int, spectralEps float64, init Initializer) *SelfAttention {
	if channels <= 0 || channels%8 != 0 {
		panic(&tensor.Error{Op: "NewSelfAttention", Reason: fmt.Sprintf(
			"channels %d must be a positive multiple of 8", channels)})
	}
	conv := func(in, out int) *Conv2D {
		return NewConv2D(ConvConfig{In: in, Out: out, Kernel: 1, NoBias: true, Spectral: true,
			Eps: spectralEps, Init: init})
	}
	return &SelfAttention{
		Theta: conv(channels, channels/8), Phi: conv(channels, channels/8),
		G: conv(channels, channels/2), O: conv(channels/2, channels),
		Gamma: &Param{Shape: tensor.Shape{1}, Init: Constant(0), NoWD: true},
	}
}

// Params yields theta, phi, g, o, gamma.
func (a *SelfAttention) Params() iter.Seq2[string, *Param] {
	return Join(Prefixed("theta", a.Theta), Prefixed("phi", a.Phi), Prefixed("g", a.G),
		Prefixed("o", a.O), Params{{"gamma", a.Gamma}}).Params()
}

// Forward returns y of x's shape.
func (a *SelfAttention) Forward(c *Ctx, x *autodiff.Value) *autodiff.Value {
	n, h, w, ch := x.Dim(0), x.Dim(1), x.Dim(2), x.Dim(3)
	pool := Window(2, 2, 0)
	pooled := func(l *Conv2D) *autodiff.Value {
		full := l.Forward(c, x)
		y := autodiff.MaxPool(full, pool)
		full.Done()
		return autodiff.Reshape(y, n, (h/2)*(w/2), y.Dim(3))
	}
	return c.Block(func() *autodiff.Value {
		theta := autodiff.Reshape(a.Theta.Forward(c, x), n, h*w, ch/8)
		phi, g := pooled(a.Phi), pooled(a.G)
		mixed := autodiff.Reshape(autodiff.Attention(theta, phi, g, 1), n, h, w, ch/2)
		gamma := effectiveWeight(c, a.Gamma, nil, x.DType())
		defer c.spent(gamma, a.Gamma)
		return autodiff.Add(x, autodiff.Mul(gamma, a.O.Forward(c, mixed)))
	})
}
