package main

import (
	"path/filepath"
	"strings"
	"testing"

	"afterimage/nn/train"
)

// TestRecomputeFlag: a run records whether it recomputes, and a resumed one may do otherwise.
func TestRecomputeFlag(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	mustCall(t, "train", "classifier", "--arch", "resnet8", "--train-images", "16", "--val-images",
		"4", "--batch", "8", "--epochs", "1", "--recompute", "--out", dir)
	var c train.ClassifierConfig
	if err := train.ReadConfig(dir, &c); err != nil || !c.Recompute {
		t.Fatalf("the run's configuration says %v, error %v", c.Recompute, err)
	}
	mustCall(t, "train", "classifier", "--resume", dir, "--no-recompute")
	mustCall(t, "train", "classifier", "--resume", dir, "--recompute")
	if code, _, errOut := call("train", "classifier", "--resume", dir, "--batch", "4"); code !=
		exitUsage || !strings.Contains(errOut, "--batch") {
		t.Errorf("another setting: exit code %d, %s", code, errOut)
	}
}
