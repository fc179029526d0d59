package train

import (
	"math"
	"testing"
)

// TestScheduleNames: every name that a configuration may give is the schedule it says, and onecycle
// is what it was when runs were started under it.
func TestScheduleNames(t *testing.T) {
	const lr, total = 0.2, 100
	for name, at := range map[string]map[int]float64{
		"triangular": {0: 0, 10: lr / 2, 20: lr, 60: lr / 2, total: 0},
		"onecycle":   {0: 0, 10: lr / 2, 20: lr, 60: lr / 2, total: 0},
		"one-cycle":  {0: lr / 25, 30: lr, 65: (lr + lr/25e4) / 2, total: lr / 25e4},
		"cosine":     {0: lr, 50: lr / 2, total: 0},
		"steps":      {49: lr, 50: lr / 10, 75: lr / 100},
		"constant":   {0: lr, total: lr},
	} {
		s, err := ClassifierConfig{LR: lr, Schedule: name}.schedule(total)
		if err != nil {
			t.Fatal(err)
		}
		for step, want := range at {
			if got := s(step); math.Abs(got-want) > 1e-15 { // a few roundings of numbers below 1
				t.Errorf("%s at step %d is %g, expected %g", name, step, got, want)
			}
		}
	}
}
