package metrics

import (
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"afterimage/tensor"
)

// frechetTol bounds rounding in eigenproblems of a few rows with values near 1.
const frechetTol = 1e-9

func frechet(t *testing.T, a, b *mat.Dense) float64 {
	t.Helper()
	f, err := Frechet("test features", a, b)
	if err != nil {
		t.Fatal(err)
	}
	return f.Value
}

func TestFrechetClosedForms(t *testing.T) {
	const n, d = 50, 6
	x := randomRows(n, d, "x")
	near(t, "self", frechet(t, x, x), 0, frechetTol)

	moved := mat.DenseCopyOf(x)
	moved.Apply(func(_, j int, v float64) float64 { return v + float64(j) }, moved)
	near(t, "equal covariances: squared distance of means", frechet(t, x, moved), 1+4+9+16+25, 1e-8)

	// Scaling by s about the mean: tr S·(1−s)², whatever S.
	mu := columnMeans(x)
	scaled := mat.DenseCopyOf(x)
	scaled.Apply(func(_, j int, v float64) float64 { return mu[j] + 3*(v-mu[j]) }, scaled)
	trace := 0.0
	for j := range d {
		trace += variance(mat.Col(nil, j, x))
	}
	near(t, "scaled", frechet(t, x, scaled), 4*trace, 1e-8)
	near(t, "symmetric", frechet(t, scaled, x), frechet(t, x, scaled), 1e-8)

	// One dimension, different both ways: (m1−m2)² + (s1−s2)².
	a, b := mat.NewDense(3, 1, []float64{-1, 0, 1}), mat.NewDense(3, 1, []float64{3, 5, 7})
	near(t, "1-D", frechet(t, a, b), 25+1, frechetTol)
}

func TestFrechetRankDeficient(t *testing.T) {
	// Fewer rows than features: covariances are singular, the value must still be finite and 0.
	x := randomRows(4, 9, "few")
	near(t, "self", frechet(t, x, x), 0, 1e-6) // √ of rounding in the null space
	mustPanic(t, "two rows", func() { _, _ = Frechet("s", mat.NewDense(1, 2, nil), x) })
	f, _ := Frechet("resnet32 pool", x, x)
	s := f.String()
	if !strings.Contains(s, "resnet32 pool, 9 features, 4 and 4") || strings.Contains(s, "FID") {
		t.Errorf("String = %q", s)
	}
}

func TestKID(t *testing.T) {
	key := tensor.NewKey(3, "kid")
	a, b := randomRows(300, 4, "a"), randomRows(300, 4, "b")
	far := mat.DenseCopyOf(b)
	far.Apply(func(_, _ int, v float64) float64 { return v + 1 }, far)
	same, sd := KID(a, b, 20, 100, key)
	apart, _ := KID(a, far, 20, 100, key)
	if math.Abs(same) > 4*sd || sd <= 0 { // unbiased: within its own spread of 0
		t.Errorf("same distribution: %v ± %v", same, sd)
	}
	if apart < 10*math.Abs(same) {
		t.Errorf("shifted: %v, not above same: %v", apart, same)
	}
	// Two rows each, by hand: x = ±1, y = 0: k(1,−1) = 0, k(0,0) = 1, k(x,0) = 1.
	got, _ := KID(mat.NewDense(2, 1, []float64{1, -1}), mat.NewDense(2, 1, nil), 1, 2, key)
	near(t, "by hand", got, 0+1-2, 0)
	mustPanic(t, "subsets", func() { KID(a, b, 1, 301, key) })
}
