package autodiff

import (
	"fmt"

	"afterimage/tensor"
)

// Activations in half the bytes
//
// A network may compute on BF16 values while its weights, their gradients and its loss stay F32.
// The weights go through Cast, as the image does at the beginning and the last activations do at
// the end; a cotangent goes the same way back, so each gradient arrives in the type of what it
// belongs to. Between the casts every function takes BF16 as it takes F32. What belongs to a
// channel and not to a pixel (scale and shift of a normalisation, a bias) stays F32 beside BF16:
// it costs nothing, and statistics over a batch need the digits.
//
// A result is rounded once, when it is stored. What that is worth: 2⁻⁸ of each number, in both
// directions at random. Where an op's VJP is composed of several functions, each rounds.
//
// There is one exception, for what is added up over many steps. The cotangent of an F32 value that
// was rounded, by Cast or SpectralQuotient, is F32 before it goes back through that: from BF16
// operands the kernels of a weight's gradient, a matrix product or Conv2DWeightGrad, and the sum
// that is a bias's, leave the sums they have, and where a weight was read several times the parts
// are added so. What other functions send there is widened.

// Cast converts x to dt, F32, F64 or BF16, to the nearest number, ties to even. The cotangent is
// converted back: rounding counts as the identity. If x has dt already the result is a copy, and if
// x keeps its elements in BF16 as well (tensor.KeepShadow) they are the result: like x itself they
// change when somebody writes to its tensor. Panics if x or dt is of another kind.
func Cast(x *Value, dt tensor.DType) *Value {
	floats("Cast", "x", x)
	if dt != tensor.F32 && dt != tensor.F64 && dt != tensor.BF16 {
		misuse("Cast", fmt.Sprintf("expected f32, f64 or bf16, got %v", dt), "x", x)
	}
	return apply(castOp{dt}, x)
}

type castOp struct{ dt tensor.DType }

func (castOp) Name() string { return "Cast" }
func (castOp) Needs() Needs { return needsNothing }

func (o castOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	if half := in[0].Shadow(); half != nil && o.dt == tensor.BF16 {
		return s.Reshape(half, in[0].Shape()...), nil
	}
	y := s.New(o.dt, in[0].Shape()...)
	s.Backend().Cast(y, in[0])
	return y, nil
}

func (castOp) VJP(n *Node, dy *Value, _ []bool) []*Value {
	return []*Value{as(dy, n.In(0).DType())}
}

// gradientType returns the dtype of v's cotangents: v's own, but F32 if v was rounded from F32.
func (v *Value) gradientType() tensor.DType {
	if v.node == nil || v.DType() != tensor.BF16 || v.node.in[0].DType() != tensor.F32 {
		return v.DType()
	}
	switch v.node.op.(type) {
	case castOp, spectralOp:
		return tensor.F32
	}
	return v.DType()
}

// as is Cast, but x itself where there is nothing to do.
func as(x *Value, dt tensor.DType) *Value {
	if x.DType() == dt {
		return x
	}
	return Cast(x, dt)
}

// ofChannels is the dtype of what belongs to the channels of a value of type dt.
func ofChannels(dt tensor.DType) tensor.DType {
	if dt == tensor.BF16 {
		return tensor.F32
	}
	return dt
}

// channelwise panics unless every v in vs has the dtype of what belongs to x's channels.
func channelwise(op, names string, x *Value, vs ...*Value) {
	floats(op, "x", x)
	all := append([]*Value{x}, vs...)
	for _, v := range vs {
		if v.DType() != ofChannels(x.DType()) {
			misuse(op, "operands must share one floating-point dtype; beside bf16 those of a channel "+
				"are f32", names, all...)
		}
	}
}
