package cuda

import (
	"afterimage/cuda/driver"
	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// productWorkspace is the device memory that an algorithm of cuBLASLt may use: what cuBLAS itself
// takes on Hopper.
const productWorkspace = 32 << 20

// products multiplies matrices with cuBLASLt. The algorithm of a shape is the library's first
// answer: it depends on the shape, the card and the library's version, never on a clock.
type products struct {
	handle uint64
	plans  map[driver.ProductSpec]*driver.ProductPlan // nil: the library has none
}

// openProducts opens cuBLASLt if it is there; without it our own kernels multiply.
func (b *Backend) openProducts() {
	if h, err := b.ctx.NewProducts(); err == nil {
		b.lt = &products{h, map[driver.ProductSpec]*driver.ProductPlan{}}
	}
}

// MatMul computes dst = op(x)·op(y), batch by batch, in the backend's arithmetic.
func (b *Backend) MatMul(dst, x, y *tensor.Tensor, p tensor.MatMulParams) {
	b.run(func(e *kernels.Encoder) {
		d, l, r := arr(dst), b.operand(e, x), b.operand(e, y)
		if !b.product(d, l, r, p) {
			e.MatMul(d, l, r, p)
		}
	})
}

// kind names the arithmetic of a product with such operands.
func (m arithmetic) kind(operand tensor.DType) driver.ProductKind {
	switch {
	case operand == tensor.F64:
		return driver.ProductF64
	case operand == tensor.BF16:
		return driver.ProductBF16
	case m == tf32:
		return driver.ProductTF32
	}
	return driver.ProductF32
}

// product reports whether cuBLASLt takes the product over.
func (b *Backend) product(dst, x, y kernels.Array, p tensor.MatMulParams) bool {
	last := len(dst.Shape) - 1
	s := driver.ProductSpec{M: dst.Shape[last-1], N: dst.Shape[last], K: x.Shape[last], Batch: 1,
		TransA: p.TransA, TransB: p.TransB, Kind: b.mode.kind(x.DType), Workspace: productWorkspace}
	if p.TransA {
		s.K = x.Shape[last-1]
	}
	if last == 2 {
		s.Batch = dst.Shape[0]
	}
	if b.lt == nil || b.x.err() != nil || s.M*s.N*s.K*s.Batch == 0 ||
		dst.DType != tensor.F32 && dst.DType != tensor.F64 {
		return false
	}
	plan, known := b.lt.plans[s]
	if !known {
		plan, _ = b.ctx.PlanProduct(b.lt.handle, s) // without a plan our kernel does it
		b.lt.plans[s] = plan
	}
	if plan == nil {
		return false
	}
	workspace := uint64(0)
	if plan.Workspace > 0 {
		workspace = b.takeScratch(plan.Workspace)
	}
	b.command("cublasLtMatmul")
	b.batch.Product(plan, x.Ptr, y.Ptr, dst.Ptr, workspace)
	return true
}

// close gives the plans and the handle back.
func (l *products) close(ctx *driver.Context) {
	for _, p := range l.plans {
		if p != nil {
			ctx.ClosePlan(p)
		}
	}
	ctx.CloseProducts(l.handle)
}
