package ref

import (
	"math"

	"afterimage/tensor"
)

// CrossEntropy computes log-softmax and −Σ target·logp along rows; see tensor.LossFuser.
func (b *Backend) CrossEntropy(loss, logp, logits, target *tensor.Tensor) {
	b.Softmax(true, logp, logits)
	product, rows := logp.Floats(), target.Floats()
	out, k := make([]float64, loss.Size()), logits.Dim(1)
	for i, t := range rows {
		if t != 0 || !math.IsInf(product[i], -1) {
			out[i/k] -= t * product[i]
		}
	}
	store(loss, out)
}

// CrossEntropyGrad computes dy·(softmax·Σtarget − target) along rows; see tensor.LossFuser.
func (b *Backend) CrossEntropyGrad(dx, dy, logp, target *tensor.Tensor) {
	d, lp, t := dy.Floats(), logp.Floats(), target.Floats()
	out, k := make([]float64, dx.Size()), dx.Dim(1)
	for n := range d {
		total := 0.0
		for _, v := range t[n*k : (n+1)*k] {
			total += v
		}
		for i := n * k; i < (n+1)*k; i++ {
			out[i] = d[n] * (math.Exp(lp[i])*total - t[i])
		}
	}
	store(dx, out)
}
