package gemm

import (
	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// SBGEMM is SGEMM with the elements of A and B rounded to bfloat16, and their products summed in
// float32: twice the rate, and an error of
//
//	|got − exact| ≤ (2⁻⁷ + 2⁻¹⁶ + k·2⁻²⁴) · sum of |a||b|
//
// in each element of op(A)·op(B), where k is the length of the sum; see package micro. C, alpha and
// beta stay float32. A and B are rounded while they are packed, A once for all blocks of columns of
// C or, where these are few, by each; nothing of that outlives the call but what Epilogue.Kept has.
//
// It panics as SGEMM does, and if HasBF16 is false. The name is the BLAS libraries'.
func SBGEMM(p *par.Pool, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int,
	b []float32, ldb int, beta float32, c []float32, ldc int) {
	SBGEMMThen(p, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, Epilogue{})
}

// SBGEMMThen is SBGEMM with an epilogue. It panics as SGEMMThen and SBGEMM do.
func SBGEMMThen(p *par.Pool, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int,
	b []float32, ldb int, beta float32, c []float32, ldc int, then Epilogue) {
	sgemm(bestBF16(), p, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, then)
}

// SBGEMMBatch is SGEMMBatch with A and B rounded to bfloat16; see SBGEMM. It panics as that does.
func SBGEMMBatch(p *par.Pool, transA, transB bool, batch, m, n, k int, alpha float32,
	a []float32, lda, strideA int, b []float32, ldb, strideB int, beta float32,
	c []float32, ldc, strideC int) {
	sgemmBatch(bestBF16(), p, transA, transB, batch, m, n, k, alpha, a, lda, strideA,
		b, ldb, strideB, beta, c, ldc, strideC)
}

// SBGEMMStack is SBGEMM for products as SGEMMStack's.
func SBGEMMStack(p *par.Pool, transA, transB bool, batch, m, n, k int, alpha float32,
	a []float32, lda int, b []float32, ldb int, c []float32, ldc int,
	at func(i int) (a, b, c int)) {
	sgemmStack(bestBF16(), p, transA, transB, batch, m, n, k, alpha, a, lda, b, ldb, 0, c, ldc, at)
}

// Limits of the products that bfloat16 is used for; see BF16Pays.
const (
	bf16Columns = 16
	bf16Sum     = 32
)

// BF16Pays reports whether SBGEMM is faster than SGEMM for n columns and sums of length k: from one
// vector of columns on and sums that are worth the packing. The answer does not depend on the rows:
// a batch of another size has no other precision.
func BF16Pays(n, k int) bool { return n >= bf16Columns && k >= bf16Sum }

// HasBF16 reports whether this machine multiplies in bfloat16: AVX512_BF16, in a build with
// assembly.
func HasBF16() bool {
	_, ok := micro.BestBF16()
	return ok
}

func bestBF16() micro.Variant {
	v, ok := micro.BestBF16()
	if !ok {
		panic("gemm: SBGEMM: this machine or build has no AVX512_BF16: use SGEMM")
	}
	return v
}

// alone is the number of tiles of columns up to which each packs A for itself. Rounding in passing
// costs less than a copy that goes through memory, twice as large on its way in as out.
func (j *job) alone() int {
	if j.v.Pairs() {
		return 4
	}
	return 1
}

// pairsAhead is the number of floats of a block of A up to which the next one is asked for while
// this one, rounded, is in use: both fit the second-level cache beside the panels of B.
const pairsAhead = 48 << 10

// aheadOfPairs adds a share of the rows that the next tile will round to what is needed soon: one
// for each panel of columns.
func (j *job) aheadOfPairs(a *micro.Lookahead, t *blocking, s *step, jr int) {
	m0, depth := s.m0+s.mc, min(2*s.kc, j.depth-2*s.k0)
	rows := min(s.mc, j.m-m0)
	if j.transA || rows <= 0 || rows*depth > pairsAhead {
		return
	}
	panels, i := ceil(s.nc, micro.MaxCols), jr/micro.MaxCols
	from, to := i*rows/panels, (i+1)*rows/panels
	a.Add(j.a[(m0+from)*j.lda+2*s.k0:], j.lda, to-from, depth)
}

// pairsOfA packs rows r0..r1-1 of the block of op(A) at row m0, pairs k0.. of its columns.
func (j *job) pairsOfA(t *blocking, dst []float32, m0, r0, r1, k0, kc int) {
	k0, depth := 2*k0, min(2*kc, j.depth-2*k0)
	if !j.transA {
		micro.RoundRows(j.v, dst[r0*t.aStride:], t.aStride, j.a[(m0+r0)*j.lda+k0:], j.lda, r1-r0, depth)
		return
	}
	for r := r0; r < r1; r += micro.MaxRows {
		micro.PairRows(j.v, dst[r/micro.MaxRows*packedRows*t.kc:], packedRows,
			j.a[k0*j.lda+m0+r:], j.lda, depth, min(micro.MaxRows, r1-r))
	}
}

// pairsOfB packs pairs k0.. of rows of columns n0..n0+cols-1 of op(B).
func (j *job) pairsOfB(dst []float32, n0, cols, k0, kc int) {
	width := panelWidth(cols)
	k0, depth := 2*k0, min(2*kc, j.depth-2*k0)
	if !j.transB {
		micro.PairRows(j.v, dst, width, j.b[k0*j.ldb+n0:], j.ldb, depth, cols)
		return
	}
	rounded := j.p.Borrow(16 * kc)
	for i := 0; i < width; i += 16 {
		rows := min(16, cols-i)
		micro.RoundRows(j.v, rounded, kc, j.b[(n0+i)*j.ldb+k0:], j.ldb, rows, depth)
		micro.Transpose16(j.v, dst[i:], width, rounded, kc, rows, kc)
	}
	j.p.Return(rounded)
}
