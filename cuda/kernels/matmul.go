package kernels

import "afterimage/tensor"

type matmulArgs struct {
	Dst, A, B                   uint64
	StrideDst, StrideA, StrideB int64
	Batch                       int64
	M, N, K                     int32
	VecA, VecB, VecDst          int32
}

// narrowTile and wideTile are the sides of the tiles in matmul.cu and conv.cu.
const narrowTile, wideTile = 64, 128

// fillCard is how many tiles are worth using wide ones for: about one for each multiprocessor of
// the largest card.
const fillCard = 128

// hopperShared is the shared memory of a kernel of wgmma.h: four tiles of both operands, and room
// to begin them at a multiple of 1,024 bytes.
const hopperShared = 4*2*wideTile*128 + 1024

// tiled chooses the tile for an m×n result, from operands like in, in parallel parts; it returns
// the infix of the entry's name, the number of tiles and the dynamic shared memory.
func (e *Encoder) tiled(in Array, m, n, parallel int) (infix string, tiles, shared int) {
	side := narrowTile
	wide := ceilDiv(m, wideTile) * ceilDiv(n, wideTile) * parallel
	switch {
	case e.Hopper && in.DType == tensor.BF16:
		infix, side, shared = "_hopper", wideTile, hopperShared
	case in.DType != tensor.F64 && (e.wide || wide >= fillCard && n > narrowTile && m > narrowTile):
		infix, side = "_wide", wideTile
	}
	return infix, ceilDiv(n, side) * ceilDiv(m, side), shared
}

// vec reports whether rows of ld elements that start at p can be read 16 bytes at a time.
func vec(t Array, ld int) int32 {
	return b32(t.Ptr%packBytes == 0 && ld*t.DType.Size()%packBytes == 0)
}

// MatMul computes dst[b] = op(a[b])·op(b[b]) for rank-3 operands, or rank-2 without the batch axis.
// The result of BF16 operands is BF16 or, of sums that are not rounded once more, F32.
func (e *Encoder) MatMul(dst, a, b Array, p tensor.MatMulParams) {
	if dst.size() == 0 {
		return
	}
	batch := 1
	if len(dst.Shape) == 3 {
		batch = dst.dim(0)
	}
	m, n, k := dst.dim(-2), dst.dim(-1), a.dim(-1)
	if p.TransA {
		k = a.dim(-2)
	}
	args := matmulArgs{Dst: dst.Ptr, A: a.Ptr, B: b.Ptr, Batch: int64(batch), StrideDst: int64(m * n),
		StrideA: int64(m * k), StrideB: int64(k * n), M: i32(m), N: i32(n), K: i32(k),
		VecDst: vec(dst, n),
		VecA:   vec(a, a.dim(-1)), VecB: vec(b, b.dim(-1))}
	infix, tiles, shared := e.tiled(a, m, n, batch)
	grid := [3]int{tiles, 1, min(batch, maxGridYZ)}
	entry := "matmul" + infix + "_" + transposed(p.TransA) + transposed(p.TransB)
	emit(e, entry+productSuffix("MatMul", a, dst), args, grid, [3]uint32{block, 1, 1}, shared)
}

// transposed is BLAS's letter for an operand.
func transposed(t bool) string {
	if t {
		return "t"
	}
	return "n"
}

// MatMulViews computes dst = alpha·a·b for stacks of matrices a [… m k] and b [… k n]: multiply
// does it for tensors [B m k] and [B k n] or, as p says, [B k m] and [B n k]. Operands that lie
// like that stay where they are; others are copied before, and a result that does not, after.
func (e *Encoder) MatMulViews(dst, a, b View, alpha float64,
	multiply func(dst, a, b Array, p tensor.MatMulParams),
) {
	if dst.Shape.Size() == 0 {
		return
	}
	var p tensor.MatMulParams
	a.Of, p.TransA = e.matrices(a, alpha)
	b.Of, p.TransB = e.matrices(b, 1)
	r, y := len(dst.Shape), dst.Of
	stacks := tensor.Shape{dst.Shape[:r-2].Size(), dst.Shape[r-2], dst.Shape[r-1]}
	if dst.IsDense(y.size()) {
		y.Shape = stacks
		multiply(y, a.Of, b.Of, p)
		return
	}
	y = e.fresh(y, stacks)
	multiply(y, a.Of, b.Of, p)
	e.CopyView(dst, View{y, tensor.Dense(dst.Shape)})
}

// matrices returns alpha times a view's elements as [B rows cols] or, turned, as [B cols rows].
func (e *Encoder) matrices(v View, alpha float64) (m Array, turned bool) {
	const aligned = 256 // bytes, as memory is, which a library may rely on
	r, l := len(v.Shape), v.Layout
	if turned = l.Strides[r-1] != 1 && l.Strides[r-2] == 1; turned {
		axes := make([]int, r)
		for i := range axes {
			axes[i] = i
		}
		axes[r-2], axes[r-1] = r-1, r-2
		l = l.Permute(axes...)
	}
	m = v.Of
	m.Shape = tensor.Shape{l.Shape[:r-2].Size(), l.Shape[r-2], l.Shape[r-1]}
	m.Ptr += uint64(l.Offset * m.DType.Size())
	own := m // what may be written
	if lies := l.InOrder() && m.Ptr%aligned == 0; !lies || alpha != 1 {
		own = e.fresh(m, m.Shape)
		if !lies {
			e.CopyView(View{own, tensor.Dense(l.Shape)}, View{v.Of, l})
			m = own
		}
	}
	if alpha != 1 {
		e.Unary(tensor.Affine, tensor.Attr{A: alpha}, own, m)
	}
	return own, turned
}
