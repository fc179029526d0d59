package train_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"afterimage/nn/checkpoint"
	"afterimage/nn/train"
	"afterimage/tensor/cpu"
)

// wantError fails unless err has one line that holds every text.
func wantError(t *testing.T, what string, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
		return
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%s: %q does not say %q", what, err, s)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: the error has more than one line: %q", what, err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestCreateTakesOnlyEmptyPlaces: a run, other people's files and a file are refused and left as
// they are; an empty directory and the remains of a killed Create are not.
func TestCreateTakesOnlyEmptyPlaces(t *testing.T) {
	dir := t.TempDir()
	r, err := train.Create(filepath.Join(dir, "a", "b"), tiny(), here)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := train.Open(r.Dir, new(train.ClassifierConfig)); runtime.GOOS == "linux" {
		wantError(t, "a run in use", err, "in use by another process")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	_, err = train.Create(r.Dir, tiny(), here)
	wantError(t, "a run", err, "already holds a run", "--resume")

	write(t, filepath.Join(dir, "photos", "checkpoints", "cat.png"), "")
	_, err = train.Create(filepath.Join(dir, "photos"), tiny(), here)
	wantError(t, "a full directory", err, "not empty", "checkpoints", "--out")
	write(t, filepath.Join(dir, "file"), "")
	_, err = train.Create(filepath.Join(dir, "file"), tiny(), here)
	wantError(t, "a file", err, "not a directory", "--out")

	killed := filepath.Join(dir, "killed")
	write(t, filepath.Join(killed, ".incomplete"), "")
	write(t, filepath.Join(killed, train.MetricsFile), "{\"step\":1}\n")
	write(t, filepath.Join(killed, train.EnvironmentFile), "{}\n")
	write(t, filepath.Join(killed, ".config.yaml.X.tmp"), "kind")
	r, err = train.Create(killed, tiny(), here)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	same(t, "over a killed Create", filepath.Join(dir, "a", "b"), killed)
}

// TestCreateLeavesNothingOnFailure: when a file of the run cannot be written, and on Abandon before
// the first checkpoint, the directory goes away; with a checkpoint it stays.
// TestCreateIsOnce: of processes that find a directory empty at the same moment one makes its run
// there, also if it is done before another of them comes to lock it.
func TestCreateIsOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no lock keeps two processes from one directory there (Lock)")
	}
	for range 20 {
		dir := filepath.Join(t.TempDir(), "run")
		var made atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				r, err := train.Create(dir, tiny(), nil)
				if err != nil {
					return
				}
				made.Add(1)
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := made.Load(); n != 1 {
			t.Fatalf("%d runs were made in one directory", n)
		}
	}
}

func TestCreateLeavesNothingOnFailure(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	_, err := train.Create(dir, tiny(), here, func(*train.Run) error { return errors.New("no space") })
	wantError(t, "a failing file", err, "no space")
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a failed Create left the directory: %v", err)
	}
	for _, saved := range []bool{false, true} {
		r, err := train.Create(dir, tiny(), here)
		if err != nil {
			t.Fatal(err)
		}
		if saved {
			if err := r.Save(train.LatestFile, nil, 1, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Abandon(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir); saved != (err == nil) {
			t.Errorf("after Abandon with a checkpoint %v: %v", saved, err)
		}
	}
}

func TestEnvironmentOfEveryStart(t *testing.T) {
	r, err := train.Create(filepath.Join(t.TempDir(), "run"), tiny(),
		map[string]string{"kernels": "gemm avx512"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	last, err := r.Continue(map[string]string{"kernels": "gemm generic"})
	var got struct{ Kernels string }
	if err := errors.Join(err, json.Unmarshal(last, &got)); err != nil ||
		got.Kernels != "gemm avx512" {
		t.Errorf("Continue returned %s, error %v: expected the first start's record", last, err)
	}
	raw, err := os.ReadFile(r.Path(train.EnvironmentFile))
	if err != nil || strings.Count(string(raw), "\n") != 1 {
		t.Errorf("before Restore the record is %q, error %v: expected one line", raw, err)
	}
	if _, _, err := r.Restore(train.LatestFile, train.FinalFile, nil); err != nil {
		t.Error(err)
	}
	raw, err = os.ReadFile(r.Path(train.EnvironmentFile))
	if want := "{\"kernels\":\"gemm avx512\"}\n{\"kernels\":\"gemm generic\"}\n"; err != nil ||
		string(raw) != want {
		t.Errorf("the record is %q, error %v", raw, err)
	}
}

func TestDamagedRuns(t *testing.T) {
	dir := t.TempDir()
	var c train.ClassifierConfig
	_, err := train.Open(dir, &c)
	wantError(t, "no run", err, "not a run directory", "config.yaml")
	for text, what := range map[string]string{"kind: [": "config.yaml",
		"kind: classifier\nfoo: 1\nlr: 2\n": "foo", "lr: many\n": "lr"} {
		write(t, filepath.Join(dir, train.ConfigFile), text)
		_, err := train.Open(dir, &c)
		if what == "lr" { // goccy/go-yaml names the type and the place, not the field
			what = "[1:5]"
		}
		wantError(t, text, err, what, "undo")
	}
	write(t, filepath.Join(dir, train.ConfigFile), "kind: inverter\nother: 1\n")
	if kind, err := train.Kind(dir); kind != "inverter" || err != nil {
		t.Errorf("Kind returned %q, %v", kind, err)
	}
}

// A checkpoint whose step or length of the log was damaged is said to be none, before the log is
// cut.
func TestDamagedCheckpoint(t *testing.T) {
	for key, value := range map[string]string{"step": "-3", "metrics_bytes": "-3", "seconds": "1"} {
		r, err := train.Create(filepath.Join(t.TempDir(), "run"), tiny(), nil)
		if err != nil {
			t.Fatal(err)
		}
		f := checkpoint.NewFile()
		f.Metadata["step"], f.Metadata["metrics_bytes"] = "4", "0"
		f.Metadata[key] = value
		path := r.Path(train.CheckpointDir, train.LatestFile)
		if err := checkpoint.SaveSafetensors(path, f); err != nil {
			t.Fatal(err)
		}
		if step, _, err := r.Restore(train.LatestFile, train.FinalFile, nil); key == "seconds" {
			if step != 4 || err != nil {
				t.Errorf("a good one: step %d, %v", step, err)
			}
		} else {
			wantError(t, key, err, "not a checkpoint of a run", "-3")
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestDiverged provokes NaN by an absurd learning rate, with and without a checkpoint at each step:
// the error names step and tensor, and what stands on the disk is finite.
func TestDiverged(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	for _, every := range []int{1, 0} {
		cfg := tiny()
		cfg.LR, cfg.Schedule, cfg.SaveEvery, cfg.Attack.Steps, cfg.Epochs = 1e25, "constant", every, 0, 3
		dir := filepath.Join(t.TempDir(), "run")
		err := start(t, b, dir, cfg, nil)
		if !errors.Is(err, train.ErrDiverged) {
			t.Fatalf("error %v: expected ErrDiverged", err)
		}
		wantError(t, "NaN", err, "step 2", "conv1.weight", "lower learning rate", "checkpoint")
		f, err := checkpoint.Open(filepath.Join(dir, train.CheckpointDir, train.LatestFile))
		if errors.Is(err, os.ErrNotExist) && every == 0 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for name, a := range f.All() {
			for _, v := range a.Float64s() {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("the last checkpoint holds %g in %s", v, name)
				}
			}
		}
	}
}

// TestImpossibleConfigs: each error names the field, before anything is made.
func TestImpossibleConfigs(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	nan := math.NaN()
	for field, change := range map[string]func(*train.ClassifierConfig){
		"epochs is 0":      func(c *train.ClassifierConfig) { c.Epochs = 0 },
		"epochs is NaN":    func(c *train.ClassifierConfig) { c.Epochs = nan },
		"epochs is 1e+300": func(c *train.ClassifierConfig) { c.Epochs = 1e300 },
		"batch is 1":       func(c *train.ClassifierConfig) { c.Batch = 1 },
		"batch size":       func(c *train.ClassifierConfig) { c.Batch = 17 },
		"lr is -1":         func(c *train.ClassifierConfig) { c.LR = -1 },
		"lr is NaN":        func(c *train.ClassifierConfig) { c.LR = nan },
		"momentum is 1":    func(c *train.ClassifierConfig) { c.Momentum = 1 },
		"weight_decay":     func(c *train.ClassifierConfig) { c.WeightDecay = nan },
		"label_smoothing":  func(c *train.ClassifierConfig) { c.Smoothing = nan },
		"best -1":          func(c *train.ClassifierConfig) { c.Best = -1 },
		"save_every -1":    func(c *train.ClassifierConfig) { c.SaveEvery = -1 },
		"eps NaN":          func(c *train.ClassifierConfig) { c.Attack.Eps = nan },
		"ramp is 2":        func(c *train.ClassifierConfig) { c.Attack.Ramp = 2 },
		"norm is \"l7\"":   func(c *train.ClassifierConfig) { c.Attack.Norm = "l7" },
		"schedule":         func(c *train.ClassifierConfig) { c.Schedule = "warm" },
		"resnet9":          func(c *train.ClassifierConfig) { c.Arch = "resnet9" },
		"unknown dataset":  func(c *train.ClassifierConfig) { c.Dataset = "scene" },
		"expected 3 each":  func(c *train.ClassifierConfig) { c.Mean = []float64{1} },
	} {
		cfg := tiny()
		change(&cfg)
		_, err := train.NewClassifier(b, cfg)
		wantError(t, field, err, field)
	}
}

// TestStepsDoNotGrow: after the first steps a training takes no more memory from the backend.
func TestStepsDoNotGrow(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	c, err := train.NewClassifier(b, tiny())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	steps := func(from, to int) cpu.Usage {
		for i := from; i < to; i++ {
			if _, err := c.Step(i%c.Total(), c.Loader().Batch(i)); err != nil {
				t.Fatal(err)
			}
			c.Accuracy(c.Set.Val)
		}
		return b.Memory()
	}
	if early, late := steps(0, 3), steps(3, 12); late != early {
		t.Errorf("memory was %+v after 3 steps and is %+v after 12", early, late)
	}
}
