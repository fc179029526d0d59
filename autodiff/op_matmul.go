package autodiff

import (
	"fmt"

	"afterimage/tensor"
)

// MatMul computes y = A·B with A = a or aᵀ and B = b or bᵀ as the flags say. a and b are matrices
// ([m k]·[k n] → [m n]), or stacks of equally many matrices ([S m k]·[S k n] → [S m n]); with
// transA a holds [k m], with transB b holds [n k].
//
// The gradients are products of the same kind, dA = dy·Bᵀ and dB = Aᵀ·dy, read off transposed where
// the operand was:
//
//	          ∂a                 ∂b
//	a  b      dy·bᵀ              aᵀ·dy
//	a  bᵀ     dy·b               dyᵀ·a
//	aᵀ b      b·dyᵀ              a·dy
//	aᵀ bᵀ     bᵀ·dyᵀ             dyᵀ·aᵀ
//
// Panics on another rank, or if the stacks or the inner extents differ.
func MatMul(a, b *Value, transA, transB bool) *Value {
	floats("MatMul", "a b", a, b)
	r := a.Rank()
	if b.Rank() != r || r < 2 || r > 3 {
		misuse("MatMul", "expected two matrices [m k] or two stacks [S m k]", "a b", a, b)
	}
	if r == 3 && a.Dim(0) != b.Dim(0) {
		misuse("MatMul", "the stacks have different heights", "a b", a, b)
	}
	ka, kb := a.Dim(-1), b.Dim(-2)
	if transA {
		ka = a.Dim(-2)
	}
	if transB {
		kb = b.Dim(-1)
	}
	if ka != kb {
		misuse("MatMul", fmt.Sprintf(
			"inner extents differ: A has %d (transA %v), B has %d (transB %v)",
			ka, transA, kb, transB), "a b", a, b)
	}
	return apply(matMulOp{transA, transB, a.DType()}, a, b)
}

// matMulFor is MatMul as a cotangent of x.
func matMulFor(x, a, b *Value, transA, transB bool) *Value {
	return apply(matMulOp{transA, transB, x.gradientType()}, a, b)
}

// matMulOp has a result of dt: that of its inputs or, beside BF16, F32.
type matMulOp struct {
	transA, transB bool
	dt             tensor.DType
}

func (matMulOp) Name() string { return "MatMul" }
func (matMulOp) Needs() Needs { return needsFactors }

func (o matMulOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	a, b := in[0], in[1]
	m, n := a.Dim(-2), b.Dim(-1)
	if o.transA {
		m = a.Dim(-1)
	}
	if o.transB {
		n = b.Dim(-2)
	}
	shape := a.Shape().Clone()
	shape[len(shape)-2], shape[len(shape)-1] = m, n
	y := s.New(o.dt, shape...)
	s.Backend().MatMul(y, a, b, tensor.MatMulParams{TransA: o.transA, TransB: o.transB})
	return y, nil
}

func (o matMulOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	a, b := n.In(0), n.In(1)
	dy = as(dy, a.DType())
	dxs := make([]*Value, 2)
	switch {
	case need[0] && o.transA:
		dxs[0] = matMulFor(a, b, dy, o.transB, true)
	case need[0]:
		dxs[0] = matMulFor(a, dy, b, false, !o.transB)
	}
	switch {
	case need[1] && o.transB:
		dxs[1] = matMulFor(b, dy, a, true, o.transA)
	case need[1]:
		dxs[1] = matMulFor(b, a, dy, !o.transA, false)
	}
	return dxs
}

// Linear computes y = x·wᵀ + b: x [N I], w [O I], b [O] or nil, y [N O]. Panics if they do not fit.
func Linear(x, w, b *Value) *Value {
	if x.Rank() != 2 || w.Rank() != 2 || x.Dim(1) != w.Dim(1) {
		misuse("Linear", "expected x [N I] and w [O I]", "x w", x, w)
	}
	if b == nil {
		return MatMul(x, w, false, true)
	}
	if b.Rank() != 1 || b.Dim(0) != w.Dim(0) {
		misuse("Linear", "expected b [O] for w [O I]", "w b", w, b)
	}
	return x.graph.compose(func() *Value { return Add(MatMul(x, w, false, true), b) })
}
