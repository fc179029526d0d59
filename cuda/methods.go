package cuda

import (
	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// The methods below are those of tensor.Backend, which states the contract of each: every one
// hands its operands to the planner of package kernels.

// arr describes a tensor to the planner; nil is absent.
func arr(t *tensor.Tensor) kernels.Array {
	if t == nil {
		return kernels.Array{}
	}
	return kernels.Array{Ptr: t.Buffer().(*buffer).address, DType: t.DType(), Shape: t.Shape()}
}

func arrs(ts []*tensor.Tensor) []kernels.Array {
	if ts == nil {
		return nil
	}
	as := make([]kernels.Array, len(ts))
	for i, t := range ts {
		as[i] = arr(t)
	}
	return as
}

// Fill sets every element to v.
func (b *Backend) Fill(dst *tensor.Tensor, v float64) {
	b.run(func(e *kernels.Encoder) { e.Fill(arr(dst), v) })
}

// Cast converts element-wise.
func (b *Backend) Cast(dst, x *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Cast(arr(dst), arr(x)) })
}

// Unary computes dst = op(x) element-wise.
func (b *Backend) Unary(op tensor.UnaryOp, p tensor.Attr, dst, x *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Unary(op, p, arr(dst), arr(x)) })
}

// Binary computes dst = op(x, y) with broadcasting.
func (b *Backend) Binary(op tensor.BinaryOp, dst, x, y *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Binary(op, arr(dst), arr(x), arr(y)) })
}

// Select computes dst = cond ≠ 0 ? x : y.
func (b *Backend) Select(dst, cond, x, y *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Select(arr(dst), arr(cond), arr(x), arr(y)) })
}

// Reduce reduces over axes.
func (b *Backend) Reduce(op tensor.ReduceOp, dst, x *tensor.Tensor, axes []int) {
	b.run(func(e *kernels.Encoder) { e.Reduce(op, arr(dst), arr(x), axes) })
}

// ArgMax finds the first largest element along the last axis.
func (b *Backend) ArgMax(dst, x *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.ArgMax(arr(dst), arr(x)) })
}

// Softmax computes softmax, or its logarithm, along the last axis.
func (b *Backend) Softmax(log bool, dst, x *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Softmax(log, arr(dst), arr(x)) })
}

// Permute reorders axes.
func (b *Backend) Permute(dst, x *tensor.Tensor, perm []int) {
	b.run(func(e *kernels.Encoder) { e.Permute(arr(dst), arr(x), perm) })
}

// CopyRegion copies a strided box.
func (b *Backend) CopyRegion(dst, x *tensor.Tensor, r tensor.Region) {
	b.run(func(e *kernels.Encoder) { e.CopyRegion(arr(dst), arr(x), r) })
}

// Gather copies rows by index.
func (b *Backend) Gather(dst, x, idx *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Gather(arr(dst), arr(x), arr(idx)) })
}

// ScatterAdd adds rows by index, in their order.
func (b *Backend) ScatterAdd(dst, x, idx *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.ScatterAdd(arr(dst), arr(x), arr(idx)) })
}

// OneHot writes rows of an identity matrix.
func (b *Backend) OneHot(dst, idx *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.OneHot(arr(dst), arr(idx)) })
}

// MaxPool takes the maximum over windows and where it stood.
func (b *Backend) MaxPool(y, idx, x *tensor.Tensor, p tensor.PoolParams) {
	b.run(func(e *kernels.Encoder) { e.MaxPool(arr(y), arr(idx), arr(x), p) })
}

// PoolGather reads the positions that MaxPool found.
func (b *Backend) PoolGather(y, x, idx *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.PoolGather(arr(y), arr(x), arr(idx)) })
}

// PoolScatter is the adjoint of PoolGather.
func (b *Backend) PoolScatter(dx, dy, idx *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.PoolScatter(arr(dx), arr(dy), arr(idx)) })
}

// AvgPool averages over windows.
func (b *Backend) AvgPool(y, x *tensor.Tensor, p tensor.PoolParams) {
	b.run(func(e *kernels.Encoder) { e.AvgPool(arr(y), arr(x), p) })
}

// AvgPoolGrad is the adjoint of AvgPool.
func (b *Backend) AvgPoolGrad(dx, dy *tensor.Tensor, p tensor.PoolParams) {
	b.run(func(e *kernels.Encoder) { e.AvgPoolGrad(arr(dx), arr(dy), p) })
}

// Upsample repeats every pixel k×k times.
func (b *Backend) Upsample(y, x *tensor.Tensor, k int) {
	b.run(func(e *kernels.Encoder) { e.Upsample(arr(y), arr(x), k) })
}

// UpsampleGrad is the adjoint of Upsample.
func (b *Backend) UpsampleGrad(dx, dy *tensor.Tensor, k int) {
	b.run(func(e *kernels.Encoder) { e.UpsampleGrad(arr(dx), arr(dy), k) })
}

// NormStats computes mean, variance and rstd of every channel.
func (b *Backend) NormStats(mean, variance, rstd, x *tensor.Tensor, eps float64) {
	b.run(func(e *kernels.Encoder) {
		e.NormStats(arr(mean), arr(variance), arr(rstd), arr(x), eps)
	})
}

// NormApply computes y = act(x·scale + shift + res).
func (b *Backend) NormApply(y, x, scale, shift, res *tensor.Tensor, relu bool) {
	b.run(func(e *kernels.Encoder) {
		e.NormApply(arr(y), arr(x), arr(scale), arr(shift), arr(res), relu)
	})
}

// NormBackward computes the gradients of batch normalisation.
func (b *Backend) NormBackward(dx, dgamma, dbeta, dres, dy, x, y, mean, rstd,
	gamma *tensor.Tensor,
) {
	b.run(func(e *kernels.Encoder) {
		e.NormBackward(arr(dx), arr(dgamma), arr(dbeta), arr(dres), arr(dy), arr(x), arr(y),
			arr(mean), arr(rstd), arr(gamma))
	})
}

// Random fills dst with numbers of a stream, the same as on the CPU.
func (b *Backend) Random(d tensor.Dist, key tensor.Key, dst, step *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Random(d, key, arr(dst), arr(step)) })
}

// SGD updates every parameter in place.
func (b *Backend) SGD(p tensor.SGDParams, params, grads, buf []*tensor.Tensor, lr *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.SGD(p, arrs(params), arrs(grads), arrs(buf), arr(lr)) })
}

// Adam updates every parameter in place.
func (b *Backend) Adam(p tensor.AdamParams, params, grads, m, v []*tensor.Tensor, lr,
	step *tensor.Tensor,
) {
	b.run(func(e *kernels.Encoder) {
		e.Adam(p, arrs(params), arrs(grads), arrs(m), arrs(v), arr(lr), arr(step))
	})
}

// Lerp moves every dst toward src in place.
func (b *Backend) Lerp(dst, src []*tensor.Tensor, decay *tensor.Tensor) {
	b.run(func(e *kernels.Encoder) { e.Lerp(arrs(dst), arrs(src), arr(decay)) })
}
