package kernels

import "afterimage/tensor"

type convArgs struct {
	X, W, Y                                       uint64
	Bias, Res                                     uint64
	N, H, Wd, C, O, KH, KW, OH, OW                int32
	StrideH, StrideW, PadTop, PadLeft, DilH, DilW int32
	Groups                                        int32
	Chunk, Chunks                                 int32
	VecC, VecO                                    int32
	Relu, Pad                                     int32
}

type convJoinArgs struct {
	Dst, Parts  uint64
	N           int64
	Chunks, Pad int32
}

// newConv fills the arguments that the three directions share.
func newConv(x, w, y Array, p tensor.ConvParams) convArgs {
	d := func(t Array, i int) int32 { return i32(t.Shape[i]) }
	a := convArgs{X: x.Ptr, W: w.Ptr, Y: y.Ptr, N: d(x, 0), H: d(x, 1), Wd: d(x, 2), C: d(x, 3),
		O: d(w, 0), KH: d(w, 1), KW: d(w, 2), OH: d(y, 1), OW: d(y, 2),
		StrideH: i32(p.StrideH), StrideW: i32(p.StrideW), PadTop: i32(p.PadTop),
		PadLeft: i32(p.PadLeft), DilH: i32(p.DilH), DilW: i32(p.DilW),
		Groups: i32(p.Groups), Chunks: 1}
	// A group's channels are read together where each group starts at a multiple of 16 bytes.
	a.VecC = min(vec(x, x.dim(3)/p.Groups), vec(w, w.dim(3)))
	a.VecO = vec(y, y.dim(3)/p.Groups)
	for _, extent := range []int{x.size() / max(x.dim(3), 1), y.size() / max(y.dim(3), 1), w.size()} {
		if extent >= maxExtent {
			panic(&tensor.Error{Op: "Conv2D", Reason: "more than 2,147,482,623 pixels or weights in " +
				"one call on a GPU: use a smaller batch", Operands: []tensor.Operand{
				{Name: "x", Shape: x.Shape, DType: x.DType}}})
		}
	}
	return a
}

// Conv2D computes y[n,i,j,o] = Σ x[n, i·s−p+u·d, j·s−p+v·d, c]·w[o,u,v,c]. In all three directions
// the result of BF16 operands is BF16 or, of sums that are not rounded once more, F32.
func (e *Encoder) Conv2D(y, x, w Array, p tensor.ConvParams) {
	e.Conv2DBiasAct(y, x, w, Array{}, Array{}, false, p)
}

// Conv2DBiasAct computes y = act(Conv2D(x, w) + bias + res), act = ReLU if relu else identity; bias
// is [O] (F32 beside BF16) or absent, res of y's shape or absent.
func (e *Encoder) Conv2DBiasAct(y, x, w, bias, res Array, relu bool, p tensor.ConvParams) {
	a := newConv(x, w, y, p)
	a.Bias, a.Res, a.Relu = bias.Ptr, res.Ptr, b32(relu)
	e.conv("conv_forward", x, y, a, y.size()/max(y.dim(3), 1), y.dim(3)/p.Groups)
}

// Conv2DInputGrad computes dx, the adjoint of Conv2D in x applied to dy.
func (e *Encoder) Conv2DInputGrad(dx, dy, w Array, p tensor.ConvParams) {
	e.conv("conv_input_grad", dy, dx, newConv(dx, w, dy, p), dx.size()/max(dx.dim(3), 1),
		dx.dim(3)/p.Groups)
}

// conv launches a direction from operands like in to out, which has m rows and n columns in each
// group.
func (e *Encoder) conv(entry string, in, out Array, a convArgs, m, n int) {
	if out.size() == 0 {
		return
	}
	infix, tiles, shared := e.tiled(in, m, n, int(a.Groups))
	grid := [3]int{tiles, 1, int(a.Groups)}
	emit(e, entry+infix+productSuffix("Conv2D", in, out), a, grid, [3]uint32{block, 1, 1}, shared)
}

// Conv2DWeightGrad computes dw, the adjoint of Conv2D in w applied to dy.
func (e *Encoder) Conv2DWeightGrad(dw, x, dy Array, p tensor.ConvParams) {
	if dw.size() == 0 {
		return
	}
	a := newConv(x, dw, dy, p)
	m, n := dw.dim(0)/p.Groups, dw.size()/dw.dim(0)
	infix, tiles, shared := e.tiled(x, m, n, p.Groups)
	pixels := dy.size() / dy.dim(3)
	chunks, length := split(pixels, tiles*p.Groups, wantedChunks, leastPixels)
	chunks = max(chunks, 1)
	a.Chunk, a.Chunks = i32(length), i32(chunks)
	if chunks > 1 {
		a.W = e.Scratch(chunks * dw.size() * accSize(dw))
	}
	grid := [3]int{tiles, 1, p.Groups * chunks}
	emit(e, "conv_weight_grad"+infix+productSuffix("Conv2D", x, dw), a, grid,
		[3]uint32{block, 1, 1}, shared)
	if chunks > 1 {
		stride(e, "conv_join"+suffix("Conv2D", dw), convJoinArgs{Dst: dw.Ptr, Parts: a.W,
			N: int64(dw.size()), Chunks: i32(chunks)}, dw.size())
	}
}

// The weight gradient's pixels are cut so that about wantedChunks tiles run at once, each over at
// least leastPixels.
const wantedChunks, leastPixels = 264, 256
