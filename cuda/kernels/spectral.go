package kernels

import "afterimage/tensor"

// SPECTRAL_TENSORS, … of spectral.cu
const spectralTensors, divideTensors, spectralGradTensors = 72, 100, 62

type spectralArgs struct {
	Eps         float64
	W, U, V     [spectralTensors]uint64
	UOut, Sigma [spectralTensors]uint64
	Rows, Cols  [spectralTensors]int32
	First       [spectralTensors]int32
	Count, Pad  int32
}

type spectralDivideArgs struct {
	Dst, W, Sigma [divideTensors]uint64
	N             [divideTensors]int64
	First         [divideTensors]int32
	Count, Pad    int32
}

type spectralGradArgs struct {
	Part                   uint64
	Dw, Dy, W, U, V, Sigma [spectralGradTensors]uint64
	N                      [spectralGradTensors]int64
	Cols, First            [spectralGradTensors]int32
	Count, Pad             int32
}

// PowerIteration makes one power iteration for every weight w[i], seen as [out, everything else],
// from u[i]: v = Wᵀu/max(‖Wᵀu‖, eps), u' = Wv/max(‖Wv‖, eps), σ = u'ᵀWv. It writes v[i], uOut[i]
// (which may be u[i]) and sigma[i], of one element; all arrays of one call are F32, or all F64.
func (e *Encoder) PowerIteration(w, u, v, uOut, sigma []Array, eps float64) {
	for from := 0; from < len(w); from += spectralTensors {
		to := min(from+spectralTensors, len(w))
		e.powerIteration(w[from:to], u[from:to], v[from:to], uOut[from:to], sigma[from:to], eps)
	}
}

func (e *Encoder) powerIteration(w, u, v, uOut, sigma []Array, eps float64) {
	a := spectralArgs{Eps: eps, Count: int32(len(w))}
	for i := range w {
		a.W[i], a.U[i], a.V[i], a.UOut[i], a.Sigma[i] = w[i].Ptr, u[i].Ptr, v[i].Ptr, uOut[i].Ptr,
			sigma[i].Ptr
		a.Rows[i], a.Cols[i] = i32(w[i].dim(0)), i32(rowSize(w[i]))
	}
	dt := paramSuffix("PowerIteration", w[0])
	const lanes = 8
	run := func(kernel string, blocks int, blockDim [3]uint32) {
		emit(e, "spectral_"+kernel+dt, a, [3]int{blocks, 1, 1}, blockDim, 0)
	}
	// starts fills in each layer's first block, when it takes work(i) parts of so many.
	starts := func(per int, work func(i int) int32) int {
		blocks := 0
		for i := range w {
			a.First[i] = i32(blocks)
			blocks += ceilDiv(int(work(i)), per)
		}
		return blocks
	}
	run("columns", starts(warp, func(i int) int32 { return a.Cols[i] }), [3]uint32{warp, lanes, 1})
	run("normalise", len(w), [3]uint32{block, 1, 1})
	run("rows", starts(block/warp, func(i int) int32 { return a.Rows[i] }), [3]uint32{block, 1, 1})
	run("finish", len(w), [3]uint32{block, 1, 1})
}

// PowerIterate is tensor.SpectralFuser's: layers in a row with one eps share their launches.
func (e *Encoder) PowerIterate(next, v, sigma, w, u []Array, eps []float64) {
	for from, to := 0, 0; from < len(w); from = to {
		for to = from + 1; to < len(w) && eps[to] == eps[from] && w[to].DType == w[from].DType; {
			to++
		}
		e.PowerIteration(w[from:to], u[from:to], v[from:to], next[from:to], sigma[from:to], eps[from])
	}
}

// SpectralQuotient computes y = w/sigma; y has w's dtype or, beside F32, is BF16.
func (e *Encoder) SpectralQuotient(y, w, sigma Array) {
	e.SpectralQuotients([]Array{y}, []Array{w}, []Array{sigma})
}

// SpectralQuotientGrad computes dw = dy/σ − ⟨dy, w⟩/σ²·uvᵀ; dy has w's dtype or, beside F32, is
// BF16.
func (e *Encoder) SpectralQuotientGrad(dw, dy, w, u, v, sigma Array) {
	e.SpectralQuotientGrads([]Array{dw}, []Array{dy}, []Array{w}, []Array{u}, []Array{v},
		[]Array{sigma})
}

// SpectralQuotientGrads is SpectralQuotientGrad for many weights in two launches.
func (e *Encoder) SpectralQuotientGrads(dw, dy, w, u, v, sigma []Array) {
	byGradient("SpectralQuotientGrad", w, dy, spectralGradTensors,
		func(dt string, which []int, first []int32, chunks int) {
			a := spectralGradArgs{Count: int32(len(which))}
			a.Part = e.fresh(w[which[0]], tensor.Shape{chunks}).Ptr
			copy(a.First[:], first)
			for k, i := range which {
				a.Dw[k], a.Dy[k], a.W[k], a.U[k], a.V[k], a.Sigma[k] = dw[i].Ptr, dy[i].Ptr, w[i].Ptr,
					u[i].Ptr, v[i].Ptr, sigma[i].Ptr
				a.N[k], a.Cols[k] = int64(w[i].size()), i32(rowSize(w[i]))
			}
			optim(e, "spectral_inner"+dt, a, chunks)
			optim(e, "spectral_grad"+dt, a, chunks)
		})
}

// fresh returns scratch memory of t's type.
func (e *Encoder) fresh(t Array, shape tensor.Shape) Array {
	return Array{Ptr: e.Scratch(max(shape.Size(), 1) * t.DType.Size()), DType: t.DType, Shape: shape}
}

// SpectralQuotients is SpectralQuotient for many weights: a launch for each dtype of the quotients.
func (e *Encoder) SpectralQuotients(y, w, sigma []Array) {
	byGradient("SpectralQuotient", w, y, divideTensors,
		func(dt string, which []int, first []int32, chunks int) {
			a := spectralDivideArgs{Count: int32(len(which))}
			copy(a.First[:], first)
			for k, i := range which {
				a.Dst[k], a.W[k], a.Sigma[k], a.N[k] = y[i].Ptr, w[i].Ptr, sigma[i].Ptr, int64(w[i].size())
			}
			optim(e, "spectral_divide"+dt, a, chunks)
		})
}
