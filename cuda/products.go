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

// MatMul computes dst = op(x)·op(y), batch by batch.
func (b *Backend) MatMul(dst, x, y *tensor.Tensor, p tensor.MatMulParams) {
	b.run(func(e *kernels.Encoder) {
		if !b.product(dst, x, y, p) {
			e.MatMul(arr(dst), arr(x), arr(y), p)
		}
	})
}

// product reports whether cuBLASLt takes the product over.
func (b *Backend) product(dst, x, y *tensor.Tensor, p tensor.MatMulParams) bool {
	s := driver.ProductSpec{M: dst.Dim(-2), N: dst.Dim(-1), K: x.Dim(-1), Batch: 1,
		TransA: p.TransA, TransB: p.TransB, Double: dst.DType() == tensor.F64, TF32: b.tf32,
		Workspace: productWorkspace}
	if p.TransA {
		s.K = x.Dim(-2)
	}
	if dst.Rank() == 3 {
		s.Batch = dst.Dim(0)
	}
	if b.lt == nil || b.x.err() != nil || s.M*s.N*s.K*s.Batch == 0 ||
		dst.DType() != tensor.F32 && dst.DType() != tensor.F64 {
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
	b.batch.Product(plan, arr(x).Ptr, arr(y).Ptr, arr(dst).Ptr, workspace)
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
