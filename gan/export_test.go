package gan

import "afterimage/tensor"

// CheckCollapse lets tests feed the check with shares of their own.
func (t *Trainer) CheckCollapse(step int, share float64) error {
	return t.checkCollapse(step, share)
}

// Noise draws, in s, the noise of the pass that was made last.
func (t *Trainer) Noise(s *tensor.Scope) *tensor.Tensor { return t.draw(s, t.intake.Step) }

// Average runs f with the average of the generator's weights and buffers in their place.
func (t *Trainer) Average(f func()) { t.ema.With(f) }
