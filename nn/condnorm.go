package nn

import (
	"iter"

	"afterimage/autodiff"
)

// A CondNormConfig describes a ConditionalBatchNorm.
type CondNormConfig struct {
	Channels  int
	Cond      int         // width of the conditioning vector
	Spectral  bool        // spectrally normalise the two matrices
	SNEps     float64     // of Spectral; 0 means DefaultSpectralEps
	PlainGain bool        // gain = W·c instead of 1 + W·c
	Eps       float64     // of the variance; 0 means DefaultBatchNormEps
	Momentum  float64     // of the running statistics; 0 means DefaultBatchNormMomentum
	Init      Initializer // of the two matrices; nil means PyTorch's default
}

// ConditionalBatchNorm is batch normalisation whose gain and shift are linear in a conditioning
// vector, one for each sample: x [N H W C], cond [N D],
//
//	y = g·(x − μ)/√(σ² + eps) + s,  g = 1 + G·cond (or G·cond with PlainGain),  s = S·cond.
//
// Statistics are those of BatchNorm2D. Parameters: "gain.weight" [C D], "bias.weight" [C D] (with
// Spectral their weight_u), buffers "running_mean" and "running_var" [C].
//
// Source: de Vries et al., NeurIPS 2017; BigGAN (Brock et al., ICLR 2019, appendix B) and its
// authors' PyTorch code for "1 + G·cond", google/compare_gan for "G·cond".
type ConditionalBatchNorm struct {
	Gain, Shift   *Linear
	Mean, Var     *Param
	PlainGain     bool
	Eps, Momentum float64
}

// NewConditionalBatchNorm declares a layer. Panics with *tensor.Error if Channels or Cond is not
// positive.
func NewConditionalBatchNorm(cfg CondNormConfig) *ConditionalBatchNorm {
	if cfg.Eps == 0 {
		cfg.Eps = DefaultBatchNormEps
	}
	if cfg.Momentum == 0 {
		cfg.Momentum = DefaultBatchNormMomentum
	}
	matrix := func() *Linear {
		return NewLinear(LinearConfig{In: cfg.Cond, Out: cfg.Channels, NoBias: true,
			Spectral: cfg.Spectral, Eps: cfg.SNEps, Init: cfg.Init})
	}
	l := &ConditionalBatchNorm{Gain: matrix(), Shift: matrix(), PlainGain: cfg.PlainGain,
		Eps: cfg.Eps, Momentum: cfg.Momentum}
	l.Mean, l.Var = newRunningStats(cfg.Channels)
	return l
}

// Params yields gain, bias, running_mean, running_var.
func (l *ConditionalBatchNorm) Params() iter.Seq2[string, *Param] {
	return Join(Prefixed("gain", l.Gain), Prefixed("bias", l.Shift),
		Params{{"running_mean", l.Mean}, {"running_var", l.Var}}).Params()
}

// Forward returns the normalised x under cond.
func (l *ConditionalBatchNorm) Forward(c *Ctx, x, cond *autodiff.Value) *autodiff.Value {
	return l.forward(c, x, cond, false)
}

// ForwardReLU returns max(y, 0) in one pass over memory.
func (l *ConditionalBatchNorm) ForwardReLU(c *Ctx, x, cond *autodiff.Value) *autodiff.Value {
	return l.forward(c, x, cond, true)
}

// ForwardReLUUpsampled returns max(y, 0) enlarged k times by nearest neighbours, in training in one
// pass where the backend can (autodiff.BatchNormReLUUpsample).
func (l *ConditionalBatchNorm) ForwardReLUUpsampled(c *Ctx, x, cond *autodiff.Value, k int,
) *autodiff.Value {
	if !c.batchStatistics() {
		small := l.forward(c, x, cond, true)
		defer small.Done()
		return autodiff.Upsample(small, k)
	}
	gain, shift := l.affine(c, cond)
	y, stats := autodiff.BatchNormReLUUpsample(x, gain, shift, l.Eps, k)
	c.recordStats(l.Mean, l.Var, stats, l.Momentum)
	return y
}

// affine returns gain and shift under cond.
func (l *ConditionalBatchNorm) affine(c *Ctx, cond *autodiff.Value) (gain, shift *autodiff.Value) {
	gain, shift = l.Gain.Forward(c, cond), l.Shift.Forward(c, cond)
	if !l.PlainGain {
		gain = autodiff.AddScalar(gain, 1)
	}
	return gain, shift
}

// An invStdKey finds a pass's 1/√(running variance + eps) in Derived.
type invStdKey struct {
	l         *ConditionalBatchNorm
	recording bool
}

func (l *ConditionalBatchNorm) forward(c *Ctx, x, cond *autodiff.Value, relu bool) *autodiff.Value {
	gain, shift := l.affine(c, cond)
	if !c.batchStatistics() {
		inv := Derived(c, invStdKey{l, c.Graph.Recording()},
			func() *autodiff.Value { return c.hoist(runningInvStd(c, l.Var, l.Eps)) })
		scale := autodiff.Mul(gain, inv)
		shift = autodiff.Sub(shift, autodiff.Mul(c.Value(l.Mean), scale))
		return autodiff.ScaleShift(x, scale, shift, nil, relu)
	}
	var y *autodiff.Value
	var stats autodiff.BatchStats
	if relu {
		y, stats = autodiff.BatchNormReLU(x, gain, shift, nil, l.Eps)
	} else {
		y, stats = autodiff.BatchNorm(x, gain, shift, l.Eps)
	}
	c.recordStats(l.Mean, l.Var, stats, l.Momentum)
	return y
}
