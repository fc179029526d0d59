package envelope

import (
	"math"
	"slices"
)

const (
	// Runs is how many runs begin with perturbed weights.
	Runs = 5

	// Perturbation is by how much, relative to each weight, in the standard deviation; single
	// precision rounds by up to 6e-8.
	Perturbation = 1e-7

	// FirstTol bounds the difference of the first loss, relative to max(1, |loss|): before any update
	// only the rounding of one forward pass lies between two programs.
	FirstTol = 1e-4

	// widening is how many times its own width the band is widened on either side. Of eight
	// exchangeable curves a given one is first or last in every fourth step; a curve that is so far
	// outside the others' range is none of them.
	widening = 1.0

	// calm is how wide, relative to max(1, |loss|), the band of all runs is at most before chaos.
	calm = 1e-2

	// lossRounding is a few units of 2⁻²⁴ of a loss: the band of the first steps, in which the
	// perturbation has not yet grown, may be narrower than one rounding.
	lossRounding = 1e-6
)

// Curves are the losses of one training's runs, step by step.
type Curves struct {
	Plain     []float64   `json:"plain"`     // as it is
	Other     []float64   `json:"other"`     // with other roundings: other kernels, another precision
	Perturbed [][]float64 `json:"perturbed"` // from perturbed weights
}

// A Judgement is what became of holding a curve against Curves.
type Judgement struct {
	Steps   int `json:"steps"`
	Widened int `json:"in_widened_band"` // steps inside the band of all runs, widened by its width
	Within  int `json:"in_band"`         // inside the band of all runs
	Strict  int `json:"in_perturbed"`    // inside that of the perturbed runs alone
	// Excess is how far the curve goes beyond the band, in its widths; up to 1 is inside the widened
	// one, and a NaN is +Inf.
	Excess  float64   `json:"excess_in_widths"`
	Outside []Outside `json:"outside,omitempty"` // of the widened band
}

// An Outside is a step, counted from 1, whose loss lies outside of [Lo − Slack, Hi + Slack].
type Outside struct {
	Step  int     `json:"step"`
	Loss  float64 `json:"loss"`
	Lo    float64 `json:"lo"`
	Hi    float64 `json:"hi"`
	Slack float64 `json:"slack"`
}

// Judge holds a curve against runs of the same number of steps; a shorter one is held against their
// first steps.
func (c Curves) Judge(curve []float64) Judgement {
	return judge(curve, c.all(), c.Perturbed)
}

// all lists the runs.
func (c Curves) all() [][]float64 { return append(slices.Clone(c.Perturbed), c.Plain, c.Other) }

// judge holds a curve against all runs and, for Strict, against some.
func judge(curve []float64, all, strict [][]float64) Judgement {
	j := Judgement{Steps: len(curve)}
	for t, loss := range curve {
		if lo, hi := span(strict, t); lo <= loss && loss <= hi {
			j.Strict++
		}
		lo, hi := span(all, t)
		if lo <= loss && loss <= hi {
			j.Within++
		}
		rounding := lossRounding * max(1, math.Abs(hi))
		slack := widening*(hi-lo) + rounding
		if lo-slack <= loss && loss <= hi+slack {
			j.Widened++
		} else {
			j.Outside = append(j.Outside, Outside{t + 1, loss, lo, hi, slack})
		}
		e := max(lo-loss, loss-hi, 0) / (hi - lo + rounding)
		if math.IsNaN(e) {
			e = math.Inf(1)
		}
		j.Excess = max(j.Excess, e)
	}
	return j
}

// span returns the least and the largest loss of a step.
func span(runs [][]float64, t int) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, r := range runs {
		lo, hi = min(lo, r[t]), max(hi, r[t])
	}
	return lo, hi
}

// Calm returns the runs' steps before the first in which they lie more than a hundredth apart:
// there the band is narrow, and a training that is another one leaves it far behind. Later, where
// chaos has made the band wide, almost any training stays inside.
func (c Curves) Calm() Curves {
	all, n := c.all(), 0
	for ; n < len(c.Plain); n++ {
		if lo, hi := span(all, n); !(hi-lo <= calm*max(1, math.Abs(hi))) {
			break
		}
	}
	out := Curves{Plain: c.Plain[:n], Other: c.Other[:n]}
	for _, p := range c.Perturbed {
		out.Perturbed = append(out.Perturbed, p[:n])
	}
	return out
}

// LeftOut judges every run by the others: what a curve that belongs to them reaches. A perturbed
// one is held, for Strict, against the four others and the plain one, so that these are five, too.
// First come the perturbed runs, then the plain one, then the other.
func (c Curves) LeftOut() (all []Judgement) {
	for i, left := range c.Perturbed {
		others := append(slices.Delete(slices.Clone(c.Perturbed), i, i+1), c.Plain)
		all = append(all, judge(left, append(slices.Clone(others), c.Other), others))
	}
	return append(all, judge(c.Plain, append(slices.Clone(c.Perturbed), c.Other), c.Perturbed),
		judge(c.Other, append(slices.Clone(c.Perturbed), c.Plain), c.Perturbed))
}
