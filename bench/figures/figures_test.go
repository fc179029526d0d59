package figures

import (
	"math"
	"testing"
)

// A recorder is a test that remembers whether it failed and what it reported.
type recorder struct {
	testing.TB
	failed, reported int
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed++ }
func (r *recorder) Attr(string, string)   { r.reported++ }

// TestCheck measures inside and outside the bounds of both kinds.
func TestCheck(t *testing.T) {
	const close, below = "resnet2b.pth, mean cross-entropy",
		"resnet2b, % that stand at 2/255 (100 steps, 5 restarts)"
	for _, c := range []struct {
		name     string
		measured float64
		ok       bool
	}{
		{close, 0.9099737, true}, {close, 0.90997, false}, {close, math.NaN(), false},
		{below, 55.27, true}, {below, 40, true}, {below, 55.51, false}, {below, math.NaN(), false},
	} {
		r := &recorder{TB: t}
		Check(r, c.name, c.measured)
		if (r.failed == 0) != c.ok || r.reported != 1 {
			t.Errorf("%s: %g failed %d times and was reported %d times", c.name, c.measured, r.failed,
				r.reported)
		}
	}
}

// TestAll finds names unique, and records complete.
func TestAll(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range All() {
		if seen[f.Name] || f.Source == "" || f.Needs == "" || (f.Record == "") != (f.Command == "") {
			t.Errorf("%+v: twice, or something is missing", f)
		}
		seen[f.Name] = true
	}
	if _, err := Lookup("the moon's mass"); err == nil {
		t.Error("a figure that is not listed was found")
	}
}
