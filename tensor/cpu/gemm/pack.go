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
		m0, k0 := i/blocks*t.mc, i%blocks*t.kc
		j.packBlockA(t, t.packedA[i*t.scratchA:], m0, min(t.mc, j.m-m0), k0, min(t.kc, j.k-k0))
	})
}

// packBlockA packs the block of op(A) at (m0, k0): its rows, or panels of a transposed A.
func (j *job) packBlockA(t *blocking, dst []float32, m0, mc, k0, kc int) {
	if j.v.Pairs() {
		j.pairsOfA(t, dst, m0, mc, k0, kc)
		return
	}
	if !j.transA {
		for r := range mc {
			copy(dst[r*t.aStride:][:kc], j.a[(m0+r)*j.lda+k0:])
		}
		return
	}
	for r := 0; r*micro.MaxRows < mc; r++ {
		cols := min(micro.MaxRows, mc-r*micro.MaxRows)
		micro.Pack(j.v, dst[r*packedRows*t.kc:], packedRows,
			j.a[k0*j.lda+m0+r*micro.MaxRows:], j.lda, kc, cols)
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
