package metrics

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"afterimage/tensor"
)

// ProbeConfig fixes a Probe. The zero value of a field means its default.
type ProbeConfig struct {
	Features int        // random ReLU features beside the inputs themselves; default 512
	Lambdas  []float64  // penalties to choose from; default 1e-5, 1e-4, …, 1
	Key      tensor.Key // draws the features
}

// A Probe is a small regressor whose fit is exact and needs no tuning: inputs are standardised,
// joined by random features relu(x·u + t) with fixed unit directions u and thresholds t, and the
// rest is one ridge regression. It answers what there is to recover from a code, in seconds and
// without a generator. Source of the random features: Rahimi and Recht 2008; a two-layer network
// whose first layer is not trained.
type Probe struct {
	Lambda float64 // the penalty chosen
	mean   []float64
	scale  []float64  // 1/σ of each input; 0 for a constant one
	dirs   *mat.Dense // [inputs, features]
	bias   []float64  // [features]
	lin    *Linear
}

// FitProbe fits targets [n, q] (8×8 block means, factors) from codes [n, p] (one-hot labels,
// logits, features). The penalty is the one of cfg.Lambdas with the smallest error on a tenth of
// the rows (the last) after fitting on the rest; all rows are then used.
// Rows must be in an order that does not depend on the target. 10,000 rows of 512 inputs take a
// few seconds. It panics if rows differ in number, n < 10 or a value is not finite.
func FitProbe(code, target *mat.Dense, cfg ProbeConfig) (*Probe, error) {
	const op = "metrics.FitProbe"
	n, _ := code.Dims()
	if tn, _ := target.Dims(); tn != n || n < 10 {
		fail(op, "%d codes and %d targets: expected equal, at least 10", n, tn)
	}
	checkFinite(op, "code", code)
	checkFinite(op, "target", target)
	p := newProbe(code, cfg)
	m := newMoments(func(lo, hi int) *mat.Dense { return p.expand(rowsOf(code, lo, hi)) }, target)
	cut := n - n/10
	m.add(0, cut)
	held, want := p.expand(rowsOf(code, cut, n)), rowsOf(target, cut, n)
	best := math.Inf(1)
	lambdas := cfg.Lambdas
	if len(lambdas) == 0 {
		lambdas = []float64{1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1}
	}
	for _, l := range lambdas {
		lin, err := m.solve(l)
		if err != nil {
			return nil, err
		}
		if e := Average(RowMSE(lin.Predict(held), want)); e < best {
			best, p.Lambda = e, l
		}
	}
	m.add(cut, n)
	var err error
	p.lin, err = m.solve(p.Lambda)
	return p, err
}

// newProbe standardises by the codes and draws the random features.
func newProbe(code *mat.Dense, cfg ProbeConfig) *Probe {
	n, d := code.Dims()
	h := cfg.Features
	if h == 0 {
		h = 512
	}
	p := &Probe{mean: columnMeans(code), scale: make([]float64, d), bias: make([]float64, h),
		dirs: mat.NewDense(d, h, nil)}
	for i := range n {
		for j, v := range code.RawRowView(i) {
			p.scale[j] += (v - p.mean[j]) * (v - p.mean[j])
		}
	}
	for j, ss := range p.scale {
		p.scale[j] = 0
		// A column whose deviation is rounding noise of its mean is constant.
		if sd := math.Sqrt(ss / float64(n)); sd > 1e-12*math.Abs(p.mean[j]) && sd > 0 {
			p.scale[j] = 1 / sd
		}
	}
	rng := tensor.NewRNG(cfg.Key, 0)
	for f := range h {
		norm := 0.0
		for j := range d {
			v := rng.Normal()
			p.dirs.Set(j, f, v)
			norm += v * v
		}
		for j := range d {
			p.dirs.Set(j, f, p.dirs.At(j, f)/math.Sqrt(norm))
		}
		p.bias[f] = rng.Uniform(-2, 2) // thresholds cover ±2 σ of a standardised projection
	}
	return p
}

// expand returns standardised inputs and their random features, [n, inputs + features].
func (p *Probe) expand(code *mat.Dense) *mat.Dense {
	n, d := code.Dims()
	h := len(p.bias)
	z := mat.NewDense(n, d, nil)
	for i := range n {
		row := z.RawRowView(i)
		for j, v := range code.RawRowView(i) {
			row[j] = (v - p.mean[j]) * p.scale[j]
		}
	}
	var r mat.Dense
	r.Mul(z, p.dirs)
	out := mat.NewDense(n, d+h, nil)
	for i := range n {
		row := out.RawRowView(i)
		copy(row, z.RawRowView(i))
		for f, v := range r.RawRowView(i) {
			row[d+f] = max(0, v+p.bias[f])
		}
	}
	return out
}

// Predict returns the regression of codes [n, p], [n, q].
// It panics if the width differs from the fitted one.
func (p *Probe) Predict(code *mat.Dense) *mat.Dense {
	n, d := code.Dims()
	if n == 0 {
		return &mat.Dense{}
	}
	if d != len(p.mean) {
		fail("metrics.Probe.Predict", "%d inputs, fitted on %d", d, len(p.mean))
	}
	checkFinite("metrics.Probe.Predict", "code", code)
	_, q := p.lin.W.Dims()
	out := mat.NewDense(n, q, nil)
	for lo := 0; lo < n; lo += chunkRows {
		hi := min(lo+chunkRows, n)
		rowsOf(out, lo, hi).Copy(p.lin.Predict(p.expand(rowsOf(code, lo, hi))))
	}
	return out
}
