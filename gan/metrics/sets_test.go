package metrics

import (
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"afterimage/tensor"
)

func TestPrecisionRecallByHand(t *testing.T) {
	real := mat.NewDense(4, 1, []float64{0, 1, 2, 10}) // radii 1, 1, 1, 8 for one neighbour
	fake := mat.NewDense(4, 1, []float64{-1, -1.5, 2.5, 30})
	p, r := PrecisionRecall(real, fake, 1)
	near(t, "precision: -1 on the edge of 0's ball, 2.5 inside", p, 0.5, 0)
	// radii of fake: 0.5, 0.5, 3.5, 27.5: 2.5 reaches 0 (−1 … 6), 1 and 2, 30 reaches 10
	near(t, "recall", r, 1, 0)
	p, r = PrecisionRecall(real, real, 1)
	near(t, "self", p+r, 2, 0)
	far := mat.NewDense(2, 1, []float64{1000, 1001})
	p, r = PrecisionRecall(real, far, 1)
	near(t, "nothing in common", p+r, 0, 0)
	mustPanic(t, "1 ≤ k", func() { PrecisionRecall(real, far, 2) })
	nan := mat.NewDense(2, 1, []float64{1, math.NaN()})
	mustPanic(t, "is NaN", func() { PrecisionRecall(real, nan, 1) })
}

func TestCompareSets(t *testing.T) {
	key := tensor.NewKey(1, "sets")
	a := NewFeatures("pool of net", randomRows(40, 3, "a"))
	b := NewFeatures("pool of net", randomRows(30, 3, "b"))
	s, err := CompareSets(a, b, key)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Frechet("", a.Rows, b.Rows)
	if err != nil || s.Frechet != f.Value || s.N != 40 || s.M != 30 || s.Subsets != 1 ||
		s.Size != 30 || s.K != Neighbours {
		t.Errorf("%+v, %v", s, err)
	}
	if text := s.String(); !strings.Contains(text, "in pool of net, 3 features, 40 and 30 images") {
		t.Errorf("%q does not name the space and the samples", text)
	}
	small := NewFeatures("pool of net", randomRows(2, 3, "c"))
	if s, err = CompareSets(a, small, key); err != nil || s.K != 1 {
		t.Errorf("two images: %+v, %v", s, err)
	}
	mustPanic(t, "describe both by one network", func() {
		_, _ = CompareSets(a, NewFeatures("another", b.Rows), key)
	})
	mustPanic(t, "named space", func() { NewFeatures("", b.Rows) })
	mustPanic(t, "NaN", func() { NewFeatures("x", mat.NewDense(1, 1, []float64{math.NaN()})) })
}
