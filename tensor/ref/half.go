package ref

import "afterimage/tensor"

// A widening computes with BF16 tensors in F32: kernels read F32 copies of their operands and write
// F32 results, which are rounded once, to nearest even, when the kernel has returned.
type widening struct {
	b     *Backend
	scope *tensor.Scope
	wide  map[*tensor.Tensor]*tensor.Tensor // results by what they are rounded into
}

// inF32 calls f, whose operands pass through w's methods, and rounds the results.
func (b *Backend) inF32(f func(w widening)) {
	w := widening{b, tensor.NewScope(b), map[*tensor.Tensor]*tensor.Tensor{}}
	defer w.scope.Close()
	f(w)
	for t, wide := range w.wide {
		b.Cast(t, wide)
	}
}

// in returns t, if it is BF16 an F32 copy of it; nil for nil.
func (w widening) in(t *tensor.Tensor) *tensor.Tensor {
	if t == nil || t.DType() != tensor.BF16 {
		return t
	}
	wide := w.scope.New(tensor.F32, t.Shape()...)
	w.b.Cast(wide, t)
	return wide
}

// out returns t, if it is BF16 an F32 tensor to be rounded into it; nil for nil.
func (w widening) out(t *tensor.Tensor) *tensor.Tensor {
	if t == nil || t.DType() != tensor.BF16 {
		return t
	}
	wide := w.scope.New(tensor.F32, t.Shape()...)
	w.wide[t] = wide
	return wide
}
