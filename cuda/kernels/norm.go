package kernels

import (
	"math"

	"afterimage/tensor"
)

type normStatsArgs struct {
	X, Parts uint64
	M, Chunk int64
	C, Pad   int32
}

type normFinishArgs struct {
	Mean, Variance, Rstd, Parts uint64
	Scale, Shift, Gamma, Beta   uint64
	M, Chunk                    int64
	Eps                         float64
	C, Chunks                   int32
	Rows, Pad                   int32
}

type normApplyArgs struct {
	Y, X, Scale, Shift, Res      uint64
	N, Each                      int64
	C, Relu                      int32
	ScaleBySample, ShiftBySample int32
	Vec, Pad                     int32
}

type normUpsampleArgs struct {
	Y, X, Scale, Shift           uint64
	N, Each                      int64
	C, W, K                      int32
	Relu                         int32
	ScaleBySample, ShiftBySample int32
	Vec, Pad                     int32
}

type normBackwardArgs struct {
	Dx, Dres          uint64
	Dy, X, Y          uint64
	Mask, Shift       uint64
	Mean, Rstd, Gamma uint64
	Sums, Parts, Keep uint64
	N, Each           int64
	Rows, Chunk       int64
	C, Chunks         int32
	Segments, Vec     int32
}

type normBackwardJoinArgs struct {
	Dgamma, Dbeta, Gamma uint64
	Sums, Parts          uint64
	M                    int64
	C, Chunks            int32
	Segments, Pad        int32
}

// Normalisation's rows are cut so that about wantedNorm blocks run, each over at least leastRows.
const wantedNorm, leastRows = 1056, 128

// normGrid covers c channels, 32 a block, and chunks of rows of segments.
func normGrid(c, chunks, segments int) (grid [3]int, blockDim [3]uint32) {
	const lanes = 8 // LANES of norm.cu
	return [3]int{ceilDiv(c, warp), chunks, min(segments, maxGridYZ)},
		[3]uint32{warp, lanes, 1}
}

// paramSuffix names the type of per-channel numbers beside activations like x: F32 beside BF16.
func paramSuffix(op string, x Array) string {
	if s := suffix(op, x); s != "_bf16" {
		return s
	}
	return "_f32"
}

// NormStats computes per channel (last axis) the mean, the biased variance and
// rstd = 1/√(variance + eps); where gamma is present, also scale = gamma·rstd and
// shift = beta − scale·mean, [C] or [N C] as gamma and beta are. Beside BF16 activations all but x
// are F32.
func (e *Encoder) NormStats(mean, variance, rstd, scale, shift, x, gamma, beta Array, eps float64) {
	c := x.dim(-1)
	if c == 0 {
		return
	}
	m := x.size() / c
	chunks, length := split(m, ceilDiv(c, warp), wantedNorm, leastRows)
	parts := e.Scratch(chunks * 2 * c * accSize(x))
	grid, blockDim := normGrid(c, chunks, 1)
	emit(e, "norm_stats"+suffix("NormStats", x), normStatsArgs{X: x.Ptr, Parts: parts,
		M: int64(m), Chunk: int64(length), C: i32(c)}, grid, blockDim, 0)
	grid[1] = 1
	emit(e, "norm_finish"+paramSuffix("NormStats", x), normFinishArgs{Mean: mean.Ptr,
		Variance: variance.Ptr, Rstd: rstd.Ptr, Parts: parts, Scale: scale.Ptr, Shift: shift.Ptr,
		Gamma: gamma.Ptr, Beta: beta.Ptr, M: int64(m), Chunk: int64(length), Eps: eps, C: i32(c),
		Chunks: i32(chunks), Rows: i32(rowsOf(gamma, c))}, grid, blockDim, 0)
}

// rowsOf returns how many rows of c channels t has; an absent t has none.
func rowsOf(t Array, c int) int {
	if t.absent() {
		return 0
	}
	return t.size() / c
}

// NormApply computes y = act(x·scale + shift + res), act = ReLU if relu else identity. Beside BF16
// activations scale and shift are F32.
func (e *Encoder) NormApply(y, x, scale, shift, res Array, relu bool) {
	n, c := x.size(), x.dim(-1)
	if n == 0 {
		return
	}
	a := normApplyArgs{Y: y.Ptr, X: x.Ptr, Scale: scale.Ptr, Shift: shift.Ptr, Res: res.Ptr,
		N: int64(n), Each: int64(rowSize(x)), C: i32(c), Relu: b32(relu),
		ScaleBySample: b32(len(scale.Shape) == 2), ShiftBySample: b32(len(shift.Shape) == 2),
		Vec: eightVec(c, y, x, scale, shift, res)}
	stride(e, "norm_apply"+suffix("NormApply", y), a, ceilDiv(n, eight))
}

// BiasAct computes y = act(y + bias + res) in place, act = ReLU if relu else identity: what follows
// a convolution y [… O] that a library computed. bias is [O] (F32 beside BF16), res of y's shape;
// either may be absent. It is NormApply with a scale of 1, which rounds nothing.
func (e *Encoder) BiasAct(y, bias, res Array, relu bool) {
	if y.size() == 0 || bias.absent() && res.absent() && !relu {
		return
	}
	per := Array{DType: y.DType, Shape: tensor.Shape{y.dim(-1)}}
	if y.DType == tensor.BF16 {
		per.DType = tensor.F32
	}
	one := e.fresh(per, per.Shape)
	e.Fill(one, 1)
	if bias.absent() {
		bias = e.fresh(per, per.Shape)
		e.Fill(bias, math.Copysign(0, -1)) // y + −0 is y to the bit
	}
	e.NormApply(y, y, one, bias, res, relu)
}

// NormUpsample computes y = Upsample(act(x·scale + shift), k) in one pass, act = ReLU if relu else
// identity: x [N H W C], y [N kH kW C], scale and shift [C] or [N C]. Beside BF16 activations scale
// and shift are F32.
func (e *Encoder) NormUpsample(y, x, scale, shift Array, relu bool, k int) {
	n, c := x.size(), x.dim(-1)
	if n == 0 {
		return
	}
	a := normUpsampleArgs{Y: y.Ptr, X: x.Ptr, Scale: scale.Ptr, Shift: shift.Ptr,
		N: int64(n), Each: int64(rowSize(x)), C: i32(c), W: i32(x.dim(2)), K: i32(k),
		Relu: b32(relu), ScaleBySample: b32(len(scale.Shape) == 2),
		ShiftBySample: b32(len(shift.Shape) == 2), Vec: eightVec(c, y, x, scale, shift)}
	stride(e, "norm_upsample"+suffix("NormUpsample", y), a, ceilDiv(n, eight))
}

// eight is how many neighbours a thread of norm.cu's element-wise parts owns (GROUP).
const eight = 8

// eightVec reports whether eight neighbours can be read in packs from all of ts.
func eightVec(c int, ts ...Array) int32 {
	for _, t := range ts {
		if t.Ptr%packBytes != 0 {
			return 0
		}
	}
	return b32(c%eight == 0)
}

// NormBackward computes the gradients of y = act(gamma·(x−mean)·rstd + beta + res) in training
// mode. With y present the ReLU mask y > 0 is applied to dy first, with shift present, which is of
// gamma's shape, the same as x·(gamma·rstd) + shift > 0. dx, dgamma, dbeta, dres may be absent, and
// dres is beside shift.
func (e *Encoder) NormBackward(dx, dgamma, dbeta, dres, dy, x, y, shift, mean, rstd, gamma Array) {
	n, c := x.size(), x.dim(-1)
	if n == 0 {
		for _, t := range []Array{dgamma, dbeta} {
			if !t.absent() {
				e.Fill(t, 0)
			}
		}
		return
	}
	a := normBackwardArgs{Dx: dx.Ptr, Dres: dres.Ptr, Dy: dy.Ptr, X: x.Ptr, Y: y.Ptr,
		Shift: shift.Ptr, Mean: mean.Ptr, Rstd: rstd.Ptr, Gamma: gamma.Ptr, N: int64(n), Each: int64(n),
		C: i32(c), Segments: 1}
	if len(gamma.Shape) == 2 {
		a.Segments, a.Each = i32(gamma.dim(0)), int64(rowSize(x))
	}
	apply := !dx.absent() || !dres.absent()
	if !dx.absent() || !dgamma.absent() || !dbeta.absent() {
		if apply && !y.absent() && c%eight == 0 {
			a.Keep = e.Scratch(n / eight)
		}
		e.normSums(&a, dgamma, dbeta, x)
	}
	if a.Keep != 0 { // what the first pass has seen of y
		a.Y, a.Mask = 0, a.Keep
	}
	if apply {
		a.Vec = eightVec(c, dx, dres, dy, x, shift, mean, rstd, gamma, Array{Ptr: a.Sums})
		stride(e, "norm_backward"+suffix("NormBackward", x), a, ceilDiv(n, eight))
	}
}

// normSums plans the sums over rows, sets a.Sums and writes dgamma and dbeta.
func (e *Encoder) normSums(a *normBackwardArgs, dgamma, dbeta, x Array) {
	c, segments := int(a.C), int(a.Segments)
	rows := int(a.Each) / c
	chunks, length := split(rows, ceilDiv(c, warp)*segments, wantedNorm, leastRows)
	a.Rows, a.Chunk, a.Chunks = int64(rows), int64(length), i32(chunks)
	a.Parts = e.Scratch(segments * chunks * 2 * c * accSize(x))
	a.Sums = e.Scratch(2 * c * accSize(x))
	grid, blockDim := normGrid(c, chunks, segments)
	emit(e, "norm_backward_sums"+suffix("NormBackward", x), *a, grid, blockDim, 0)
	grid[1], grid[2] = 1, 1
	emit(e, "norm_backward_join"+paramSuffix("NormBackward", x), normBackwardJoinArgs{
		Dgamma: dgamma.Ptr, Dbeta: dbeta.Ptr, Gamma: a.Gamma, Sums: a.Sums, Parts: a.Parts,
		M: a.N / int64(c), C: a.C, Chunks: a.Chunks, Segments: a.Segments}, grid, blockDim, 0)
}
