package gemm

import (
	"fmt"

	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// SGEMM computes C = alpha·op(A)·op(B) + beta·C on row-major float32 matrices, where op(X) is X or
// its transpose.
//
// op(A) is m×k, op(B) is k×n, C is m×n. Element (i, j) of a stored matrix is at i*ld+j: A is
// stored m×k, or k×m when transA is set, and B k×n, or n×k when transB is set. C must not overlap
// A or B.
//
// Any of m, n, k may be zero; with k = 0 the product is zero and C = beta·C. When beta is zero C
// is only written. Multiplications are not skipped for zeros, so NaN and infinities propagate.
//
// It panics if a size is negative, a leading dimension is smaller than a row, or a slice is too
// short for its matrix. The convention is BLAS's SGEMM, in row-major order.
func SGEMM(p *par.Pool, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int,
	b []float32, ldb int, beta float32, c []float32, ldc int) {
	sgemm(micro.Best(), p, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, Epilogue{})
}

// An Epilogue is what SGEMMThen does to the product before it leaves the cache, and what stays of
// B. The zero value does nothing.
type Epilogue struct {
	// Bias [n] is added to every row; nil for none.
	Bias []float32
	// Block is told of every block of C, rows i..i+rows-1 and columns j..j+cols-1, when it is
	// finished and in the cache, from several threads; nil for nothing. Blocks cover C once.
	Block func(i, rows, j, cols int)
	// Kept is where the packed form of B stays for calls with the same B, n and k; nil to pack it
	// anew in each.
	Kept *par.Kept
}

// SGEMMThen is SGEMM with an epilogue. It panics as SGEMM does, and if the bias is not nil and has
// another number of elements than C has columns.
func SGEMMThen(p *par.Pool, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int,
	b []float32, ldb int, beta float32, c []float32, ldc int, then Epilogue) {
	sgemm(micro.Best(), p, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, then)
}

// sgemm is SGEMMThen with a given kernel variant.
func sgemm(v micro.Variant, p *par.Pool, transA, transB bool, m, n, k int, alpha float32,
	a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, then Epilogue) {
	j := job{v: v, p: p, transA: transA, transB: transB, m: m, n: n, k: k, alpha: alpha,
		beta: beta, a: a, lda: lda, b: b, ldb: ldb, c: c, ldc: ldc, then: then}
	j.check()
	if m == 0 || n == 0 {
		return
	}
	j.depth = k
	if v.Pairs() {
		j.k = ceil(k, 2)
	}
	if s := sliceCount(m, n, j.k); s > 1 {
		j.runSliced(s)
		return
	}
	j.run()
}

// Kernel names the kernel variant that this machine runs: "avx512", "avx2", "neon" or "generic".
func Kernel() string { return micro.Best().String() }

// A job is one product.
type job struct {
	v              micro.Variant
	p              *par.Pool
	transA, transB bool
	m, n, k        int // k in pairs, if the kernel multiplies these
	depth          int // the length of the sum
	alpha, beta    float32
	a, b, c        []float32
	lda, ldb, ldc  int
	then           Epilogue
}

func (j *job) check() {
	if j.m < 0 || j.n < 0 || j.k < 0 {
		panic(fmt.Sprintf("gemm: SGEMM: negative size: m %d, n %d, k %d", j.m, j.n, j.k))
	}
	checkMatrix("A", j.transA, j.m, j.k, j.a, j.lda)
	checkMatrix("B", j.transB, j.k, j.n, j.b, j.ldb)
	checkMatrix("C", false, j.m, j.n, j.c, j.ldc)
	if j.then.Bias != nil && len(j.then.Bias) != j.n {
		panic(fmt.Sprintf("gemm: SGEMM: bias has %d elements for %d columns", len(j.then.Bias), j.n))
	}
}

func checkMatrix(name string, trans bool, rows, cols int, x []float32, ld int) {
	if trans {
		rows, cols = cols, rows
	}
	if rows == 0 || cols == 0 {
		return
	}
	if ld < cols || len(x) < (rows-1)*ld+cols {
		panic(fmt.Sprintf("gemm: SGEMM: %s: a stored %d×%d matrix with leading dimension %d does "+
			"not fit %d elements", name, rows, cols, ld, len(x)))
	}
}
