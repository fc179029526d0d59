package golden

import (
	"fmt"
	"math"

	"afterimage/bench/envelope"
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
	if d := math.Abs(got[0] - exact[0]); !(d <= envelope.FirstTol*max(1, math.Abs(exact[0]))) {
		r.T.Errorf("%s: the first loss is %.9g, torch's %.9g", name, got[0], exact[0])
	}
	runs := envelope.Curves{Plain: single, Other: exact}
	for i := 0; i < len(perturbed); i += len(exact) {
		runs.Perturbed = append(runs.Perturbed, perturbed[i:i+len(exact)])
	}
	j := runs.Judge(got)
	for _, o := range j.Outside {
		r.row(name + "/double").OK = false
		r.T.Errorf("%s: step %d: loss %.9g lies outside torch's [%.9g, %.9g] widened by %.2g", name,
			o.Step, o.Loss, o.Lo, o.Hi, o.Slack)
	}
	ours, theirs := 0.0, 0.0
	for t, loss := range got {
		ours = max(ours, math.Abs(loss-exact[t]))
		theirs = max(theirs, math.Abs(single[t]-exact[t]))
	}
	r.note(math.Abs(got[0]-exact[0])/max(1, math.Abs(exact[0])), name+"/double")
	r.row(name + "/double").Note = fmt.Sprintf("%d of %d steps in the widened envelope, %d in the "+
		"band itself, %d in that of the five perturbed runs alone; largest |Δloss| %.1e from double "+
		"precision, torch's own single precision %.1e", j.Widened, len(got), j.Within, j.Strict, ours,
		theirs)
	r.T.Logf("%s: %s", name, r.row(name+"/double").Note)
}
