package explore

import (
	"fmt"
	"strings"

	"afterimage/gan/metrics"
	"afterimage/nn/data"
	"afterimage/tensor"

	"gonum.org/v1/gonum/mat"
)

// A FactorScore says how well a factor of the scene can be read off the pictures by one fixed
// regressor. Parts of one factor (sine and cosine, x and y) count together.
//
// R² asks whether the reading is right: 1 is exact, 0 as good as the factor's mean; a generator
// that paints a factor at random, as it should if it does not know it, gets about −1. The
// correlation asks whether the reading tells anything: its square is 0 for such a generator.
type FactorScore struct {
	Name      string            `json:"name"`
	Real      metrics.Estimate  `json:"real"`                 // R² on the true images: the ceiling
	Recovered metrics.Estimate  `json:"recovered"`            // R² on the reconstructions, one draw
	Label     *metrics.Estimate `json:"label_only,omitempty"` // R² on the label control's pictures
	Linked    FactorLink        `json:"squared_correlation"`
}

// A FactorLink holds the squared correlations of a factor with its readings.
type FactorLink struct {
	Real      metrics.Estimate  `json:"real"`
	Recovered metrics.Estimate  `json:"recovered"`
	Label     *metrics.Estimate `json:"label_only,omitempty"`
}

// String returns one line: what was recovered, beside the ceiling and the label control.
func (f FactorScore) String() string {
	s := fmt.Sprintf("%-20s squared correlation %v, from the image itself %v", f.Name,
		f.Linked.Recovered, f.Linked.Real)
	if f.Linked.Label != nil {
		s += fmt.Sprintf(", label only %v", *f.Linked.Label)
	}
	return s
}

// factors fills in Factors where the images' factors are known.
func (e *Evaluation) factors(j *jury, test data.Dataset, o Options, recon metrics.Images) error {
	known, ok := test.(data.Factored)
	train, okTrain := o.Train.(data.Factored)
	if !ok || !okTrain || o.TrainImages < 10 {
		return nil
	}
	m, _ := Load(train, 0, o.TrainImages)
	names := known.FactorNames()
	r, err := metrics.FitFactors(m, factorRows(train, o.TrainImages), names,
		tensor.NewKey(o.Seed, "explore/factors"))
	if err != nil {
		return err
	}
	truth := factorRows(known, o.Images)
	real, painted := r.Read(j.truth), r.Read(recon)
	var label *mat.Dense
	if o.Control != nil {
		label = r.Read(j.label)
	}
	for _, f := range wholeFactors(names) {
		r2 := func(read *mat.Dense) metrics.Estimate {
			return metrics.PooledR2(read, truth, f.columns, j.key("factors"))
		}
		link := func(read *mat.Dense) metrics.Estimate {
			return squaredCorrelation(read, truth, f.columns, j.key("factors"))
		}
		s := FactorScore{Name: f.name, Real: r2(real), Recovered: r2(painted),
			Linked: FactorLink{Real: link(real), Recovered: link(painted)}}
		if label != nil {
			a, b := r2(label), link(label)
			s.Label, s.Linked.Label = &a, &b
		}
		e.Factors = append(e.Factors, s)
	}
	return nil
}

func factorRows(ds data.Factored, n int) *mat.Dense {
	d := len(ds.FactorNames())
	x := make([]float32, 0, n*d)
	for i := range n {
		x = append(x, ds.FactorVector(i)...)
	}
	return metrics.Matrix(n, d, x)
}

// A wholeFactor is a factor with the columns that describe it.
type wholeFactor struct {
	name    string
	columns []int
}

// wholeFactors joins columns that differ in their last part alone, "x" and "y" or "sin" and "cos".
func wholeFactors(names []string) []wholeFactor {
	var out []wholeFactor
	for i, name := range names {
		base, last := name, ""
		if k := strings.LastIndexByte(name, '.'); k >= 0 {
			base, last = name[:k], name[k+1:]
		}
		switch last {
		case "sin", "cos", "x", "y":
			name = base
		}
		if n := len(out); n > 0 && out[n-1].name == name {
			out[n-1].columns = append(out[n-1].columns, i)
		} else {
			out = append(out, wholeFactor{name, []int{i}})
		}
	}
	return out
}

// squaredCorrelation returns (Σ cov)²/(Σ var·Σ var) of pred and y over the given columns, with its
// interval: the share of the factor's variance that one linear rescaling of the readings explains.
// It is 0 where either does not vary or the covariance is negative.
func squaredCorrelation(pred, y *mat.Dense, columns []int, key tensor.Key) metrics.Estimate {
	n, _ := y.Dims()
	return metrics.Bootstrap(n, func(idx []int) float64 {
		var cov, vp, vy float64
		for _, c := range columns {
			var p, t, pp, tt, pt float64
			for _, i := range idx {
				a, b := pred.At(i, c), y.At(i, c)
				p, t, pp, tt, pt = p+a, t+b, pp+a*a, tt+b*b, pt+a*b
			}
			m := float64(len(idx))
			cov, vp, vy = cov+pt-p*t/m, vp+pp-p*p/m, vy+tt-t*t/m
		}
		if cov <= 0 || vp <= 0 || vy <= 0 {
			return 0
		}
		return cov * cov / (vp * vy)
	}, key)
}
