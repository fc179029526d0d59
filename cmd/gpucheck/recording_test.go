package main

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"afterimage/bench/envelope"
)

// TestRecording wants the same bytes twice, and what was recorded for another configuration, or is
// cut short, refused.
func TestRecording(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains twice")
	}
	a, b := filepath.Join(t.TempDir(), "a.json"), filepath.Join(t.TempDir(), "b.json")
	for _, path := range []string{a, b} {
		if err := record(path, true, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	one, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := os.ReadFile(b); err != nil || !bytes.Equal(one, two) {
		t.Errorf("two recordings differ, %v", err)
	}
	rec, err := readRecording(a)
	if err != nil {
		t.Fatal(err)
	}
	c := courses(true)[0]
	runs, err := rec.of(c)
	if err != nil {
		t.Fatal(err)
	}
	if l := runs["loss"]; len(l.Perturbed) != envelope.Runs || len(l.Plain) != c.steps ||
		len(l.Other) != c.steps {
		t.Errorf("%+v", l)
	}
	c.steps++
	if _, err := rec.of(c); !errors.Is(err, errNoRuns) {
		t.Errorf("with another number of steps: %v", err)
	}
	if _, err := rec.of(courses(false)[0]); !errors.Is(err, errNoRuns) {
		t.Errorf("the shapes of a card: %v", err)
	}
	short := rec.Courses[0].Curves["loss"]
	short.Other = short.Other[:1]
	rec.Courses[0].Curves["loss"] = short
	if _, err := rec.of(courses(true)[0]); err == nil || errors.Is(err, errNoRuns) {
		t.Errorf("cut short: %v", err)
	}
}

// TestRecordedEnvelope wants the repository's recording to be of what this program trains.
func TestRecordedEnvelope(t *testing.T) {
	rec, err := readRecording("../../bench/results/gpu/envelope.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range courses(false) {
		runs, err := rec.of(c)
		if err != nil {
			t.Errorf("%s: %v: make envelope", c.name, err)
			continue
		}
		for _, name := range c.losses {
			for i, left := range runs[name].LeftOut() { // else the runs are of different trainings
				if left.Widened < c.steps*3/4 {
					t.Errorf("%s, %s: run %d is outside of the others' band: %+v", c.name, name, i, left)
				}
			}
		}
	}
}

// TestHeld wants a curve that belongs to the CPU's good, one that is far off not, and one whose
// first loss is another training's told so.
func TestHeld(t *testing.T) {
	runs := envelope.Curves{Plain: []float64{3, 2, 1}, Other: []float64{3, 2.1, 1.1},
		Perturbed: [][]float64{{3, 2.2, 1.2}, {3, 1.9, 0.9}}}
	for _, c := range []struct {
		curve     []float64
		ok, other bool
	}{{[]float64{3, 2.15, 1}, true, false}, {[]float64{3, 4, 4}, false, false},
		{[]float64{3.1, 2.15, 1}, false, true}, {[]float64{3, math.NaN(), math.NaN()}, false, false}} {
		if l := held(runs, c.curve); l.OK != c.ok || (l.Error != "") != c.other {
			t.Errorf("%v: %+v", c.curve, l)
		}
	}
}
