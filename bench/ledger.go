package bench

import (
	"slices"
	"time"

	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/cpu/conv"
)

// A call is a kernel and what it has to do: 2 operations a multiply-add of the form that it is
// computed in, taps in the padding counted, and each operand read and each result written once.
// What is both, an optimizer's weights, counts twice.
type call struct {
	kernel       string // the backend's method
	flops, bytes float64
}

// A tally is the calls that some work makes.
type tally map[call]spent

// Spent is what calls took.
type spent struct {
	times   int
	seconds float64
}

// A ledger is a CPU backend that writes down every kernel it runs.
type ledger struct {
	*cpu.Backend
	tally tally
}

// run runs a kernel and writes it down.
func (l *ledger) run(kernel string, flops, bytes float64, f func()) {
	start := time.Now()
	f()
	c := call{kernel, flops, bytes}
	s := l.tally[c]
	l.tally[c] = spent{s.times + 1, s.seconds + time.Since(start).Seconds()}
}

// traffic is the bytes of the tensors that were given.
func traffic(ts ...*tensor.Tensor) float64 {
	n := 0
	for _, t := range ts {
		if t != nil {
			n += t.Bytes()
		}
	}
	return float64(n)
}

// conv runs a direction of the convolution of x with w and writes it down.
func (l *ledger) conv(kernel string, d conv.Direction, x, w *tensor.Tensor, p tensor.ConvParams,
	bytes float64, f func()) {
	l.run(kernel, l.ConvFLOPs(d, x.Shape(), w.Shape(), p), bytes, f)
}

// Fill runs and is written down, as all methods below.
func (l *ledger) Fill(dst *tensor.Tensor, v float64) {
	l.run("Fill", 0, traffic(dst), func() { l.Backend.Fill(dst, v) })
}

func (l *ledger) AddReLUMask(dx, a, b, y *tensor.Tensor) {
	l.run("AddReLUMask", 0, traffic(dx, a, b, y), func() { l.Backend.AddReLUMask(dx, a, b, y) })
}

func (l *ledger) Cast(dst, x *tensor.Tensor) {
	l.run("Cast", 0, traffic(dst, x), func() { l.Backend.Cast(dst, x) })
}

func (l *ledger) Unary(op tensor.UnaryOp, p tensor.Attr, dst, x *tensor.Tensor) {
	l.run("Unary", 0, traffic(dst, x), func() { l.Backend.Unary(op, p, dst, x) })
}

func (l *ledger) Binary(op tensor.BinaryOp, dst, x, y *tensor.Tensor) {
	l.run("Binary", 0, traffic(dst, x, y), func() { l.Backend.Binary(op, dst, x, y) })
}

func (l *ledger) Select(dst, cond, x, y *tensor.Tensor) {
	l.run("Select", 0, traffic(dst, cond, x, y), func() { l.Backend.Select(dst, cond, x, y) })
}

func (l *ledger) Reduce(op tensor.ReduceOp, dst, x *tensor.Tensor, axes []int) {
	l.run("Reduce", 0, traffic(dst, x), func() { l.Backend.Reduce(op, dst, x, axes) })
}

func (l *ledger) ArgMax(dst, x *tensor.Tensor) {
	l.run("ArgMax", 0, traffic(dst, x), func() { l.Backend.ArgMax(dst, x) })
}

func (l *ledger) Softmax(log bool, dst, x *tensor.Tensor) {
	l.run("Softmax", 0, traffic(dst, x), func() { l.Backend.Softmax(log, dst, x) })
}

func (l *ledger) CrossEntropy(loss, logp, logits, target *tensor.Tensor) {
	l.run("CrossEntropy", 0, traffic(loss, logp, logits, target), func() {
		l.Backend.CrossEntropy(loss, logp, logits, target)
	})
}

func (l *ledger) CrossEntropyGrad(dx, dy, logp, target *tensor.Tensor) {
	l.run("CrossEntropyGrad", 0, traffic(dx, dy, logp, target), func() {
		l.Backend.CrossEntropyGrad(dx, dy, logp, target)
	})
}

func (l *ledger) MatMul(dst, a, b *tensor.Tensor, p tensor.MatMulParams) {
	k := a.Dim(a.Rank() - 1)
	if p.TransA {
		k = a.Dim(a.Rank() - 2)
	}
	l.run("MatMul", 2*float64(dst.Size())*float64(k), traffic(dst, a, b), func() {
		l.Backend.MatMul(dst, a, b, p)
	})
}

func (l *ledger) Conv2D(y, x, w *tensor.Tensor, p tensor.ConvParams) {
	l.conv("Conv2D", conv.DirForward, x, w, p, traffic(y, x, w), func() {
		l.Backend.Conv2D(y, x, w, p)
	})
}

func (l *ledger) Conv2DBiasAct(y, x, w, bias, res *tensor.Tensor, relu bool,
	p tensor.ConvParams) {
	l.conv("Conv2DBiasAct", conv.DirForward, x, w, p, traffic(y, x, w, bias, res), func() {
		l.Backend.Conv2DBiasAct(y, x, w, bias, res, relu, p)
	})
}

func (l *ledger) Conv2DInputGrad(dx, dy, w *tensor.Tensor, p tensor.ConvParams) {
	l.conv("Conv2DInputGrad", conv.DirInputGrad, dx, w, p, traffic(dx, dy, w), func() {
		l.Backend.Conv2DInputGrad(dx, dy, w, p)
	})
}

func (l *ledger) Conv2DWeightGrad(dw, x, dy *tensor.Tensor, p tensor.ConvParams) {
	l.conv("Conv2DWeightGrad", conv.DirWeightGrad, x, dw, p, traffic(dw, x, dy), func() {
		l.Backend.Conv2DWeightGrad(dw, x, dy, p)
	})
}

func (l *ledger) Permute(dst, x *tensor.Tensor, perm []int) {
	l.run("Permute", 0, traffic(dst, x), func() { l.Backend.Permute(dst, x, perm) })
}

func (l *ledger) CopyRegion(dst, x *tensor.Tensor, r tensor.Region) {
	l.run("CopyRegion", 0, float64(2*tensor.Shape(r.Size).Size()*x.DType().Size()), func() {
		l.Backend.CopyRegion(dst, x, r)
	})
}

func (l *ledger) Gather(dst, x, idx *tensor.Tensor) {
	l.run("Gather", 0, traffic(dst, dst, idx), func() { l.Backend.Gather(dst, x, idx) })
}

func (l *ledger) ScatterAdd(dst, x, idx *tensor.Tensor) {
	l.run("ScatterAdd", 0, traffic(dst, x, idx), func() { l.Backend.ScatterAdd(dst, x, idx) })
}

func (l *ledger) OneHot(dst, idx *tensor.Tensor) {
	l.run("OneHot", 0, traffic(dst, idx), func() { l.Backend.OneHot(dst, idx) })
}

func (l *ledger) MaxPool(y, idx, x *tensor.Tensor, p tensor.PoolParams) {
	l.run("MaxPool", 0, traffic(y, idx, x), func() { l.Backend.MaxPool(y, idx, x, p) })
}

func (l *ledger) PoolGather(y, x, idx *tensor.Tensor) {
	l.run("PoolGather", 0, traffic(y, y, idx), func() { l.Backend.PoolGather(y, x, idx) })
}

func (l *ledger) PoolScatter(dx, dy, idx *tensor.Tensor) {
	l.run("PoolScatter", 0, traffic(dx, dy, idx), func() { l.Backend.PoolScatter(dx, dy, idx) })
}

func (l *ledger) AvgPool(y, x *tensor.Tensor, p tensor.PoolParams) {
	l.run("AvgPool", 0, traffic(y, x), func() { l.Backend.AvgPool(y, x, p) })
}

func (l *ledger) AvgPoolGrad(dx, dy *tensor.Tensor, p tensor.PoolParams) {
	l.run("AvgPoolGrad", 0, traffic(dx, dy), func() { l.Backend.AvgPoolGrad(dx, dy, p) })
}

func (l *ledger) Upsample(y, x *tensor.Tensor, k int) {
	l.run("Upsample", 0, traffic(y, x), func() { l.Backend.Upsample(y, x, k) })
}

func (l *ledger) UpsampleGrad(dx, dy *tensor.Tensor, k int) {
	l.run("UpsampleGrad", 0, traffic(dx, dy), func() { l.Backend.UpsampleGrad(dx, dy, k) })
}

func (l *ledger) NormStats(mean, variance, rstd, scale, shift, x, gamma, beta *tensor.Tensor,
	eps float64) {
	l.run("NormStats", 0, traffic(x), func() {
		l.Backend.NormStats(mean, variance, rstd, scale, shift, x, gamma, beta, eps)
	})
}

func (l *ledger) NormApply(y, x, scale, shift, res *tensor.Tensor, relu bool) {
	l.run("NormApply", 0, traffic(y, x, scale, shift, res), func() {
		l.Backend.NormApply(y, x, scale, shift, res, relu)
	})
}

func (l *ledger) NormBackward(dx, dgamma, dbeta, dres, dy, x, y, shift, mean, rstd,
	gamma *tensor.Tensor) {
	l.run("NormBackward", 0, traffic(dx, dres, dy, x, y), func() {
		l.Backend.NormBackward(dx, dgamma, dbeta, dres, dy, x, y, shift, mean, rstd, gamma)
	})
}

func (l *ledger) Random(d tensor.Dist, key tensor.Key, dst, step *tensor.Tensor) {
	l.run("Random", 0, traffic(dst), func() { l.Backend.Random(d, key, dst, step) })
}

func (l *ledger) SGD(p tensor.SGDParams, params, grads, buf []*tensor.Tensor, lr *tensor.Tensor) {
	l.run("SGD", 0, traffic(slices.Concat(params, params, grads, buf, buf)...), func() {
		l.Backend.SGD(p, params, grads, buf, lr)
	})
}

func (l *ledger) Adam(p tensor.AdamParams, params, grads, m, v []*tensor.Tensor,
	lr, step *tensor.Tensor) {
	l.run("Adam", 0, traffic(slices.Concat(params, params, grads, m, m, v, v)...), func() {
		l.Backend.Adam(p, params, grads, m, v, lr, step)
	})
}

func (l *ledger) Lerp(dst, src []*tensor.Tensor, decay *tensor.Tensor) {
	l.run("Lerp", 0, traffic(slices.Concat(dst, dst, src)...), func() {
		l.Backend.Lerp(dst, src, decay)
	})
}

func (l *ledger) Blend(dst, src []*tensor.Tensor, keep, add []float64) {
	l.run("Blend", 0, traffic(slices.Concat(dst, dst, src)...), func() {
		l.Backend.Blend(dst, src, keep, add)
	})
}

func (l *ledger) SquaredNorm(dst *tensor.Tensor, xs []*tensor.Tensor) {
	l.run("SquaredNorm", 0, traffic(xs...), func() { l.Backend.SquaredNorm(dst, xs) })
}

func (l *ledger) PowerIterate(next, v, sigma, w, u []*tensor.Tensor, eps []float64) {
	// Two products with each weight: 4 operations an element, which has as many bytes.
	l.run("PowerIterate", traffic(w...), traffic(w...), func() {
		l.Backend.PowerIterate(next, v, sigma, w, u, eps)
	})
}

func (l *ledger) SpectralQuotient(y, w, sigma *tensor.Tensor) {
	l.run("SpectralQuotient", 0, traffic(y, w), func() { l.Backend.SpectralQuotient(y, w, sigma) })
}

func (l *ledger) SpectralQuotientGrad(dw, dy, w, u, v, sigma *tensor.Tensor) {
	l.run("SpectralQuotientGrad", 0, traffic(dw, dy, w), func() {
		l.Backend.SpectralQuotientGrad(dw, dy, w, u, v, sigma)
	})
}
