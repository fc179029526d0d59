package golden

import (
	"fmt"
	"math"
	"slices"
)

const (
	// firstTol bounds the difference of the first loss, relative to max(1, |loss|): before any
	// update only the rounding of one forward pass lies between two programs.
	firstTol = 1e-4

	// widening is how many times its own width the band of PyTorch's curves is widened on either
	// side. Of eight exchangeable curves a given one is first or last in every fourth step; a curve
	// that is so far outside the others' range is none of them.
	widening = 1.0

	// lossRounding is a few units of 2⁻²⁴ of a loss: the band of the first steps, in which the
	// perturbation has not yet grown, may be narrower than one rounding.
	lossRounding = 1e-6
)

// Curve holds a loss curve against PyTorch's called name: its first loss, and every loss against
// the envelope of PyTorch's runs in single precision as it is (name/single, [steps]) and from
// perturbed weights (name/perturbed, [runs steps]), and of its run in double precision
// (name/double, [steps]): their band, widened by its own width and by the loss's rounding.
func (r *Run) Curve(name string, got []float64) {
	r.T.Helper()
	exact, single := r.Floats(name+"/double"), r.Floats(name+"/single")
	perturbed := r.Floats(name + "/perturbed")
	if len(got) != len(exact) || len(single) != len(exact) || len(perturbed)%len(exact) != 0 ||
		len(perturbed) == 0 {
		r.T.Fatalf("%s: %d losses, torch has %d and %d perturbed ones", name, len(got), len(exact),
			len(perturbed))
	}
	if d := math.Abs(got[0] - exact[0]); !(d <= firstTol*max(1, math.Abs(exact[0]))) {
		r.T.Errorf("%s: the first loss is %.9g, torch's %.9g", name, got[0], exact[0])
	}
	envelope, within, strict, ours, theirs := 0, 0, 0, 0.0, 0.0
	for t, loss := range got {
		var losses []float64
		for i := t; i < len(perturbed); i += len(exact) {
			losses = append(losses, perturbed[i])
		}
		if slices.Min(losses) <= loss && loss <= slices.Max(losses) {
			strict++
		}
		losses = append(losses, exact[t], single[t])
		lo, hi := slices.Min(losses), slices.Max(losses)
		if lo <= loss && loss <= hi {
			within++
		}
		slack := widening*(hi-lo) + lossRounding*max(1, math.Abs(exact[t]))
		if lo-slack <= loss && loss <= hi+slack {
			envelope++
		} else {
			r.row(name + "/double").OK = false
			r.T.Errorf("%s: step %d: loss %.9g lies outside torch's [%.9g, %.9g] widened by %.2g", name,
				t+1, loss, lo, hi, slack)
		}
		ours = max(ours, math.Abs(loss-exact[t]))
		theirs = max(theirs, math.Abs(single[t]-exact[t]))
	}
	r.note(math.Abs(got[0]-exact[0])/max(1, math.Abs(exact[0])), name+"/double")
	r.row(name + "/double").Note = fmt.Sprintf("%d of %d steps in the widened envelope, %d in the "+
		"band itself, %d in that of the five perturbed runs alone; largest |Δloss| %.1e from double "+
		"precision, torch's own single precision %.1e", envelope, len(got), within, strict, ours, theirs)
	r.T.Logf("%s: %s", name, r.row(name+"/double").Note)
}
