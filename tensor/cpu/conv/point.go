package conv

import (
	"afterimage/tensor/cpu/gemm"
	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// pointDepth is the number of summed channels below which a matrix product never cuts its sum into
// slices by the number of pixels, so that an image has the same bits in any batch.
const pointDepth = 4096

// point reports whether Forward and InputGrad are one matrix product, over all pixels of the batch:
// a convolution's tiles end with each row of an image, a product's do not.
func (s Shape) point(v micro.Variant) bool {
	return v == micro.Best() && s.KH == 1 && s.KW == 1 && s.StrideH == 1 && s.StrideW == 1 &&
		max(s.PadTop, s.PadLeft, s.PadBottom, s.PadRight) == 0 && s.Groups == 1 &&
		max(s.C, s.O) < pointDepth
}

// pointForward is Forward for a 1×1 filter of stride 1: pixels × channels times the transpose of
// the weights.
func (s Shape) pointForward(p *par.Pool, y, x, w []float32, e Epilogue) {
	gemm.SGEMMThen(p, false, true, s.N*s.H*s.W, s.O, s.C, 1, x, s.C, w, s.C, 0, y, e.pitch(s.O),
		e.then(y, e.pitch(s.O)))
}

// then is the epilogue of the product that is y, with pixels o elements apart.
func (e Epilogue) then(y []float32, o int) gemm.Epilogue {
	then := gemm.Epilogue{Bias: e.Bias, Kept: e.Kept}
	if e.late() {
		then.Block = func(i, rows, j, cols int) { e.finish(y, i*o+j, cols, rows, o) }
	}
	return then
}

// pointInputGrad is InputGrad likewise.
func (s Shape) pointInputGrad(p *par.Pool, dx, dy, w []float32) {
	gemm.SGEMM(p, false, false, s.N*s.H*s.W, s.C, s.O, 1, dy, s.O, w, s.C, 0, dx, s.C)
}
