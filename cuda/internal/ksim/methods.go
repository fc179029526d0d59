package ksim

import (
	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// Fill runs the kernels of Fill.
func (b *Backend) Fill(dst *tensor.Tensor, v float64) {
	b.run(func(e *kernels.Encoder) { e.Fill(arr(dst), v) })
}

// Cast runs the kernels of Cast.
func (b *Backend) Cast(dst, x *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Cast(arr(dst), arr(x)) })
}

// Unary runs the kernels of Unary.
func (b *Backend) Unary(op tensor.UnaryOp, p tensor.Attr, dst, x *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Unary(op, p, arr(dst), arr(x)) })
}

// Binary runs the kernels of Binary.
func (b *Backend) Binary(op tensor.BinaryOp, dst, x, y *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Binary(op, arr(dst), arr(x), arr(y)) })
}

// Select runs the kernels of Select.
func (b *Backend) Select(dst, cond, x, y *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Select(arr(dst), arr(cond), arr(x), arr(y)) })
}

// Reduce runs the kernels of Reduce.
func (b *Backend) Reduce(op tensor.ReduceOp, dst, x *tensor.Tensor, axes []int) {
	b.run(func(e *kernels.Encoder) { e.Reduce(op, arr(dst), arr(x), axes) })
}

// ArgMax runs the kernels of ArgMax.
func (b *Backend) ArgMax(dst, x *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.ArgMax(arr(dst), arr(x)) })
}

// Softmax runs the kernels of Softmax.
func (b *Backend) Softmax(log bool, dst, x *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Softmax(log, arr(dst), arr(x)) })
}

// MatMul runs the kernels of MatMul.
func (be *Backend) MatMul(dst, a, b *tensor.Tensor, p tensor.MatMulParams) {
	be.run(func(e *kernels.Encoder) { e.MatMul(arr(dst), arr(a), arr(b), p) })
}

// Conv2D runs the kernels of Conv2D.
func (b *Backend) Conv2D(y, x, w *tensor.Tensor, p tensor.ConvParams) {
	b.run(func(e *kernels.Encoder) { e.Conv2D(arr(y), arr(x), arr(w), p) })
}

// Conv2DBiasAct runs the kernels of Conv2DBiasAct.
func (b *Backend) Conv2DBiasAct(y, x, w, bias, res *tensor.Tensor, relu bool, p tensor.ConvParams) {
	b.run(func(e *kernels.Encoder) {
		e.Conv2DBiasAct(arr(y), arr(x), arr(w), arr(bias), arr(res), relu, p)
	})
}

// Conv2DInputGrad runs the kernels of Conv2DInputGrad.
func (b *Backend) Conv2DInputGrad(dx, dy, w *tensor.Tensor, p tensor.ConvParams) {
	b.run(func(e *kernels.Encoder) { e.Conv2DInputGrad(arr(dx), arr(dy), arr(w), p) })
}

// Conv2DWeightGrad runs the kernels of Conv2DWeightGrad.
func (b *Backend) Conv2DWeightGrad(dw, x, dy *tensor.Tensor, p tensor.ConvParams) {
	b.run(func(e *kernels.Encoder) { e.Conv2DWeightGrad(arr(dw), arr(x), arr(dy), p) })
}

// Permute runs the kernels of Permute.
func (b *Backend) Permute(dst, x *tensor.Tensor, perm []int) {
	b.run(func(e *kernels.Encoder) { e.Permute(arr(dst), arr(x), perm) })
}

// CopyRegion runs the kernels of CopyRegion.
func (b *Backend) CopyRegion(dst, x *tensor.Tensor, r tensor.Region) {
	b.run(func(e *kernels.Encoder) { e.CopyRegion(arr(dst), arr(x), r) })
}

// Gather runs the kernels of Gather.
func (b *Backend) Gather(dst, x, idx *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Gather(arr(dst), arr(x), arr(idx)) })
}

// ScatterAdd runs the kernels of ScatterAdd.
func (b *Backend) ScatterAdd(dst, x, idx *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.ScatterAdd(arr(dst), arr(x), arr(idx)) })
}

// OneHot runs the kernels of OneHot.
func (b *Backend) OneHot(dst, idx *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.OneHot(arr(dst), arr(idx)) })
}

// MaxPool runs the kernels of MaxPool.
func (b *Backend) MaxPool(y, idx, x *tensor.Tensor, p tensor.PoolParams) {
	b.run(func(e *kernels.Encoder) { e.MaxPool(arr(y), arr(idx), arr(x), p) })
}

// PoolGather runs the kernels of PoolGather.
func (b *Backend) PoolGather(y, x, idx *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.PoolGather(arr(y), arr(x), arr(idx)) })
}

// PoolScatter runs the kernels of PoolScatter.
func (b *Backend) PoolScatter(dx, dy, idx *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.PoolScatter(arr(dx), arr(dy), arr(idx)) })
}

// AvgPool runs the kernels of AvgPool.
func (b *Backend) AvgPool(y, x *tensor.Tensor, p tensor.PoolParams) {
	b.run(func(e *kernels.Encoder) { e.AvgPool(arr(y), arr(x), p) })
}

// AvgPoolGrad runs the kernels of AvgPoolGrad.
func (b *Backend) AvgPoolGrad(dx, dy *tensor.Tensor, p tensor.PoolParams) {
	b.run(func(e *kernels.Encoder) { e.AvgPoolGrad(arr(dx), arr(dy), p) })
}

// Upsample runs the kernels of Upsample.
func (b *Backend) Upsample(y, x *tensor.Tensor, k int) {
	b.run(func(e *kernels.Encoder) { e.Upsample(arr(y), arr(x), k) })
}

// UpsampleGrad runs the kernels of UpsampleGrad.
func (b *Backend) UpsampleGrad(dx, dy *tensor.Tensor, k int) {
	b.run(func(e *kernels.Encoder) { e.UpsampleGrad(arr(dx), arr(dy), k) })
}

// NormStats runs the kernels of NormStats.
func (b *Backend) NormStats(mean, variance, rstd, x *tensor.Tensor, eps float64) {
	b.run(func(e *kernels.Encoder) { e.NormStats(arr(mean), arr(variance), arr(rstd), arr(x), eps) })
}

// NormApply runs the kernels of NormApply.
func (b *Backend) NormApply(y, x, scale, shift, res *tensor.Tensor, relu bool) {
	b.run(func(e *kernels.Encoder) {
		e.NormApply(arr(y), arr(x), arr(scale), arr(shift), arr(res), relu)
	})
}

// NormBackward runs the kernels of NormBackward.
func (b *Backend) NormBackward(
	dx, dgamma, dbeta, dres, dy, x, y, mean, rstd, gamma *tensor.Tensor,
) {
	b.run(func(e *kernels.Encoder) {
		e.NormBackward(arr(dx), arr(dgamma), arr(dbeta), arr(dres), arr(dy), arr(x), arr(y),
			arr(mean), arr(rstd), arr(gamma))
	})
}

// Random runs the kernels of Random.
func (b *Backend) Random(d tensor.Dist, key tensor.Key, dst, step *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Random(d, key, arr(dst), arr(step)) })
}

// SGD runs the kernels of SGD.
func (b *Backend) SGD(p tensor.SGDParams, params, grads, buf []*tensor.Tensor, lr *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.SGD(p, arrs(params), arrs(grads), arrs(buf), arr(lr)) })
}

// Adam runs the kernels of Adam.
func (b *Backend) Adam(p tensor.AdamParams, params, grads, m, v []*tensor.Tensor,
	lr, step *tensor.Tensor,
) {
	b.run(func(e *kernels.Encoder) {
		e.Adam(p, arrs(params), arrs(grads), arrs(m), arrs(v), arr(lr), arr(step))
	})
}

// Lerp runs the kernels of Lerp.
func (b *Backend) Lerp(dst, src []*tensor.Tensor, decay *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Lerp(arrs(dst), arrs(src), arr(decay)) })
}
