package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"afterimage/cuda"
	"afterimage/nn/train"
	"afterimage/tensor"
)

// resume makes a training to its end, and the same once more in a process that is killed as if
// the power failed, and goes on in another, several times. Both must leave the same bytes.
func resume(c *check) error {
	dir, err := os.MkdirTemp("", "gpucheck-runs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	whole, killed := filepath.Join(dir, "undisturbed"), filepath.Join(dir, "killed")
	if _, err := c.trains(whole, nil); err != nil {
		return err
	}
	kills := 3
	if c.tiny {
		kills = 1
	}
	rng, done := rand.New(rand.NewPCG(1, 2)), 0
	for range kills {
		wait := time.Duration(rng.IntN(40)) * time.Millisecond
		ended, err := c.trains(killed, &wait)
		if err != nil {
			return err
		}
		if !ended {
			done++
		}
	}
	if _, err := c.trains(killed, nil); err != nil {
		return err
	}
	differs, err := train.Diff(whole, killed)
	if err != nil {
		return err
	}
	c.say(line{Stage: "resume", Name: "killed and resumed", OK: len(differs) == 0 && done > 0,
		Values: map[string]any{"kills": done, "differs": differs}})
	return nil
}

// trains runs the stage trained on a run directory, to its end, or, with kill, until that long
// after it has written a checkpoint. It reports whether the stage has ended by itself.
func (c *check) trains(dir string, kill *time.Duration) (ended bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	args := []string{"-device", c.device, "-stage", "trained", "-run", dir}
	if c.tiny {
		args = append(args, "-tiny")
	}
	latest := filepath.Join(dir, train.CheckpointDir, train.LatestFile)
	before := modified(latest)
	cmd := exec.CommandContext(context.Background(), self, args...)
	var says bytes.Buffer // a line, if it fails
	cmd.Stdout, cmd.Stderr = &says, os.Stderr
	endAll(cmd)
	if err := cmd.Start(); err != nil {
		return false, err
	}
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	for look := time.NewTicker(2 * time.Millisecond); ; {
		select {
		case err := <-end:
			if err != nil {
				var l line
				json.Unmarshal(says.Bytes(), &l)
				return true, fmt.Errorf("the training failed: %w: %s", err, l.Error)
			}
			return true, nil
		case <-look.C:
			if kill != nil && modified(latest) != before {
				time.Sleep(*kill)
				cmd.Process.Kill()
				return <-end == nil, nil
			}
		}
	}
}

// modified returns when a file was written, the zero time if it is not there.
func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// trained makes a training in the directory -run, from its last checkpoint on if there is one.
func trained(c *check) error {
	cfg := train.ClassifierConfig{Kind: "classifier", Arch: "resnet8", Dataset: "scenes",
		TrainImages: 320, ValImages: 32, TestImages: 2, Batch: 16, Epochs: 5, LR: 0.05,
		Momentum: 0.9, WeightDecay: 5e-4, Schedule: "cosine", Flip: true, Crop: 4, Seed: 3,
		SaveEvery: 7, Best: 1}
	if c.tiny {
		cfg.Arch, cfg.TrainImages, cfg.Batch, cfg.Epochs, cfg.SaveEvery = "lenet5", 4, 2, 2, 1
		cfg.ValImages = 2
	}
	b, err := c.open(cuda.Options{Precision: tensor.BF16})
	if err != nil {
		return err
	}
	defer b.Close()
	r, err := begun(c.run, &cfg)
	if err != nil {
		return err
	}
	if _, err := b.KeepPlans(r.Path(train.PlansFile), nil); err != nil {
		return errors.Join(err, r.Close())
	}
	t, err := train.NewClassifier(b, cfg)
	if err != nil {
		return errors.Join(err, r.Close())
	}
	defer t.Close()
	return errors.Join(t.Run(r, nil, nil), r.Close())
}

// begun opens a run, or makes it.
func begun(dir string, cfg *train.ClassifierConfig) (*train.Run, error) {
	if _, err := os.Stat(filepath.Join(dir, train.ConfigFile)); err == nil {
		return train.Open(dir, cfg)
	}
	return train.Create(dir, *cfg, map[string]string{"program": "gpucheck"})
}
