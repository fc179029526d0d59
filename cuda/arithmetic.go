package cuda

import (
	"fmt"

	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// An arithmetic is the way in which products of F32 tensors are computed: matrix products and
// convolutions, everything else is F32 throughout. Products of other tensors know one way.
type arithmetic int

const (
	exact arithmetic = iota // IEEE F32
	tf32                    // NVIDIA's libraries round operands to TF32
	bf16                    // networks keep BF16; F32 operands are rounded by a kernel in front
)

// arithmetic returns what the options ask for.
func (o Options) arithmetic() (arithmetic, error) {
	switch o.Precision {
	case tensor.Invalid, tensor.F32:
		if o.TF32 {
			return tf32, nil
		}
		return exact, nil
	case tensor.BF16:
		if o.TF32 {
			return 0, fmt.Errorf("cuda: Open: TF32 rounds F32 operands, and with precision bf16 there " +
				"are none: choose one of the two")
		}
		return bf16, nil
	}
	return 0, fmt.Errorf("cuda: Open: precision %v: expected f32 or bf16", o.Precision)
}

// String returns what a run's record says beside the kernels' names: "" for plain F32.
func (m arithmetic) String() string {
	return [...]string{"", ", TF32", ", bf16 products and activations"}[m]
}

// Activations is BF16 where products round their operands to it: then networks keep their
// activations so, and nothing needs rounding; see tensor.HalfKeeper.
func (b *Backend) Activations() tensor.DType {
	if b.mode == bf16 {
		return tensor.BF16
	}
	return tensor.F32
}

// FusesAttention reports whether attention on such operands is better fused. In F32 it is where
// products are exact: where they may round, the tensor cores multiply several times faster than the
// ordinary units that the kernel has for F32. See tensor.AttentionFuser.
func (b *Backend) FusesAttention(q, k, v *tensor.Tensor) bool {
	return (b.mode == exact || q.DType() == tensor.BF16) && b.Methods.FusesAttention(q, k, v)
}

// arr describes a tensor to the planner; nil is absent.
func arr(t *tensor.Tensor) kernels.Array {
	if t == nil {
		return kernels.Array{}
	}
	return kernels.Array{Ptr: t.Buffer().(*buffer).address, DType: t.DType(), Shape: t.Shape()}
}

// operand describes an operand of a product in the backend's arithmetic: in bf16 an F32 tensor,
// which a network has in front of Enter and behind Leave, is rounded into scratch memory first.
// The rounded copy lives for this call alone: kept for the next, it would be state that no tensor
// shows.
func (b *Backend) operand(e *kernels.Encoder, a kernels.Array) kernels.Array {
	if b.mode == bf16 && a.DType == tensor.F32 {
		return e.Rounded(a)
	}
	return a
}
