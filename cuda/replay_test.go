//go:build linux && amd64 && cgo

package cuda

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/nn/train"
	"afterimage/tensor"
)

// callByCall hides that a backend can record and stage, and that its optimizers write weights in
// BF16: a training then makes every call, and rounds weights in each pass.
type callByCall struct{ kernelAbilities }

type kernelAbilities interface {
	tensor.AttentionFuser
	tensor.LossFuser
	tensor.LayerNormer
	tensor.Viewer
	tensor.SpectralFuser
	Activations() tensor.DType
	AddReLUMask(dx, a, b, y *tensor.Tensor)
	NormUpsample(y, x, scale, shift *tensor.Tensor, relu bool, k int)
}

// robust is a short adversarial training of a small network on drawn scenes.
func robust() train.ClassifierConfig {
	return train.ClassifierConfig{Kind: "classifier", Arch: "lenet5", Dataset: "scenes",
		TrainImages: 4, ValImages: 2, TestImages: 2, Batch: 2, Epochs: 3, LR: 0.1, Momentum: 0.9,
		WeightDecay: 5e-4, Schedule: "triangular", Flip: true, Seed: 3, Best: 1,
		Attack: train.Adversary{Norm: "linf", Eps: 4.0 / 255, StepSize: 5.0 / 255, Steps: 1}}
}

// numbers returns everything that a checkpoint would hold.
func numbers(state nn.Params) (all []float64) {
	for _, p := range state {
		all = append(all, p.Param.T.Floats()...)
	}
	return all
}

// TestReplayClassifier trains call by call and with recorded steps, batches streamed into staged
// memory, and wants every loss and every byte of the state alike; also in bf16, and when the
// adversary grows, which only its last steps can be replayed for.
func TestReplayClassifier(t *testing.T) {
	if testing.Short() {
		t.Skip("short: three trainings under the emulator, twice each")
	}
	for name, change := range map[string]func(*train.ClassifierConfig, *Options){
		"robust": func(*train.ClassifierConfig, *Options) {},
		"ramp":   func(c *train.ClassifierConfig, _ *Options) { c.Attack.Ramp, c.Recompute = 0.5, true },
		"bf16": func(c *train.ClassifierConfig, o *Options) {
			c.Attack, o.Precision = train.Adversary{}, tensor.BF16
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, o := robust(), Options{}
			change(&cfg, &o)
			b := open(t, o)
			run := func(b tensor.Backend) (losses []float64, state []float64, replayed bool) {
				c, err := train.NewClassifier(b, cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				for i, batch := range c.Batches(0) {
					if i == c.Total() {
						break
					}
					l, err := c.Step(i, batch)
					if err != nil {
						t.Fatal(err)
					}
					losses = append(losses, l)
				}
				replayed, err = c.Replayed()
				if err != nil {
					t.Error(err)
				}
				return losses, numbers(c.State()), replayed
			}
			want, wantState, no := run(callByCall{b})
			got, gotState, yes := run(b)
			if no || !yes {
				t.Fatalf("replayed: %v call by call, %v recorded", no, yes)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("step %d: loss %v replayed, %v call by call", i, got[i], want[i])
				}
			}
			if len(want) != 6 || !slices.Equal(gotState, wantState) {
				t.Errorf("after %d steps the states differ", len(want))
			}
		})
	}
}

// TestReplayResume stops a recorded training and goes on with it on a device opened afresh, and
// wants the checkpoint of an undisturbed training call by call, which in bf16 rounds its weights in
// each pass.
func TestReplayResume(t *testing.T) {
	if testing.Short() {
		t.Skip("short: two trainings under the emulator, twice")
	}
	t.Run("f32", func(t *testing.T) { resumed(t, robust(), Options{}) })
	t.Run("bf16", func(t *testing.T) {
		cfg := robust()
		cfg.Attack = train.Adversary{}
		resumed(t, cfg, Options{Precision: tensor.BF16})
	})
}

// resumed is TestReplayResume for one training.
func resumed(t *testing.T, cfg train.ClassifierConfig, o Options) {
	dir := t.TempDir()
	run := func(b tensor.Backend, name string, resume bool, stopAt int) error {
		c, err := train.NewClassifier(b, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var r *train.Run
		if resume {
			r, err = train.Open(filepath.Join(dir, name), new(train.ClassifierConfig))
		} else {
			r, err = train.Create(filepath.Join(dir, name), cfg, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		done := 0
		return c.Run(r, func(p train.Progress) { done = p.Step }, func() bool { return done == stopAt })
	}
	if err := run(callByCall{open(t, o)}, "whole", false, 0); err != nil {
		t.Fatal(err)
	}
	if err := run(open(t, o), "parts", false, 4); !errors.Is(err, train.ErrStopped) {
		t.Fatal(err)
	}
	if err := run(open(t, o), "parts", true, 0); err != nil {
		t.Fatal(err)
	}
	whole, parts := latest(t, filepath.Join(dir, "whole")), latest(t, filepath.Join(dir, "parts"))
	if len(whole) == 0 || len(whole) != len(parts) {
		t.Fatalf("%d and %d tensors", len(whole), len(parts))
	}
	for name, want := range whole {
		for i, v := range want {
			if parts[name][i] != v {
				t.Fatalf("%s, element %d: %v, undisturbed %v", name, i, parts[name][i], v)
			}
		}
	}
}

// latest reads the tensors of the last checkpoint of the run in dir.
func latest(t *testing.T, dir string) map[string][]float64 {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, train.CheckpointDir, train.LatestFile))
	if err != nil {
		t.Fatal(err)
	}
	f, err := checkpoint.ReadSafetensors(raw)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]float64{}
	for _, n := range f.Names() {
		a, err := f.Lookup(n)
		if err != nil {
			t.Fatal(err)
		}
		all[n] = a.Float64s()
	}
	return all
}

// TestReplayInverter makes the inverter's steps call by call, recorded, and recorded with a
// resumption in between, and wants all losses and all bytes of the state alike.
func TestReplayInverter(t *testing.T) {
	if testing.Short() {
		t.Skip("short: a minute under the emulator")
	}
	cfg := gan.DefaultInverter()
	cfg.TrainImages, cfg.Batch, cfg.Seed = 16, 2, 5
	cfg.Steps, cfg.DSteps = 6, 2
	cfg.Net = gan.Slim32(1, 0)
	b := open(t, Options{})
	want, wantState := invert(t, callByCall{b}, cfg, false)
	for _, parts := range []bool{false, true} {
		got, gotState := invert(t, b, cfg, parts)
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("in parts %v, step %d: %+v, call by call %+v", parts, i, got[i], want[i])
			}
		}
		if !slices.Equal(gotState, wantState) {
			t.Errorf("in parts %v: the states differ", parts)
		}
	}
	if err := b.Sync(); err != nil {
		t.Error(err)
	}
}

// invert makes three steps of an inverter's training, with parts set as a process that is stopped
// after one of them and another that goes on, and returns what they measured and left behind.
func invert(t *testing.T, b tensor.Backend, cfg gan.InverterConfig, parts bool) (
	losses []gan.Losses, state []float64,
) {
	t.Helper()
	const steps, stopAt = 3, 1
	s := tensor.NewScope(b)
	defer s.Close()
	m, err := models.New("convnet-mnist", models.Options{Classes: 10, InputSize: 32, Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, m, 3)
	start := func() *gan.Trainer {
		g, err := gan.NewTrainer(b, m, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	g := start()
	defer func() { g.Close() }()
	for i := range steps {
		if parts && i == stopAt {
			f := checkpoint.NewFile()
			if err := nn.Store(f, g.State()); err != nil {
				t.Fatal(err)
			}
			g.Close()
			g = start()
			if err := nn.Restore(f, g.State()); err != nil {
				t.Fatal(err)
			}
		}
		l, err := g.Step(i)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, l)
	}
	_, records := b.(tensor.Recorder)
	if replayed, err := g.Replayed(); err != nil || replayed != records {
		t.Errorf("replayed %v, %v", replayed, err)
	}
	return losses, numbers(g.State())
}

// TestReplayDiverged feeds a replayed step NaN and wants what a step call by call says, and the
// parameters as they were: the host looks before the second half is replayed.
func TestReplayDiverged(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds under the emulator")
	}
	cfg := robust()
	cfg.Attack = train.Adversary{}
	b := open(t, Options{})
	diverge := func(b tensor.Backend) string {
		c, err := train.NewClassifier(b, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for i := range 2 {
			if _, err := c.Step(i, c.Loader().Batch(i)); err != nil {
				t.Fatal(err)
			}
		}
		before := numbers(nn.Prefixed("model", c.Model))
		bad := c.Loader().Batch(2)
		bad.X[7] = float32(math.NaN())
		_, err = c.Step(2, bad)
		if !errors.Is(err, train.ErrDiverged) {
			t.Fatalf("got %v", err)
		}
		if !slices.Equal(numbers(nn.Prefixed("model", c.Model)), before) {
			t.Error("the parameters changed although the step went wrong")
		}
		return err.Error()
	}
	if want, got := diverge(callByCall{b}), diverge(b); got != want {
		t.Errorf("replayed: %q, call by call: %q", got, want)
	}
}

// TestReplayRefused wants a training on a driver that cannot record to go on call by call, and to
// say why.
func TestReplayRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds under the emulator")
	}
	t.Setenv("AFTERIMAGE_LIBCUDA", fake.Old)
	b := open(t, Options{})
	c, err := train.NewClassifier(b, robust())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 3 {
		if _, err := c.Step(i, c.Loader().Batch(i)); err != nil {
			t.Fatal(err)
		}
	}
	if replayed, err := c.Replayed(); replayed || err == nil {
		t.Errorf("replayed %v, %v", replayed, err)
	}
}
