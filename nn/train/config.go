package train

import (
	"fmt"
	"math"
	"strings"

	"afterimage/nn/attack"
	"afterimage/nn/data"
	"afterimage/nn/models"
	"afterimage/nn/optim"
)

// A ClassifierConfig is all that a classifier's training depends on; it is the run's config.yaml.
type ClassifierConfig struct {
	Kind        string  `yaml:"kind"` // "classifier"
	Arch        string  `yaml:"arch"`
	Dataset     string  `yaml:"dataset"`
	Data        string  `yaml:"data"`
	TrainImages int     `yaml:"train_images"` // 0: all but the held-out ones
	ValImages   int     `yaml:"val_images"`   // of the held-out ones; 0: all
	TestImages  int     `yaml:"test_images"`  // 0: all; scenes: how many to draw
	Epochs      float64 `yaml:"epochs"`
	Batch       int     `yaml:"batch"`
	LR          float64 `yaml:"lr"` // the peak
	Momentum    float64 `yaml:"momentum"`
	WeightDecay float64 `yaml:"weight_decay"`
	Nesterov    bool    `yaml:"nesterov"`
	// triangular (linear up for a fifth, linear down to zero), one-cycle (PyTorch's OneCycleLR: up for
	// three tenths and down along cosines), cosine, steps (×0.1 at ½ and ¾) or constant; runs of
	// earlier versions say onecycle for triangular
	Schedule   string    `yaml:"schedule"`
	Milestones []float64 `yaml:"milestones,flow"` // of steps, as fractions of the training
	Smoothing  float64   `yaml:"label_smoothing"`
	Flip       bool      `yaml:"flip"`
	Crop       int       `yaml:"crop"`
	Attack     Adversary `yaml:"attack"`
	Seed       uint64    `yaml:"seed"`
	Mean       []float64 `yaml:"mean,flow"` // of the normalisation inside the model
	Std        []float64 `yaml:"std,flow"`
	Recompute  bool      `yaml:"recompute"`  // activations inside blocks: less memory, the same result
	SaveEvery  int       `yaml:"save_every"` // steps between checkpoints; 0: once an epoch
	Best       int       `yaml:"best"`       // how many best checkpoints to keep
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
// the last iterate. The ramp lets a small network find the classes before the adversary hides them;
// at full strength from the first step it may learn nothing but a constant answer.
func (a Adversary) Config(done float64) attack.Config {
	grow := 1.0
	if a.Ramp > 0 {
		grow = min(1, done/a.Ramp)
	}
	c := attack.Config{Eps: grow * a.Eps, StepSize: grow * a.StepSize, Steps: a.Steps,
		RandomStart: true}
	if a.Norm == "l2" {
		c.Norm = attack.L2
	}
	return c
}

// mostSteps bounds a training's length: step numbers fit the 31 bits of a device counter.
const mostSteps = 1<<31 - 1

// Validate returns an error that names the field that does not fit. Every comparison is written so
// that NaN fails it.
func (c ClassifierConfig) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("train: config: "+format, args...)
	}
	positive := func(v float64) bool { return v > 0 && !math.IsInf(v, 1) }
	a := c.Attack
	switch {
	case !positive(c.Epochs):
		return bad("epochs is %g: expected more than 0", c.Epochs)
	case c.Batch < 2:
		return bad("batch is %d: expected 2 or more, for the statistics of batch normalisation", c.Batch)
	case !positive(c.LR):
		return bad("lr is %g: expected more than 0", c.LR)
	case !(c.Momentum >= 0 && c.Momentum < 1):
		return bad("momentum is %g: expected [0, 1)", c.Momentum)
	case !(c.WeightDecay >= 0) || math.IsInf(c.WeightDecay, 1):
		return bad("weight_decay is %g: expected 0 or more", c.WeightDecay)
	case !(c.Smoothing >= 0 && c.Smoothing < 1):
		return bad("label_smoothing is %g: expected [0, 1)", c.Smoothing)
	case min(c.TrainImages, c.ValImages, c.TestImages, c.Crop, c.SaveEvery, c.Best) < 0:
		return bad("train_images %d, val_images %d, test_images %d, crop %d, save_every %d and best "+
			"%d: expected 0 or more", c.TrainImages, c.ValImages, c.TestImages, c.Crop, c.SaveEvery, c.Best)
	case a.Steps < 0 || a.Steps > 0 && (!positive(a.Eps) || !(a.StepSize >= 0) ||
		math.IsInf(a.StepSize, 1)):
		return bad("attack: steps %d and step_size %g: expected 0 or more; eps %g: expected more than 0",
			a.Steps, a.StepSize, a.Eps)
	case !(a.Ramp >= 0 && a.Ramp <= 1):
		return bad("attack: ramp is %g: expected [0, 1]", a.Ramp)
	case a.Steps > 0 && a.Norm != "linf" && a.Norm != "l2":
		return bad("attack norm is %q: expected linf or l2", a.Norm)
	case len(c.Milestones) > 0 && c.Schedule != "steps":
		return bad("milestones %v with schedule %q: expected none, or the schedule steps", c.Milestones,
			c.Schedule)
	case !increasing(0, c.Milestones, 1):
		return bad("milestones are %v: expected fractions of the training between 0 and 1, each above "+
			"the one before: epoch 30 of 90 is 0.333", c.Milestones)
	}
	_, err := c.schedule(1)
	return err
}

// increasing reports whether all of x lie between lo and hi, each above the one before.
func increasing(lo float64, x []float64, hi float64) bool {
	for _, v := range x {
		if !(v > lo && v < hi) {
			return false
		}
		lo = v
	}
	return true
}

// schedule returns the learning rate as a function of the step, 0 to total.
func (c ClassifierConfig) schedule(total int) (optim.Schedule, error) {
	switch c.Schedule {
	case "triangular", "onecycle": // as in Wong et al. 2020
		return optim.Triangular(c.LR, total/5, total), nil
	case "one-cycle": // PyTorch's defaults
		return optim.OneCycle(c.LR, 25, 1e4, total*3/10, total), nil
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
	return nil, fmt.Errorf("train: config: schedule is %q: expected triangular, one-cycle, cosine, "+
		"steps or constant", c.Schedule)
}

// images says which images to open: those of the set as they are, but for grey digits, which have
// neither colours nor a size that must be theirs, and come as a network for grey images takes them.
func (c ClassifierConfig) images() data.Options {
	o := data.Options{Train: c.TrainImages, Val: c.ValImages, Test: c.TestImages}
	if !strings.HasSuffix(c.Dataset, "mnist") {
		return o
	}
	if m, err := models.New(c.Arch, models.Options{}); err == nil && m.Channels() == 1 {
		o.Size, o.Channels = m.InputSize(), m.Channels()
	}
	return o
}
