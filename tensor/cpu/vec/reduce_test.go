package vec

import (
	"math"
	"math/rand/v2"
	"testing"
)

const (
	// tolSum: a lane adds at most 16 float32 values, each partial sum rounded once; everything
	// after that is float64.
	tolSum = 20.0
	// tolMoments bounds mean and variance: 16 roundings of float32 and the final conversion.
	tolMoments = 20.0
	// tolVariance is the promised relative accuracy of a variance whose mean is 100 times the
	// standard deviation: five digits.
	tolVariance = 1e-5
)

func randoms(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func TestSums(t *testing.T) {
	for _, v := range variants() {
		r := rand.New(rand.NewPCG(5, 6))
		for _, n := range append(sizes, 4099, 70001) {
			x := randoms(r, n)
			var s, as float64
			for _, a := range x {
				s, as = s+float64(a), as+math.Abs(float64(a))
			}
			within(t, v.name+" Sum", v.sum(x), s, tolSum*eps32*as)
			if again := v.sum(x); again != v.sum(append([]float32(nil), x...)) {
				t.Fatalf("%s Sum: another address, another sum", v.name)
			}
		}
		x := randoms(r, 100)
		x[37] = float32(math.NaN())
		if !math.IsNaN(v.sum(x)) {
			t.Fatalf("%s: NaN lost in a sum", v.name)
		}
	}
}

func TestDot(t *testing.T) {
	for _, v := range variants() {
		r := rand.New(rand.NewPCG(25, 26))
		for _, n := range append(sizes, 4099, 140001) {
			x, y := randoms(r, n), randoms(r, n)
			var s, as float64
			for i, a := range x {
				s, as = s+float64(a)*float64(y[i]), as+math.Abs(float64(a)*float64(y[i]))
			}
			within(t, v.name+" Dot", v.dot(x, y), s, tolSum*eps32*as)
			if v.dot(x, y) != v.dot(append([]float32(nil), x...), y) {
				t.Fatalf("%s Dot: another address, another sum", v.name)
			}
		}
	}
}

func TestAddDoubles(t *testing.T) {
	for _, v := range variants() {
		for n := range 35 {
			acc, x := make([]float64, n+1), make([]float64, n)
			for i := range x {
				acc[i], x[i] = float64(i)/3, 1/float64(i+1)
			}
			v.addDoubles(acc[:n], x)
			for i := range x {
				if want := float64(i)/3 + 1/float64(i+1); acc[i] != want {
					t.Fatalf("%s AddDoubles n %d: element %d is %v, want %v", v.name, n, i, acc[i], want)
				}
			}
			if acc[n] != 0 {
				t.Fatalf("%s AddDoubles wrote past its %d elements", v.name, n)
			}
		}
	}
}

func within(t *testing.T, what string, got, want, bound float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > bound {
		t.Fatalf("%s: got %v, want %v ± %v", what, got, want, bound)
	}
}

func TestArgMax(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, v := range variants() {
		r := rand.New(rand.NewPCG(7, 8))
		for _, n := range sizes {
			x := randoms(r, n)
			largest, at := -inf, -1
			for i, a := range x {
				if a > largest {
					largest, at = a, i
				}
			}
			if g := v.argMax(x); g != at {
				t.Fatalf("%s ArgMax n %d: %d, want %d", v.name, n, g, at)
			}
			if n == 0 {
				continue
			}
			for _, i := range []int{0, n / 2, n - 1} {
				y := append([]float32(nil), x...)
				y[i] = nan
				if got := v.argMax(y); got != i {
					t.Fatalf("%s ArgMax: NaN at %d of %d lost: %d", v.name, i, n, got)
				}
				y[i], y[n-1] = inf, inf
				if v.argMax(y) != i {
					t.Fatalf("%s ArgMax: the first of two maxima must win, at %d", v.name, i)
				}
			}
			if at := v.argMax([]float32{-inf, -inf}); at != 0 {
				t.Fatalf("%s ArgMax of -Inf: %d", v.name, at)
			}
		}
	}
}

var shapes = [][2]int{{0, 5}, {1, 1}, {3, 3}, {7, 16}, {8, 17}, {9, 64}, {40, 65}, {300, 10},
	{33, 100}, {64, 31}, {5, 515},
	{50, 80}, {33, 1024}, {16, 1040}}

func TestColumns(t *testing.T) {
	for _, v := range variants() {
		r := rand.New(rand.NewPCG(9, 10))
		for _, s := range shapes {
			rows, c := s[0], s[1]
			x, dy := randoms(r, rows*c), randoms(r, rows*c)
			mean, rstd, scale, shift := randoms(r, c), randoms(r, c), randoms(r, c), randoms(r, c)
			y := make([]float32, rows*c)
			v.scaleShiftReLU(y, x, scale, shift)
			weight := randoms(r, rows)
			acc := make([][]float64, 8)
			for i := range acc {
				acc[i] = make([]float64, c+1)
				for k := range acc[i] {
					acc[i][k] = 0.5 // what is there must be kept, and the guard too
				}
			}
			v.colSum(acc[0][:c], x)
			v.colMoments(acc[1][:c], acc[2][:c], x, mean)
			v.colDot2(acc[3][:c], acc[4][:c], dy, x, mean, rstd)
			v.colDot2ReLU(acc[5][:c], acc[6][:c], dy, x, mean, scale, shift, rstd)
			v.colSumWeighted(acc[7][:c], x, weight)
			for k := range c {
				checkColumn(t, v.name, acc, k, c, x, dy, y, mean, rstd, weight)
			}
			for i := range acc {
				if acc[i][c] != 0.5 {
					t.Fatalf("%s: column sum %d wrote past its %d channels", v.name, i, c)
				}
			}
		}
	}
}

func checkColumn(t *testing.T, name string, acc [][]float64, k, c int,
	x, dy, y, mean, rstd, weight []float32) {
	t.Helper()
	var want, mag [8]float64
	for i := k; i < len(x); i += c {
		u := float64(x[i]) - float64(mean[k])
		g, h := float64(dy[i]), float64(dy[i])*u*float64(rstd[k])
		terms := [8]float64{float64(x[i]), u, u * u, g, h, g, h,
			float64(x[i]) * float64(weight[i/c])}
		if !(y[i] > 0) {
			terms[5], terms[6] = 0, 0
		}
		for j, v := range terms {
			want[j] += v
			mag[j] += math.Abs(v)
		}
		// x - mean is rounded relative to its own size, which may be the larger operand's.
		mag[1] += math.Abs(u)
		mag[2] += 2 * u * u
	}
	for j := range want {
		within(t, name+" column sum", acc[j][k], want[j]+0.5, tolMoments*eps32*mag[j]+1e-15)
	}
}

func TestVarianceFarFromZero(t *testing.T) {
	const rows, c = 4001, 19
	for _, v := range variants() {
		r := rand.New(rand.NewPCG(11, 12))
		x := randoms(r, rows*c)
		for i := range x {
			x[i] += 100 // mean = 100 standard deviations
		}
		s, q := make([]float64, c), make([]float64, c)
		v.colMoments(s, q, x, x[:c])
		mean, variance := make([]float32, c), make([]float32, c)
		BNStats(mean, variance, s, q, x[:c], rows)
		for k := range c {
			var m, w float64
			for i := k; i < len(x); i += c {
				m += float64(x[i]) / rows
			}
			for i := k; i < len(x); i += c {
				w += (float64(x[i]) - m) * (float64(x[i]) - m) / rows
			}
			within(t, v.name+" mean", float64(mean[k]), m, 2*eps32*m)
			within(t, v.name+" variance", float64(variance[k]), w, tolVariance*w)
		}
	}
}

// BNBackward must be the derivative of batch norm: checked against the textbook formula in float64.
func TestBatchNormBackward(t *testing.T) {
	const rows, c = 50, 20
	// tolBN: dx is a difference of terms of size gamma·rstd·|dy|, each with a few roundings.
	const tolBN = 40 * eps32
	r := rand.New(rand.NewPCG(13, 14))
	x, dy, gamma := randoms(r, rows*c), randoms(r, rows*c), randoms(r, c)
	s, q := make([]float64, c), make([]float64, c)
	mean, variance, rstd := make([]float32, c), make([]float32, c), make([]float32, c)
	ColMoments(s, q, x, x[:c])
	BNStats(mean, variance, s, q, x[:c], rows)
	Rstd(rstd, variance, 1e-5)
	g1, g2 := make([]float64, c), make([]float64, c)
	ColDot2(g1, g2, dy, x, mean, rstd)
	a, b, d := make([]float32, c), make([]float32, c), make([]float32, c)
	for k := range a {
		s := float64(gamma[k]) * float64(rstd[k])
		a[k], d[k] = float32(s), float32(-s*g1[k]/rows)
		b[k] = float32(-s * float64(rstd[k]) * g2[k] / rows)
	}
	dx := make([]float32, rows*c)
	BNBackward(dx, dy, x, mean, a, b, d)
	for i := range dx {
		k := i % c
		xhat := (float64(x[i]) - float64(mean[k])) * float64(rstd[k])
		scale := float64(gamma[k]) * float64(rstd[k])
		want := scale * (float64(dy[i]) - g1[k]/rows - xhat*g2[k]/rows)
		mag := math.Abs(scale) * (math.Abs(float64(dy[i])) + math.Abs(g1[k]/rows) +
			(math.Abs(xhat)+math.Abs(float64(mean[k])*float64(rstd[k])))*math.Abs(g2[k]/rows))
		within(t, "BNBackward", float64(dx[i]), want, tolBN*mag)
	}
}
