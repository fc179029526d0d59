package vec

import "math"

// Softmax computes, for each row of x [rows, K], dst[r,k] = e^(x[r,k]-m) / Σ_j e^(x[r,j]-m) with
// m = max_j x[r,j]. A row with a NaN, with +Inf, or of nothing but -Inf is NaN throughout.
func Softmax(dst, x []float32, k int) {
	sameLen("Softmax", len(dst), len(x))
	wholeRows("Softmax", len(x), k)
	active.softmax(dst, x, k)
}

// LogSoftmax computes, for each row of x [rows, K], dst[r,k] = x[r,k] - m - ln Σ_j e^(x[r,j]-m)
// with m = max_j x[r,j]. NaN as in Softmax.
func LogSoftmax(dst, x []float32, k int) {
	sameLen("LogSoftmax", len(dst), len(x))
	wholeRows("LogSoftmax", len(x), k)
	active.logSoftmax(dst, x, k)
}

// CrossEntropyGrad computes dst[k] = (e^logp[k]·total − t[k])·dy: the gradient of
// dy·Σ −t[k]·logp[k] with respect to a row of logits, whose log-softmax is logp, for a target t
// that adds up to total.
func CrossEntropyGrad(dst, logp, t []float32, total, dy float32) {
	sameLen("CrossEntropyGrad", len(dst), len(logp), len(t))
	active.crossEntropyGrad(dst, logp, t, total, dy)
}

func softmaxGo(dst, x []float32, k int) {
	for ; len(x) > 0; dst, x = dst[k:], x[k:] {
		m := float64(maxOfGo(x[:k]))
		var s float64
		for i, v := range x[:k] {
			e := math.Exp(float64(v) - m)
			dst[i] = float32(e)
			s += e
		}
		for i := range dst[:k] {
			dst[i] = float32(float64(dst[i]) / s)
		}
	}
}

func logSoftmaxGo(dst, x []float32, k int) {
	for ; len(x) > 0; dst, x = dst[k:], x[k:] {
		m := float64(maxOfGo(x[:k]))
		var s float64
		for _, v := range x[:k] {
			s += math.Exp(float64(v) - m)
		}
		ls := math.Log(s)
		for i, v := range x[:k] {
			dst[i] = float32(float64(v) - m - ls)
		}
	}
}

func crossEntropyGradGo(dst, logp, t []float32, total, dy float32) {
	for i, v := range logp {
		dst[i] = (float32(math.Exp(float64(v)))*total - t[i]) * dy
	}
}
