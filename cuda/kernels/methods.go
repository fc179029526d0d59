package kernels

import "afterimage/tensor"

// Methods are the kernel methods of tensor.Backend, which states the contract of each: every one
// hands its operands to an Encoder. A backend that runs these kernels embeds them, which leaves it
// with memory, copies and waiting, and overrides what it does in a way of its own.
type Methods struct {
	run     func(encode func(e *Encoder))
	address func(tensor.Buffer) uint64
}

// NewMethods returns the methods of a backend: run calls encode with the backend's encoder and
// sees its launches through, address says where a buffer lies in device memory.
func NewMethods(
	run func(encode func(e *Encoder)), address func(tensor.Buffer) uint64,
) Methods {
	return Methods{run, address}
}

// array describes a tensor to the planner; nil is absent.
func (m Methods) array(t *tensor.Tensor) Array {
	if t == nil {
		return Array{}
	}
	return Array{Ptr: m.address(t.Buffer()), DType: t.DType(), Shape: t.Shape()}
}

func (m Methods) view(v tensor.View) View { return View{m.array(v.T), v.Layout} }

func (m Methods) arrays(ts []*tensor.Tensor) []Array {
	if ts == nil {
		return nil
	}
	as := make([]Array, len(ts))
	for i, t := range ts {
		as[i] = m.array(t)
	}
	return as
}

// Fill sets every element to v.
func (m Methods) Fill(dst *tensor.Tensor, v float64) {
	m.run(func(e *Encoder) { e.Fill(m.array(dst), v) })
}

// Cast converts element-wise.
func (m Methods) Cast(dst, x *tensor.Tensor) {
	m.run(func(e *Encoder) { e.Cast(m.array(dst), m.array(x)) })
}

// Unary computes dst = op(x) element-wise.
func (m Methods) Unary(op tensor.UnaryOp, p tensor.Attr, dst, x *tensor.Tensor) {
	m.run(func(e *Encoder) { e.Unary(op, p, m.array(dst), m.array(x)) })
}

// Binary computes dst = op(x, y) with broadcasting.
func (m Methods) Binary(op tensor.BinaryOp, dst, x, y *tensor.Tensor) {
	m.run(func(e *Encoder) { e.Binary(op, m.array(dst), m.array(x), m.array(y)) })
}

// AddReLUMask computes dx = y > 0 ? a + b : 0; see tensor.SumMasker.
func (m Methods) AddReLUMask(dx, a, b, y *tensor.Tensor) {
	m.run(func(e *Encoder) { e.AddReLUMask(m.array(dx), m.array(a), m.array(b), m.array(y)) })
}

// Select computes dst = cond ≠ 0 ? x : y.
func (m Methods) Select(dst, cond, x, y *tensor.Tensor) {
	m.run(func(e *Encoder) { e.Select(m.array(dst), m.array(cond), m.array(x), m.array(y)) })
}

// Reduce reduces over axes.
func (m Methods) Reduce(op tensor.ReduceOp, dst, x *tensor.Tensor, axes []int) {
	m.run(func(e *Encoder) { e.Reduce(op, m.array(dst), m.array(x), axes) })
}

// ArgMax finds the first largest element along the last axis.
func (m Methods) ArgMax(dst, x *tensor.Tensor) {
	m.run(func(e *Encoder) { e.ArgMax(m.array(dst), m.array(x)) })
}

// Softmax computes softmax, or its logarithm, along the last axis.
func (m Methods) Softmax(log bool, dst, x *tensor.Tensor) {
	m.run(func(e *Encoder) { e.Softmax(log, m.array(dst), m.array(x)) })
}

// CrossEntropy computes log softmax(logits) and −Σ target·logp along rows; see tensor.LossFuser.
func (m Methods) CrossEntropy(loss, logp, logits, target *tensor.Tensor) {
	m.run(func(e *Encoder) {
		e.CrossEntropy(m.array(loss), m.array(logp), m.array(logits), m.array(target))
	})
}

// CrossEntropyGrad computes dy·(exp(logp)·Σtarget − target) along rows; see tensor.LossFuser.
func (m Methods) CrossEntropyGrad(dx, dy, logp, target *tensor.Tensor) {
	m.run(func(e *Encoder) {
		e.CrossEntropyGrad(m.array(dx), m.array(dy), m.array(logp), m.array(target))
	})
}

// FusesAttention reports whether Attention takes such operands; see tensor.AttentionFuser.
func (m Methods) FusesAttention(q, k, v *tensor.Tensor) bool {
	return FusesAttention(m.array(q), m.array(k), m.array(v))
}

// Attention computes softmax(scale·q·kᵀ)·v without storing the scores; see tensor.AttentionFuser.
func (m Methods) Attention(y, lse, q, k, v *tensor.Tensor, scale float64) {
	m.run(func(e *Encoder) {
		e.Attention(m.array(y), m.array(lse), m.array(q), m.array(k), m.array(v), scale)
	})
}

// AttentionGrad computes the gradients of Attention; see tensor.AttentionFuser.
func (m Methods) AttentionGrad(dq, dk, dv, dy, y, lse, q, k, v *tensor.Tensor, scale float64) {
	m.run(func(e *Encoder) {
		e.AttentionGrad(m.array(dq), m.array(dk), m.array(dv), m.array(dy), m.array(y), m.array(lse),
			m.array(q), m.array(k), m.array(v), scale)
	})
}

// MatMul computes dst = op(x)·op(y), batch by batch.
func (m Methods) MatMul(dst, x, y *tensor.Tensor, p tensor.MatMulParams) {
	m.run(func(e *Encoder) { e.MatMul(m.array(dst), m.array(x), m.array(y), p) })
}

// MatMulViews computes dst = alpha·x·y, operands being views; see tensor.Viewer.
func (m Methods) MatMulViews(dst, x, y tensor.View, alpha float64) {
	m.run(func(e *Encoder) { e.MatMulViews(m.view(dst), m.view(x), m.view(y), alpha, e.MatMul) })
}

// Conv2D computes a cross-correlation, x [N H W C] with w [O KH KW C/groups].
func (m Methods) Conv2D(y, x, w *tensor.Tensor, p tensor.ConvParams) {
	m.run(func(e *Encoder) { e.Conv2D(m.array(y), m.array(x), m.array(w), p) })
}

// Conv2DBiasAct computes y = act(Conv2D(x, w) + bias + res).
func (m Methods) Conv2DBiasAct(y, x, w, bias, res *tensor.Tensor, relu bool, p tensor.ConvParams) {
	m.run(func(e *Encoder) {
		e.Conv2DBiasAct(m.array(y), m.array(x), m.array(w), m.array(bias), m.array(res), relu, p)
	})
}

// Conv2DInputGrad is the adjoint of Conv2D in x.
func (m Methods) Conv2DInputGrad(dx, dy, w *tensor.Tensor, p tensor.ConvParams) {
	m.run(func(e *Encoder) { e.Conv2DInputGrad(m.array(dx), m.array(dy), m.array(w), p) })
}

// Conv2DWeightGrad is the adjoint of Conv2D in w.
func (m Methods) Conv2DWeightGrad(dw, x, dy *tensor.Tensor, p tensor.ConvParams) {
	m.run(func(e *Encoder) { e.Conv2DWeightGrad(m.array(dw), m.array(x), m.array(dy), p) })
}

// Permute reorders axes.
func (m Methods) Permute(dst, x *tensor.Tensor, perm []int) {
	m.run(func(e *Encoder) { e.Permute(m.array(dst), m.array(x), perm) })
}

// CopyRegion copies a strided box.
func (m Methods) CopyRegion(dst, x *tensor.Tensor, r tensor.Region) {
	m.run(func(e *Encoder) { e.CopyRegion(m.array(dst), m.array(x), r) })
}

// CopyView copies from the places of a view to those of another; see tensor.Viewer.
func (m Methods) CopyView(dst, src tensor.View) {
	m.run(func(e *Encoder) { e.CopyView(m.view(dst), m.view(src)) })
}

// Gather copies rows by index.
func (m Methods) Gather(dst, x, idx *tensor.Tensor) {
	m.run(func(e *Encoder) { e.Gather(m.array(dst), m.array(x), m.array(idx)) })
}

// ScatterAdd adds rows by index, in their order.
func (m Methods) ScatterAdd(dst, x, idx *tensor.Tensor) {
	m.run(func(e *Encoder) { e.ScatterAdd(m.array(dst), m.array(x), m.array(idx)) })
}

// OneHot writes rows of an identity matrix.
func (m Methods) OneHot(dst, idx *tensor.Tensor) {
	m.run(func(e *Encoder) { e.OneHot(m.array(dst), m.array(idx)) })
}

// MaxPool takes the maximum over windows and where it stood.
func (m Methods) MaxPool(y, idx, x *tensor.Tensor, p tensor.PoolParams) {
	m.run(func(e *Encoder) { e.MaxPool(m.array(y), m.array(idx), m.array(x), p) })
}

// PoolGather reads the positions that MaxPool found.
func (m Methods) PoolGather(y, x, idx *tensor.Tensor) {
	m.run(func(e *Encoder) { e.PoolGather(m.array(y), m.array(x), m.array(idx)) })
}

// PoolScatter is the adjoint of PoolGather.
func (m Methods) PoolScatter(dx, dy, idx *tensor.Tensor) {
	m.run(func(e *Encoder) { e.PoolScatter(m.array(dx), m.array(dy), m.array(idx)) })
}

// AvgPool averages over windows.
func (m Methods) AvgPool(y, x *tensor.Tensor, p tensor.PoolParams) {
	m.run(func(e *Encoder) { e.AvgPool(m.array(y), m.array(x), p) })
}

// AvgPoolGrad is the adjoint of AvgPool.
func (m Methods) AvgPoolGrad(dx, dy *tensor.Tensor, p tensor.PoolParams) {
	m.run(func(e *Encoder) { e.AvgPoolGrad(m.array(dx), m.array(dy), p) })
}

// Upsample repeats every pixel k×k times.
func (m Methods) Upsample(y, x *tensor.Tensor, k int) {
	m.run(func(e *Encoder) { e.Upsample(m.array(y), m.array(x), k) })
}

// UpsampleGrad is the adjoint of Upsample.
func (m Methods) UpsampleGrad(dx, dy *tensor.Tensor, k int) {
	m.run(func(e *Encoder) { e.UpsampleGrad(m.array(dx), m.array(dy), k) })
}

// NormStats computes mean, variance and rstd of every channel, and what they make of gamma and
// beta.
func (m Methods) NormStats(mean, variance, rstd, scale, shift, x, gamma, beta *tensor.Tensor,
	eps float64) {
	m.run(func(e *Encoder) {
		e.NormStats(m.array(mean), m.array(variance), m.array(rstd), m.array(scale), m.array(shift),
			m.array(x), m.array(gamma), m.array(beta), eps)
	})
}

// PowerIterate makes one power iteration for each weight; see tensor.SpectralFuser.
func (m Methods) PowerIterate(next, v, sigma, w, u []*tensor.Tensor, eps []float64) {
	m.run(func(e *Encoder) {
		e.PowerIterate(m.arrays(next), m.arrays(v), m.arrays(sigma), m.arrays(w), m.arrays(u), eps)
	})
}

// SpectralQuotient divides a weight by σ; see tensor.SpectralFuser.
func (m Methods) SpectralQuotient(y, w, sigma *tensor.Tensor) {
	m.run(func(e *Encoder) { e.SpectralQuotient(m.array(y), m.array(w), m.array(sigma)) })
}

// SpectralQuotientGrad is the gradient of SpectralQuotient for w; see tensor.SpectralFuser.
func (m Methods) SpectralQuotientGrad(dw, dy, w, u, v, sigma *tensor.Tensor) {
	m.run(func(e *Encoder) {
		e.SpectralQuotientGrad(m.array(dw), m.array(dy), m.array(w), m.array(u), m.array(v),
			m.array(sigma))
	})
}

// SpectralQuotients is SpectralQuotient for many weights; see tensor.ManySpectralFuser.
func (m Methods) SpectralQuotients(y, w, sigma []*tensor.Tensor) {
	m.run(func(e *Encoder) { e.SpectralQuotients(m.arrays(y), m.arrays(w), m.arrays(sigma)) })
}

// SpectralQuotientGrads is SpectralQuotientGrad for many weights; see tensor.ManySpectralFuser.
func (m Methods) SpectralQuotientGrads(dw, dy, w, u, v, sigma []*tensor.Tensor) {
	m.run(func(e *Encoder) {
		e.SpectralQuotientGrads(m.arrays(dw), m.arrays(dy), m.arrays(w), m.arrays(u), m.arrays(v),
			m.arrays(sigma))
	})
}

// NormUpsample computes y = Upsample(act(x·scale + shift), k); see tensor.NormUpsampler.
func (m Methods) NormUpsample(y, x, scale, shift *tensor.Tensor, relu bool, k int) {
	m.run(func(e *Encoder) {
		e.NormUpsample(m.array(y), m.array(x), m.array(scale), m.array(shift), relu, k)
	})
}

// NormApply computes y = act(x·scale + shift + res).
func (m Methods) NormApply(y, x, scale, shift, res *tensor.Tensor, relu bool) {
	m.run(func(e *Encoder) {
		e.NormApply(m.array(y), m.array(x), m.array(scale), m.array(shift), m.array(res), relu)
	})
}

// NormBackward computes the gradients of batch normalisation.
func (m Methods) NormBackward(
	dx, dgamma, dbeta, dres, dy, x, y, shift, mean, rstd, gamma *tensor.Tensor,
) {
	m.run(func(e *Encoder) {
		e.NormBackward(m.array(dx), m.array(dgamma), m.array(dbeta), m.array(dres), m.array(dy),
			m.array(x), m.array(y), m.array(shift), m.array(mean), m.array(rstd), m.array(gamma))
	})
}

// LayerNorm normalises each row of x; see tensor.LayerNormer.
func (m Methods) LayerNorm(y, mean, rstd, x, gamma, beta *tensor.Tensor, eps float64) {
	m.run(func(e *Encoder) {
		e.LayerNorm(m.array(y), m.array(mean), m.array(rstd), m.array(x), m.array(gamma), m.array(beta),
			eps)
	})
}

// LayerNormGrad is the gradient of LayerNorm for x; see tensor.LayerNormer.
func (m Methods) LayerNormGrad(dx, dy, x, mean, rstd, gamma *tensor.Tensor) {
	m.run(func(e *Encoder) {
		e.LayerNormGrad(m.array(dx), m.array(dy), m.array(x), m.array(mean), m.array(rstd),
			m.array(gamma))
	})
}

// Random fills dst with numbers of a stream, the same as on the CPU.
func (m Methods) Random(d tensor.Dist, key tensor.Key, dst, step *tensor.Tensor) {
	m.run(func(e *Encoder) { e.Random(d, key, m.array(dst), m.array(step)) })
}

// SGD updates every parameter in place.
func (m Methods) SGD(p tensor.SGDParams, params, grads, buf []*tensor.Tensor, lr *tensor.Tensor) {
	m.run(func(e *Encoder) { e.SGD(p, m.arrays(params), m.arrays(grads), m.arrays(buf), m.array(lr)) })
}

// Adam updates every parameter in place.
func (m Methods) Adam(p tensor.AdamParams, params, grads, m1, m2 []*tensor.Tensor,
	lr, step *tensor.Tensor,
) {
	m.run(func(e *Encoder) {
		e.Adam(p, m.arrays(params), m.arrays(grads), m.arrays(m1), m.arrays(m2), m.array(lr),
			m.array(step))
	})
}

// SGDShadow is SGD that also writes the parameters in BF16; see tensor.Shadower.
func (m Methods) SGDShadow(p tensor.SGDParams, params, grads, buf, shadows []*tensor.Tensor,
	lr *tensor.Tensor,
) {
	m.run(func(e *Encoder) {
		e.SGDMixed(p, m.arrays(params), m.arrays(grads), m.arrays(buf), m.arrays(shadows), m.array(lr))
	})
}

// AdamShadow is Adam that also writes the parameters in BF16; see tensor.Shadower.
func (m Methods) AdamShadow(p tensor.AdamParams, params, grads, m1, m2, shadows []*tensor.Tensor,
	lr, step *tensor.Tensor,
) {
	m.run(func(e *Encoder) {
		e.AdamMixed(p, m.arrays(params), m.arrays(grads), m.arrays(m1), m.arrays(m2),
			m.arrays(shadows), m.array(lr), m.array(step))
	})
}

// Blend computes dst = keep·dst + add·src for every pair; see tensor.Backend.
func (m Methods) Blend(dst, src []*tensor.Tensor, keep, add []float64) {
	m.run(func(e *Encoder) { e.Blend(m.arrays(dst), m.arrays(src), keep, add) })
}

// Lerp moves every dst toward src in place.
func (m Methods) Lerp(dst, src []*tensor.Tensor, decay *tensor.Tensor) {
	m.run(func(e *Encoder) { e.Lerp(m.arrays(dst), m.arrays(src), m.array(decay)) })
}

// ScaleAll writes every src times factor to its dst; see tensor.ManyScaler.
func (m Methods) ScaleAll(dst, src []*tensor.Tensor, factor *tensor.Tensor) {
	m.run(func(e *Encoder) { e.ScaleAll(m.arrays(dst), m.arrays(src), m.array(factor)) })
}

// SquaredNorm adds up the squares of all elements of all tensors.
func (m Methods) SquaredNorm(dst *tensor.Tensor, xs []*tensor.Tensor) {
	m.run(func(e *Encoder) { e.SquaredNorm(m.array(dst), m.arrays(xs)) })
}
