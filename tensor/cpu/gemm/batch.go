package gemm

import (
	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// ownThreads is the work of one product above which a batch is computed product by product, each
// on all threads; below it, threads take whole products.
const ownThreads = 1 << 26

// SGEMMBatch computes batch products as SGEMM does: product i has its operands at
// a[i*strideA:], b[i*strideB:] and c[i*strideC:]. A stride of zero for A or B shares the operand.
// The results of different products must not overlap.
//
// Each result has the same bits as SGEMM would give. It panics as SGEMM does.
func SGEMMBatch(p *par.Pool, transA, transB bool, batch, m, n, k int, alpha float32,
	a []float32, lda, strideA int, b []float32, ldb, strideB int, beta float32,
	c []float32, ldc, strideC int) {
	sgemmBatch(micro.Best(), p, transA, transB, batch, m, n, k, alpha, a, lda, strideA,
		b, ldb, strideB, beta, c, ldc, strideC)
}

func sgemmBatch(v micro.Variant, p *par.Pool, transA, transB bool, batch, m, n, k int,
	alpha float32, a []float32, lda, strideA int, b []float32, ldb, strideB int, beta float32,
	c []float32, ldc, strideC int) {
	sgemmStack(v, p, transA, transB, batch, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc,
		func(i int) (int, int, int) { return i * strideA, i * strideB, i * strideC })
}

// SGEMMStack is SGEMMBatch, with a beta of zero, for products whose operands begin anywhere:
// product i's at at(i) in a, b and c.
func SGEMMStack(p *par.Pool, transA, transB bool, batch, m, n, k int, alpha float32,
	a []float32, lda int, b []float32, ldb int, c []float32, ldc int,
	at func(i int) (a, b, c int)) {
	sgemmStack(micro.Best(), p, transA, transB, batch, m, n, k, alpha, a, lda, b, ldb, 0, c, ldc, at)
}

func sgemmStack(v micro.Variant, p *par.Pool, transA, transB bool, batch, m, n, k int,
	alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int,
	at func(i int) (a, b, c int)) {
	one := func(i int) {
		fromA, fromB, fromC := at(i)
		sgemm(v, p, transA, transB, m, n, k, alpha, a[fromA:], lda, b[fromB:], ldb, beta, c[fromC:], ldc,
			Epilogue{})
	}
	flops := 2 * m * n * k
	if flops >= ownThreads || flops*batch < smallFlops {
		for i := range batch {
			one(i)
		}
		return
	}
	// A tile is a run of products with some microseconds of work.
	run := min(batch, max(1, smallFlops/max(1, flops)))
	p.Run(ceil(batch, run), func(i int) {
		for e := i * run; e < min(batch, (i+1)*run); e++ {
			one(e)
		}
	})
}
