package backendtest

import (
	"math"
	"testing"

	"afterimage/tensor"
)

// Error bounds, as multiples k of machine epsilon (twice the rounding error of one operation).
const (
	// kRounded: one IEEE operation errs by ½ε; a backend on an approximate divider may err by 1.
	kRounded = 1
	// kTranscendental: polynomial kernels of good quality err by 1 to 4 units in the last place.
	kTranscendental = 8
	// kSum: a sum of n ≤ 10⁵ terms, in chunks on several accumulators, errs by about √n/10
	// roundings of the sum of absolute values, but seldom in one direction.
	kSum = 32
	// kWinograd: F(4×4,3×3) multiplies by constants up to 8 on both sides of the product; relative
	// to the largest Σ|x||w| in the tensor its error grows by about one decimal digit.
	kWinograd = 256
	// kSteps: some steps of an optimizer, each a dozen roundings of numbers near 1.
	kSteps = 64
	// kChain: short formulas of several roundings.
	kChain = 8
)

// epsilon is the distance from 1 to the next number of the type in which dt is computed: F32 for
// BF16, whose results are then rounded once more.
func epsilon(dt tensor.DType) float64 {
	if dt == tensor.F64 {
		return 0x1p-52
	}
	return 0x1p-23
}

// roundBF16 is what rounding to bfloat16, with its 8 bits of mantissa, may change of a number.
const roundBF16 = 0x1p-8

// smallestNormal is what results may be off by near zero: a backend may flush subnormal results.
func smallestNormal(dt tensor.DType) float64 {
	if dt == tensor.F64 {
		return 0x1p-1022
	}
	return 0x1p-126
}

// tolerance is the bound k·ε·magnitude; without mag the magnitude is that of the result.
type tolerance struct {
	k     float64
	mag   func() []float64 // called on the oracle alone
	orNaN bool             // NaN is right everywhere
}

// exactly asks for equal values (NaN equal to NaN, 0 to −0).
func exactly() tolerance { return tolerance{} }

// within bounds the error relative to the result.
func within(k float64) tolerance { return tolerance{k: k} }

// withinSum bounds the error relative to a tensor of sums of absolute values.
func withinSum(k float64, mag func() *tensor.Tensor) tolerance {
	return tolerance{k: k, mag: func() []float64 { return mag().Floats() }}
}

// withinOne bounds the error absolutely, for results near 1.
func withinOne(k float64, n int) tolerance {
	return tolerance{k: k, mag: func() []float64 {
		m := make([]float64, n)
		for i := range m {
			m[i] = 1
		}
		return m
	}}
}

// compare reports where got leaves the bounds around want.
func compare(t *testing.T, dt tensor.DType, got, want []output) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("handed over %d outputs, the oracle %d", len(got), len(want))
	}
	for i, w := range want {
		compareOutput(t, dt, got[i], w)
	}
}

func compareOutput(t *testing.T, dt tensor.DType, got, want output) {
	t.Helper()
	bad, worst := 0, 0.0
	const shown = 3
	for i, w := range want.vals {
		g, bound := got.vals[i], 0.0
		if want.k > 0 {
			mag := math.Abs(w)
			if want.mag != nil {
				mag = want.mag[i]
			}
			bound = want.k*epsilon(dt)*mag + smallestNormal(dt)
		}
		switch {
		case dt == tensor.F64:
			bound *= 2 // the oracle computes in F64 as well: both err
		case got.dt == tensor.BF16 && want.k > 0:
			bound += roundBF16 * (math.Abs(w) + bound)
		}
		if ok := agrees(g, w, bound, got.dt); ok || want.orNaN && g != g {
			continue
		}
		if bad++; bad <= shown {
			t.Errorf("%s: element %d: got %.9g, want %.9g ± %.2g", want.name, i, g, w, bound)
		}
		worst = max(worst, math.Abs(g-w)/bound)
	}
	if bad > shown {
		t.Errorf("%s: %d of %d elements wrong, worst %.1f × the bound",
			want.name, bad, len(want.vals), worst)
	}
}

// agrees reports whether got is want, as a number of dt, up to bound. A want beyond dt's range is
// an infinity.
func agrees(got, want, bound float64, dt tensor.DType) bool {
	if math.IsInf(rounded(want, dt), 0) {
		want = rounded(want, dt)
	}
	if want != want || math.IsInf(want, 0) || got != got {
		return got == want || got != got && want != want
	}
	return math.Abs(got-want) <= bound
}

// sameBits reports the first difference between two runs of one case.
func sameBits(t *testing.T, label string, got, first []output) {
	t.Helper()
	for i, w := range first {
		if at := firstDifference(got[i].vals, w.vals); at >= 0 {
			t.Errorf("%s: %s: element %d: bits changed: %.17g, before %.17g",
				label, w.name, at, got[i].vals[at], w.vals[at])
		}
	}
}
