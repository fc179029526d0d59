package train_test

import (
	"bytes"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"afterimage/nn"
	"afterimage/nn/tensorboard"
	"afterimage/nn/train"
)

// made is when the configuration of these runs was written.
var made = time.Unix(1_700_000_000, 0)

// wanted is the event file of a log of some steps; step 100 has a sheet.
func wanted(t *testing.T, sheet []byte, steps ...int) []byte {
	t.Helper()
	b := tensorboard.Event{Wall: float64(made.Unix()), Version: tensorboard.Version}.Append(nil)
	for _, s := range steps {
		e := tensorboard.Event{Wall: float64(made.Unix() + int64(s)), Step: int64(s),
			Scalars: []tensorboard.Scalar{{Tag: "loss", Value: 1 / float64(s)}, {Tag: "spread",
				Value: math.Inf(1)}}}
		if s == 100 {
			e.Images = []tensorboard.Image{{Tag: "samples", Height: 2, Width: 3, Channels: 3, PNG: sheet}}
		}
		b = e.Append(b)
	}
	return b
}

func step(t *testing.T, r *train.Run, s int) {
	t.Helper()
	if err := r.Log(map[string]float64{"step": float64(s), "seconds": float64(s),
		"loss": 1 / float64(s), "spread": math.Inf(1)}); err != nil {
		t.Fatal(err)
	}
}

// TestEventsAcrossResume writes events, saves, goes beyond the checkpoint, and starts again: the
// file holds what the log holds, whether a start asked for events or found them, and whatever a
// crash left at the end of the file. A run that asks late gets the whole log.
func TestEventsAcrossResume(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	r, err := train.Create(dir, tiny(), here)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(r.Path(train.ConfigFile), made, made); err != nil {
		t.Fatal(err)
	}
	var sheet bytes.Buffer
	if err := png.Encode(&sheet, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		t.Fatal(err)
	}
	check := func(what string, steps ...int) {
		t.Helper()
		got, err := os.ReadFile(filepath.Join(dir, train.EventsFile))
		if want := wanted(t, sheet.Bytes(), steps...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, expected %d, %v", what, len(got), len(want), err)
		}
	}
	r.TensorBoard()
	restore := func(r *train.Run) {
		t.Helper()
		if _, _, err := r.Restore(train.LatestFile, train.FinalFile, nn.Params{}); err != nil {
			t.Fatal(err)
		}
	}
	restore(r)
	step(t, r, 50)
	write(t, r.Path(train.SampleDir, train.SampleFile(100)), sheet.String())
	step(t, r, 100)
	if err := r.Save(train.LatestFile, nn.Params{}, 100, nil); err != nil {
		t.Fatal(err)
	}
	step(t, r, 150)
	check("first start", 50, 100, 150)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, spoil := range spoiled {
		there := rewrite(t, filepath.Join(dir, train.EventsFile), spoil)
		r, err := train.Open(dir, new(train.ClassifierConfig))
		if err != nil {
			t.Fatal(err)
		}
		if !there {
			r.TensorBoard()
		}
		restore(r)
		check("cut back", 50, 100)
		step(t, r, 150)
		step(t, r, 200)
		check("gone on", 50, 100, 150, 200)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// spoiled is what may have become of the events before a run goes on.
var spoiled = []func(b []byte) []byte{
	func(b []byte) []byte { return b },
	func(b []byte) []byte { return b[:len(b)-5] },
	func(b []byte) []byte { return append(b, 1, 2, 3) },
	func(b []byte) []byte { return slices.Concat(b[:40], b) },
	func([]byte) []byte { return nil }, // asked late
}

// rewrite changes a file's bytes by f, which removes the file if it returns nil, and reports
// whether there is one afterwards.
func rewrite(t *testing.T, path string, f func(b []byte) []byte) bool {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b = f(b); b != nil {
		write(t, path, string(b))
		return true
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	return false
}

// TestNoEventsUnasked: a run that did not ask has no event file.
func TestNoEventsUnasked(t *testing.T) {
	r, err := train.Create(filepath.Join(t.TempDir(), "run"), tiny(), here)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, _, err := r.Restore(train.LatestFile, train.FinalFile, nn.Params{}); err != nil {
		t.Fatal(err)
	}
	step(t, r, 50)
	if _, err := os.Stat(r.Path(train.EventsFile)); !os.IsNotExist(err) {
		t.Errorf("there is an event file: %v", err)
	}
}
