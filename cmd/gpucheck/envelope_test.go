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
// rate 1 % too high, a momentum of 0.89, and products in bfloat16.
func TestEnvelopeTells(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains 200 steps four times")
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
	changed := func(f func(*train.ClassifierConfig)) course {
		cfg := right.config.(train.ClassifierConfig)
		f(&cfg)
		return course{right.name, right.steps, right.losses, cfg, classifierCourse(cfg)}
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
		{"bfloat16", right, 0, tensor.BF16, false},
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
			l := held(runs["loss"], got[0])
			t.Logf("beyond the band by %.3g widths while it is narrow, at most %.3g expected; in the "+
				"widened one %v, at least %v expected", l.Values["narrow_excess_in_widths"],
				l.Values["narrow_excess_at_most"], l.Values["in_widened_band"],
				l.Values["must_be_in_widened_band"])
			if l.OK != c.good {
				t.Errorf("held to be %v", l.OK)
			}
		})
	}
}
