package kernels

import (
	"fmt"

	"afterimage/tensor"
)

type attentionArgs struct {
	Y, Lse, Q, K, V        uint64
	Dy, Delta, Dq, Dk, Dv  uint64
	Scale                  float64
	Batch, L, M, D, E, Vec int32
}

// Of attention.cu: OWN, RUN, the threads of a block, and the widths that its kernels hold.
const (
	attentionOwn, attentionRun, attentionBlock = 64, 128, 128
	maxAttentionKey, maxAttentionValue         = 64, 256
)

// attentionRoom is the shared memory that fused attention may take: what every card since Ampere
// gives a block. What needs more, F32 wider than some 150, stays composed.
const attentionRoom = 99 << 10

// FusesAttention reports whether there are kernels for such operands: F32 or BF16, at least one
// query and key, keys up to 64 wide and values up to 256 that find room in shared memory. There is
// no smallest size: where the scores are few a step waits for launches, and fused there are one in
// place of three forward, four in place of nine or more backward.
func FusesAttention(q, k, v Array) bool {
	if q.DType != tensor.F32 && q.DType != tensor.BF16 || q.size()*k.size()*v.size() == 0 {
		return false
	}
	d, e := q.dim(2), v.dim(2)
	return d <= maxAttentionKey && e <= maxAttentionValue && q.dim(0) <= maxGridZ &&
		attentionLayout(q.DType, d, e).grad <= attentionRoom
}

// attentionShared are the bytes of shared memory that each kernel takes, as attention.cu lays its
// tiles out. That of the gradients for queries and keys is the largest.
type attentionShared struct{ mix, grad int }

func attentionLayout(dt tensor.DType, d, e int) attentionShared {
	size := dt.Size()
	unit, pad, others := 32/size, 16/size, 128/size
	padded := func(width int) int { return ceilDiv(width, unit) * unit }
	row, rowE, tile := padded(d)+pad, padded(e)+pad, others+pad
	run := min(padded(e), attentionRun)
	return attentionShared{
		mix: size * ((attentionOwn+others)*row + (attentionOwn+run)*tile),
		grad: size * ((attentionOwn+others)*(row+rowE) +
			(padded(d)+attentionOwn)*tile),
	}
}

func newAttention(q, k, v Array, scale float64) attentionArgs {
	if !FusesAttention(q, k, v) {
		panic(&tensor.Error{Op: "Attention", Reason: fmt.Sprintf(
			"fused attention takes F32 or BF16, at least one query and key, keys up to %d and values "+
				"up to %d wide in %d KB of shared memory, and at most %d samples", maxAttentionKey,
			maxAttentionValue, attentionRoom>>10, maxGridZ),
			Operands: []tensor.Operand{{Name: "q", Shape: q.Shape, DType: q.DType},
				{Name: "v", Shape: v.Shape, DType: v.DType}}})
	}
	return attentionArgs{Q: q.Ptr, K: k.Ptr, V: v.Ptr, Scale: scale, Batch: int32(q.dim(0)),
		L: int32(q.dim(1)), M: int32(k.dim(1)), D: int32(q.dim(2)), E: int32(v.dim(2))}
}

// vectors reports whether every row of every operand starts at a multiple of 16 bytes.
func (a *attentionArgs) vectors(dt tensor.DType) int32 {
	pack := int32(16 / dt.Size())
	return b32(a.D%pack == 0 && a.E%pack == 0 && (a.Q|a.K|a.V|a.Dy)%16 == 0)
}

// attend launches a kernel of blocks that own rows of each sample, over runs of columns.
func (e *Encoder) attend(kernel string, a attentionArgs, q Array, rows, runs, shared int) {
	a.Vec = a.vectors(q.DType)
	grid := [3]uint32{uint32(ceilDiv(rows, attentionOwn)), uint32(runs), uint32(a.Batch)}
	emit(e, kernel+suffix("Attention", q), a, grid, [3]uint32{attentionBlock, 1, 1}, shared)
}

// Attention computes y = softmax(scale·q·kᵀ)·v for q [B L D], k [B M D], v [B M E]; lse, F32 [B L],
// keeps log Σ exp for AttentionGrad. See tensor.AttentionFuser.
func (e *Encoder) Attention(y, lse, q, k, v Array, scale float64) {
	a := newAttention(q, k, v, scale)
	a.Y, a.Lse = y.Ptr, lse.Ptr
	room := attentionLayout(q.DType, int(a.D), int(a.E))
	e.attend("attention", a, q, int(a.L), ceilDiv(int(a.E), attentionRun), room.mix)
}

// AttentionGrad computes dq, dk and dv from dy and what Attention gave; each may be absent.
func (e *Encoder) AttentionGrad(dq, dk, dv, dy, y, lse, q, k, v Array, scale float64) {
	a := newAttention(q, k, v, scale)
	a.Y, a.Lse, a.Dy, a.Dq, a.Dk, a.Dv = y.Ptr, lse.Ptr, dy.Ptr, dq.Ptr, dk.Ptr, dv.Ptr
	room := attentionLayout(q.DType, int(a.D), int(a.E))
	if !dv.absent() {
		e.attend("attention_grad_v", a, q, int(a.M), ceilDiv(int(a.E), attentionRun), room.mix)
	}
	if dq.absent() && dk.absent() {
		return
	}
	rows := int(a.Batch) * int(a.L)
	a.Delta = e.Scratch(4 * rows)
	emit(e, "attention_delta"+suffix("Attention", q), a,
		[3]uint32{uint32(ceilDiv(rows, block/warp)), 1, 1}, [3]uint32{block, 1, 1}, 0)
	if !dq.absent() {
		e.attend("attention_grad_q", a, q, int(a.L), 1, room.grad)
	}
	if !dk.absent() {
		e.attend("attention_grad_k", a, q, int(a.M), 1, room.grad)
	}
}
