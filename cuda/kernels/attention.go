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
	Stages, Pad            int32
}

// Of attention.cu: OWN, RUN, the threads of a block, and the widths that its kernels hold.
const (
	attentionOwn, attentionRun, attentionBlock = 64, 128, 128
	maxAttentionKey, maxAttentionValue         = 64, 256
)

// attentionRoom is the shared memory that fused attention may take: what every card since Ampere
// gives a block. What needs more, F32 wider than some 160, stays composed.
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
	_, grad := attentionLayout(q.DType, d, e) // the largest
	return d <= maxAttentionKey && e <= maxAttentionValue && q.dim(0) <= maxGridYZ &&
		grad.bytes <= attentionRoom
}

// attentionStages is how many tiles of the other side are in shared memory where they find room:
// one comes while another is used.
const attentionStages = 2

// attentionShared is the shared memory that a kernel takes, and for how many tiles.
type attentionShared struct{ bytes, stages int }

// attentionLayout returns what attention.cu lays out: for the kernels that make E columns (mix) and
// for those of the gradients for queries and keys (grad).
func attentionLayout(dt tensor.DType, d, e int) (mix, grad attentionShared) {
	size := dt.Size()
	unit, pad, others := 32/size, 16/size, 128/size
	row := func(width int) int { return ceilDiv(width, unit)*unit + pad }
	scores := 0 // of F32 go through shared memory
	if dt == tensor.F32 {
		scores = attentionOwn * (others + pad)
	}
	fit := func(own, tile int) attentionShared {
		bytes := func(stages int) int { return size * (own + stages*tile + scores) }
		if n := bytes(attentionStages); n <= attentionRoom {
			return attentionShared{n, attentionStages}
		}
		return attentionShared{bytes(1), 1}
	}
	run := min(row(e), attentionRun+pad)
	return fit(attentionOwn*row(d), others*(row(d)+run)),
		fit(attentionOwn*(row(d)+row(e)), others*(row(d)+row(e)))
}

func newAttention(q, k, v Array, scale float64) attentionArgs {
	if !FusesAttention(q, k, v) {
		panic(&tensor.Error{Op: "Attention", Reason: fmt.Sprintf(
			"fused attention takes F32 or BF16, at least one query and key, keys up to %d and values "+
				"up to %d wide in %d KB of shared memory, and at most %d samples", maxAttentionKey,
			maxAttentionValue, attentionRoom>>10, maxGridYZ),
			Operands: []tensor.Operand{{Name: "q", Shape: q.Shape, DType: q.DType},
				{Name: "v", Shape: v.Shape, DType: v.DType}}})
	}
	return attentionArgs{Q: q.Ptr, K: k.Ptr, V: v.Ptr, Scale: scale, Batch: i32(q.dim(0)),
		L: i32(q.dim(1)), M: i32(k.dim(1)), D: i32(q.dim(2)), E: i32(v.dim(2))}
}

// vectors reports whether every row of every operand starts at a multiple of 16 bytes.
func (a *attentionArgs) vectors(dt tensor.DType) int32 {
	pack := i32(16 / dt.Size())
	return b32(a.D%pack == 0 && a.E%pack == 0 && (a.Q|a.K|a.V|a.Dy)%16 == 0)
}

// attend launches a kernel of blocks that own rows of each sample, over runs of columns.
func (e *Encoder) attend(kernel string, a attentionArgs, q Array, rows, runs int,
	room attentionShared,
) {
	a.Vec, a.Stages = a.vectors(q.DType), i32(room.stages)
	grid := [3]int{ceilDiv(rows, attentionOwn), runs, int(a.Batch)}
	emit(e, kernel+suffix("Attention", q), a, grid, [3]uint32{attentionBlock, 1, 1}, room.bytes)
}

// Attention computes y = softmax(scale·q·kᵀ)·v for q [B L D], k [B M D], v [B M E]; lse, F32 [B L],
// keeps log Σ exp for AttentionGrad. See tensor.AttentionFuser.
func (e *Encoder) Attention(y, lse, q, k, v Array, scale float64) {
	a := newAttention(q, k, v, scale)
	a.Y, a.Lse = y.Ptr, lse.Ptr
	mix, _ := attentionLayout(q.DType, int(a.D), int(a.E))
	e.attend("attention", a, q, int(a.L), ceilDiv(int(a.E), attentionRun), mix)
}

// AttentionGrad computes dq, dk and dv from dy and what Attention gave; each may be absent.
func (e *Encoder) AttentionGrad(dq, dk, dv, dy, y, lse, q, k, v Array, scale float64) {
	a := newAttention(q, k, v, scale)
	a.Y, a.Lse, a.Dy, a.Dq, a.Dk, a.Dv = y.Ptr, lse.Ptr, dy.Ptr, dq.Ptr, dk.Ptr, dv.Ptr
	mix, grad := attentionLayout(q.DType, int(a.D), int(a.E))
	if !dv.absent() {
		e.attend("attention_grad_v", a, q, int(a.M), ceilDiv(int(a.E), attentionRun), mix)
	}
	if dq.absent() && dk.absent() {
		return
	}
	rows := int(a.Batch) * int(a.L)
	a.Delta = e.Scratch(4 * rows)
	emit(e, "attention_delta"+suffix("Attention", q), a,
		[3]int{ceilDiv(rows, block/warp), 1, 1}, [3]uint32{block, 1, 1}, 0)
	if !dq.absent() {
		e.attend("attention_grad_q", a, q, int(a.L), 1, grad)
	}
	if !dk.absent() {
		e.attend("attention_grad_k", a, q, int(a.M), 1, grad)
	}
}
