package gemm

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// guard fills memory that must not be written.
const guard = -777.25

// tolerance bounds |error| / (k + 4) / sum of |a||b|: each multiply-add rounds once (fused) or
// twice, 2^-24 relative to a partial sum that is at most the sum of magnitudes.
const tolerance = 2.0 / (1 << 24)

type problem struct {
	transA, transB bool
	m, n, k        int
	alpha, beta    float32
	lda, ldb, ldc  int
	a, b, c        []float32
}

func newProblem(rng *rand.Rand, transA, transB bool, m, n, k int) *problem {
	q := &problem{transA: transA, transB: transB, m: m, n: n, k: k, alpha: 1}
	ra, ca, rb, cb := m, k, k, n
	if transA {
		ra, ca = ca, ra
	}
	if transB {
		rb, cb = cb, rb
	}
	q.lda, q.ldb, q.ldc = ca+rng.IntN(3), cb+rng.IntN(3), max(1, n)+rng.IntN(3)
	q.a, q.b = random(rng, ra*q.lda), random(rng, rb*q.ldb)
	q.c = make([]float32, m*q.ldc+7)
	for i := range q.c {
		q.c[i] = guard
	}
	return q
}

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = rng.Float32()*2 - 1
	}
	return x
}

func (q *problem) solve(v micro.Variant, p *par.Pool) []float32 {
	c := slices.Clone(q.c)
	sgemm(v, p, q.transA, q.transB, q.m, q.n, q.k, q.alpha, q.a, q.lda, q.b, q.ldb, q.beta,
		c[:max(0, len(c)-7)], q.ldc, Epilogue{})
	return c
}

func (q *problem) at(i, j, l int) (a, b float64) {
	ia, ib := i*q.lda+l, l*q.ldb+j
	if q.transA {
		ia = l*q.lda + i
	}
	if q.transB {
		ib = j*q.ldb + l
	}
	return float64(q.a[ia]), float64(q.b[ib])
}

// check compares a result with a float64 sum of products.
func (q *problem) check(t *testing.T, what string, got []float32) {
	t.Helper()
	for i, c := range got {
		if (i/q.ldc >= q.m || i%q.ldc >= q.n) && c != guard {
			t.Fatalf("%s: C[%d], outside the matrix, is now %g", what, i, c)
		}
	}
	for i := range q.m {
		for j := range q.n {
			var sum, mag float64
			for l := range q.k {
				a, b := q.at(i, j, l)
				sum += a * b
				mag += math.Abs(a * b)
			}
			before := float64(q.c[i*q.ldc+j])
			want := float64(q.alpha) * sum
			mag *= math.Abs(float64(q.alpha))
			if q.beta != 0 {
				want += float64(q.beta) * before
				mag += math.Abs(float64(q.beta) * before)
			}
			g := float64(got[i*q.ldc+j])
			if math.Abs(g-want) > tolerance*float64(q.k+4)*mag {
				t.Fatalf("%s: C[%d,%d] = %g, want %g", what, i, j, g, want)
			}
		}
	}
}

func pools(t testing.TB) []*par.Pool {
	var ps []*par.Pool
	for threads := 1; threads <= 3; threads++ {
		p := par.New(threads)
		t.Cleanup(p.Close)
		ps = append(ps, p)
	}
	return ps
}
