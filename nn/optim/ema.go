package optim

import (
	"iter"

	"afterimage/nn"
	"afterimage/tensor"
)

// EMAConfig describes an average of weights.
type EMAConfig struct {
	Decay float64 // in [0, 1); 0.9999 for BigGAN
	Start int     // up to and including this step the average is a copy
	// WarmUp keeps the decay at most (1+n)/(10+n), n steps after Start, so that a young average is
	// not made of its beginning (tf.train.ExponentialMovingAverage's num_updates).
	WarmUp bool
}

// EMA holds an exponential moving average of every parameter and buffer of a module: after each
// step e ← e + (1−d)·(p − e) with d from EMAConfig. State: "ema.<name>", "decay".
//
// An averaged spectral-norm vector no longer belongs to the averaged weight; nn.SpectralNorm's
// iteration at each use makes up for it.
type EMA struct {
	cfg    EMAConfig
	module nn.Params
	shadow nn.Params
	decay  *nn.Param
}

// NewEMA starts the average as a copy of m, with its state in s.
func NewEMA(s *tensor.Scope, m nn.Module, cfg EMAConfig) *EMA {
	e := &EMA{cfg: cfg, module: nn.List(m), decay: newClock(s).lr}
	e.shadow = zeros(s, "ema", e.module)
	for i, p := range e.shadow {
		p.Param.T.Assign(e.module[i].Param.T)
	}
	return e
}

// Params yields the state.
func (e *EMA) Params() iter.Seq2[string, *nn.Param] {
	return nn.Join(e.shadow, nn.Params{{Name: "decay", Param: e.decay}}).Params()
}

// DecayAt returns the decay that step t = 1, 2, … uses.
func (c EMAConfig) DecayAt(t int) float64 {
	n := float64(t - c.Start)
	switch {
	case n <= 0:
		return 0
	case c.WarmUp:
		return min(c.Decay, (1+n)/(10+n))
	}
	return c.Decay
}

// Begin writes the decay of step t to the device.
func (e *EMA) Begin(t int) { e.decay.T.SetFloats([]float64{e.cfg.DecayAt(t)}) }

// Update moves the average toward the module's present values.
func (e *EMA) Update() {
	e.decay.T.Backend().Lerp(e.shadow.Tensors(), e.module.Tensors(), e.decay.T)
}

// Swap exchanges the module's tensors with the average's: between two calls the module is the
// average. No element is copied. Do not call Update in between.
func (e *EMA) Swap() {
	for i, p := range e.module {
		q := e.shadow[i].Param
		p.Param.T, q.T = q.T, p.Param.T
	}
}

// With runs f while the module holds the average.
func (e *EMA) With(f func()) {
	e.Swap()
	defer e.Swap()
	f()
}
