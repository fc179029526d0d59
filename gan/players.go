package gan

import "afterimage/tensor"

// DiscriminatorStep makes the discriminator's half of step i = 0, 1, … alone, on real images
// x [N Size Size 3] in [−1, 1] and their conditions [N Cond]: what a benchmark measures. N is
// Config.Batch.
func (t *Trainer) DiscriminatorStep(i int, x, cond *tensor.Tensor) (Losses, error) {
	s := tensor.NewScope(t.backend)
	defer s.Close()
	var l Losses
	err := t.discriminate(i, x, cond, t.draw(s, i, 0), &l)
	return l, err
}

// GeneratorStep makes the generator's half of step i = 0, 1, … alone, under conditions [N Cond],
// the average of its weights included. N is Config.Batch.
func (t *Trainer) GeneratorStep(i int, cond *tensor.Tensor) (Losses, error) {
	s := tensor.NewScope(t.backend)
	defer s.Close()
	var l Losses
	err := t.generate(i, cond, t.draw(s, i, t.Config.DSteps), &l)
	return l, err
}
