package gan

import (
	"fmt"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/loss"
	"afterimage/nn/train"
	"afterimage/tensor"
)

// Losses are what one step measured.
type Losses struct {
	D, G       float64 // hinge losses
	Real, Fake float64 // mean scores: D(x, y) and D(G(z, y), y)
}

// A given is what a player's move starts from: real images x [N Size Size 3] in [−1, 1] (for the
// discriminator), conditions [N Cond] and noise [N ZDim]. It is called once in every pass, and
// allocates in its scope.
type given func(s *tensor.Scope) (x, cond, z *tensor.Tensor)

// Step makes generator step i = 0, 1, …: d_steps discriminator steps, each on a fresh batch and
// fresh noise, and a generator step on the last batch's conditions with fresh noise again. The next
// step's batches are drawn meanwhile.
func (t *Trainer) Step(i int) (Losses, error) {
	var l Losses
	for k := range t.Config.DSteps {
		t.intake.Feed(t.batches.Batch(i*t.Config.DSteps + k))
		t.intake.Count(t.passNumber(i, k))
		if err := t.discriminate(&t.moveD[k], nil, i*t.Config.DSteps+k, t.batch, &l); err != nil {
			return l, err
		}
	}
	t.intake.Count(t.passNumber(i, t.Config.DSteps))
	err := t.generate(&t.moveG, nil, i, t.conditions, &l)
	return l, err
}

// batch gives the discriminator the batch on the device, what the classifier says of it, and noise.
func (t *Trainer) batch(s *tensor.Scope) (x, cond, z *tensor.Tensor) {
	t.cond.Assign(t.condition(s, t.intake.X))
	return t.intake.X, t.cond, t.draw(s, t.intake.Step)
}

// conditions gives the generator the last batch's conditions and noise.
func (t *Trainer) conditions(s *tensor.Scope) (x, cond, z *tensor.Tensor) {
	return nil, t.cond, t.draw(s, t.intake.Step)
}

// condition asks the classifier about x in [−1, 1].
func (t *Trainer) condition(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor {
	unit := s.Like(x)
	t.backend.Unary(tensor.Affine, tensor.Attr{A: 0.5, B: 0.5}, unit, x)
	return t.Conditioner.AskWith(t.asking, s, unit).Cond
}

// passNumber counts network passes: the k-th of step i. Each draws its own noise.
func (t *Trainer) passNumber(i, k int) int { return i*(t.Config.DSteps+1) + k }

// draw returns the noise of the pass whose number lies in step.
func (t *Trainer) draw(s *tensor.Scope, step *tensor.Tensor) *tensor.Tensor {
	z := s.New(tensor.F32, t.Config.Batch, t.Config.Net.ZDim)
	t.backend.Random(tensor.Normal, t.noise, z, step)
	return z
}

// discriminate makes the i-th discriminator step: real and painted images pass in one batch. Under
// the same key in gives the same tensors (train.Move.Measure).
func (t *Trainer) discriminate(m *train.Move, key any, i int, in given, l *Losses) error {
	got := m.Measure(t.backend, key, t.optD.Targets(), func(p *train.Pass) {
		x, cond, z := in(p.Scope())
		p.Ctx.Recompute = t.Config.Recompute
		g := p.Graph
		y := g.Const(cond)
		both := autodiff.Concat(0, g.Const(x), g.Const(t.paint(g.Scope(), cond, z)))
		n := x.Dim(0)
		scores := t.D.Forward(p.Ctx, both, autodiff.Concat(0, y, y))
		real := autodiff.Slice(scores, []int{0}, []int{n}, []int{1})
		painted := autodiff.Slice(scores, []int{n}, []int{2 * n}, []int{1})
		p.Minimise(loss.HingeDiscriminator(real, painted), real, painted)
	})
	scores := got[2:]
	n := len(scores) / 2
	l.D, l.Real, l.Fake = got[0], mean(scores[:n]), mean(scores[n:])
	// The hinge may hide a score that is not finite; its mean does not.
	if err := m.Check(i/t.Config.DSteps+1, l.D+l.Real+l.Fake, got[1],
		nn.Prefixed("generator", t.G)...); err != nil {
		return fmt.Errorf("gan: discriminator: %w", err)
	}
	t.optD.Begin(i+1, t.Config.LRD)
	m.Update(func(p *train.Pass) { t.optD.Update(p.Gradients()) })
	return nil
}

// paint returns what the generator makes of cond and z in training, in s. Its updates belong to its
// own step: this pass drops them.
func (t *Trainer) paint(s *tensor.Scope, cond, z *tensor.Tensor) (images *tensor.Tensor) {
	g := autodiff.NewGraph(t.backend)
	defer g.Close()
	g.NoGrad(func() {
		fake := t.G.Forward(nn.NewCtx(g, nn.Train), g.Const(z), g.Const(cond))
		images = clone(s, fake.Tensor())
	})
	return images
}

// generate makes the i-th generator step, of which in and key are as for discriminate. The
// discriminator's weights are constants: no gradient is computed for them.
func (t *Trainer) generate(m *train.Move, key any, i int, in given, l *Losses) error {
	got := m.Measure(t.backend, key, t.optG.Targets(), func(p *train.Pass) {
		_, cond, z := in(p.Scope())
		p.Ctx.Recompute = t.Config.Recompute
		y := p.Graph.Const(cond)
		judge := nn.NewCtx(p.Graph, nn.Train) // the discriminator's own updates belong to its steps
		judge.Recompute = t.Config.Recompute
		painted := t.G.Forward(p.Ctx, p.Graph.Const(z), y)
		p.Minimise(loss.HingeGenerator(t.D.Forward(judge, painted, y)))
	})
	l.G = got[0]
	if err := m.Check(i+1, l.G, got[1], nn.Prefixed("discriminator", t.D)...); err != nil {
		return fmt.Errorf("gan: generator: %w", err)
	}
	t.optG.Begin(i+1, t.Config.LRG)
	t.ema.Begin(i + 1)
	m.Update(func(p *train.Pass) {
		t.optG.Update(p.Gradients())
		p.Ctx.Updates.Apply() // before the average, which includes them
		t.ema.Update()
	})
	return nil
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(max(1, len(v)))
}

// DiscriminatorStep makes the discriminator's half of step i = 0, 1, … alone, on real images
// x [N Size Size 3] in [−1, 1] and their conditions [N Cond]: what a benchmark measures. N is
// Config.Batch. Steps on the same tensors can be replayed; their contents may change.
func (t *Trainer) DiscriminatorStep(i int, x, cond *tensor.Tensor) (Losses, error) {
	var l Losses
	t.intake.Count(t.passNumber(i, 0))
	given := [2]*tensor.Tensor{x, cond}
	err := t.discriminate(&t.moveD[0], given, i, func(s *tensor.Scope) (_, _, z *tensor.Tensor) {
		return x, cond, t.draw(s, t.intake.Step)
	}, &l)
	return l, err
}

// GeneratorStep makes the generator's half of step i = 0, 1, … alone, under conditions [N Cond],
// the average of its weights included. N is Config.Batch. Steps on the same tensor can be replayed;
// its contents may change.
func (t *Trainer) GeneratorStep(i int, cond *tensor.Tensor) (Losses, error) {
	var l Losses
	t.intake.Count(t.passNumber(i, t.Config.DSteps))
	err := t.generate(&t.moveG, cond, i, func(s *tensor.Scope) (_, _, z *tensor.Tensor) {
		return nil, cond, t.draw(s, t.intake.Step)
	}, &l)
	return l, err
}
