package ref

import "afterimage/tensor"

// Upsample repeats every pixel of x [N H W C] k×k times: y[n,i,j,c] = x[n,i/k,j/k,c].
func (b *Backend) Upsample(y, x *tensor.Tensor, k int) {
	row := x.Dim(3) * x.DType().Size()
	d, xs := hostBytes(y), hostBytes(x)
	eachPixelPair(x, k, func(small, large int) {
		copy(d[large*row:][:row], xs[small*row:])
	})
}

// eachPixelPair calls f for every pixel of the large image with the index, among all pixels, of
// the pixel of the small image that it repeats, in row-major order of the large one.
func eachPixelPair(small *tensor.Tensor, k int, f func(small, large int)) {
	h, w := small.Dim(1), small.Dim(2)
	at := 0
	for n := range small.Dim(0) {
		for i := range h * k {
			for j := range w * k {
				f((n*h+i/k)*w+j/k, at)
				at++
			}
		}
	}
}

// UpsampleGrad is the adjoint of Upsample: it sums every k×k block.
func (b *Backend) UpsampleGrad(dx, dy *tensor.Tensor, k int) {
	switch dx.DType() {
	case tensor.F32:
		upsampleGradLoop[float32](dx, dy, k)
	case tensor.F64:
		upsampleGradLoop[float64](dx, dy, k)
	case tensor.BF16:
		b.inF32(func(f widening) { b.UpsampleGrad(f.out(dx), f.in(dy), k) })
	default:
		panic(badDType("UpsampleGrad", dx, dy))
	}
}

func upsampleGradLoop[T tensor.Float](dx, dy *tensor.Tensor, k int) {
	c, dys, acc := dx.Dim(3), tensor.Host[T](dy), make([]float64, dx.Size())
	eachPixelPair(dx, k, func(small, large int) {
		to := acc[small*c:][:c]
		for ch, v := range dys[large*c:][:c] {
			to[ch] += float64(v)
		}
	})
	store(dx, acc)
}
