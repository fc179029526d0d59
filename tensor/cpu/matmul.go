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

// MatMulViews multiplies operands where they lie, if their rows or columns do not have gaps between
// elements, as SGEMM can; others it copies before. See tensor.Viewer.
func (b *Backend) MatMulViews(dst, x, y tensor.View, alpha float64) {
	if !f32(dst.T, x.T, y.T) || dst.Shape.Size()*x.Shape.Size() == 0 {
		b.ref.MatMulViews(dst, x, y, alpha)
		return
	}
	r := len(dst.Shape)
	m, n, k := dst.Shape[r-2], dst.Shape[r-1], x.Shape[r-1]
	u, v := b.factor(x), b.factor(y)
	defer b.pool.Return(u.copied)
	defer b.pool.Return(v.copied)
	to, stacks := factor{Layout: dst.Layout}, dst.Shape[:r-2].Size()
	many := gemm.SGEMMStack
	if b.bf16 && gemm.BF16Pays(n, k) {
		many = gemm.SBGEMMStack
	}
	many(b.pool, u.turned, v.turned, stacks, m, n, k, float32(alpha), u.elements, u.pitch, v.elements,
		v.pitch, host(dst.T), max(dst.Strides[r-2], n), func(i int) (a, b, c int) {
			return u.start(i), v.start(i), to.start(i)
		})
}

// A factor is a stack of matrices as SGEMM takes them.
type factor struct {
	tensor.Layout
	elements []float32
	copied   []float32 // scratch memory that holds them, or nil
	pitch    int
	turned   bool // the columns are what lies together
}

// factor finds how a view's matrices lie.
func (b *Backend) factor(v tensor.View) factor {
	f := factor{Layout: v.Layout, elements: host(v.T)}
	r := len(v.Shape)
	rows, cols := v.Shape[r-2], v.Shape[r-1]
	switch down, along := v.Strides[r-2], v.Strides[r-1]; {
	case (along == 1 || cols == 1) && (down >= cols || rows == 1):
		f.pitch = max(down, cols)
	case (down == 1 || rows == 1) && along >= rows:
		f.pitch, f.turned = along, true
	default:
		f.Layout = tensor.Dense(v.Shape)
		f.copied = b.pool.Borrow(v.Shape.Size())
		b.strided(bits(f.copied), words(v.T), v.Shape, f.Strides, v.Strides, 0, v.Offset)
		f.elements, f.pitch = f.copied, cols
	}
	return f
}

// start is where matrix i of the stack begins.
func (f *factor) start(i int) int {
	at := f.Offset
	for a := len(f.Shape) - 3; a >= 0; a-- {
		at += i % f.Shape[a] * f.Strides[a]
		i /= f.Shape[a]
	}
	return at
}
