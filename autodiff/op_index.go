package autodiff

import (
	"fmt"

	"afterimage/tensor"
)

// Gather and ScatterAdd are adjoint: ⟨Gather x, y⟩ = ⟨x, ScatterAdd y⟩. Each is the other's VJP.
// Indices are I32 on the device and cannot be checked here: whoever brings them from the host
// checks them there.

// Gather copies rows: y[i, …] = x[idx[i], …], with x [R …], idx I32 [n], y [n …]: the embedding
// lookup. Panics if x has no axis or idx is not an I32 vector.
func Gather(x *Value, idx *tensor.Tensor) *Value {
	if x.Rank() == 0 {
		misuse("Gather", "x has no rows", "x", x)
	}
	return apply(gatherOp{}, x, index32(x.graph, "Gather", idx))
}

type gatherOp struct{}

func (gatherOp) Name() string { return "Gather" }
func (gatherOp) Needs() Needs { return needsIn1 }

func (gatherOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	shape := in[0].Shape().Clone()
	shape[0] = in[1].Dim(0)
	y := s.New(in[0].DType(), shape...)
	s.Backend().Gather(y, in[0], in[1])
	return y, nil
}

func (gatherOp) VJP(n *Node, dy *Value, _ []bool) []*Value {
	return []*Value{ScatterAdd(dy, n.In(1).Tensor(), n.In(0).Dim(0)), nil}
}

// ScatterAdd adds rows into zeros: y[idx[i], …] += x[i, …] in order of i, with x [n …], idx I32
// [n], y [rows …]. Panics if idx has not one entry for each row of x.
func ScatterAdd(x *Value, idx *tensor.Tensor, rows int) *Value {
	floats("ScatterAdd", "x", x)
	i := index32(x.graph, "ScatterAdd", idx)
	if x.Rank() == 0 || x.Dim(0) != i.Dim(0) || rows < 0 {
		misuse("ScatterAdd", fmt.Sprintf(
			"expected one index for each row of x, and rows ≥ 0 (got %d)", rows), "x idx", x, i)
	}
	return apply(scatterOp{rows}, x, i)
}

type scatterOp struct{ rows int }

func (scatterOp) Name() string { return "ScatterAdd" }
func (scatterOp) Needs() Needs { return needsIn1 }

func (o scatterOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	shape := in[0].Shape().Clone()
	shape[0] = o.rows
	y := s.New(in[0].DType(), shape...)
	s.Backend().ScatterAdd(y, in[0], in[1])
	return y, nil
}

func (scatterOp) VJP(n *Node, dy *Value, _ []bool) []*Value {
	return []*Value{Gather(dy, n.In(1).Tensor()), nil}
}

// OneHot returns the constant [n K] with 1 at (i, idx[i]) and 0 elsewhere; an index outside
// [0, K) gives a row of zeros. Panics if idx is not an I32 vector, K < 0 or dt is no float.
func OneHot(g *Graph, idx *tensor.Tensor, K int, dt tensor.DType) *Value {
	i := index32(g, "OneHot", idx)
	if K < 0 || !dt.IsFloat() {
		misuse("OneHot", fmt.Sprintf(
			"expected K ≥ 0 and a floating-point dtype, got %d and %v", K, dt), "idx", i)
	}
	return applyConst(oneHotOp{K, dt}, i)
}

type oneHotOp struct {
	classes int
	dtype   tensor.DType
}

func (oneHotOp) Name() string { return "OneHot" }
func (oneHotOp) Needs() Needs { return needsNothing }

func (o oneHotOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	y := s.New(o.dtype, in[0].Dim(0), o.classes)
	s.Backend().OneHot(y, in[0])
	return y, nil
}

func (oneHotOp) VJP(*Node, *Value, []bool) []*Value { return []*Value{nil} }
