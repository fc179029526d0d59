package train_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/nn/checkpoint"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/ref"
)

// tiny is a training of 6 steps that uses all a step can: augmentation, an adversary whose
// radius grows, momentum, weight decay, batch norm, two best checkpoints.
func tiny() train.ClassifierConfig {
	return train.ClassifierConfig{Kind: "classifier", Arch: "resnet8", Dataset: "scenes",
		TrainImages: 16, ValImages: 8, Epochs: 1.5, Batch: 4, LR: 0.05, Momentum: 0.9, WeightDecay: 5e-4,
		Nesterov: true, Schedule: "triangular", Smoothing: 0.1,
		Flip: true, Crop: 4, Seed: 7, SaveEvery: 2, Best: 2, Mean: []float64{0.5, 0.5, 0.5},
		Std:    []float64{0.25, 0.25, 0.25},
		Attack: train.Adversary{Norm: "linf", Eps: 8. / 255, StepSize: 10. / 255, Steps: 1, Ramp: 0.5}}
}

// here is the environment these tests record.
var here = map[string]string{"machine": "test"}

// start makes one start of a run, as a process would: new if there is no run in dir, else resumed.
// It stops after the steps that stop accepts.
func start(
	t *testing.T, b tensor.Backend, dir string, cfg train.ClassifierConfig, stop func(step int) bool,
) error {
	t.Helper()
	c, err := train.NewClassifier(b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := train.Open(dir, &cfg)
	if err != nil {
		r, err = train.Create(dir, cfg, here)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	step := 0
	return c.Run(r, func(p train.Progress) { step = p.Step },
		func() bool { return stop != nil && stop(step) })
}

// finish starts a run again and again until it is done and returns how many starts that took.
func finish(
	t *testing.T, b tensor.Backend, dir string, cfg train.ClassifierConfig, stop func(step int) bool,
) int {
	t.Helper()
	for n := 1; ; n++ {
		err := start(t, b, dir, cfg, stop)
		if err == nil {
			return n
		}
		if !errors.Is(err, train.ErrStopped) || !strings.Contains(err.Error(), "--resume "+dir) {
			t.Fatalf("start %d: %v: expected ErrStopped and how to resume", n, err)
		}
	}
}

func same(t *testing.T, what, a, b string) {
	t.Helper()
	diff, err := train.Diff(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if len(diff) > 0 {
		t.Errorf("%s: %d differences, such as %s", what, len(diff),
			strings.Join(diff[:min(len(diff), 5)], "; "))
	}
}

// TestResumeIsExact compares interrupted trainings, file by file and tensor by tensor, with an
// undisturbed one, for one and two threads and across the two.
func TestResumeIsExact(t *testing.T) {
	one, two := cpu.Open(1), cpu.Open(2)
	defer one.Close()
	defer two.Close()
	dir, cfg := t.TempDir(), tiny()
	whole := filepath.Join(dir, "whole")
	if n := finish(t, one, whole, cfg, nil); n != 1 {
		t.Fatalf("an undisturbed run took %d starts", n)
	}
	for _, file := range []string{train.LatestFile, train.FinalFile, "best-000004.safetensors",
		"best-000006.safetensors"} {
		if _, err := checkpoint.Open(filepath.Join(whole, train.CheckpointDir, file)); err != nil {
			t.Error(err)
		}
	}
	if lines, err := train.ReadMetrics(whole); err != nil || len(lines) != 2 {
		t.Errorf("the log has %d lines, error %v: expected one for each of 2 epochs", len(lines), err)
	}
	for _, c := range []struct {
		name   string
		b      tensor.Backend
		stop   func(int) bool
		starts int
	}{
		{"two threads", two, nil, 1},
		{"half and half", one, func(s int) bool { return s == 3 }, 2},
		{"every checkpoint", two, func(s int) bool { return s%2 == 0 }, 3},
		{"every step", one, func(int) bool { return true }, 6},
	} {
		if c.starts == 3 && testing.Short() {
			continue // between the other two
		}
		part := filepath.Join(dir, c.name)
		if n := finish(t, c.b, part, cfg, c.stop); n != c.starts {
			t.Errorf("%s: %d starts, expected %d", c.name, n, c.starts)
		}
		same(t, c.name, whole, part)
	}
	lines, err := train.ReadMetrics(filepath.Join(dir, "every step"))
	if err != nil || len(lines) != 2 || !(0 < lines[0]["seconds"] &&
		lines[0]["seconds"] < lines[1]["seconds"]) {
		t.Errorf("seconds do not go on across starts: %v, error %v", lines, err)
	}
	if err := start(t, two, whole, cfg, nil); err != nil { // once more when all is done
		t.Error(err)
	}
	same(t, "resumed when done", filepath.Join(dir, "two threads"), whole)
}

// TestRecomputeIsExact: a run that recomputes now and then is the one that never does, to the byte.
func TestRecomputeIsExact(t *testing.T) {
	b := cpu.Open(2)
	defer b.Close()
	dir, cfg := t.TempDir(), tiny()
	whole, mixed := filepath.Join(dir, "whole"), filepath.Join(dir, "mixed")
	finish(t, b, whole, cfg, nil)
	for n, err := 0, train.ErrStopped; errors.Is(err, train.ErrStopped); n++ {
		now := cfg
		now.Recompute = n%2 == 1 // the run's own configuration says no
		err = start(t, b, mixed, now, func(s int) bool { return s%2 == 0 })
		if err != nil && !errors.Is(err, train.ErrStopped) {
			t.Fatal(err)
		}
	}
	same(t, "recomputed in between", whole, mixed)
}

// TestRecomputeHoldsLess: of nine blocks the inside of one.
func TestRecomputeHoldsLess(t *testing.T) {
	peak := func(recompute bool) int {
		b := cpu.Open(1)
		defer b.Close()
		cfg := tiny()
		cfg.Arch, cfg.Attack.Steps, cfg.Recompute = "resnet20-cifar", 0, recompute
		cfg.TrainImages, cfg.Batch = 32, 32
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
		return b.Memory().Peak
	}
	// Activations are 9/10 of the step's memory, and of each block's four tensors one is kept.
	if kept, less := peak(false), peak(true); less > kept*6/10 {
		t.Errorf("a step takes %d bytes, recomputed %d: expected at most 0.6 of it", kept, less)
	}
}

// TestResumeIsExactOnRef is the same on the reference backend, and shows that Diff sees a
// difference.
func TestResumeIsExactOnRef(t *testing.T) {
	if testing.Short() {
		t.Skip("short: naive loops take seconds")
	}
	dir, cfg := t.TempDir(), tiny()
	cfg.TrainImages, cfg.ValImages, cfg.Batch, cfg.Epochs, cfg.Attack.Steps = 4, 2, 2, 2, 0
	whole, part := filepath.Join(dir, "whole"), filepath.Join(dir, "part")
	finish(t, ref.New(), whole, cfg, nil)
	finish(t, ref.New(), part, cfg, func(s int) bool { return s == 1 || s == 2 })
	same(t, "ref", whole, part)

	path := filepath.Join(part, train.CheckpointDir, train.LatestFile)
	f, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	last, _ := f.Get(f.Names()[f.Len()-1])
	last.Data[0] ^= 1
	if err := checkpoint.SaveSafetensors(path, f); err != nil {
		t.Fatal(err)
	}
	if diff, err := train.Diff(whole, part); err != nil || len(diff) != 1 {
		t.Errorf("one flipped bit gives %v, error %v: expected one difference", diff, err)
	}
}

// TestLogIsCutBack checks that what a killed process wrote after its last checkpoint is gone
// after a resume: log lines, half a line, temporary files.
func TestLogIsCutBack(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	dir, cfg := t.TempDir(), tiny()
	cfg.Attack.Steps = 0
	whole, part := filepath.Join(dir, "whole"), filepath.Join(dir, "part")
	finish(t, b, whole, cfg, nil)
	at5 := func(s int) bool { return s == 5 }
	if err := start(t, b, part, cfg, at5); !errors.Is(err, train.ErrStopped) {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(part, train.MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	garbage := append(bytes.Clone(before), "{\"step\":5,\"loss\":1}\n{\"step\":6,\"lo"...)
	for name, raw := range map[string][]byte{train.MetricsFile: garbage, ".config.yaml.X.tmp": nil,
		"checkpoints/.latest.safetensors.ABC.tmp": []byte("half"),
		"checkpoints/best-000005.safetensors":     []byte("half"),
		"samples/.step-000001.png.123":            []byte("half")} {
		if err := os.WriteFile(filepath.Join(part, name), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	finish(t, b, part, cfg, nil)
	same(t, "after garbage", whole, part)

	if err := os.Truncate(filepath.Join(part, train.MetricsFile), 3); err != nil {
		t.Fatal(err)
	}
	if err := start(t, b, part, cfg, nil); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("a log shorter than its checkpoint gives %v", err)
	}
}
