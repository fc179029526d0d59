package main

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"afterimage/bench/envelope"
	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/models"
	"afterimage/nn/train"
	"afterimage/tensor"
)

// agreement compares products in bf16 with the CPU's in F64, and then the losses of whole trainings
// with the envelope of the CPU's.
func agreement(c *check) error {
	if err := c.bf16(); err != nil {
		return err
	}
	before, err := readRecording(c.envelope)
	if err != nil {
		return fmt.Errorf("%w: gpucheck -record makes it, on the CPU", err)
	}
	for _, o := range slices.Backward(arithmetics()) { // F32, which is judged, first
		if c.tiny && o.name != "own" {
			continue
		}
		for _, r := range courses(c.tiny) {
			if err := c.follow(o, r, before); err != nil {
				return fmt.Errorf("%s, %s: %w", r.name, o.name, err)
			}
		}
	}
	return nil
}

// follow makes a course on the card and holds its losses against the envelope. In F32 they must
// stay inside; what is multiplied in TF32 or bf16, to other numbers, is told.
func (c *check) follow(o arithmetic, r course, before recording) error {
	runs, err := before.of(r)
	if err != nil {
		return err
	}
	b, err := c.open(o.Options)
	if err != nil {
		return err
	}
	defer b.Close()
	got, err := r.run(b, 0)
	if err != nil {
		return err
	}
	exact := !o.TF32 && o.Precision != tensor.BF16
	for i, name := range r.losses {
		l := held(runs[name], got[i])
		l.Stage, l.Name = "agreement", fmt.Sprintf("%s, %s, %s", r.name, name, o.name)
		l.OK = l.OK || !exact
		l.Values["must_stay_inside"] = exact
		c.say(l)
	}
	return nil
}

// patience is how many times as far as the worst of the CPU's own runs, and in how many times as
// many steps, a curve may be outside. An eighth curve that belongs to seven is the worst of all
// once in eight times, and once outside it stays there for a while.
const patience = 2

// held says how a curve lies in the envelope, measured by the CPU's own runs, each left out and
// judged by the others. It is good if, while the band is narrow, it goes at most patience times as
// far beyond it as the worst of those, or one width where that is more, and if it leaves the
// widened band in at most patience times as many of all steps. The first tells another training
// from this one, within a few steps (TestEnvelopeTells); the second, that nothing breaks later. The
// literal criterion, the band of the five perturbed runs alone, is told beside it, and what the
// CPU's own runs reach of it.
func held(runs envelope.Curves, got []float64) line {
	j, left := runs.Judge(got), runs.LeftOut()
	widened, strict := []int{}, []int{}
	fewest := j.Steps
	for _, l := range left {
		widened, strict = append(widened, l.Widened), append(strict, l.Strict)
		fewest = min(fewest, j.Steps-patience*(j.Steps-l.Widened))
	}
	first := 0
	if len(j.Outside) > 0 {
		first = j.Outside[0].Step
	}
	calm := runs.Calm()
	early, farthest := calm.Judge(got[:len(calm.Plain)]).Excess, 1.0
	for _, l := range calm.LeftOut() {
		farthest = max(farthest, patience*l.Excess)
	}
	off := math.Abs(got[0]-runs.Plain[0]) / max(1, math.Abs(runs.Plain[0]))
	good := j.Widened >= fewest && early <= farthest && off <= envelope.FirstTol
	l := line{OK: good, Values: map[string]any{
		"steps": j.Steps, "in_widened_band": j.Widened, "must_be_in_widened_band": fewest,
		"narrow_steps": len(calm.Plain), "narrow_excess_in_widths": early,
		"narrow_excess_at_most": farthest, "in_band": j.Within, "in_perturbed": j.Strict,
		"excess_in_widths": j.Excess, "first_outside": first, "first_loss_off": off,
		"cpu_left_out_in_widened_band": widened, "cpu_left_out_in_perturbed": strict, "curve": got}}
	if !(off <= envelope.FirstTol) {
		l.Error = fmt.Sprintf("the first loss is %g off the CPU's, before any update: the weights or "+
			"images are other ones, or the forward pass is wrong", off)
	}
	return l
}

// A course is a training of some steps, the same on every device.
type course struct {
	name   string
	steps  int
	losses []string // names of what a step returns
	config any      // all that it depends on
	start  func(tensor.Backend) (trainee, error)
}

// A trainee is a course under way.
type trainee struct {
	weights nn.Params
	step    func(i int) ([]float64, error)
	done    func()
}

// courses are ResNet-20 and BigGAN-32 for 200 steps. The rates are low, so that chaos, which tells
// nothing, comes late: with eight times as much ResNet-20's band is a hundredth of the loss wide
// after six steps instead of after fifty.
func courses(tiny bool) []course {
	c := train.ClassifierConfig{Kind: "classifier", Arch: "resnet20-cifar", Dataset: "scenes",
		TrainImages: 1024, ValImages: 2, TestImages: 2, Batch: 32, Epochs: 100, LR: 0x1p-10,
		Momentum: 0.9, WeightDecay: 5e-4, Schedule: "constant", Seed: 3, Best: 1}
	if tiny {
		c.Arch, c.TrainImages, c.Batch = "lenet5", 4, 2
		return []course{{"ResNet-20", 2, []string{"loss"}, c, classifierCourse(c)}}
	}
	g := gan.DefaultInverter()
	g.Net, g.Batch, g.TrainImages, g.Seed, g.Steps = gan.Slim32(16, 0), 16, 256, 5, 200
	g.Net.GAttention, g.Net.DAttention = 16, 16
	g.AdamEps, g.LRG, g.LRD = 1e-6, 0x1p-15, 0x1p-15 // as in bench/pytorch, and why
	return []course{{"ResNet-20", 200, []string{"loss"}, c, classifierCourse(c)},
		{"BigGAN-32", 200, []string{"d_loss", "g_loss"}, g, inverterCourse(g)}}
}

// run makes the course's steps on b, from weights perturbed with a seed above 0, and returns the
// losses by name and step.
func (r course) run(b tensor.Backend, perturbed int) ([][]float64, error) {
	t, err := r.start(b)
	if err != nil {
		return nil, err
	}
	defer t.done()
	if perturbed > 0 {
		perturb(t.weights, perturbed)
	}
	curves := make([][]float64, len(r.losses))
	for i := range r.steps {
		losses, err := t.step(i)
		if err != nil {
			return nil, err
		}
		for k, l := range losses {
			curves[k] = append(curves[k], l)
		}
	}
	return curves, nil
}

// perturb multiplies weights by 1 + 1e-7·N(0, 1).
func perturb(weights nn.Params, seed int) {
	rng := tensor.NewRNG(tensor.NewKey(uint64(seed), "gpucheck/perturb"), 0)
	for _, w := range weights.Tensors() {
		v := w.Floats()
		for i := range v {
			v[i] *= 1 + envelope.Perturbation*rng.Normal()
		}
		w.SetFloats(v)
	}
}

func classifierCourse(cfg train.ClassifierConfig) func(tensor.Backend) (trainee, error) {
	return func(b tensor.Backend) (trainee, error) {
		t, err := train.NewClassifier(b, cfg)
		if err != nil {
			return trainee{}, err
		}
		return trainee{nn.Trainable(t.Model), func(i int) ([]float64, error) {
			l, err := t.Step(i, t.Loader().Batch(i))
			return []float64{l}, err
		}, t.Close}, nil
	}
}

func inverterCourse(cfg gan.InverterConfig) func(tensor.Backend) (trainee, error) {
	return func(b tensor.Backend) (trainee, error) {
		s := tensor.NewScope(b)
		m, err := models.New("resnet8", models.Options{Classes: 10})
		if err != nil {
			return trainee{}, err
		}
		nn.Init(s, m, 3)
		t, err := gan.NewTrainer(b, m, cfg)
		if err != nil {
			s.Close()
			return trainee{}, err
		}
		return trainee{nn.Join(nn.Trainable(t.G), nn.Trainable(t.D)),
			func(i int) ([]float64, error) {
				l, err := t.Step(i)
				return []float64{l.D, l.G}, err
			}, func() { t.Close(); s.Close() }}, nil
	}
}

// errNoRuns is a recording that was made for something else.
var errNoRuns = errors.New("the recorded envelope is of another configuration: gpucheck -record " +
	"makes it anew, on the CPU")
