package cpu

import (
	"afterimage/tensor"
	"afterimage/tensor/cpu/gemm"
)

// MatMul multiplies matrices or batches of them; see tensor.Backend.
func (b *Backend) MatMul(dst, x, y *tensor.Tensor, p tensor.MatMulParams) {
	if !f32(dst, x, y) {
		b.ref.MatMul(dst, x, y, p)
		return
	}
	batch, m, n := 1, dst.Dim(-2), dst.Dim(-1)
	if dst.Rank() == 3 {
		batch = dst.Dim(0)
	}
	k := x.Dim(-1)
	if p.TransA {
		k = x.Dim(-2)
	}
	lda, ldb := x.Dim(-1), y.Dim(-1)
	one, many := gemm.SGEMM, gemm.SGEMMBatch
	if b.bf16 && gemm.BF16Pays(n, k) {
		one, many = gemm.SBGEMM, gemm.SBGEMMBatch
	}
	if batch == 1 {
		one(b.pool, p.TransA, p.TransB, m, n, k, 1, host(x), lda, host(y), ldb, 0, host(dst), n)
		return
	}
	many(b.pool, p.TransA, p.TransB, batch, m, n, k, 1, host(x), lda, m*k, host(y), ldb, k*n, 0,
		host(dst), n, m*n)
}
