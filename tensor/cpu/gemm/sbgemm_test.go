package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// rounded returns the problem with A and B rounded to bfloat16. Its products are exact in float32,
// so that what is computed from it has float32's bound.
func (q *problem) rounded() *problem {
	r := *q
	r.a, r.b = roundedTo(q.a), roundedTo(q.b)
	return &r
}

func roundedTo(x []float32) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = micro.RoundBF16(v)
	}
	return y
}

// TestSBGEMM covers tails of every loop, odd and even lengths of the sum, all four transpositions,
// strides, alpha and beta, each variant; that 1, 2 and 3 threads give the same bits; that operands
// are rounded and nothing else is; and the bound that is promised of operands that were not.
func TestSBGEMM(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	ps := pools(t)
	shapes := [][3]int{{0, 3, 4}, {3, 0, 4}, {3, 4, 0}, {1, 1, 1}, {1, 17, 5}, {5, 1, 300},
		{2, 3, 4}, {13, 31, 7}, {14, 32, 16}, {15, 33, 17}, {29, 65, 33}, {64, 10, 100},
		{97, 101, 103}, {43, 340, 61}, {33, 40, 1000}, {20, 70, 769}, {10, 20, 8192}, {17, 33, 9001}}
	count := 12
	if testing.Short() { // the last is longer than all others together
		count, shapes = 0, shapes[:len(shapes)-1]
	}
	for range count {
		shapes = append(shapes, [3]int{1 + rng.IntN(60), 1 + rng.IntN(90), 1 + rng.IntN(60)})
	}
	for i, s := range shapes {
		for trans := range 4 {
			q := newProblem(rng, trans&1 != 0, trans&2 != 0, s[0], s[1], s[2])
			if (i+trans)%3 == 0 {
				q.alpha, q.beta = -0.5, 1.5
			}
			r := q.rounded()
			for _, v := range micro.VariantsBF16() {
				what := fmt.Sprintf("%v %v trans %d", v, s, trans)
				first := r.solve(v, ps[0])
				r.check(t, what, first)
				for _, p := range ps {
					if !slices.Equal(q.solve(v, p), first) {
						t.Fatalf("%s: other bits on %d threads or of operands not rounded before", what,
							p.Threads())
					}
				}
			}
			q.checkRounding(t, first32(r, ps[0]))
		}
	}
}

// first32 solves a problem in float32.
func first32(q *problem, p *par.Pool) []float32 { return q.solve(micro.Best(), p) }

// checkRounding holds the product of rounded operands to the bound that SBGEMM states.
func (q *problem) checkRounding(t *testing.T, got []float32) {
	t.Helper()
	for i := range q.m {
		for j := range q.n {
			sum, mag := 0.0, 0.0
			for l := range q.k {
				a, b := q.at(i, j, l)
				sum += a * b
				mag += math.Abs(a * b)
			}
			want := float64(q.alpha) * sum
			mag *= math.Abs(float64(q.alpha))
			bound := (0x1p-7 + 0x1p-16) * mag
			if q.beta != 0 {
				before := float64(q.beta) * float64(q.c[i*q.ldc+j])
				want, mag = want+before, mag+math.Abs(before)
			}
			bound += tolerance * float64(q.k+4) * mag
			if g := float64(got[i*q.ldc+j]); math.Abs(g-want) > bound {
				t.Fatalf("%d×%d×%d: C[%d,%d] = %g, want %g ± %g", q.m, q.n, q.k, i, j, g, want, bound)
			}
		}
	}
}

// TestSBGEMMNonFinite: a NaN, and an infinity times zero, reach their row and nothing else.
func TestSBGEMMNonFinite(t *testing.T) {
	p := par.New(2)
	defer p.Close()
	for _, v := range micro.VariantsBF16() {
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), 3.4e38} {
			for trans := range 4 {
				q := newProblem(rand.New(rand.NewPCG(23, 24)), trans&1 != 0, trans&2 != 0, 20, 40, 31)
				for i := range q.c {
					q.c[i] = float32(math.NaN()) // beta is 0: not read
				}
				for l := range q.k { // the last, which has no neighbour
					if q.transA {
						q.a[l*q.lda+3] = 0
					} else {
						q.a[3*q.lda+l] = 0
					}
				}
				set(q.a, q.transA, q.lda, 3, 30, bad)
				for j := range q.n {
					set(q.b, q.transB, q.ldb, 30, j, 0)
				}
				got := q.solve(v, p)
				for i := range q.m {
					for j := range q.n {
						if c := got[i*q.ldc+j]; (c != c) != (i == 3) {
							t.Fatalf("%v trans %d: %g in A's row 3: C[%d,%d] = %g", v, trans, bad, i, j, c)
						}
					}
				}
			}
		}
	}
}

// set changes one element of op(X).
func set(x []float32, trans bool, ld, i, j int, v float32) {
	if trans {
		i, j = j, i
	}
	x[i*ld+j] = v
}

// TestSBGEMMBatch: a batch has the bits of single products, and a bias enters once.
func TestSBGEMMBatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	const batch, m, n, k = 23, 17, 19, 33
	a, b, bias := random(rng, batch*m*k), random(rng, n*k), random(rng, n)
	for _, v := range micro.VariantsBF16() {
		for _, p := range pools(t) {
			got, want := make([]float32, batch*m*n), make([]float32, batch*m*n)
			sgemmBatch(v, p, false, true, batch, m, n, k, 1, a, k, m*k, b, k, 0, 0, got, n, m*n)
			for i := range batch {
				sgemm(v, p, false, true, m, n, k, 1, a[i*m*k:], k, b, k, 0, want[i*m*n:], n, Epilogue{})
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%v, %d threads: the batch differs from single products", v, p.Threads())
			}
			sgemm(v, p, false, true, m, n, k, 1, a, k, b, k, 0, got, n, Epilogue{Bias: bias})
			for i := range m * n {
				if d := float64(got[i] - want[i] - bias[i%n]); math.Abs(d) > 1e-5 {
					t.Fatalf("%v: element %d with a bias is off by %g", v, i, d)
				}
			}
		}
	}
}

// TestSBGEMMExported calls the exported functions where there is the instruction, and expects their
// panic where there is not.
func TestSBGEMMExported(t *testing.T) {
	p := par.New(1)
	a, b, c := []float32{1, 2, 3, 4}, []float32{1, 1, 1, 1.001}, make([]float32, 4)
	call := func() { SBGEMM(p, false, false, 2, 2, 2, 1, a, 2, b, 2, 0, c, 2) }
	if !HasBF16() {
		for name, f := range map[string]func(){"SBGEMM": call, "PeakBF16": func() { PeakBF16(p) }} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: no panic without AVX512_BF16", name)
					}
				}()
				f()
			}()
		}
		return
	}
	if call(); !slices.Equal(c, []float32{3, 3, 7, 7}) { // 1.001 rounds to 1
		t.Errorf("SBGEMM = %v", c)
	}
	if g := PeakBF16(p); g < 1 || g > 1e5 {
		t.Errorf("PeakBF16 = %g GFLOP/s", g)
	}
}
