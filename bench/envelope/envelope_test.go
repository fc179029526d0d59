package envelope

import (
	"fmt"
	"math"
	"testing"
)

// runs are curves of two steps, the first of which is the same in all.
func runs() Curves {
	return Curves{Plain: []float64{1, 2}, Other: []float64{1, 2.1},
		Perturbed: [][]float64{{1, 2.5}, {1, 2.25}}}
}

// TestJudge puts a curve just inside and just outside of each band.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		loss                    float64
		widened, within, strict int
	}{
		{2.3, 2, 2, 2}, {2.1, 2, 2, 1}, {2, 2, 2, 1}, {1.9, 2, 1, 1}, {1.5001, 2, 1, 1},
		{2.9999, 2, 1, 1}, {3.01, 1, 1, 1}, {1.49, 1, 1, 1}, {math.NaN(), 1, 1, 1},
	} {
		j := runs().Judge([]float64{1, c.loss})
		if j.Steps != 2 || j.Widened != c.widened || j.Within != c.within || j.Strict != c.strict ||
			len(j.Outside) != 2-c.widened {
			t.Errorf("%g: %+v", c.loss, j)
		}
		if outside := !(j.Excess <= 1+1e-5); outside != (c.widened < 2) {
			t.Errorf("%g: excess %g", c.loss, j.Excess)
		}
	}
	if j := runs().Judge([]float64{1 + 1e-7, 2}); j.Widened != 2 || j.Within != 1 {
		t.Errorf("a rounding outside of a band without width: %+v", j)
	}
}

// TestLeftOut wants every run judged by all the others and none by itself.
func TestLeftOut(t *testing.T) {
	got := runs().LeftOut()
	for i, want := range []Judgement{{Widened: 2, Within: 1, Strict: 1}, // 2.5, others 2 … 2.25
		{Widened: 2, Within: 2, Strict: 2},   // 2.25, others 2 … 2.5
		{Widened: 2, Within: 1, Strict: 1},   // 2, others 2.1 … 2.5
		{Widened: 2, Within: 2, Strict: 1}} { // 2.1, others 2 … 2.5
		if g := got[i]; g.Widened != want.Widened || g.Within != want.Within ||
			g.Strict != want.Strict {
			t.Errorf("run %d: %+v, want %+v", i, g, want)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d runs were left out of 4", len(got))
	}
}

func ExampleCurves_Judge() {
	c := Curves{Plain: []float64{2.30, 2.20}, Other: []float64{2.30, 2.21},
		Perturbed: [][]float64{{2.30, 2.19}, {2.30, 2.22}}}
	j := c.Judge([]float64{2.30, 2.24})
	fmt.Printf("%d of %d steps in the widened band, %d in the band\n", j.Widened, j.Steps, j.Within)
	// Output: 2 of 2 steps in the widened band, 1 in the band
}

// TestCalm wants the steps before the runs part, and a NaN there remembered whatever follows.
func TestCalm(t *testing.T) {
	c := Curves{Plain: []float64{2, 2, 2}, Other: []float64{2, 2.019, 2},
		Perturbed: [][]float64{{2, 2, 2.03}, {2, 2, 2}}}
	calm := c.Calm()
	if len(calm.Plain) != 2 || len(calm.Other) != 2 || len(calm.Perturbed) != 2 ||
		len(calm.Perturbed[0]) != 2 {
		t.Fatalf("got %+v, expected two steps", calm)
	}
	if e := calm.Judge([]float64{math.NaN(), 2}).Excess; !math.IsInf(e, 1) {
		t.Errorf("a NaN is %g widths outside", e)
	}
}
