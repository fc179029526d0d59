package kernels

type crossEntropyArgs struct {
	Loss, Lse, Logits, Labels uint64
	Dloss, Dlogits            uint64
	Rows, Classes             int64
	Smoothing                 float64
	PerRow, Pad               int32
}

// CrossEntropy computes loss[n] = −Σ target·log softmax(logits) with the target
// (1−smoothing)·onehot(label) + smoothing/K; logits [N K], labels I32 [N]. lse, [N 2], keeps each
// row's maximum and log Σ exp(z − max) for CrossEntropyGrad. loss and lse have logits' dtype, F32
// beside BF16.
func (e *Encoder) CrossEntropy(loss, lse, logits, labels Array, smoothing float64) {
	a := crossEntropyArgs{Loss: loss.Ptr, Lse: lse.Ptr, Logits: logits.Ptr, Labels: labels.Ptr,
		Rows: int64(logits.dim(0)), Classes: int64(logits.dim(1)), Smoothing: smoothing}
	entry := "cross_entropy" + suffix("CrossEntropy", logits)
	e.rows(entry, &a.PerRow, logits.dim(0), logits.dim(1), func(g [3]uint32) {
		emit(e, entry, a, g, [3]uint32{block, 1, 1}, 0)
	})
}

// CrossEntropyGrad computes dlogits = dloss[n]·(Σtarget·softmax − target) from what CrossEntropy
// kept.
func (e *Encoder) CrossEntropyGrad(dlogits, dloss, lse, logits, labels Array, smoothing float64) {
	a := crossEntropyArgs{Lse: lse.Ptr, Logits: logits.Ptr, Labels: labels.Ptr, Dloss: dloss.Ptr,
		Dlogits: dlogits.Ptr, Rows: int64(logits.dim(0)), Classes: int64(logits.dim(1)),
		Smoothing: smoothing}
	stride(e, "cross_entropy_grad"+suffix("CrossEntropyGrad", logits), a, logits.size())
}
