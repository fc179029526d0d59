package kernels

import "afterimage/tensor"

type crossEntropyArgs struct {
	Loss, Logp, Logits, Target uint64
	Rows, Classes              int64
	PerRow, Pad                int32
}

type crossEntropyGradArgs struct {
	Dlogits, Dloss, Logp, Target uint64
	Rows, Classes                int64
	PerRow, Pad                  int32
}

// CrossEntropy computes logp = log softmax(logits) along rows and loss[n] = −Σ target·logp, in one
// launch; all F32, or all F64.
func (e *Encoder) CrossEntropy(loss, logp, logits, target Array) {
	rows, classes := logits.dim(0), logits.dim(1)
	a := crossEntropyArgs{Loss: loss.Ptr, Logp: logp.Ptr, Logits: logits.Ptr, Target: target.Ptr,
		Rows: int64(rows), Classes: int64(classes)}
	entry := "cross_entropy" + floatSuffix("CrossEntropy", logits)
	e.rows(entry, &a.PerRow, rows, classes, func(g [3]int) {
		emit(e, entry, a, g, [3]uint32{block, 1, 1}, 0)
	})
}

// CrossEntropyGrad computes dlogits = dloss[n]·(exp(logp)·Σtarget − target), in one launch.
func (e *Encoder) CrossEntropyGrad(dlogits, dloss, logp, target Array) {
	rows, classes := logp.dim(0), logp.dim(1)
	a := crossEntropyGradArgs{Dlogits: dlogits.Ptr, Dloss: dloss.Ptr, Logp: logp.Ptr,
		Target: target.Ptr, Rows: int64(rows), Classes: int64(classes)}
	entry := "cross_entropy_grad" + floatSuffix("CrossEntropyGrad", logp)
	e.rows(entry, &a.PerRow, rows, classes, func(g [3]int) {
		emit(e, entry, a, g, [3]uint32{block, 1, 1}, 0)
	})
}

// floatSuffix names F32 and F64 in entry points; it panics on others.
func floatSuffix(op string, t Array) string {
	if t.DType == tensor.BF16 {
		panic(badDType(op, t))
	}
	return suffix(op, t)
}
