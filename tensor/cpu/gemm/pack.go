package gemm

import "afterimage/tensor/cpu/gemm/micro"

// packRows is how many rows of a panel one tile of the shared packing fills.
const packRows = 512

// packShared packs a whole slab of B: panel after panel of j.k rows, 32 columns wide (the last 16
// if that is enough), split over the pool.
func (j *job) packShared(t *blocking) {
	chunks := ceil(j.k, packRows)
	j.p.Run(ceil(t.n, micro.MaxCols)*chunks, func(i int) {
		jr, k0 := i/chunks*micro.MaxCols, i%chunks*packRows
		cols := min(micro.MaxCols, t.n-jr)
		j.packPanel(t.packed[jr*j.k+k0*panelWidth(cols):], t.n0+jr, cols, k0, min(packRows, j.k-k0))
	})
}

// packSharedA packs all blocks of A, split over the pool.
func (j *job) packSharedA(t *blocking) {
	blocks := t.kBlocks(j.k)
	j.p.Run(t.mi*blocks, func(i int) {
		m0, m1 := t.rows(i/blocks, j.m)
		k0 := i % blocks * t.kc
		j.packRowsA(t, t.packedA[i*t.scratchA:], m0, 0, m1-m0, k0, min(t.kc, j.k-k0))
	})
}

// packedRows is the width of a packed panel of a transposed A: the rows of a tile, rounded up to a
// vector.
const packedRows = 16

// packRowsA packs rows r0..r1-1 of the block of op(A) at (m0, k0): its rows, or panels of a
// transposed A, whose first row r0 is.
func (j *job) packRowsA(t *blocking, dst []float32, m0, r0, r1, k0, kc int) {
	if j.v.Pairs() {
		j.pairsOfA(t, dst, m0, r0, r1, k0, kc)
		return
	}
	if !j.transA {
		for r := r0; r < r1; r++ {
			copy(dst[r*t.aStride:][:kc], j.a[(m0+r)*j.lda+k0:])
		}
		return
	}
	for r := r0; r < r1; r += micro.MaxRows {
		micro.Pack(j.v, dst[r/micro.MaxRows*packedRows*t.kc:], packedRows,
			j.a[k0*j.lda+m0+r:], j.lda, kc, min(micro.MaxRows, r1-r))
	}
}

// packPanel packs rows k0.. of columns n0..n0+cols-1 of op(B).
func (j *job) packPanel(dst []float32, n0, cols, k0, kc int) {
	if j.v.Pairs() {
		j.pairsOfB(dst, n0, cols, k0, kc)
		return
	}
	width := panelWidth(cols)
	if !j.transB {
		micro.Pack(j.v, dst, width, j.b[k0*j.ldb+n0:], j.ldb, kc, cols)
		return
	}
	micro.TransposePanel(j.v, dst, width, j.b[n0*j.ldb+k0:], j.ldb, cols, kc)
}
