package metrics

import (
	"encoding/json"
	"math"
	"sort"
	"testing"

	"afterimage/tensor"
)

var testKey = tensor.NewKey(1, "bootstrap/test")

func TestEstimateText(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	cases := []struct {
		e    Estimate
		want string
	}{
		{Estimate{30.04, 28.06, 32.21, 100}, "30.0 [28.1, 32.2]"},
		{Estimate{0.0742, 0.0731, 0.0755, 100}, "0.0742 [0.0731, 0.0755]"},
		{Estimate{1234.5, 1000, 1500, 5}, "1234 [1000, 1500]"},
		{Estimate{-0.5, -0.75, -0.25, 5}, "−0.50 [−0.75, −0.25]"},
		{Estimate{-0.001, -0.1, 0.1, 5}, "0.00 [−0.10, 0.10]"},
		{Estimate{0.25, 0.25, 0.25, 1}, "0.2500 [0.2500, 0.2500]"},
		{Estimate{0, 0, 0, 1}, "0 [0, 0]"},
		{Estimate{0.5, nan, nan, 1}, "0.5000"},
		{Estimate{nan, nan, nan, 0}, "n/a"},
		{Estimate{inf, 20, inf, 3}, "∞ [20, ∞]"},
	}
	for _, c := range cases {
		if got := c.e.String(); got != c.want {
			t.Errorf("%v %v %v: %q, want %q", c.e.Value, c.e.Lo, c.e.Hi, got, c.want)
		}
	}
}

func TestEstimateJSON(t *testing.T) {
	b, err := json.Marshal(Estimate{30, 28.5, math.Inf(1), 7})
	if want := `{"value":30,"lo":28.5,"hi":null,"n":7}`; err != nil || string(b) != want {
		t.Fatalf("%s, %v, want %s", b, err, want)
	}
	var e Estimate
	if err := json.Unmarshal(b, &e); err != nil || e.Value != 30 || e.N != 7 || !math.IsNaN(e.Hi) {
		t.Errorf("read back %+v, %v", e, err)
	}
}

func TestConstantAndEmpty(t *testing.T) {
	if e := Mean([]float64{2, 2, 2}, testKey); e != (Estimate{2, 2, 2, 3}) {
		t.Errorf("constant: %+v", e)
	}
	if e := Median(nil, testKey); !math.IsNaN(e.Value) || e.N != 0 || e.String() != "n/a" {
		t.Errorf("empty: %+v", e)
	}
	inf := math.Inf(1)
	if e := Mean([]float64{inf, inf}, testKey); e.Value != inf || e.Lo != inf {
		t.Errorf("infinite: %+v", e)
	}
	mustPanic(t, "value 1 is NaN", func() { Mean([]float64{0, math.NaN()}, testKey) })
	mustPanic(t, "one pair per image", func() { PairedMean([]float64{1}, nil, testKey) })
}

func TestMedianOfResample(t *testing.T) {
	rng := tensor.NewRNG(testKey, 5)
	for n := 1; n < 12; n++ {
		x, idx, pick := make([]float64, n), make([]int, n), make([]float64, n)
		for i := range x {
			x[i] = float64(rng.IntN(5)) // with ties
		}
		m := newMedian(x)
		for range 50 {
			for i := range idx {
				idx[i] = rng.IntN(n)
				pick[i] = x[idx[i]]
			}
			sort.Float64s(pick)
			if got, want := m.at(idx), (pick[(n-1)/2]+pick[n/2])/2; got != want {
				t.Fatalf("median of %v = %v, want %v", pick, got, want)
			}
		}
	}
}

func TestQuantile(t *testing.T) {
	x := []float64{0, 10, 20, 30, 40}
	for p, want := range map[float64]float64{0: 0, 0.25: 10, 0.3: 12, 0.975: 39, 1: 40} {
		near(t, "quantile", quantile(x, p), want, 1e-12)
	}
}

// TestCoverage checks that intervals are neither decoration nor too wide: the true mean of
// a normal sample must lie inside about 95 of 100 times.
func TestCoverage(t *testing.T) {
	const trials, n = 100, 40
	rng := tensor.NewRNG(testKey, 9)
	inMean, inMedian := 0, 0
	for range trials {
		x := make([]float64, n)
		for i := range x {
			x[i] = rng.Normal()
		}
		if e := Mean(x, testKey); e.Lo <= 0 && 0 <= e.Hi {
			inMean++
		}
		if e := Median(x, testKey); e.Lo <= 0 && 0 <= e.Hi {
			inMedian++
		}
	}
	// Binomial(100, 0.95) lies in 87..100 with probability 0.999.
	if inMean < 87 || inMedian < 87 || inMean+inMedian == 2*trials {
		t.Errorf("coverage of mean %d, of median %d of %d", inMean, inMedian, trials)
	}
}

func TestPaired(t *testing.T) {
	n := 200
	rng := tensor.NewRNG(testKey, 3)
	a, b := make([]float64, n), make([]float64, n)
	for i := range a {
		b[i] = 10 * rng.Normal()
		a[i] = b[i] + 1 + 0.1*rng.Normal()
	}
	e := PairedMean(a, b, testKey)
	if e.Lo < 0.9 || e.Hi > 1.1 { // unpaired, the interval would be ±2
		t.Errorf("PairedMean = %v", e)
	}
	if m := PairedMedian(a, b, testKey); m.Lo > 1 || m.Hi < 1 {
		t.Errorf("PairedMedian = %v", m)
	}
	twice := make([]float64, n)
	for i := range twice {
		b[i] = math.Abs(b[i])
		twice[i] = 2 * b[i]
	}
	r := PairedRatio(twice, b, testKey)
	near(t, "ratio", r.Value, 2, 1e-12)
	near(t, "ratio width", r.Hi-r.Lo, 0, 1e-12)
	if again := PairedMean(a, b, testKey); again == e {
		t.Error("b changed, the estimate did not")
	}
	if x, y := Mean(a, testKey), Mean(a, testKey); x != y {
		t.Errorf("same key, different intervals: %v, %v", x, y)
	}
	if x, y := Mean(a, testKey), Mean(a, tensor.NewKey(2, "other")); x == y {
		t.Error("another key gave the same interval")
	}
}
