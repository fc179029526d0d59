package explore

import (
	"strings"

	"afterimage/gan/metrics"
	"afterimage/nn/data"
	"afterimage/tensor"

	"gonum.org/v1/gonum/mat"
)

// A FactorScore says how well a factor of the scene can be read off the pictures, as R² over the
// test images; 0 is as good as its mean. Parts of one factor (sine and cosine, x and y) count
// together.
type FactorScore struct {
	Name string `json:"name"`
	// from the true images: the ceiling of this regressor
	Real      metrics.Estimate  `json:"real"`
	Recovered metrics.Estimate  `json:"recovered"`            // from the reconstructions, one draw
	Label     *metrics.Estimate `json:"label_only,omitempty"` // from the label control's pictures
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
	r, err := metrics.FitFactors(m, factorRows(train, o.TrainImages), names, tensor.NewKey(o.Seed,
		"explore/factors"))
	if err != nil {
		return err
	}
	truth := factorRows(known, o.Images)
	read := []*mat.Dense{r.Read(j.truth), r.Read(recon)}
	if o.Control != nil {
		read = append(read, r.Read(o.Control.Paint(j.answer, Noise{o.Seed, 0})))
	}
	for _, f := range wholeFactors(names) {
		s := FactorScore{Name: f.name, Real: pooledR2(read[0], truth, f.columns, j.key("factors")),
			Recovered: pooledR2(read[1], truth, f.columns, j.key("factors"))}
		if len(read) > 2 {
			l := pooledR2(read[2], truth, f.columns, j.key("factors"))
			s.Label = &l
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

// pooledR2 returns 1 − Σ SSE/Σ SST over the given columns with its interval; the mean that SST is
// about is the sample's.
func pooledR2(pred, y *mat.Dense, columns []int, key tensor.Key) metrics.Estimate {
	n, _ := y.Dims()
	mean := make([]float64, len(columns))
	for k, c := range columns {
		mean[k] = mat.Sum(y.ColView(c)) / float64(n)
	}
	sse, sst := make([]float64, n), make([]float64, n)
	for i := range n {
		for k, c := range columns {
			e, t := y.At(i, c)-pred.At(i, c), y.At(i, c)-mean[k]
			sse[i] += e * e
			sst[i] += t * t
		}
	}
	r := metrics.PairedRatio(sse, sst, key)
	return metrics.Estimate{Value: 1 - r.Value, Lo: 1 - r.Hi, Hi: 1 - r.Lo, N: r.N}
}
