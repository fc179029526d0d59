package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// TestSGEMM covers tails of every loop, all four transpositions, strides, alpha and beta, each
// variant, and that 1, 2 and 3 threads give the same bits.
func TestSGEMM(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	ps := pools(t)
	shapes := [][3]int{{0, 3, 4}, {3, 0, 4}, {3, 4, 0},
		{1, 1, 1}, {1, 17, 5}, {5, 1, 300}, {2, 3, 4},
		{13, 31, 7}, {14, 32, 16}, {15, 33, 17},
		{28, 48, 9}, {29, 65, 33}, {64, 10, 100},
		{97, 101, 103}, {400, 77, 3}, {170, 70, 40}, {43, 340, 60}, {33, 40, 1000},
		{10, 20, 4096}, {17, 33, 5001}}
	for range 12 {
		shapes = append(shapes, [3]int{1 + rng.IntN(60), 1 + rng.IntN(90), 1 + rng.IntN(60)})
	}
	for i, s := range shapes {
		for trans := range 4 {
			q := newProblem(rng, trans&1 != 0, trans&2 != 0, s[0], s[1], s[2])
			if (i+trans)%3 == 0 {
				q.alpha, q.beta = -0.5, 1.5
			}
			for _, v := range micro.Variants() {
				what := fmt.Sprintf("%v %v trans %d", v, s, trans)
				first := q.solve(v, ps[0])
				q.check(t, what, first)
				for _, p := range ps[1:] {
					if !slices.Equal(q.solve(v, p), first) {
						t.Fatalf("%s: other bits on %d threads", what, p.Threads())
					}
				}
			}
		}
	}
}

// TestPackedA takes leading dimensions that make rows compete for cache sets, which A is packed
// for, and enough columns that a transposed A is packed too.
func TestPackedA(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	ps := pools(t)
	for _, s := range [][3]int{{40, 70, 1024}, {200, 333, 512}, {31, 100, 256}} {
		for trans := range 2 {
			q := newProblem(rng, trans == 1, false, s[0], s[1], s[2])
			if trans == 0 {
				q.lda = s[2]
			}
			for _, v := range micro.Variants() {
				first := q.solve(v, ps[0])
				q.check(t, fmt.Sprint(v, s, trans), first)
				if !slices.Equal(q.solve(v, ps[2]), first) {
					t.Fatalf("%v %v: other bits on 3 threads", v, s)
				}
			}
		}
	}
}

// TestBlocks takes shapes of several blocks of each loop: of k, of rows that share the panels which
// the first block of a tile packs, and of tiles by either limit.
func TestBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	ps := pools(t)
	for _, s := range [][3]int{{260, 18, maxKC + 9}, {maxRows + 3, 18, 3}, {30, maxCols + 70, 5}} {
		q := newProblem(rng, false, false, s[0], s[1], s[2])
		for _, v := range micro.Variants() {
			first := q.solve(v, ps[0])
			q.check(t, fmt.Sprint(v, s), first)
			if !slices.Equal(q.solve(v, ps[1]), first) || !slices.Equal(q.solve(v, ps[2]), first) {
				t.Fatalf("%v %v: other bits on more threads", v, s)
			}
		}
	}
}

// TestSums: C is the sum over blocks of k, the first with beta and the others added to it in order,
// whose length depends on k alone: the bits are those of so many short products, for any number of
// blocks in a panel of B, any number of rows and of threads.
func TestSums(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 18))
	ps := pools(t)
	shapes := [][3]int{{70, 70, 2*maxKC + 300}, {deepRows + 1, 34, maxKC + 30},
		{33, pageFloats, 3*maxKC - 40}}
	if testing.Short() {
		shapes = shapes[:2]
	}
	for _, s := range shapes {
		q := newProblem(rng, false, false, s[0], s[1], s[2])
		q.ldb, q.alpha, q.beta = roundUp(s[1], 16), 0.5, 2 // beta reads the guards, numbers as others
		q.b = random(rng, q.k*q.ldb)
		for _, v := range micro.Variants() {
			want := q.bySums(v, ps[0])
			for sums := range 5 {
				for _, p := range ps {
					if got := q.solveIn(v, p, 1+sums); !slices.Equal(got, want) {
						t.Fatalf("%v %v: other bits with %d sums in a panel on %d threads", v, s, 1+sums, p.Threads())
					}
				}
			}
			if !slices.Equal(q.solve(v, ps[1]), want) {
				t.Fatalf("%v %v: other bits than by single sums", v, s)
			}
		}
	}
}

// bySums solves the problem one block of k after the other.
func (q *problem) bySums(v micro.Variant, p *par.Pool) []float32 {
	c, beta, kc := slices.Clone(q.c), q.beta, blockK(q.k)
	for k0 := 0; k0 < q.k; k0 += kc {
		sgemm(v, p, false, false, q.m, q.n, min(kc, q.k-k0), q.alpha, q.a[k0:], q.lda, q.b[k0*q.ldb:],
			q.ldb, beta, c, q.ldc, Epilogue{})
		beta = 1
	}
	return c
}

// solveIn solves the problem with panels of B of the given number of sums.
func (q *problem) solveIn(v micro.Variant, p *par.Pool, sums int) []float32 {
	c := slices.Clone(q.c)
	j := job{v: v, p: p, m: q.m, n: q.n, k: q.k, depth: q.k, alpha: q.alpha, beta: q.beta, a: q.a,
		b: q.b, c: c, lda: q.lda, ldb: q.ldb, ldc: q.ldc}
	j.runSlab(j.plan(0, q.n, sums))
	return c
}

// TestTilesCoverC: whatever the shape and the threads, the tiles of a product cover C once and no
// tile is empty or beyond the limits that its scratch memory is made for.
func TestTilesCoverC(t *testing.T) {
	for _, p := range pools(t) {
		rapid.Check(t, func(t *rapid.T) {
			size := rapid.IntRange(1, 5000)
			j := job{v: micro.Best(), p: p, m: size.Draw(t, "m"), n: size.Draw(t, "n"),
				k: size.Draw(t, "k"), transA: rapid.Bool().Draw(t, "transA"),
				transB: rapid.Bool().Draw(t, "transB")}
			j.lda = j.k
			b := j.plan(0, j.n, rapid.IntRange(1, 5).Draw(t, "sums"))
			row, col := 0, 0
			for i := range b.mi {
				m0, m1 := b.rows(i, j.m)
				if m0 != row || m1 <= m0 || !b.passing && m1-m0 > b.bm {
					t.Fatalf("tile %d of %d has rows %d to %d after %d, blocks of %d", i, b.mi, m0, m1, row, b.bm)
				}
				row = m1
			}
			for i := range b.ni {
				c0, c1 := b.cols(i * b.mi)
				if c0 != col || c1 <= c0 || b.passing && b.kp*roundUp(c1-c0, micro.MaxCols) > b.scratchB {
					t.Fatalf("tile %d of %d has columns %d to %d after %d", i, b.ni, c0, c1, col)
				}
				col = c1
			}
			if row != j.m || col != j.n {
				t.Fatalf("tiles cover %d×%d of %d×%d", row, col, j.m, j.n)
			}
		})
	}
}

// TestRowsAreIndependent: the bits of a row do not depend on how many rows are computed with it,
// so an image is classified the same alone and in a batch.
func TestRowsAreIndependent(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	p := par.New(2)
	defer p.Close()
	for _, q := range []*problem{newProblem(rng, false, true, 100, 70, 130),
		newProblem(rng, false, false, deepRows, 40, maxKC+100)} {
		for _, v := range micro.Variants() {
			all := q.solve(v, p)
			for _, m := range []int{1, 5, 29} {
				one := *q
				one.m = m
				got := one.solve(v, p)
				if !slices.Equal(got[:(m-1)*q.ldc+q.n], all[:(m-1)*q.ldc+q.n]) {
					t.Fatalf("%v: the first %d rows differ from those of the whole product", v, m)
				}
			}
		}
	}
}

func TestNonFinite(t *testing.T) {
	p := par.New(2)
	defer p.Close()
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, v := range micro.Variants() {
		for _, bad := range []float32{nan, inf} {
			rng := rand.New(rand.NewPCG(11, 12))
			q := newProblem(rng, false, false, 20, 40, 30)
			for i := range q.c {
				q.c[i] = nan // beta is 0: not read
			}
			q.a[3*q.lda+4] = bad
			clear(q.b[4*q.ldb : 5*q.ldb]) // bad · 0 is NaN
			got := q.solve(v, p)
			for i := range q.m {
				for j := range q.n {
					if c := got[i*q.ldc+j]; (c != c) != (i == 3) {
						t.Fatalf("%v: %g in A's row 3: C[%d,%d] = %g", v, bad, i, j, c)
					}
				}
			}
		}
	}
}

func TestSGEMMBatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, p := range pools(t) {
		const batch, m, n, k = 23, 17, 19, 33
		a, b := random(rng, batch*m*k), random(rng, n*k)
		for _, v := range micro.Variants() {
			got, want := make([]float32, batch*m*n), make([]float32, batch*m*n)
			sgemmBatch(v, p, false, true, batch, m, n, k, 1, a, k, m*k, b, k, 0, 0, got, n, m*n)
			for i := range batch {
				sgemm(v, p, false, true, m, n, k, 1, a[i*m*k:], k, b, k, 0, want[i*m*n:], n, Epilogue{})
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%v, %d threads: the batch differs from single products", v, p.Threads())
			}
		}
	}
}

func TestMisusePanics(t *testing.T) {
	p := par.New(1)
	x := make([]float32, 11)
	for name, f := range map[string]func(){
		"short A": func() { SGEMM(p, false, false, 3, 2, 4, 1, x, 4, x, 2, 0, x, 2) },
		"ldc":     func() { SGEMM(p, false, false, 2, 3, 2, 1, x, 2, x, 3, 0, x, 2) },
		"sign":    func() { SGEMM(p, false, false, -1, 3, 2, 1, x, 2, x, 3, 0, x, 3) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestPeakFMA(t *testing.T) {
	p := par.New(1)
	if g := PeakFMA(p); g < 0.05 || g > 1e5 {
		t.Fatalf("PeakFMA = %g GFLOP/s", g)
	}
	if k := Kernel(); k != micro.Best().String() {
		t.Fatalf("Kernel() = %q", k)
	}
}

func ExampleSGEMM() {
	p := par.New(2)
	defer p.Close()
	a := []float32{1, 2, 3, 4, 5, 6} // 2×3
	b := []float32{1, 1, 0, 0, 1, 1} // stored 2×3, used as its 3×2 transpose
	c := make([]float32, 4)
	SGEMM(p, false, true, 2, 2, 3, 1, a, 3, b, 3, 0, c, 2)
	fmt.Println(c)
	// Output: [3 5 9 11]
}

// An epilogue's bias is added once, whatever cuts the sum, and its blocks cover C once.
func TestEpilogue(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	for _, size := range [][3]int{{1, 1, 1}, {30, 70, 20}, {200, 33, 900}, {400, 700, 50},
		{9, 17, 5000}, {16, 40, 0}} {
		m, n, k := size[0], size[1], size[2]
		a, b, bias := random(rng, m*k), random(rng, k*n), random(rng, n)
		for _, v := range micro.Variants() {
			for _, p := range pools(t) {
				plain, got := make([]float32, m*n), make([]float32, m*n)
				sgemm(v, p, false, false, m, n, k, 1, a, k, b, n, 0, plain, n, Epilogue{})
				var mu sync.Mutex
				seen := make([]int, m*n)
				sgemm(v, p, false, false, m, n, k, 1, a, k, b, n, 0, got, n, Epilogue{Bias: bias,
					Block: func(i, rows, j, cols int) {
						mu.Lock()
						defer mu.Unlock()
						for r := i; r < i+rows; r++ {
							for c := j; c < j+cols; c++ {
								seen[r*n+c]++
							}
						}
					}})
				for i := range got {
					// the bias enters with the first part of the sum, not the last
					want := float64(plain[i]) + float64(bias[i%n])
					if math.Abs(float64(got[i])-want) > 1e-5*(1+float64(k)/100) || seen[i] != 1 {
						t.Fatalf("%v, %v: element %d is %g, expected %g; seen %d times", v, size, i, got[i],
							want, seen[i])
					}
				}
			}
		}
	}
}
