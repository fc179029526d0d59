package kernels

import "afterimage/tensor"

type poolArgs struct {
	Y, Idx, X                            uint64
	N, H, W, C, OH, OW                   int32
	KH, KW, StrideH, StrideW             int32
	PadTop, PadLeft, PadBottom, PadRight int32
	CountPad, Pad                        int32
}

type poolScatterArgs struct {
	Dx, Dy, Idx        uint64
	Threads            int64
	C, Pixels, Outputs int32
	PerBand            int32
}

// newPool describes pooling from the images x to the images y.
func newPool(y, idx, x Array, p tensor.PoolParams) poolArgs {
	d := func(t Array, i int) int32 { return i32(t.Shape[i]) }
	return poolArgs{Y: y.Ptr, Idx: idx.Ptr, X: x.Ptr, N: d(x, 0), H: d(x, 1), W: d(x, 2), C: d(x, 3),
		OH: d(y, 1), OW: d(y, 2), KH: i32(p.KH), KW: i32(p.KW), StrideH: i32(p.StrideH),
		StrideW: i32(p.StrideW), PadTop: i32(p.PadTop), PadLeft: i32(p.PadLeft),
		PadBottom: i32(p.PadBottom), PadRight: i32(p.PadRight), CountPad: b32(p.CountPad)}
}

// MaxPool takes the maximum over each window of x and the position of its first occurrence, unless
// idx has no address.
func (e *Encoder) MaxPool(y, idx, x Array, p tensor.PoolParams) {
	stride(e, "max_pool"+suffix("MaxPool", y), newPool(y, idx, x, p), y.size())
}

// PoolGather computes y[n,i,j,c] = x[n, idx[n,i,j,c], c].
func (e *Encoder) PoolGather(y, x, idx Array) {
	stride(e, "pool_gather"+suffix("PoolGather", y), newPool(y, idx, x, tensor.PoolParams{}), y.size())
}

// PoolScatter is the adjoint of PoolGather.
func (e *Encoder) PoolScatter(dx, dy, idx Array) {
	if dx.size() == 0 {
		return
	}
	n, c, pixels := dx.dim(0), dx.dim(3), dx.dim(1)*dx.dim(2)
	a := poolScatterArgs{Dx: dx.Ptr, Dy: dy.Ptr, Idx: idx.Ptr, Threads: int64(n * c), C: i32(c),
		Pixels: i32(pixels), Outputs: i32(dy.dim(1) * dy.dim(2))}
	bands, length := split(pixels, n*c, min(wantedScatter, maxGridYZ*n*c), leastBand)
	a.PerBand = i32(length)
	sums := dx
	if dx.DType == tensor.BF16 {
		sums = Array{e.Scratch(dx.size() * accSize(dx)), tensor.F32, dx.Shape}
		a.Dx = sums.Ptr
	}
	grid := [3]int{ceilDiv(n*c, block), bands, 1}
	emit(e, "pool_scatter"+suffix("PoolScatter", dx), a, grid, [3]uint32{block, 1, 1}, 0)
	if sums.DType != dx.DType {
		e.Cast(dx, sums)
	}
}

// PoolScatter cuts an image into bands, of which a grid has room for so many, until wantedScatter
// threads run, each over leastBand pixels.
const wantedScatter, leastBand = 1 << 17, 64

// AvgPool averages over each window of x.
func (e *Encoder) AvgPool(y, x Array, p tensor.PoolParams) {
	stride(e, "avg_pool"+suffix("AvgPool", y), newPool(y, Array{}, x, p), y.size())
}

// AvgPoolGrad is the adjoint of AvgPool.
func (e *Encoder) AvgPoolGrad(dx, dy Array, p tensor.PoolParams) {
	stride(e, "avg_pool_grad"+suffix("AvgPoolGrad", dx), newPool(dy, Array{}, dx, p), dx.size())
}
