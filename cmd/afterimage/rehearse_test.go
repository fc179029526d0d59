package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/nn/train"
)

// A rehearsal that is stopped names no folder to go on with: its own is removed.
func TestRehearsalStopped(t *testing.T) {
	err := ofRehearsal(fmt.Errorf("go on with --resume /tmp/x: %w", train.ErrStopped))
	if text := err.Error(); strings.Contains(text, "--resume") || !strings.Contains(text, "again") ||
		exitCode(err) != exitOther {
		t.Errorf("exit code %d: %s", exitCode(err), text)
	}
}

// A rehearsal runs every stage, leaves nothing behind and says what the trainings would take.
func TestRehearse(t *testing.T) {
	if testing.Short() {
		t.Skip("short: runs a small study: some seconds")
	}
	dir := t.TempDir()
	preset := filepath.Join(dir, "small.yaml")
	if err := os.WriteFile(preset, []byte(`
name: small
title: A test
dataset: scenes
train_images: 200
test_images: 40
classifiers: [{name: plain, arch: resnet8, epochs: 50, batch: 16, lr: 0.05}]
inverters: [{classifier: plain, condition: logits, ch: 2, steps: 400, batch: 4}]
evaluate: {images: 20, draws: 3}
explore: {experiments: [noise], images: 10, draws: 3, pictures: 2}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	code, out, errOut := call("study", "--preset", preset, "--rehearse", "--json")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	var r rehearsal
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	const perEpoch = 200 / 16 // scenes draw their held-out images beside these
	want := map[string]int{"classifier-plain": 50 * perEpoch, "inverter-plain-logits": 400}
	for _, st := range r.Stages {
		if st.Steps != want[st.Name] || (st.Steps > 0) != (st.StepSeconds > 0) || st.PeakBytes <= 0 {
			t.Errorf("stage %+v, expected %d steps", st, want[st.Name])
		}
	}
	if len(r.Stages) != 5 || r.Trainings <= 0 || r.PeakBytes <= 0 {
		t.Errorf("%d stages, %v seconds, %d bytes", len(r.Stages), r.Trainings, r.PeakBytes)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "afterimage-rehearsal-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
