package train

import (
	"fmt"
	"time"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/attack"
	"afterimage/nn/data"
	"afterimage/nn/loss"
	"afterimage/nn/models"
	"afterimage/nn/optim"
	"afterimage/tensor"
)

// A ClassifierConfig is all that a classifier's training depends on; it is the run's config.yaml.
type ClassifierConfig struct {
	Kind        string    `yaml:"kind"` // "classifier"
	Arch        string    `yaml:"arch"`
	Dataset     string    `yaml:"dataset"`
	Data        string    `yaml:"data"`
	TrainImages int       `yaml:"train_images"` // 0: all but the held-out ones
	TestImages  int       `yaml:"test_images"`  // 0: all; scenes: how many to draw
	Epochs      float64   `yaml:"epochs"`
	Batch       int       `yaml:"batch"`
	LR          float64   `yaml:"lr"` // the peak
	Momentum    float64   `yaml:"momentum"`
	WeightDecay float64   `yaml:"weight_decay"`
	Nesterov    bool      `yaml:"nesterov"`
	Schedule    string    `yaml:"schedule"`        // onecycle, cosine, steps (×0.1 at ½ and ¾) or constant
	Milestones  []float64 `yaml:"milestones,flow"` // of steps, as fractions of the training
	Smoothing   float64   `yaml:"label_smoothing"`
	Flip        bool      `yaml:"flip"`
	Crop        int       `yaml:"crop"`
	Attack      Adversary `yaml:"attack"`
	Seed        uint64    `yaml:"seed"`
	Mean        []float64 `yaml:"mean,flow"` // of the normalisation inside the model
	Std         []float64 `yaml:"std,flow"`
	SaveEvery   int       `yaml:"save_every"` // steps between checkpoints; 0: once an epoch
	Best        int       `yaml:"best"`       // how many best checkpoints to keep
}

// An Adversary describes adversarial training; Steps 0 is ordinary training.
type Adversary struct {
	Norm     string  `yaml:"norm"` // linf or l2
	Eps      float64 `yaml:"eps"`  // in pixel units, 8/255 = 0.03137
	StepSize float64 `yaml:"step_size"`
	Steps    int     `yaml:"steps"`
	Ramp     float64 `yaml:"ramp"` // Eps and StepSize grow from 0 over this share of the training
}

// Config returns the attack's configuration after the given share of the training: a random start,
// the last iterate. The ramp lets a small network find the classes before the adversary hides them; at
// full strength from the first step it may learn nothing but a constant answer.
func (a Adversary) Config(done float64) attack.Config {
	grow := 1.0
	if a.Ramp > 0 {
		grow = min(1, done/a.Ramp)
	}
	c := attack.Config{Eps: grow * a.Eps, StepSize: grow * a.StepSize, Steps: a.Steps, RandomStart: true}
	if a.Norm == "l2" {
		c.Norm = attack.L2
	}
	return c
}

// Validate returns an error that names the field that does not fit.
func (c ClassifierConfig) Validate() error {
	bad := func(format string, args ...any) error { return fmt.Errorf("train: config: "+format, args...) }
	switch {
	case c.Epochs <= 0:
		return bad("epochs is %g: expected more than 0", c.Epochs)
	case c.Batch < 2:
		return bad("batch is %d: expected 2 or more, for the statistics of batch normalisation", c.Batch)
	case c.LR <= 0 || c.Momentum < 0 || c.Momentum >= 1 || c.WeightDecay < 0:
		return bad("lr %g must be positive, momentum %g in [0, 1), weight_decay %g not negative", c.LR, c.Momentum, c.WeightDecay)
	case c.Smoothing < 0 || c.Smoothing >= 1:
		return bad("label_smoothing is %g: expected [0, 1)", c.Smoothing)
	case c.Attack.Steps < 0 || c.Attack.Steps > 0 && (c.Attack.Eps <= 0 || c.Attack.StepSize < 0 || c.Attack.Ramp < 0 || c.Attack.Ramp > 1):
		return bad("attack needs steps ≥ 0, eps > 0, step_size ≥ 0 and ramp in [0, 1], got %+v", c.Attack)
	case c.Attack.Steps > 0 && c.Attack.Norm != "linf" && c.Attack.Norm != "l2":
		return bad("attack norm is %q: expected linf or l2", c.Attack.Norm)
	}
	if _, err := c.schedule(1); err != nil {
		return err
	}
	return nil
}

// schedule returns the learning rate as a function of the step, 0 to total.
func (c ClassifierConfig) schedule(total int) (optim.Schedule, error) {
	switch c.Schedule {
	case "onecycle": // rises for a fifth, then falls to zero (Wong et al. 2020; Smith 2018)
		return optim.Triangular(c.LR, total/5, total), nil
	case "cosine":
		return optim.Cosine(c.LR, 0, total), nil
	case "steps":
		at := c.Milestones
		if len(at) == 0 {
			at = []float64{0.5, 0.75}
		}
		steps := make([]int, len(at))
		for i, f := range at {
			steps[i] = int(f * float64(total))
		}
		return optim.Steps(c.LR, 0.1, steps...), nil
	case "constant":
		return optim.Constant(c.LR), nil
	}
	return nil, fmt.Errorf("train: config: schedule is %q: expected onecycle, cosine, steps or constant", c.Schedule)
}

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
	set, err := data.Open(c.Dataset, c.Data, data.Options{Train: c.TrainImages, Test: c.TestImages})
	if err != nil {
		return nil, err
	}
	size, _, channels := set.Size()
	m, err := models.New(c.Arch, models.Options{Classes: len(set.Classes()), InputSize: size, Channels: channels,
		Mean: c.Mean, Std: c.Std})
	if err != nil {
		return nil, err
	}
	loader, err := data.NewLoader(set.Train, data.LoaderConfig{Batch: c.Batch, Seed: c.Seed, Flip: c.Flip, Crop: c.Crop, Range: data.Unit})
	if err != nil {
		return nil, err
	}
	t := &Classifier{Config: c, Model: m, Set: set, backend: b, scope: tensor.NewScope(b), loader: loader,
		attacker: tensor.NewKey(c.Seed, "attack/train")}
	t.total = max(1, int(c.Epochs*float64(loader.BatchesPerEpoch())))
	if t.lr, err = c.schedule(t.total); err != nil {
		return nil, err
	}
	nn.Init(t.scope, m, c.Seed)
	t.opt = optim.NewSGD(t.scope, nn.Trainable(m), optim.SGDConfig{Momentum: c.Momentum, Nesterov: c.Nesterov, WeightDecay: c.WeightDecay})
	return t, nil
}

// Close frees the weights and the optimizer's state.
func (t *Classifier) Close() { t.scope.Close() }

// Loader returns the training batches.
func (t *Classifier) Loader() *data.Loader { return t.loader }

// Total returns the number of steps of the training.
func (t *Classifier) Total() int { return t.total }

// State lists everything that a checkpoint holds.
func (t *Classifier) State() nn.Params {
	return nn.Join(nn.Prefixed("model", t.Model), nn.Prefixed("optimizer", t.opt))
}

// Step makes training step i = 0, 1, … on its batch and returns the loss. It is the whole algorithm:
// attack in evaluation mode, forward, gradient, update.
func (t *Classifier) Step(i int, batch *data.Batch) (float64, error) {
	s := tensor.NewScope(t.backend)
	defer s.Close()
	x := tensor.FromSlice(s, batch.X, batch.Shape()...)
	labels := tensor.FromSlice(s, batch.Labels, batch.N())
	if t.Config.Attack.Steps > 0 {
		step := tensor.FromSlice(s, []int32{int32(i)}, 1)
		cfg := t.Config.Attack.Config(float64(i+1) / float64(t.total))
		x = attack.PGD(s, t.Model, x, labels, cfg, t.attacker, step)
	}
	g := autodiff.NewGraph(t.backend)
	defer g.Close()
	params := t.opt.Targets()
	c := nn.NewCtx(g, true, params)
	c.Updates = nn.NewUpdates(t.backend)
	defer c.Updates.Discard()

	logits := t.Model.Forward(c, g.Const(x))
	l := loss.CrossEntropy(logits, labels, t.Config.Smoothing)
	grads := autodiff.Grad(l, c.Values(params))
	value := l.Item()
	if err := Finite(i, value, params, grads); err != nil {
		return value, err
	}
	t.opt.Begin(i+1, t.lr(i))
	t.opt.Update(grads)
	c.Updates.Apply()
	return value, nil
}

// Accuracy returns the share of ds that the model, in evaluation mode, gets right, and the mean
// cross-entropy.
func (t *Classifier) Accuracy(ds data.Dataset) (accuracy, crossEntropy float64) {
	correct, sum := Score(t.backend, t.Model, ds, 250)
	return float64(correct) / float64(ds.Len()), sum / float64(ds.Len())
}

// Score returns how many images of ds the classifier gets right and the sum of its cross-entropies.
func Score(b tensor.Backend, m *models.Classifier, ds data.Dataset, batch int) (correct int, crossEntropy float64) {
	for _, d := range data.Eval(ds, batch, data.Unit) {
		g := autodiff.NewGraph(b)
		g.NoGrad(func() {
			x := tensor.FromSlice(g.Scope(), d.X, d.Shape()...)
			labels := tensor.FromSlice(g.Scope(), d.Labels, d.N())
			logits := m.Forward(nn.NewCtx(g, false), g.Const(x))
			for _, v := range loss.EachCrossEntropy(logits, labels, 0).Tensor().Floats() {
				crossEntropy += v
			}
			pred := g.Scope().New(tensor.I32, d.N())
			b.ArgMax(pred, logits.Tensor())
			for i, p := range tensor.ToHost[int32](pred) {
				if p == d.Labels[i] {
					correct++
				}
			}
		})
		g.Close()
	}
	return correct, crossEntropy
}

// Run trains to the end in a run directory, from the last checkpoint on if there is one, and tells
// observe about every step. stopped is asked after every step: when it says yes a checkpoint is
// written and Run returns ErrStopped.
func (t *Classifier) Run(r *Run, observe func(Progress), stopped func() bool) error {
	state := t.State()
	first, meta, err := r.Restore(LatestFile, state)
	if err != nil {
		return err
	}
	best := parseBest(meta["best"])
	t.drop = parseFloat(meta["loss"])
	perEpoch := t.loader.BatchesPerEpoch()
	every := t.Config.SaveEvery
	if every <= 0 {
		every = perEpoch
	}
	if first >= t.total { // killed between the last checkpoint and the export, or resumed when done
		acc, _ := t.Accuracy(t.Set.Val)
		return r.Export(FinalFile, t.Model, first, acc)
	}
	start := time.Now()
	for i, batch := range t.loader.Stream(first) {
		value, err := t.Step(i, batch)
		if err != nil {
			return err
		}
		p := Progress{Step: i + 1, Total: t.total}
		if t.drop = 0.98*t.drop + 0.02*value; i == 0 {
			t.drop = value
		}
		end := i+1 == t.total
		if epoch := (i + 1) % perEpoch; epoch == 0 || end {
			acc, ce := t.Accuracy(t.Set.Val)
			p.Values = map[string]float64{"step": float64(i + 1), "epoch": float64(i+1) / float64(perEpoch), "loss": t.drop,
				"val_accuracy": acc, "val_loss": ce, "lr": t.lr(i), "seconds": time.Since(start).Seconds()}
			best = keepBest(best, scored{fmt.Sprintf("best-%06d.safetensors", i+1), acc}, t.Config.Best)
		} else if (i+1)%50 == 0 {
			p.Values = map[string]float64{"step": float64(i + 1), "loss": t.drop, "lr": t.lr(i), "seconds": time.Since(start).Seconds()}
		}
		if p.Values != nil {
			if err := r.Log(p.Values); err != nil {
				return err
			}
		}
		if observe != nil {
			observe(p)
		}
		halt := stopped != nil && stopped()
		if (i+1)%every == 0 || end || halt || p.Values["val_accuracy"] > 0 {
			if err := t.save(r, state, i+1, best); err != nil {
				return err
			}
		}
		if end {
			return r.Export(FinalFile, t.Model, i+1, p.Values["val_accuracy"])
		}
		if halt {
			return ErrStopped
		}
	}
	return nil
}

// save writes the best checkpoint of this step if it is one, then the latest, then removes those that
// are no longer among the best. Killed between any two of these, a resumed run repeats them.
func (t *Classifier) save(r *Run, state nn.Params, step int, best []scored) error {
	name := fmt.Sprintf("best-%06d.safetensors", step)
	for _, b := range best {
		if b.File == name {
			if err := r.Export(name, t.Model, step, b.Score); err != nil {
				return err
			}
		}
	}
	meta := map[string]string{"best": formatBest(best), "loss": formatFloat(t.drop)}
	if err := r.Save(LatestFile, state, step, meta); err != nil {
		return err
	}
	return r.prune("best-", best)
}
