package train

import (
	"iter"

	"afterimage/nn"
	"afterimage/nn/attack"
	"afterimage/nn/data"
	"afterimage/nn/loss"
	"afterimage/nn/models"
	"afterimage/nn/optim"
	"afterimage/tensor"
)

// Progress is what a training tells its observer after a step.
type Progress struct {
	Step, Total int
	Values      map[string]float64 // nil on steps without a log line
}

// A Classifier is a classifier in training: all state of the run is in State, everything else is a
// pure function of the configuration and the step.
type Classifier struct {
	Config ClassifierConfig
	Model  *models.Classifier
	Set    *data.Set

	backend  tensor.Backend
	scope    *tensor.Scope // as long as the training: weights and optimizer
	loader   *data.Loader
	intake   *Intake
	move     *Move
	opt      *optim.SGD
	lr       optim.Schedule
	total    int
	attacker tensor.Key
	drop     float64 // running mean of the training loss, for the log only
}

// NewClassifier prepares a training on b: data opened, weights drawn from the seed.
func NewClassifier(b tensor.Backend, c ClassifierConfig) (*Classifier, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	set, err := data.Open(c.Dataset, c.Data, c.images())
	if err != nil {
		return nil, err
	}
	return NewClassifierOn(b, c, set)
}

// NewClassifierOn is NewClassifier on images that are open already; c.Dataset and the fields that
// say how much of it to take are not looked at.
func NewClassifierOn(b tensor.Backend, c ClassifierConfig, set *data.Set) (*Classifier, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if set.Val.Len() == 0 {
		return nil, tensor.Refuse("train: %s has %d training images, too few to hold some out: a data "+
			"set without held-out images of its own needs 10 or more", c.Dataset, set.Train.Len())
	}
	if len(set.Classes()) == 0 {
		return nil, tensor.Refuse("train: the images of %s have no labels: put those of each class into "+
			"a subfolder of its own", c.Dataset)
	}
	size, width, channels := set.Size()
	m, err := models.New(c.Arch, models.Options{Classes: len(set.Classes()), InputSize: size,
		Channels: channels, Mean: c.Mean, Std: c.Std})
	if err != nil {
		return nil, err
	}
	loader, err := data.NewLoader(set.Train,
		data.LoaderConfig{Batch: c.Batch, Seed: c.Seed, Flip: c.Flip, Crop: c.Crop, Range: data.Unit})
	if err != nil {
		return nil, err
	}
	t := &Classifier{Config: c, Model: m, Set: set, backend: b, scope: tensor.NewScope(b),
		loader: loader, move: NewMove(b), attacker: tensor.NewKey(c.Seed, "attack/train")}
	steps := c.Epochs * float64(loader.BatchesPerEpoch())
	if steps > mostSteps {
		return nil, tensor.Refuse("train: config: epochs is %g: that is %g steps, expected at most %d",
			c.Epochs, steps, mostSteps)
	}
	t.total = max(1, int(steps))
	if t.lr, err = c.schedule(t.total); err != nil {
		return nil, err
	}
	nn.Init(t.scope, m, c.Seed)
	t.intake = NewIntake(t.scope, c.Batch, size, width, channels)
	t.opt = optim.NewSGD(t.scope, nn.Trainable(m),
		optim.SGDConfig{Momentum: c.Momentum, Nesterov: c.Nesterov, WeightDecay: c.WeightDecay})
	return t, nil
}

// Close frees the weights and the optimizer's state.
func (t *Classifier) Close() {
	t.move.Close()
	t.intake.Close()
	t.scope.Close()
}

// Replayed reports whether the device replays recorded steps, and if it could but does not, why.
func (t *Classifier) Replayed() (bool, error) { return t.move.Replayed() }

// Batches returns the training batches from number start on, each in memory that the device can
// fetch from. One may be used until the next is asked for.
func (t *Classifier) Batches(start int) iter.Seq2[int, *data.Batch] {
	return t.loader.StreamInto(start, t.intake.Batch)
}

// Loader returns the training batches.
func (t *Classifier) Loader() *data.Loader { return t.loader }

// Total returns the number of steps of the training.
func (t *Classifier) Total() int { return t.total }

// State lists everything that a checkpoint holds.
func (t *Classifier) State() nn.Params {
	return nn.Join(nn.Prefixed("model", t.Model), nn.Prefixed("optimizer", t.opt))
}

// Step makes training step i = 0, 1, … on its batch and returns the loss. It is the whole
// algorithm: attack in evaluation mode, forward, gradient, update.
func (t *Classifier) Step(i int, batch *data.Batch) (float64, error) {
	t.intake.Feed(batch)
	t.intake.Count(i)
	x, labels := t.intake.X, t.intake.Labels
	cfg := t.Config.Attack.Config(float64(i+1) / float64(t.total))
	got := t.move.Measure(t.backend, cfg, t.opt.Targets(), func(p *Pass) {
		p.Ctx.Recompute = t.Config.Recompute
		in := x
		if cfg.Steps > 0 {
			in = attack.PGD(p.Scope(), t.Model, x, labels, cfg, t.attacker, t.intake.Step)
		}
		logits := t.Model.Forward(p.Ctx, p.Graph.Const(in))
		p.Minimise(loss.CrossEntropy(logits, labels, t.Config.Smoothing))
	})
	value, norm := got[0], got[1]
	if err := t.move.Check(i+1, value, norm); err != nil {
		return value, err
	}
	t.opt.Begin(i+1, t.lr(i))
	t.move.Update(func(p *Pass) { t.opt.Update(p.Gradients()) })
	return value, nil
}

// Accuracy returns the share of ds that the model, in evaluation mode, gets right, and the mean
// cross-entropy.
func (t *Classifier) Accuracy(ds data.Dataset) (accuracy, crossEntropy float64) {
	i := nn.NewInference(t.backend)
	defer i.Close()
	correct, sum := Score(i, t.Model, ds, 250)
	return float64(correct) / float64(ds.Len()), sum / float64(ds.Len())
}

// Score returns how many images of ds the classifier gets right and the sum of its cross-entropies.
// The passes are i's.
func Score(
	i *nn.Inference, m attack.Model, ds data.Dataset, batch int,
) (correct int, crossEntropy float64) {
	for _, d := range data.Eval(ds, batch, data.Unit) {
		i.Pass(func(c *nn.Ctx) {
			g := c.Graph
			x := tensor.FromSlice(g.Scope(), d.X, d.Shape()...)
			labels := tensor.FromSlice(g.Scope(), d.Labels, d.N())
			logits := m.Forward(c, g.Const(x))
			for _, v := range loss.EachCrossEntropy(logits, labels, 0).Tensor().Floats() {
				crossEntropy += v
			}
			pred := g.Scope().New(tensor.I32, d.N())
			g.Backend().ArgMax(pred, logits.Tensor())
			for i, p := range tensor.ToHost[int32](pred) {
				if p == d.Labels[i] {
					correct++
				}
			}
		})
	}
	return correct, crossEntropy
}

// Run trains to the end in a run directory, from the last checkpoint on if there is one, and tells
// observe about every step. stopped is asked after every step: when it says yes a checkpoint is
// written and Run returns an error that wraps ErrStopped. Resuming a finished run only tells
// observe its last step and repeats what a kill may have kept from being written.
func (t *Classifier) Run(r *Run, observe func(Progress), stopped func() bool) error {
	if observe == nil {
		observe = func(Progress) {}
	}
	state := t.State()
	r.On(t.Set)
	first, meta, err := r.Restore(LatestFile, FinalFile, state)
	if err != nil {
		return err
	}
	best, clock := parseBest(meta["best"]), StartClock(meta)
	t.drop = parseFloat(meta["loss"])
	if first >= t.total {
		values := t.validate(first - 1)
		observe(Progress{first, t.total, values})
		return t.finish(r, best, values["val_accuracy"])
	}
	perEpoch, every := t.loader.BatchesPerEpoch(), t.Config.SaveEvery
	if every == 0 {
		every = perEpoch
	}
	for i, batch := range t.Batches(first) {
		value, err := t.Step(i, batch)
		if err != nil {
			return r.Explain(err)
		}
		if t.drop = 0.98*t.drop + 0.02*value; i == 0 {
			t.drop = value
		}
		p := Progress{Step: i + 1, Total: t.total}
		epoch, end := (i+1)%perEpoch == 0, i+1 == t.total
		if epoch || end {
			p.Values = t.validate(i)
			best = keepBest(best, scored{bestName(i + 1), p.Values["val_accuracy"]}, t.Config.Best)
		} else if (i+1)%logEvery == 0 {
			p.Values = map[string]float64{"step": float64(i + 1), "loss": t.drop, "lr": t.lr(i)}
		}
		if p.Values != nil {
			p.Values["seconds"] = clock.Seconds()
			if err := r.Log(p.Values); err != nil {
				return err
			}
		}
		observe(p)
		halt := !end && stopped != nil && stopped()
		if epoch || end || halt || (i+1)%every == 0 {
			if err := t.save(r, state, i+1, best, clock); err != nil {
				return r.Explain(err)
			}
		}
		if halt {
			return r.Stopped(i+1, t.total)
		}
		if end {
			return t.finish(r, best, p.Values["val_accuracy"])
		}
	}
	return nil
}

// logEvery is the number of steps between log lines within an epoch.
const logEvery = 50

// validate returns a log line about the model after step i, with its score on the held-out images.
func (t *Classifier) validate(i int) map[string]float64 {
	acc, ce := t.Accuracy(t.Set.Val)
	return map[string]float64{"step": float64(i + 1),
		"epoch": float64(i+1) / float64(t.loader.BatchesPerEpoch()),
		"loss":  t.drop, "val_accuracy": acc, "val_loss": ce, "lr": t.lr(i)}
}

// save writes the best checkpoint of this step if it is one, then the latest, then removes those
// that are no longer among the best. Killed between any two of these, a resumed run repeats them.
func (t *Classifier) save(r *Run, state nn.Params, step int, best []scored, clock Clock) error {
	if err := r.finite(state, step); err != nil {
		return err
	}
	for _, b := range best {
		if b.File == bestName(step) {
			if err := r.Export(b.File, t.Model, step, b.Score); err != nil {
				return err
			}
		}
	}
	meta := clock.Meta(map[string]string{"best": formatBest(best), "loss": formatFloat(t.drop)})
	if err := r.Save(LatestFile, state, step, meta); err != nil {
		return err
	}
	return r.prune(best)
}

// finish writes the trained classifier, and clears away what the last save may not have come to.
func (t *Classifier) finish(r *Run, best []scored, score float64) error {
	if err := r.prune(best); err != nil {
		return err
	}
	return r.Export(FinalFile, t.Model, t.total, score)
}
