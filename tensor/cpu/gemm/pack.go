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

// packPanel packs rows k0.. of columns n0..n0+cols-1 of op(B).
func (j *job) packPanel(dst []float32, n0, cols, k0, kc int) {
	width := panelWidth(cols)
	if !j.transB {
		micro.Pack(j.v, dst, width, j.b[k0*j.ldb+n0:], j.ldb, kc, cols)
		return
	}
	for i := 0; i < width; i += 16 {
		rows := min(16, cols-i)
		micro.Transpose16(j.v, dst[i:], width, j.b[(n0+i)*j.ldb+k0:], j.ldb, rows, kc)
	}
}
