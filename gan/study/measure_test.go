package study

import (
	"math"
	"strings"
	"testing"
	"time"

	"afterimage/tensor/cpu"
)

// Numbers out of range are named before anything is trained.
func TestMeasuresAreValidated(t *testing.T) {
	for entry, want := range map[string]string{
		"sheet: -3":                                  "sheet is -3",
		"accuracy: {images: 6, eps: 8}":              "accuracy: steps 0",
		"accuracy: {images: 6, steps: 2}":            "eps 0",
		"evaluate: {images: 10, draws: -2}":          "evaluate: draws is -2",
		"evaluate: {train_images: -200}":             "evaluate: train_images is -200",
		"explore: {pictures: -4}":                    "explore: pictures is -4",
		"test_images: -1":                            "test_images is -1",
		"accuracy: {images: 0, steps: 0}":            "",
		"accuracy: {images: 1, steps: 1, eps: .nan}": "accuracy: steps 1",
	} {
		key := entry[:strings.Index(entry, ":")]
		var lines []string
		for _, line := range strings.Split(small, "\n") {
			if !strings.HasPrefix(line, key+":") {
				lines = append(lines, line)
			}
		}
		_, err := Parse([]byte(strings.Join(lines, "\n") + entry + "\n"))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", entry, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, expected %q", entry, err, want)
		}
	}
}

// Weights that no stage makes are missed, not waited for, also below the study's own folder.
func TestMissingWeightsAreNotWaitedFor(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	dir := t.TempDir()
	s := parse(t, strings.Replace(small, "epochs: 1, batch: 16, lr: 0.05", "weights: none.pth", 1))
	waited := false
	done := make(chan error)
	go func() {
		_, err := Run(b, s, Options{Dir: dir, Data: dir, Waiting: func() { waited = true }})
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "none.pth") || waited {
			t.Errorf("waited %v: %v", waited, err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the study waits for weights that nobody makes")
	}
}

// Wilson's interval against published values (Newcombe, Stat. Med. 17 (1998) 857, method 3).
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		right, n int
		lo, hi   float64
	}{{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061,
		0.1718}} {
		got := wilson(float64(c.right)/float64(c.n), c.n)
		const printed = 5e-5 // the source gives four places
		if math.Abs(got[0]-c.lo) > printed || math.Abs(got[1]-c.hi) > printed {
			t.Errorf("%d of %d: %v, expected %g to %g", c.right, c.n, *got, c.lo, c.hi)
		}
	}
	if wilson(0, 0) != nil {
		t.Error("no images have an interval")
	}
}
