package cpu

import (
	"math"

	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// CrossEntropy computes log-softmax and −Σ target·logp along rows, each while it is in the cache;
// see tensor.LossFuser.
func (b *Backend) CrossEntropy(loss, logp, logits, target *tensor.Tensor) {
	if !f32(loss, logp, logits, target) || logits.Size() == 0 {
		b.ref.CrossEntropy(loss, logp, logits, target)
		return
	}
	out, lp, x, t, k := host(loss), host(logp), host(logits), host(target), logits.Dim(1)
	b.split(len(out), max(1, chunk/4/k), func(lo, hi int) {
		vec.LogSoftmax(lp[lo*k:hi*k:hi*k], x[lo*k:hi*k], k)
		for n := lo; n < hi; n++ {
			row, p := t[n*k:(n+1)*k], lp[n*k:(n+1)*k]
			if out[n] = float32(-vec.Dot(row, p)); out[n] != out[n] {
				out[n] = maskedLoss(row, p)
			}
		}
	})
}

// maskedLoss is −Σ t·logp where classes of logp −Inf, masked out, count nothing for a target of 0:
// a row that is NaN by the plain sum may have some.
func maskedLoss(t, logp []float32) float32 {
	sum := 0.0
	for k, p := range logp {
		if t[k] != 0 || !math.IsInf(float64(p), -1) {
			sum += float64(t[k]) * float64(p)
		}
	}
	return float32(-sum)
}

// CrossEntropyGrad computes dy·(softmax·Σtarget − target) along rows; see tensor.LossFuser.
func (b *Backend) CrossEntropyGrad(dx, dy, logp, target *tensor.Tensor) {
	if !f32(dx, dy, logp, target) || dx.Size() == 0 {
		b.ref.CrossEntropyGrad(dx, dy, logp, target)
		return
	}
	out, d, lp, t, k := host(dx), host(dy), host(logp), host(target), dx.Dim(1)
	b.split(len(d), max(1, chunk/4/k), func(lo, hi int) {
		for n := lo; n < hi; n++ {
			row := t[n*k : (n+1)*k]
			vec.CrossEntropyGrad(out[n*k:(n+1)*k], lp[n*k:(n+1)*k], row, float32(vec.Sum(row)), d[n])
		}
	})
}
