package kernels

import (
	"fmt"

	"afterimage/tensor"
)

type attentionArgs struct {
	Y, Lse, Q, K, V        uint64
	Dy, Delta, Dq, Dk, Dv  uint64
	Scale                  float64
	Batch, L, M, D, E, Pad int32
}

// MaxAttentionKey and MaxAttentionValue are the widths that the fused attention holds in shared
// memory; wider heads take the composite of MatMul and Softmax.
const MaxAttentionKey, MaxAttentionValue = 64, 256

func newAttention(q, k, v Array, scale float64) attentionArgs {
	a := attentionArgs{Q: q.Ptr, K: k.Ptr, V: v.Ptr, Scale: scale, Batch: int32(q.dim(0)),
		L: int32(q.dim(1)), M: int32(k.dim(1)), D: int32(q.dim(2)), E: int32(v.dim(2))}
	if a.D > MaxAttentionKey || a.E > MaxAttentionValue || a.Batch > maxGridZ || a.M == 0 {
		panic(&tensor.Error{Op: "Attention", Reason: fmt.Sprintf(
			"fused attention takes keys up to %d and values up to %d wide, at least one key and at "+
				"most %d samples", MaxAttentionKey, MaxAttentionValue, maxGridZ),
			Operands: []tensor.Operand{{Name: "q", Shape: q.Shape, DType: q.DType},
				{Name: "v", Shape: v.Shape, DType: v.DType}}})
	}
	return a
}

// attentionSuffix names the dtypes of attention.cu: F32 and BF16.
func attentionSuffix(q Array) string {
	if q.DType == tensor.F64 {
		panic(badDType("Attention", q))
	}
	return suffix("Attention", q)
}

const attentionSide = 16 // SIDE of attention.cu

// Attention computes y = softmax(scale·q·kᵀ)·v for q [B L D], k [B M D], v [B M E]; lse, F32 [B L],
// keeps log Σ exp for AttentionGrad. F32 or BF16.
func (e *Encoder) Attention(y, lse, q, k, v Array, scale float64) {
	a := newAttention(q, k, v, scale)
	a.Y, a.Lse = y.Ptr, lse.Ptr
	const run = 128 // RUN of attention.cu
	grid := [3]uint32{uint32(ceilDiv(int(a.L), attentionSide)), uint32(ceilDiv(int(a.E), run)),
		uint32(a.Batch)}
	emit(e, "attention"+attentionSuffix(q), a, grid, [3]uint32{block, 1, 1}, 0)
}

// AttentionGrad computes dq, dk and dv from dy and what Attention gave.
func (e *Encoder) AttentionGrad(dq, dk, dv, dy, y, lse, q, k, v Array, scale float64) {
	a := newAttention(q, k, v, scale)
	a.Y, a.Lse, a.Dy, a.Dq, a.Dk, a.Dv = y.Ptr, lse.Ptr, dy.Ptr, dq.Ptr, dk.Ptr, dv.Ptr
	rows, dt := int(a.Batch)*int(a.L), attentionSuffix(q)
	a.Delta = e.Scratch(4 * rows)
	b := [3]uint32{block, 1, 1}
	emit(e, "attention_delta"+dt, a, [3]uint32{uint32(ceilDiv(rows, block/warp)), 1, 1}, b, 0)
	grid := [3]uint32{uint32(ceilDiv(int(a.L), attentionSide)), 1, uint32(a.Batch)}
	emit(e, "attention_grad_q"+dt, a, grid, b, 0)
	grid[0] = uint32(ceilDiv(int(a.M), attentionSide))
	emit(e, "attention_grad_kv"+dt, a, grid, b, 0)
}
