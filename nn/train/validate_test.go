package train_test

import (
	"math"
	"strings"
	"testing"
)

// TestMilestones: the steps of a schedule are fractions of the training, in order, and of no other
// schedule.
func TestMilestones(t *testing.T) {
	for _, c := range []struct {
		schedule string
		at       []float64
		says     string
	}{
		{"steps", nil, ""},
		{"triangular", nil, ""},
		{"onecycle", nil, ""}, // triangular, of earlier versions
		{"one-cycle", nil, ""},
		{"steps", []float64{0.3, 0.6}, ""},
		{"cosine", []float64{0.3}, `with schedule "cosine": expected none`},
		{"steps", []float64{30, 60}, "milestones are [30 60]: expected fractions"},
		{"steps", []float64{0.6, 0.3}, "each above the one before"},
		{"steps", []float64{0.3, 0.3}, "each above the one before"},
		{"steps", []float64{0, 0.3}, "between 0 and 1"},
		{"steps", []float64{0.3, 1}, "between 0 and 1"},
		{"steps", []float64{math.NaN()}, "between 0 and 1"},
	} {
		cfg := tiny()
		cfg.Schedule, cfg.Milestones = c.schedule, c.at
		switch err := cfg.Validate(); {
		case c.says == "" && err != nil, c.says != "" && err == nil,
			err != nil && !strings.Contains(err.Error(), c.says):
			t.Errorf("%s %v: error %v, expected %q", c.schedule, c.at, err, c.says)
		}
	}
}
