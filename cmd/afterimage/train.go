package main

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"afterimage/gan"
	"afterimage/nn/train"
	"afterimage/tensor"
)

type trainCmd struct {
	Classifier trainClassifierCmd `cmd:"" help:"Train a classifier, plainly or against an adversary."`
	Inverter   trainInverterCmd   `cmd:"" help:"Train a BigGAN that paints images back from a classifier's logits."`
}

// A runFlags says where a training writes.
type runFlags struct {
	Out       string `help:"Run directory to make (default runs/classifier-ARCH or runs/inverter-CONDITION)." default:"" placeholder:"DIR"`
	Resume    string `help:"Run directory to go on with; the settings are the run's own." default:"" placeholder:"DIR"`
	Recompute bool   `help:"Keep less for the gradient and compute blocks again: less memory, more time, the same result. A resumed run may change it." negatable:""`
	Board     bool   `help:"Keep an event file in the run for TensorBoard (tensorboard --logdir RUN)." name:"tensorboard"`
}

// A place is where a training writes.
type place struct {
	dir    string
	resume bool // it is a run already, to go on with
	board  bool // the run keeps an event file for TensorBoard
}

// place returns the run directory that is asked for, or one of the given name.
func (f runFlags) place(fallback string) (place, error) {
	at := place{dir: f.Out, resume: f.Resume != "", board: f.Board}
	switch {
	case f.Out != "" && f.Resume != "":
		return place{}, tensor.Refuse("--out and --resume exclude each other")
	case f.Resume != "":
		at.dir = f.Resume
	case f.Out == "":
		at.dir = filepath.Join("runs", fallback)
	}
	return at, nil
}

// readRun reads the configuration of a run that is to be resumed. Settings on the command line are
// refused: they would be ignored.
func (e *env) readRun(dir, kind string, config any) error {
	free := []string{"resume", "recompute", "tensorboard", "device", "threads", "memory",
		"winograd", "precision", "tf32"}
	for _, name := range e.given {
		if !slices.Contains(free, name) {
			return tensor.Refuse("--%s: a resumed run keeps the settings of its %s: leave it out, or start "+
				"a new run with --out", name, train.ConfigFile)
		}
	}
	got, err := train.Kind(dir)
	switch {
	case err != nil:
		return err
	case got == "":
		return tensor.Refuse("%s does not say of what kind its run is: expected the file as the "+
			"training wrote it, with kind: %s", filepath.Join(dir, train.ConfigFile), kind)
	case got != kind:
		return tensor.Refuse("%s is the run of kind %q: expected %q; try: afterimage train %s "+
			"--resume %s", dir, got, kind, got, dir)
	}
	return train.ReadConfig(dir, config)
}

// begin makes a run directory, or opens one again and warns if what it is computed with has
// changed. What a GPU has to tell of a run goes into it from now on.
func begin[C any](
	e *env, b device, at place, config C, files ...func(*train.Run) error,
) (*train.Run, error) {
	r, err := openRun(e, b, at, config, files...)
	if err != nil {
		return nil, err
	}
	if err := e.keepPlans(b, r.Path(train.PlansFile)); err != nil {
		if !at.resume {
			return nil, errors.Join(err, r.Abandon())
		}
		return nil, errors.Join(err, r.Close())
	}
	if g, ok := b.(*gpu); ok {
		g.telemetry.keep(r.Path(train.TelemetryFile)) // a run that cannot keep a log goes on without
	}
	return r, nil
}

// openRun makes a run directory or opens one again.
func openRun[C any](
	e *env, b device, at place, config C, files ...func(*train.Run) error,
) (r *train.Run, err error) {
	now := e.describe(b)
	if !at.resume {
		r, err := train.Create(at.dir, config, now, files...)
		if err == nil && at.board {
			r.TensorBoard()
		}
		return r, err
	}
	if r, err = train.Open(at.dir, new(C)); err != nil {
		return nil, err
	}
	if at.board {
		r.TensorBoard()
	}
	last, err := r.Continue(now)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	e.warnOtherKernels("run", r.Path(train.EnvironmentFile), last, now)
	if !slices.ContainsFunc([]string{train.LatestFile, train.FinalFile, gan.FinalInverter},
		func(name string) bool { return exists(r.Path(train.CheckpointDir, name)) }) {
		fmt.Fprintf(e.err, "note: %s has no checkpoint yet: its training starts from the beginning\n",
			at.dir)
	}
	return r, nil
}

// keepPlans makes a GPU compute a run with the libraries' plans that the run keeps. Other
// devices have no choice among plans.
func (e *env) keepPlans(b device, path string) error {
	g, ok := b.(*gpu)
	if !ok {
		return nil
	}
	told := false // once for a run, not for each of its shapes
	foreign, err := g.KeepPlans(path, func(shape string) {
		if !told {
			fmt.Fprintf(e.err, "warning: what %s keeps is not offered any more: it is chosen afresh "+
				"where that is so, and last digits will differ from an undisturbed run's; first: %s\n",
				path, shape)
		}
		told = true
	})
	if err == nil && foreign != "" {
		fmt.Fprintf(e.err, "warning: %s holds the plans of %s: they are chosen afresh here, and last "+
			"digits will differ from an undisturbed run's\n", path, foreign)
	}
	return err
}

// noteCalls says why a GPU that could replay recorded steps does not; it costs time alone.
func (e *env) noteCalls(replayed bool, err error) {
	if !replayed && err != nil {
		fmt.Fprintf(e.err, "note: steps are made call by call, which is slower: %v\n", err)
	}
}

// attempt makes a training in r, which is at a place, and closes r. A new run that asked for what
// cannot be, such as more memory than there is, leaves nothing behind.
func attempt(r *train.Run, at place, f func() error) (err error) {
	if misuse := tensor.Try(func() { err = f() }); misuse != nil {
		err = misuse
		if !at.resume {
			return errors.Join(err, r.Abandon())
		}
	}
	return errors.Join(err, r.Close())
}

type trainClassifierCmd struct {
	dataFlags
	runFlags
	Arch        string  `help:"Architecture; see afterimage models." default:"resnet20-cifar"`
	TrainImages int     `help:"Use only the first so many training images; 0 uses all."`
	ValImages   int     `help:"Use only the first so many held-out images; 0 uses all."`
	Epochs      float64 `help:"Passes over the training images." default:"15"`
	Batch       int     `help:"Images per step." default:"128"`
	LR          float64 `help:"Peak learning rate." default:"0.2" name:"lr"`
	Momentum    float64 `help:"Momentum of SGD." default:"0.9"`
	WeightDecay float64 `help:"L2 weight decay." default:"0.0005"`
	Nesterov    bool    `help:"Nesterov's momentum."`
	Schedule    string  `help:"Learning rate: triangular (up for a fifth, down to zero, as in fast adversarial training), one-cycle (PyTorch's OneCycleLR), cosine, steps or constant." default:"triangular"`
	Smoothing   float64 `help:"Label smoothing: mass spread over all classes." default:"0"`
	NoAugment   bool    `help:"No flips and crops. Scenes are never augmented: they are drawn, already varied."`
	Adversary   string  `help:"Train on adversarial images: none, linf or l2." default:"none" placeholder:"NORM"`
	Eps         float64 `help:"Radius of the adversary in 1/255 for linf, in pixel units for l2." default:"8"`
	AttackSteps int     `help:"Gradient steps of the adversary; 1 is fast adversarial training with a random start." default:"1"`
	StepSize    float64 `help:"Step of the adversary, in Eps's unit; 0: 1.25 Eps for one step, else 2.5 Eps/steps." default:"0"`
	Ramp        float64 `help:"Share of the training over which the adversary's radius grows from 0." default:"0"`
	Seed        uint64  `help:"Seed of weights, order, augmentation and attack." default:"1"`
	SaveEvery   int     `help:"Steps between checkpoints; 0: once an epoch." default:"0"`
	Best        int     `help:"Best checkpoints to keep, by the held-out images." default:"1"`
}

// Help shows examples under the flags.
func (trainClassifierCmd) Help() string {
	return `Examples:
  afterimage train classifier --arch resnet8 --epochs 3 --out runs/scenes
  afterimage train classifier --dataset cifar-10 --data ~/data --out runs/standard
  afterimage train classifier --dataset cifar-10 --adversary linf --eps 8 --out runs/robust
  afterimage train classifier --dataset cifar-10 --tensorboard --out runs/watched
  afterimage train classifier --resume runs/standard

A run that was killed goes on exactly where its last checkpoint stands.`
}

func (c *trainClassifierCmd) config() (train.ClassifierConfig, error) {
	if c.Schedule == "onecycle" {
		return train.ClassifierConfig{}, tensor.Refuse("--schedule onecycle: expected triangular, " +
			"which had this name, or one-cycle, which is PyTorch's OneCycleLR")
	}
	cfg := train.ClassifierConfig{Kind: "classifier", Arch: c.Arch, Dataset: c.Dataset, Data: c.Data,
		TrainImages: c.TrainImages, ValImages: c.ValImages, Epochs: c.Epochs, Batch: c.Batch, LR: c.LR,
		Momentum: c.Momentum, WeightDecay: c.WeightDecay,
		Nesterov: c.Nesterov, Schedule: c.Schedule, Smoothing: c.Smoothing, Seed: c.Seed,
		Recompute: c.Recompute, SaveEvery: c.SaveEvery, Best: c.Best}
	cfg.Mean, cfg.Std = normalisation(c.Dataset)
	if mean, _ := customary(c.Arch); mean == nil { // networks for grey digits take pixels as they are
		cfg.Mean, cfg.Std = nil, nil
	}
	if c.Dataset != "scenes" && !c.NoAugment {
		cfg.Flip, cfg.Crop = c.Dataset == "cifar-10" || c.Dataset == "cifar-100", 4
	}
	unit := 1.0
	switch c.Adversary {
	case "none":
		return cfg, nil
	case "linf":
		unit = 255
	case "l2":
	default:
		return cfg, tensor.Refuse("--adversary %q: expected none, linf or l2", c.Adversary)
	}
	step := c.StepSize
	if step == 0 && c.AttackSteps == 1 {
		step = 1.25 * c.Eps // Wong et al. 2020
	}
	cfg.Attack = train.Adversary{Norm: c.Adversary, Eps: c.Eps / unit, Steps: c.AttackSteps,
		StepSize: step / unit, Ramp: c.Ramp}
	return cfg, nil
}

// checkAdversary returns an error if an adversary is asked for that takes no step, or if its
// settings are given without it: the training would quietly be another one.
func (c *trainClassifierCmd) checkAdversary(e *env) error {
	if c.Adversary != "none" {
		if c.AttackSteps < 1 {
			return tensor.Refuse("--attack-steps %d: expected 1 or more with --adversary %s; leave both "+
				"out for an ordinary training", c.AttackSteps, c.Adversary)
		}
		return errors.Join(checkRadius(c.Adversary, c.Eps), checkStepSize(c.StepSize))
	}
	for _, flag := range []string{"eps", "attack-steps", "step-size", "ramp"} {
		if e.isGiven(flag) {
			return tensor.Refuse("--%s is the adversary's, and there is none: give --adversary linf or l2 "+
				"with it, or leave it out", flag)
		}
	}
	return nil
}

// checkRadius returns an error for an adversary's radius that is none, or within which it could
// paint any image.
func checkRadius(norm string, eps float64) error {
	switch {
	case !(eps > 0) || math.IsInf(eps, 1):
		return tensor.Refuse("--eps %g: expected more than 0", eps)
	case norm == "linf" && eps > 255:
		return tensor.Refuse("--eps %g: expected at most 255: with linf it is in 1/255 of a "+
			"pixel's range", eps)
	}
	return nil
}

func checkStepSize(step float64) error {
	if !(step >= 0) || math.IsInf(step, 1) {
		return tensor.Refuse("--step-size %g: expected 0, for a share of eps, or more", step)
	}
	return nil
}

// normalisation returns the channel moments a data set's networks are customarily given.
func normalisation(dataset string) (mean, std []float64) {
	switch dataset {
	case "cifar-10":
		return []float64{0.4914, 0.4822, 0.4465}, []float64{0.2470, 0.2435, 0.2616}
	case "cifar-100":
		return []float64{0.5071, 0.4865, 0.4409}, []float64{0.2673, 0.2564, 0.2762}
	}
	return []float64{0.5, 0.5, 0.5}, []float64{0.25, 0.25, 0.25}
}

// Run trains a classifier.
func (c *trainClassifierCmd) Run(e *env) error {
	at, err := c.place("classifier-" + c.Arch)
	if err != nil {
		return err
	}
	var cfg train.ClassifierConfig
	if at.resume {
		if err := e.readRun(at.dir, "classifier", &cfg); err != nil {
			return err
		}
		if e.isGiven("recompute") {
			cfg.Recompute = c.Recompute
		}
	} else if err := c.checkAdversary(e); err != nil {
		return err
	} else if cfg, err = c.config(); err != nil {
		return err
	}
	return e.trainClassifier(at, cfg)
}

// trainClassifier trains at a place until the end or an interrupt.
func (e *env) trainClassifier(at place, cfg train.ClassifierConfig) error {
	b, err := e.open()
	if err != nil {
		return err
	}
	defer b.Close()
	t, err := train.NewClassifier(b, cfg)
	if err != nil {
		return err
	}
	defer t.Close()
	stopped, done := e.interrupts() // from here on, a signal saves what there is
	defer done()
	r, err := begin(e, b, at, cfg)
	if err != nil {
		return err
	}
	bar := newProgress(e.err, "train "+cfg.Arch, t.Total())
	defer bar.close()
	val := 0.0
	err = attempt(r, at, func() error {
		return t.Run(r, func(p train.Progress) {
			bar.step(p)
			if v, ok := p.Values["val_accuracy"]; ok {
				val = v
			}
		}, stopped)
	})
	e.noteCalls(t.Replayed())
	if err != nil {
		return fmt.Errorf("%s: %w", at.dir, err)
	}
	page, err := runPage(at.dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s: trained %s, %.2f %% of the held-out images right; the page is %s\n",
		at.dir, counting(t.Total(), "step"), 100*val, page)
	return nil
}
