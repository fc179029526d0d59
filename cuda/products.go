package cuda

import (
	"fmt"

	"afterimage/cuda/driver"
	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// productWorkspace is the device memory that an algorithm of cuBLASLt may use: what cuBLAS itself
// takes on Hopper.
const productWorkspace = 32 << 20

// heurProducts stands for cuBLASLt's heuristics, which have no modes, in a choice.
const heurProducts = 1

// products multiplies matrices with cuBLASLt. Which of its algorithms a shape gets is chosen as
// convolutions are: see Backend.choose.
type products struct {
	handle uint64
	plans  map[driver.ProductSpec]*productPlan // nil: our own kernel multiplies
	alone  bool                                // our own kernel does not compete, for tests
}

// A productPlan is what computes one shape: an algorithm of cuBLASLt, our kernel for compute
// capability 9.0, or our kernel for every card where it was faster, as choice says.
type productPlan struct {
	*driver.ProductPlan // nil for our kernels
	choice              choice
}

// openProducts opens cuBLASLt if it is there; without it our own kernels multiply.
func (b *Backend) openProducts() {
	var h uint64
	err := b.x.do(func() (err error) {
		h, err = b.ctx.NewProducts()
		return err
	})
	if err == nil {
		b.lt = &products{handle: h, plans: map[driver.ProductSpec]*productPlan{}}
	}
}

// MatMul computes dst = op(x)·op(y), batch by batch, in the backend's arithmetic.
func (b *Backend) MatMul(dst, x, y *tensor.Tensor, p tensor.MatMulParams) {
	b.run(func(e *kernels.Encoder) { b.multiply(e, arr(dst), arr(x), arr(y), p) })
}

// MatMulViews computes dst = alpha·x·y, operands being views, in the backend's arithmetic; see
// tensor.Viewer.
func (b *Backend) MatMulViews(dst, x, y tensor.View, alpha float64) {
	view := func(v tensor.View) kernels.View { return kernels.View{Of: arr(v.T), Layout: v.Layout} }
	b.run(func(e *kernels.Encoder) {
		e.MatMulViews(view(dst), view(x), view(y), alpha,
			func(dst, x, y kernels.Array, p tensor.MatMulParams) { b.multiply(e, dst, x, y, p) })
	})
}

// multiply computes dst = op(x)·op(y) by the library or our own kernel.
func (b *Backend) multiply(e *kernels.Encoder, dst, x, y kernels.Array, p tensor.MatMulParams) {
	l, r := b.operand(e, x), b.operand(e, y)
	if !b.product(e, dst, l, r, p) {
		e.MatMul(dst, l, r, p)
	}
}

// kind names the arithmetic of a product with such operands and such a result.
func (m arithmetic) kind(operand, result tensor.DType) driver.ProductKind {
	switch {
	case result == tensor.BF16:
		return driver.ProductHalf
	case operand == tensor.F64:
		return driver.ProductF64
	case operand == tensor.BF16:
		return driver.ProductBF16
	case m == tf32:
		return driver.ProductTF32
	}
	return driver.ProductF32
}

// product computes the product by what is the fastest, and reports whether there is something that
// computes it, rather than our own kernel for want of anything else.
func (b *Backend) product(e *kernels.Encoder, dst, x, y kernels.Array, p tensor.MatMulParams) bool {
	last := len(dst.Shape) - 1
	s := driver.ProductSpec{M: dst.Shape[last-1], N: dst.Shape[last], K: x.Shape[last], Batch: 1,
		TransA: p.TransA, TransB: p.TransB, Kind: b.mode.kind(x.DType, dst.DType),
		Workspace: productWorkspace}
	if p.TransA {
		s.K = x.Shape[last-1]
	}
	if last == 2 {
		s.Batch = dst.Shape[0]
	}
	if b.lt == nil || b.x.err() != nil || s.M*s.N*s.K*s.Batch == 0 {
		return false
	}
	execute := func(plan *driver.ProductPlan, room uint64) {
		b.command("cublasLtMatmul")
		b.batch.Product(plan, x.Ptr, y.Ptr, dst.Ptr, room)
	}
	own := ownWork{dst, x, y, func(e *kernels.Encoder, dst, x, y kernels.Array) {
		e.MatMul(dst, x, y, p)
	}}
	plan, known := b.lt.plans[s]
	if !known {
		plan = b.chooseProduct(s, execute, own)
	}
	switch {
	case plan == nil:
		return false
	case plan.choice.own():
		own.plain(e)
	case plan.choice.Mode == hopperMode:
		own.onHopper(e)
	default:
		execute(plan.ProductPlan, b.workspace(plan.Workspace))
	}
	return true
}

// productName names a product in a file of choices.
func productName(s driver.ProductSpec) string {
	kind := [...]string{driver.ProductF32: "f32", driver.ProductTF32: "f32 as tf32",
		driver.ProductBF16: "bf16 to f32", driver.ProductHalf: "bf16",
		driver.ProductF64: "f64"}[s.Kind]
	return fmt.Sprintf("product %s %d×%d from %d, %d times, transposed %v %v", kind, s.M, s.N, s.K,
		s.Batch, s.TransA, s.TransB)
}

// chooseProduct returns the algorithm for a product that was not computed before, nil for our
// kernel.
func (b *Backend) chooseProduct(s driver.ProductSpec, execute func(*driver.ProductPlan, uint64),
	own ownWork,
) *productPlan {
	plans := map[int]*driver.ProductPlan{} // by place
	won := b.choose(contest{shape: productName(s), own: func() { own.plain(&b.enc) },
		hopper: func() (offer, bool) { return b.hopperOffer(own, s.M, s.N) }, alone: b.lt.alone,
		list: func(kept choice, known bool) (found []offer, failed error) {
			for place := range offers {
				if known && place != kept.Place {
					continue
				}
				p, err := b.ctx.PlanProduct(b.lt.handle, s, place)
				if err != nil {
					if !driver.NotOffered(err) {
						failed = err
					}
					break // there are no more
				}
				plans[place] = p
				o := offer{choice{Mode: heurProducts, Place: place, Engine: p.Engine}, p.Workspace,
					func(room uint64) { execute(p, room) }, func() { b.ctx.ClosePlan(p) }}
				if known && (kept.Mode != heurProducts || p.Engine != kept.Engine) {
					o.close()
					break
				}
				found = append(found, o)
			}
			return found, failed
		}})
	var plan *productPlan
	if won == nil && b.graph == nil {
		if c, ok := b.book.get(productName(s)); ok && c.own() && c.Micros > 0 { // it was faster
			plan = &productPlan{choice: c}
		}
	}
	if won != nil {
		plan = &productPlan{choice: won.choice}
		if won.choice.Mode != hopperMode {
			plan.ProductPlan = plans[won.choice.Place]
		}
	}
	if b.graph == nil {
		b.lt.plans[s] = plan
	}
	return plan
}

// giveUp closes plans that differ from what they should be.
func (l *products) giveUp(ctx *driver.Context, differs func(string, *choice) bool) {
	for s, p := range l.plans {
		var used *choice
		if p != nil {
			used = &p.choice
		}
		if !differs(productName(s), used) {
			continue
		}
		p.close(ctx)
		delete(l.plans, s)
	}
}

// close gives the plans and the handle back.
func (l *products) close(ctx *driver.Context) {
	for _, p := range l.plans {
		p.close(ctx)
	}
	ctx.CloseProducts(l.handle)
}

// close gives a plan of the library's back.
func (p *productPlan) close(ctx *driver.Context) {
	if p != nil && p.ProductPlan != nil {
		ctx.ClosePlan(p.ProductPlan)
	}
}
