package metrics

import (
	"math"
	"sort"

	"afterimage/tensor"
)

// Resamples is the number of bootstrap resamples behind every interval. At 2,000 the limits of
// a 95 % interval move by about a twentieth of its width from one key to another.
const Resamples = 2000

// Bootstrap returns stat over all n images with its 95 % percentile interval: stat is computed
// on Resamples draws of n indices with replacement, and the 2.5 % and 97.5 % points are
// interpolated linearly between order statistics. The first call gets 0, 1, …, n−1.
// stat must not keep idx. With n = 0 every number is NaN; a resample in which stat is NaN makes the
// interval NaN. Source: Efron and Tibshirani 1993, chapter 13.
func Bootstrap(n int, stat func(idx []int) float64, key tensor.Key) Estimate {
	nan := math.NaN()
	if n == 0 {
		return Estimate{nan, nan, nan, 0}
	}
	idx := make([]int, n)
	for i := range idx {
		idx[i] = i
	}
	value := stat(idx)
	rng := tensor.NewRNG(key, 0)
	vals := make([]float64, Resamples)
	for r := range vals {
		for i := range idx {
			idx[i] = rng.IntN(n)
		}
		vals[r] = stat(idx)
		if math.IsNaN(vals[r]) {
			return Estimate{value, nan, nan, n}
		}
	}
	sort.Float64s(vals)
	return Estimate{value, quantile(vals, 0.025), quantile(vals, 0.975), n}
}

// quantile interpolates between the order statistics of sorted values (Hyndman and Fan's type 7).
func quantile(sorted []float64, p float64) float64 {
	h := p * float64(len(sorted)-1)
	i := int(h)
	if i+1 >= len(sorted) || sorted[i] == sorted[i+1] { // equal: ∞ − ∞ must not become NaN
		return sorted[i]
	}
	return sorted[i] + (h-float64(i))*(sorted[i+1]-sorted[i])
}

// Mean returns the mean of x with its interval. It panics if x holds NaN (see Defined).
func Mean(x []float64, key tensor.Key) Estimate {
	checkNumbers("metrics.Mean", x)
	return Bootstrap(len(x), func(idx []int) float64 { return meanAt(x, idx) }, key)
}

// Median returns the median of x (the mean of the middle two for even n) with its interval.
// It panics if x holds NaN (see Defined).
func Median(x []float64, key tensor.Key) Estimate {
	checkNumbers("metrics.Median", x)
	m := newMedian(x)
	return Bootstrap(len(x), m.at, key)
}

// PairedMean returns the mean of a[i] − b[i] over the same images, with its interval.
// It panics if the lengths differ or either holds NaN.
func PairedMean(a, b []float64, key tensor.Key) Estimate {
	checkPair("metrics.PairedMean", a, b)
	return Bootstrap(len(a), func(idx []int) float64 {
		return meanAt(a, idx) - meanAt(b, idx)
	}, key)
}

// PairedMedian returns median(a) − median(b) with its interval; each resample draws the same
// images for both. It panics if the lengths differ or either holds NaN.
func PairedMedian(a, b []float64, key tensor.Key) Estimate {
	checkPair("metrics.PairedMedian", a, b)
	ma, mb := newMedian(a), newMedian(b)
	return Bootstrap(len(a), func(idx []int) float64 { return ma.at(idx) - mb.at(idx) }, key)
}

// PairedRatio returns mean(a) / mean(b) with its interval; each resample draws the same images for
// both. It panics if the lengths differ or either holds NaN.
func PairedRatio(a, b []float64, key tensor.Key) Estimate {
	checkPair("metrics.PairedRatio", a, b)
	return Bootstrap(len(a), func(idx []int) float64 {
		return meanAt(a, idx) / meanAt(b, idx)
	}, key)
}

func checkPair(op string, a, b []float64) {
	if len(a) != len(b) {
		fail(op, "%d and %d values: expected one pair per image", len(a), len(b))
	}
	checkNumbers(op, a)
	checkNumbers(op, b)
}

func checkNumbers(op string, x []float64) {
	for i, v := range x {
		if math.IsNaN(v) {
			fail(op, "value %d is NaN: drop undefined values with Defined and report how many", i)
		}
	}
}

func meanAt(x []float64, idx []int) float64 {
	sum := 0.0
	for _, i := range idx {
		sum += x[i]
	}
	return sum / float64(len(idx))
}

// median finds medians of resamples without sorting each: values are sorted once, a resample
// becomes counts per rank, and one walk over the counts finds the middle.
type median struct {
	sorted []float64
	rank   []int32 // of each value
	count  []int32
}

func newMedian(x []float64) *median {
	n := len(x)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return x[order[i]] < x[order[j]] })
	m := &median{make([]float64, n), make([]int32, n), make([]int32, n)}
	for r, i := range order {
		m.sorted[r], m.rank[i] = x[i], int32(r)
	}
	return m
}

func (m *median) at(idx []int) float64 {
	clear(m.count)
	for _, i := range idx {
		m.count[m.rank[i]]++
	}
	n := len(idx)
	lower, seen := math.NaN(), 0
	for r, c := range m.count {
		seen += int(c)
		if math.IsNaN(lower) && seen > (n-1)/2 {
			lower = m.sorted[r]
		}
		if seen > n/2 {
			if lower == m.sorted[r] { // also when both are infinite
				return lower
			}
			return (lower + m.sorted[r]) / 2
		}
	}
	return lower
}
