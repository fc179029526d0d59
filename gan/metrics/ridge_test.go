package metrics

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"afterimage/tensor"
)

func TestRidgeRecoversAffineMap(t *testing.T) {
	const n, p, q = 2500, 4, 3 // three chunks, the last of them partial
	x, w := randomRows(n, p, "x"), randomRows(p, q, "w")
	x.Apply(func(_, j int, v float64) float64 { return v + 1000*float64(j) }, x) // far from 0
	y := mat.NewDense(n, q, nil)
	y.Mul(x, w)
	y.Apply(func(_, j int, v float64) float64 { return v + float64(j) }, y)
	l, err := Ridge(x, y, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p {
		for j := range q {
			near(t, "weight", l.W.At(i, j), w.At(i, j), 1e-9)
		}
	}
	for j := range q {
		near(t, "R²", eachR2(l.Predict(x), y)[j], 1, 1e-12)
	}
}

func TestRidgeShrinks(t *testing.T) {
	x := mat.NewDense(4, 1, []float64{1, 2, 3, 4})
	y := mat.NewDense(4, 1, []float64{12, 14, 16, 18}) // slope 2 about (2.5, 15), variance 1.25
	l, err := Ridge(x, y, 0.75)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "slope", l.W.At(0, 0), 2*1.25/(1.25+0.75), 1e-12)
	near(t, "intercept", l.B[0], 15-1.25*2.5, 1e-12)

	twin := mat.NewDense(4, 2, []float64{1, 1, 2, 2, 3, 3, 4, 4})
	if _, err := Ridge(twin, y, 0); err == nil {
		t.Error("equal columns without a penalty gave no error")
	}
	mustPanic(t, "lambda", func() { _, _ = Ridge(x, y, -1) })
	mustPanic(t, "rows", func() { _, _ = Ridge(x, mat.NewDense(3, 1, nil), 1) })
}

// eachR2 returns R² of each output.
func eachR2(pred, y *mat.Dense) (r []float64) {
	_, q := y.Dims()
	for j := range q {
		r = append(r, PooledR2(pred, y, []int{j}, testKey).Value)
	}
	return r
}

func TestR2(t *testing.T) {
	y := mat.NewDense(4, 2, []float64{1, 5, 2, 5, 3, 5, 4, 5})
	pred := mat.NewDense(4, 2, []float64{1, 5, 2, 5, 3, 5, 3, 5})
	near(t, "R²", eachR2(pred, y)[0], 1-1.0/5, 1e-15)
	pooled := PooledR2(pred, y, []int{0, 1}, testKey)
	near(t, "pooled", pooled.Value, 0.8, 1e-15)
	if pooled.Lo > pooled.Value || pooled.Hi < pooled.Value || pooled.N != 4 {
		t.Errorf("pooled: %+v", pooled)
	}
	near(t, "pooled, the truth", PooledR2(y, y, []int{0}, testKey).Value, 1, 0)
	mean := mat.NewDense(4, 2, []float64{2.5, 5, 2.5, 5, 2.5, 5, 2.5, 5})
	near(t, "pooled, the mean", PooledR2(mean, y, []int{0, 1}, testKey).Value, 0, 1e-15)
	e := PooledR2(randomRows(300, 1, "p"), randomRows(300, 1, "y"), []int{0}, testKey)
	// Unrelated, equal variances: R² is about −1.
	if e.Value > -0.5 || e.Lo > e.Value || e.Hi < e.Value || e.N != 300 {
		t.Errorf("unrelated prediction: %+v", e)
	}
}

func TestProbeFindsNonlinearCode(t *testing.T) {
	if testing.Short() {
		t.Skip("short: three fits of 2500 rows; TestFactorRegressor makes one")
	}
	const n = 3000
	x := randomRows(n, 3, "code")
	y := mat.NewDense(n, 2, nil)
	for i := range n {
		r := x.RawRowView(i)
		y.SetRow(i, []float64{math.Abs(r[0]) + r[1]*r[2], math.Sin(2 * r[1])})
	}
	cfg := ProbeConfig{Key: tensor.NewKey(1, "probe")}
	p, err := FitProbe(rowsOf(x, 0, 2500), rowsOf(y, 0, 2500), cfg)
	if err != nil {
		t.Fatal(err)
	}
	held := p.Predict(rowsOf(x, 2500, n))
	for j, r := range eachR2(held, rowsOf(y, 2500, n)) {
		if r < 0.95 {
			t.Errorf("output %d: R² = %.3f on held-out rows", j, r)
		}
	}
	again, _ := FitProbe(rowsOf(x, 0, 2500), rowsOf(y, 0, 2500), cfg)
	if !mat.Equal(held, again.Predict(rowsOf(x, 2500, n))) {
		t.Error("same key, different bits")
	}
	// Scale, offset and a constant input must not matter: inputs are standardised.
	wide := mat.NewDense(n, 4, nil)
	for i := range n {
		r := x.RawRowView(i)
		wide.SetRow(i, []float64{1e3*r[0] + 5, r[1], r[2] / 1e3, 7})
	}
	p, err = FitProbe(rowsOf(wide, 0, 2500), rowsOf(y, 0, 2500), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := PooledR2(p.Predict(rowsOf(wide, 2500, n)), rowsOf(y, 2500, n), []int{0, 1}, testKey)
	if r.Value < 0.95 {
		t.Errorf("rescaled inputs: R² = %.3f", r.Value)
	}
}

func TestProbeOnUnrelatedCode(t *testing.T) {
	x, y := randomRows(1200, 5, "x"), randomRows(1200, 1, "y")
	cfg := ProbeConfig{Features: 64, Key: testKey}
	p, err := FitProbe(rowsOf(x, 0, 900), rowsOf(y, 0, 900), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if p.Lambda < 0.1 { // there is nothing to learn: the strongest penalties must win
		t.Errorf("lambda = %g", p.Lambda)
	}
	r := PooledR2(p.Predict(rowsOf(x, 900, 1200)), rowsOf(y, 900, 1200), []int{0}, testKey)
	near(t, "held-out R²", r.Value, 0, 0.05)
	mustPanic(t, "fitted on 5", func() { p.Predict(y) })
}

// discs draws n images of one soft-edged disc each and returns them with their factors: centre x,
// y, radius, and the red of disc and background.
func discs(n int, stream string) (Images, *mat.Dense) {
	const side = 32
	rng := tensor.NewRNG(tensor.NewKey(4, stream), 0)
	pix := make([]float32, n*side*side*3)
	f := mat.NewDense(n, 5, nil)
	for i := range n {
		cx, cy, r := rng.Uniform(9, 23), rng.Uniform(9, 23), rng.Uniform(4, 8)
		fg := [3]float64{rng.Uniform(0.5, 1), rng.Float64(), rng.Float64()}
		bg := [3]float64{rng.Uniform(0, 0.5), rng.Float64(), rng.Float64()}
		f.SetRow(i, []float64{cx, cy, r, fg[0], bg[0]})
		for y := range side {
			for x := range side {
				in := min(max(r-math.Hypot(float64(x)+0.5-cx, float64(y)+0.5-cy)+0.5, 0), 1)
				for c := range 3 {
					pix[((i*side+y)*side+x)*3+c] = float32(in*fg[c] + (1-in)*bg[c])
				}
			}
		}
	}
	return NewImages(n, side, side, 3, Unit, pix), f
}

func TestFactorRegressor(t *testing.T) {
	names := []string{"x", "y", "size", "object red", "background red"}
	train, f := discs(1500, "train")
	reg, err := FitFactors(train, f, names, testKey)
	if err != nil {
		t.Fatal(err)
	}
	test, want := discs(300, "test")
	for j, r := range eachR2(reg.Read(test.In(Signed)), want) {
		if r < 0.9 {
			t.Errorf("%s: R² = %.3f on held-out pictures", names[j], r)
		}
	}
	// Pictures that keep only the background must lose the object's factors and no other.
	for i := range test.N {
		p := test.At(i)
		for k := range p {
			p[k] = p[k%3]
		}
	}
	got := eachR2(reg.Read(test), want)
	if got[4] < 0.9 || got[0] > 0.1 || got[2] > 0.1 {
		t.Errorf("background only: R² = %.3f", got)
	}
	mustPanic(t, "names", func() { _, _ = FitFactors(train, f, names[:2], testKey) })
}
