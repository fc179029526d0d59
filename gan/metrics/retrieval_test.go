package metrics

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"afterimage/tensor"
)

func TestRetrieval(t *testing.T) {
	// Gallery on a line. Class 0: positions 0, 1, 2, 3, 1 (a twin of the second); class 1: 9.
	gallery := mat.NewDense(6, 1, []float64{0, 1, 2, 3, 1, 9})
	class := []int32{0, 0, 0, 0, 0, 1}
	cases := []struct {
		name  string
		query float64
		truth int
		class int32
		want  float64
	}{
		{"exact", 0, 0, 0, 0},
		{"farthest", 3.1, 0, 0, 100},
		{"its twin ties", 1.1, 1, 0, 12.5},         // half of one of four
		{"two nearer, none tied", 2.4, 1, 0, 62.5}, // 2 and 3 nearer, twin ties
		{"alone in its class", 9, 5, 1, math.NaN()},
		{"another class: own image is no rival", 9, 5, 0, 0},
		{"another class, farther", 3, 5, 0, 100},
	}
	for _, c := range cases {
		got := Retrieval(mat.NewDense(1, 1, []float64{c.query}), gallery,
			Lineup{[]int{c.truth}, []int32{c.class}, class})[0]
		if got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := Defined([]float64{1, math.NaN(), 2}); len(got) != 2 || got[1] != 2 {
		t.Errorf("Defined = %v", got)
	}
}

func TestRetrievalByChance(t *testing.T) {
	const n = 400
	g := randomRows(n, 5, "gallery")
	class := make([]int32, n)
	for i := range class {
		class[i] = int32(i % 4)
	}
	rank := Retrieval(randomRows(200, 5, "queries"), g, FirstN(200, class))
	// The standard error of the mean of 200 uniform ranks is 100/√(12·200) = 2.04.
	near(t, "mean rank of unrelated queries", Average(rank), 50, 4*2.04)
	near(t, "mean rank of the images themselves", Average(Retrieval(g, g, FirstN(n, class))), 0, 0)
}

func TestRetrievalRefusesNaN(t *testing.T) {
	g := mat.NewDense(2, 1, []float64{0, 1})
	q := mat.NewDense(1, 1, []float64{math.NaN()})
	mustPanic(t, "queries[0, 0] is NaN", func() { Retrieval(q, g, FirstN(1, []int32{0, 0})) })
	mustPanic(t, "outside the gallery", func() {
		Retrieval(g, g, Lineup{[]int{0, 2}, []int32{0, 0}, []int32{0, 0}})
	})
	mustPanic(t, "classes", func() { Retrieval(g, g, FirstN(1, []int32{0, 0})) })
}

func TestAgreementAndLogitDistance(t *testing.T) {
	orig := mat.NewDense(3, 2, []float64{3, 4, 1, 0, 2, 2})
	recon := mat.NewDense(3, 2, []float64{3, 0, 1, 0, 0, 1})
	if got := Agreement(recon, orig); got[0] != 0 || got[1] != 1 || got[2] != 0 {
		t.Errorf("Agreement = %v, want [0 1 0]: the first maximum wins", got)
	}
	d := LogitDistance(recon, orig)
	near(t, "distance", d[0], 0.8, 1e-15)
	near(t, "distance of equals", d[1], 0, 0)
	mustPanic(t, "shapes differ", func() { Agreement(recon, mat.NewDense(1, 2, nil)) })
}

func TestMatrixAndOneHot(t *testing.T) {
	if m := Matrix(2, 2, []float32{1, 2, 3, 4}); m.At(1, 0) != 3 {
		t.Errorf("Matrix = %v", m)
	}
	inf := float32(math.Inf(1))
	mustPanic(t, "value 1 of row 0 is +Inf", func() { Matrix(1, 2, []float32{0, inf}) })
	if m := OneHot([]int32{2, 0}, 3); m.At(0, 2) != 1 || m.At(1, 0) != 1 || mat.Sum(m) != 2 {
		t.Errorf("OneHot = %v", m)
	}
	mustPanic(t, "label 3", func() { OneHot([]int32{3}, 3) })
}

// randomRows returns standard normal rows [n d].
func randomRows(n, d int, stream string) *mat.Dense {
	rng := tensor.NewRNG(tensor.NewKey(7, stream), 0)
	m := mat.NewDense(n, d, nil)
	m.Apply(func(int, int, float64) float64 { return rng.Normal() }, m)
	return m
}
