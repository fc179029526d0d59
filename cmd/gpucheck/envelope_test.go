package main

import (
	"testing"

	"afterimage/bench/envelope"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// TestEnvelopeTells holds ResNet-20's courses on this CPU against the recorded envelope: from
// weights perturbed with a seed of its own, which belongs there, and three that do not: a learning
// rate 1 % too high, a momentum of 0.89, and products in bfloat16. Those three make the steps alone
// in which the band is narrow: there they are told.
func TestEnvelopeTells(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains 275 steps")
	}
	rec, err := readRecording("../../bench/results/gpu/envelope.json")
	if err != nil {
		t.Fatal(err)
	}
	right := courses(false)[0]
	runs, err := rec.of(right)
	if err != nil {
		t.Fatal(err)
	}
	loss := runs["loss"]
	changed := func(f func(*train.ClassifierConfig)) course {
		cfg := right.config.(train.ClassifierConfig)
		f(&cfg)
		return course{right.name, len(loss.Calm().Plain), right.losses, cfg, classifierCourse(cfg)}
	}
	for _, c := range []struct {
		name      string
		course    course
		perturbed int
		precision tensor.DType
		good      bool
	}{
		{"perturbed", right, envelope.Runs + 1, tensor.F32, true},
		{"learning rate", changed(func(c *train.ClassifierConfig) { c.LR *= 1.01 }), 0,
			tensor.F32, false},
		{"momentum", changed(func(c *train.ClassifierConfig) { c.Momentum = 0.89 }), 0,
			tensor.F32, false},
		{"bfloat16", changed(func(*train.ClassifierConfig) {}), 0, tensor.BF16, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := cpu.Open(0)
			defer b.Close()
			if err := b.SetPrecision(c.precision); err != nil {
				t.Skip(err)
			}
			got, err := c.course.run(b, c.perturbed)
			if err != nil {
				t.Fatal(err)
			}
			against := loss
			if !c.good {
				against = loss.Calm()
			}
			l := held(against, got[0])
			early, most := l.Values["narrow_excess_in_widths"].(float64),
				l.Values["narrow_excess_at_most"].(float64)
			t.Logf("beyond the band by %.3g widths in %v steps while it is narrow, at most %.3g expected; "+
				"in the widened one %v, at least %v expected", early, l.Values["narrow_steps"], most,
				l.Values["in_widened_band"], l.Values["must_be_in_widened_band"])
			if l.OK != c.good || (early <= most) != c.good {
				t.Errorf("held to be %v", l.OK)
			}
		})
	}
}
