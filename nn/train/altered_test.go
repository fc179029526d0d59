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
	"afterimage/tensor/cpu"
)

// TestAlteredRuns changes a run that was stopped in the middle, and expects that the resume says so
// in one line and changes nothing, or goes on where the change is of no consequence.
func TestAlteredRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains a run for each change")
	}
	b := cpu.Open(1)
	defer b.Close()
	cfg := tiny()
	cfg.Attack.Steps = 0
	latest := filepath.Join(train.CheckpointDir, train.LatestFile)
	for _, c := range []struct {
		name, file, old, new string
		says                 []string // nothing: the run goes on
	}{
		{"a rate", train.ConfigFile, "lr: 0.05", "lr: 99",
			[]string{"config.yaml was changed", "lr is 99: expected 0.05", "undo", "--out"}},
		{"a nested key", train.ConfigFile, "ramp: 0.5", "ramp: 0.25",
			[]string{"attack.ramp is 0.25: expected 0.5"}},
		{"a key taken out", train.ConfigFile, "nesterov: true\n", "",
			[]string{"nesterov is absent: expected true"}},
		{"a number written otherwise", train.ConfigFile, "lr: 0.05", "lr: 5.0e-2 # the peak", nil},
		{"how often it saves", train.ConfigFile, "save_every: 2", "save_every: 1", nil},
		{"where the images lie", train.ConfigFile, `data: ""`, "data: elsewhere", nil},
		{"the step", latest, `"step":"3"`, `"step":"2"`,
			[]string{train.LatestFile, "damaged or changed", "put back"}},
		{"a bit of a weight", latest, "", "", []string{train.LatestFile, "damaged or changed"}},
	} {
		dir := filepath.Join(t.TempDir(), "run")
		err := start(t, b, dir, cfg, func(s int) bool { return s == 3 })
		if !errors.Is(err, train.ErrStopped) {
			t.Fatal(err)
		}
		path := filepath.Join(dir, c.file)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Replace(raw, []byte(c.old), []byte(c.new), 1)
		if c.old == "" {
			changed[len(changed)-1] ^= 1
		}
		if bytes.Equal(raw, changed) {
			t.Fatalf("%s: %q is not in %s", c.name, c.old, c.file)
		}
		write(t, path, string(changed))
		err = start(t, b, dir, cfg, nil)
		if c.says == nil {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		wantError(t, c.name, err, c.says...)
		write(t, path, string(raw))
		if err := start(t, b, dir, cfg, nil); err != nil { // nothing was lost
			t.Errorf("%s undone: %v", c.name, err)
		}
	}
}

// TestEarlierCheckpoints: a checkpoint without checksum and configuration, as earlier versions
// wrote them, is gone on from.
func TestEarlierCheckpoints(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	cfg := tiny()
	cfg.Attack.Steps = 0
	dir := filepath.Join(t.TempDir(), "run")
	if err := start(t, b, dir, cfg, func(s int) bool { return s == 3 }); !errors.Is(err,
		train.ErrStopped) {
		t.Fatal(err)
	}
	path := filepath.Join(dir, train.CheckpointDir, train.LatestFile)
	f, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(f.Metadata["config"], "lr: 0.05") {
		t.Errorf("the checkpoint's configuration is %q", f.Metadata["config"])
	}
	delete(f.Metadata, "config")
	if err := checkpoint.SaveSafetensors(path, f); err != nil {
		t.Fatal(err)
	}
	if err := start(t, b, dir, cfg, nil); err != nil {
		t.Error(err)
	}
}
