package gan_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// tinyInverter is a training of 6 generator and 12 discriminator steps with three sample sheets.
func tinyInverter() gan.InverterConfig {
	c := gan.DefaultInverter()
	c.TrainImages, c.Batch, c.Seed = 16, 4, 5
	c.Steps, c.DSteps, c.SaveEvery, c.SampleEvery = 6, 2, 2, 3
	c.Net = gan.Slim32(2, 0)
	return c
}

// newTrainer returns a trainer of an inverter of a small untrained classifier.
func newTrainer(t *testing.T, b tensor.Backend, c gan.InverterConfig) (*gan.Trainer, func()) {
	t.Helper()
	s := tensor.NewScope(b)
	m, err := models.New("convnet-mnist", models.Options{Classes: 10, InputSize: 32, Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, m, 3)
	g, err := gan.NewTrainer(b, m, c)
	if err != nil {
		t.Fatal(err)
	}
	return g, func() { g.Close(); s.Close() }
}

// startInverter makes one start of a run, as a process would: new if there is no run in dir, else
// resumed. It stops after the steps that stop accepts.
func startInverter(
	t *testing.T, b tensor.Backend, dir string, c gan.InverterConfig, stop func(int) bool,
) error {
	t.Helper()
	g, closeAll := newTrainer(t, b, c)
	defer closeAll()
	return goOn(t, g, dir, stop)
}

// goOn opens or makes g's run in dir and trains until the end or the first step that stop accepts.
func goOn(t *testing.T, g *gan.Trainer, dir string, stop func(int) bool) error {
	t.Helper()
	r, err := train.Open(dir, new(gan.InverterConfig))
	if err != nil {
		r, err = train.Create(dir, g.Config, "test", g.SaveClassifier)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	step := 0
	return g.Run(r, func(p train.Progress) { step = p.Step },
		func() bool { return stop != nil && stop(step) })
}

// TestInverterResumeIsExact compares interrupted trainings with an undisturbed one: both networks
// with their u vectors and batch statistics, both Adams, the average, the standardisation, the
// finished inverter with its standing statistics, sample sheets and log.
func TestInverterResumeIsExact(t *testing.T) {
	one, two := cpu.Open(1), cpu.Open(2)
	defer one.Close()
	defer two.Close()
	dir, c := t.TempDir(), tinyInverter()
	whole := filepath.Join(dir, "whole")
	if err := startInverter(t, one, whole, c, nil); err != nil {
		t.Fatal(err)
	}
	wantKinds(t, filepath.Join(whole, train.CheckpointDir, train.LatestFile))
	if sheets, err := os.ReadDir(filepath.Join(whole, train.SampleDir)); err != nil ||
		len(sheets) != 2 {
		t.Errorf("%d sample sheets, error %v: expected those of steps 3 and 6", len(sheets), err)
	}
	for _, v := range []struct {
		name   string
		b      tensor.Backend
		stop   func(int) bool
		starts int
	}{
		{"two threads", two, nil, 1},
		{"half and half", one, func(s int) bool { return s == 3 }, 2},
		{"every step", two, func(int) bool { return true }, 6},
	} {
		if v.starts > 2 && testing.Short() {
			continue // six starts take a second
		}
		part, n := filepath.Join(dir, v.name), 1
		for ; ; n++ {
			err := startInverter(t, v.b, part, c, v.stop)
			if err == nil {
				break
			}
			if !errors.Is(err, train.ErrStopped) {
				t.Fatalf("%s, start %d: %v", v.name, n, err)
			}
		}
		if n != v.starts {
			t.Errorf("%s: %d starts, expected %d", v.name, n, v.starts)
		}
		diff, err := train.Diff(whole, part)
		if err != nil {
			t.Fatal(err)
		}
		if len(diff) > 0 {
			t.Errorf("%s: %d differences, such as %s", v.name, len(diff),
				strings.Join(diff[:min(len(diff), 5)], "; "))
		}
	}
}

// TestInverterRecomputeIsExact: a run that recomputes now and then is the one that never does, to
// the byte, for networks with attention, with a condition that all blocks share, and the slim ones.
func TestInverterRecomputeIsExact(t *testing.T) {
	if testing.Short() {
		t.Skip("short: two trainings take seconds")
	}
	b := cpu.Open(2)
	defer b.Close()
	for name, net := range map[string]gan.Config{"slim": gan.Slim32(2, 0),
		"attention": attentive(gan.BigGAN32(2, 0)), "shared": sharing(gan.Slim32(2, 0))} {
		dir, c := t.TempDir(), tinyInverter()
		c.Net = net
		whole, mixed := filepath.Join(dir, "whole"), filepath.Join(dir, "mixed")
		if err := startInverter(t, b, whole, c, nil); err != nil {
			t.Fatal(err)
		}
		for n, err := 0, train.ErrStopped; errors.Is(err, train.ErrStopped); n++ {
			now := c
			now.Recompute = n%2 == 1 // the run's own configuration says no
			err = startInverter(t, b, mixed, now, func(s int) bool { return s%2 == 0 })
			if err != nil && !errors.Is(err, train.ErrStopped) {
				t.Fatal(err)
			}
		}
		diff, err := train.Diff(whole, mixed)
		if err != nil || len(diff) > 0 {
			t.Errorf("%s: error %v, %d differences, such as %s", name, err, len(diff),
				strings.Join(diff[:min(len(diff), 5)], "; "))
		}
	}
}

// sharing gives all blocks one condition, the noise included.
func sharing(c gan.Config) gan.Config {
	c.Hierarchical = false
	return c
}

// attentive puts attention into both networks, where they have 8 channels.
func attentive(c gan.Config) gan.Config {
	c.GAttention, c.DAttention = 16, 16
	return c
}

// wantKinds checks that a checkpoint holds every kind of state there is, so that comparing
// checkpoints compares all of it.
func wantKinds(t *testing.T, path string) {
	t.Helper()
	f, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Join(f.Names(), "\n")
	for _, part := range []string{"generator.", "discriminator.", "optimizer.g.", "optimizer.d.",
		"average.ema.", "condition.mean",
		"condition.std", "collapse.checks", "running_mean", "weight_u"} {
		if !strings.Contains(names, part) {
			t.Errorf("no tensor of the checkpoint is called …%s…", part)
		}
	}
}

// TestInverterDiverged provokes NaN: the error names the network, the step and the tensor, and the
// checkpoint on the disk is finite.
func TestInverterDiverged(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	c := tinyInverter()
	c.LRG, c.SaveEvery, c.DSteps, c.Steps = 1e22, 1, 1, 20
	dir := filepath.Join(t.TempDir(), "run")
	err := startInverter(t, b, dir, c, nil)
	if !errors.Is(err, train.ErrDiverged) {
		t.Fatalf("error %v: expected ErrDiverged", err)
	}
	for _, part := range []string{"gan: discriminator", "step 2", "finite", "checkpoint"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	wantFinite(t, filepath.Join(dir, train.CheckpointDir, train.LatestFile))
}

func wantFinite(t *testing.T, path string) {
	t.Helper()
	f, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range f.All() {
		for _, v := range a.Float64s() {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%s holds %g in %s", path, v, name)
			}
		}
	}
}

// TestInverterBlames spoils the discriminator by its own update, from finite gradients: the step of
// the generator, which meets it first, must name the discriminator's tensor.
func TestInverterBlames(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	c := tinyInverter()
	c.LRD, c.DSteps = 1e39, 1 // infinite in single precision
	g, closeAll := newTrainer(t, b, c)
	defer closeAll()
	_, err := g.Step(0)
	if !errors.Is(err, train.ErrDiverged) {
		t.Fatalf("error %v: expected ErrDiverged", err)
	}
	for _, part := range []string{"gan: generator", "step 1", "parameter discriminator.",
		"is not finite"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

// TestCollapse provokes it: a generator whose normalisations divide by a number so large that
// nothing of noise and condition is left paints one picture. The third check running stops the run,
// also when the checks lie in different starts.
func TestCollapse(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	c := tinyInverter()
	c.DSteps, c.Steps, c.SampleEvery, c.Net.BNEps = 1, 20, 1, 1e12
	dir := filepath.Join(t.TempDir(), "run")
	at2 := func(step int) bool { return step == 2 }
	if err := startInverter(t, b, dir, c, at2); !errors.Is(err, train.ErrStopped) {
		t.Fatalf("after two checks: %v", err)
	}
	err := startInverter(t, b, dir, c, nil)
	if !errors.Is(err, train.ErrDiverged) {
		t.Fatalf("error %v: expected ErrDiverged", err)
	}
	for _, part := range []string{"step 3", "collapsed", "3 checks running",
		"checkpoint of step 2 is intact"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	wantFinite(t, filepath.Join(dir, train.CheckpointDir, train.LatestFile))
}

// TestCollapseCounts: three checks running, so that two bad ones and a good one start again.
func TestCollapseCounts(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	g, closeAll := newTrainer(t, b, tinyInverter())
	defer closeAll()
	for i, share := range []float64{0.05, math.NaN(), 0.1, 0, 0.0999, 0.5, 0.01, 0.01} {
		if err := g.CheckCollapse(i, share); err != nil {
			t.Fatalf("check %d: %v", i, err)
		}
	}
	if err := g.CheckCollapse(8, 0.01); !errors.Is(err, train.ErrDiverged) {
		t.Errorf("the third check running gives %v", err)
	}
}

// TestInverterStepsDoNotGrow: after the first steps a training takes no more memory from the
// backend.
func TestInverterStepsDoNotGrow(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	g, closeAll := newTrainer(t, b, tinyInverter())
	defer closeAll()
	steps := func(from, to int) cpu.Usage {
		for i := from; i < to; i++ {
			if _, err := g.Step(i); err != nil {
				t.Fatal(err)
			}
			s := tensor.NewScope(b)
			g.Inverter(s)
			s.Close()
		}
		return b.Memory()
	}
	if early, late := steps(0, 2), steps(2, 6); late != early {
		t.Errorf("memory was %+v after 2 steps and is %+v after 6", early, late)
	}
}

func TestImpossibleInverters(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	m, err := models.New("convnet-mnist", models.Options{Classes: 10, InputSize: 32, Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	s := tensor.NewScope(b)
	defer s.Close()
	nn.Init(s, m, 3)
	nan := math.NaN()
	for text, change := range map[string]func(*gan.InverterConfig){
		"steps is 0":        func(c *gan.InverterConfig) { c.Steps = 0 },
		"steps is 3":        func(c *gan.InverterConfig) { c.Steps = 3 << 30 },
		"batch is 1":        func(c *gan.InverterConfig) { c.Batch = 1 },
		"batch size":        func(c *gan.InverterConfig) { c.Batch = 17 },
		"d_steps is 0":      func(c *gan.InverterConfig) { c.DSteps = 0 },
		"lr_g -1":           func(c *gan.InverterConfig) { c.LRG = -1 },
		"lr_d NaN":          func(c *gan.InverterConfig) { c.LRD = nan },
		"ema 1":             func(c *gan.InverterConfig) { c.EMA = 1 },
		"beta1 NaN":         func(c *gan.InverterConfig) { c.Beta1 = nan },
		"save_every 0":      func(c *gan.InverterConfig) { c.SaveEvery = 0 },
		"train_images":      func(c *gan.InverterConfig) { c.TrainImages = -1 },
		"ch_g 0":            func(c *gan.InverterConfig) { c.Net.ChG = 0 },
		"ch_d 1000000000":   func(c *gan.InverterConfig) { c.Net.ChD = 1e9 },
		"condition \"pix\"": func(c *gan.InverterConfig) { c.Condition = "pix" },
		"must agree":        func(c *gan.InverterConfig) { c.Net = gan.BigGAN64(2, 0) },
		"unknown dataset":   func(c *gan.InverterConfig) { c.Dataset = "scene" },
	} {
		c := tinyInverter()
		change(&c)
		if _, err := gan.NewTrainer(b, m, c); err == nil || !strings.Contains(err.Error(), text) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("expected an error of one line with %q, got %v", text, err)
		}
	}
}
