package tensor

// A weight in two forms
//
// A network that computes in BF16 reads its F32 weights rounded. Between two updates a weight stays
// as it is, so it may keep the rounded form beside it, its shadow, which the next pass reads
// instead of rounding again. There is one rule: who writes the elements writes the shadow. These
// are Assign, SetFloats and CopyFromHost, and the optimizers, in the pass in which they write the
// weight (Shadower). So a shadow is never out of date: nothing is ever invalidated, a checkpoint
// holds no more than without it, and work that was recorded finds at the same address what belongs
// to the weight of the moment. It belongs to the elements, not to a name: where two parameters
// exchange their tensors each takes its own along. What is derived from a weight has none.

// KeepShadow makes t, of F32, keep its elements rounded to BF16 as well, until it is freed, if the
// backend is a Shadower. From then on kernels may write to t in the ways named above alone. Panics
// as Scope.New does.
func (t *Tensor) KeepShadow() {
	if _, ok := t.backend.(Shadower); !ok || t.dtype != F32 || t.Shadow() != nil {
		return
	}
	s := NewScope(t.backend)
	half := s.New(BF16, t.shape...)
	s.Keep(half)
	t.store.shadow = half
	t.written()
}

// Shadow returns t's elements rounded to BF16, in t's shape, if t keeps them so, else nil. They are
// t's own: only optimizers write them, and nobody frees them.
func (t *Tensor) Shadow() *Tensor {
	t.Buffer() // panics if freed
	half := t.store.shadow
	if half == nil || half.shape.Equal(t.shape) {
		return half
	}
	return &Tensor{shape: t.shape, dtype: BF16, store: half.store, backend: half.backend}
}

// written follows every write of t's elements.
func (t *Tensor) written() {
	if half := t.Shadow(); half != nil {
		t.backend.Cast(half, t)
	}
}
