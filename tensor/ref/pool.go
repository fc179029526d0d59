package ref

import (
	"math"

	"afterimage/tensor"
)

// window holds the pixels [r0, r1) × [s0, s1) of the image that an output pixel covers, and the
// number of positions it covers when padding counts.
type window struct{ r0, r1, s0, s1, padded int }

// eachWindow calls f for every output pixel of every image, with the index of the output pixel
// among all, the image's number and the window clipped to the h×w image.
func eachWindow(n, h, w, oh, ow int, p tensor.PoolParams, f func(out, img int, win window)) {
	for img := range n {
		for i := range oh {
			r0, r1, rows := clipWindow(i*p.StrideH-p.PadTop, p.KH, h, p.PadBottom)
			for j := range ow {
				s0, s1, cols := clipWindow(j*p.StrideW-p.PadLeft, p.KW, w, p.PadRight)
				f((img*oh+i)*ow+j, img, window{r0, r1, s0, s1, rows * cols})
			}
		}
	}
}

// clipWindow returns the part [lo, hi) of k positions from start that lies inside [0, n), and
// how many positions there are before the end of the padding: in ceil mode the last window may
// hang over that end.
func clipWindow(start, k, n, after int) (lo, hi, padded int) {
	lo, hi = max(start, 0), min(start+k, n)
	return lo, max(lo, hi), min(start+k, n+after) - start
}

// MaxPool takes the maximum over each window of x; padding never wins, the first maximum in row
// order wins, NaN wins. idx is the winner's h·W + w. A window without any pixel, which only
// padding as wide as the window makes, gives −Inf and position 0.
func (b *Backend) MaxPool(y, idx, x *tensor.Tensor, p tensor.PoolParams) {
	switch y.DType() {
	case tensor.F32:
		maxPoolLoop[float32](y, idx, x, p)
	case tensor.F64:
		maxPoolLoop[float64](y, idx, x, p)
	case tensor.BF16:
		b.inF32(func(f widening) { b.MaxPool(f.out(y), idx, f.in(x), p) })
	default:
		panic(badDType("MaxPool", y, idx, x))
	}
}

func maxPoolLoop[T tensor.Float](y, idx, x *tensor.Tensor, p tensor.PoolParams) {
	h, w, c := x.Dim(1), x.Dim(2), x.Dim(3)
	xs, ys := tensor.Host[T](x), tensor.Host[T](y)
	var is []int32
	if idx != nil {
		is = tensor.Host[int32](idx)
	}
	eachWindow(x.Dim(0), h, w, y.Dim(1), y.Dim(2), p, func(out, img int, win window) {
		for ch := range c {
			best, at := math.Inf(-1), -1
			for r := win.r0; r < win.r1; r++ {
				for s := win.s0; s < win.s1; s++ {
					v := float64(xs[((img*h+r)*w+s)*c+ch])
					if at < 0 || beats(v, best) {
						best, at = v, r*w+s
					}
				}
			}
			ys[out*c+ch] = T(best)
			if is != nil {
				is[out*c+ch] = int32(max(at, 0))
			}
		}
	})
}

// PoolGather computes y[n,i,j,c] = x[n, idx[n,i,j,c], c].
func (b *Backend) PoolGather(y, x, idx *tensor.Tensor) {
	switch y.DType() {
	case tensor.F32:
		poolGatherLoop[float32](y, x, idx)
	case tensor.F64:
		poolGatherLoop[float64](y, x, idx)
	case tensor.BF16:
		b.inF32(func(f widening) { b.PoolGather(f.out(y), f.in(x), idx) })
	default:
		panic(badDType("PoolGather", y, x, idx))
	}
}

func poolGatherLoop[T tensor.Float](y, x, idx *tensor.Tensor) {
	xs, ys := tensor.Host[T](x), tensor.Host[T](y)
	eachIndex(idx, x, func(small, large int) { ys[small] = xs[large] })
}

// eachIndex calls f with every flat position of idx and the flat position of image that it
// points to, in row-major order.
func eachIndex(idx, image *tensor.Tensor, f func(small, large int)) {
	c, pixels := image.Dim(3), image.Dim(1)*image.Dim(2)
	each := idx.Shape()[1:].Size()
	for i, at := range tensor.Host[int32](idx) {
		f(i, (i/each*pixels+int(at))*c+i%c)
	}
}

// PoolScatter is the adjoint of PoolGather: dx is zeroed, then dx[n, idx, c] += dy.
func (b *Backend) PoolScatter(dx, dy, idx *tensor.Tensor) {
	switch dx.DType() {
	case tensor.F32:
		poolScatterLoop[float32](dx, dy, idx)
	case tensor.F64:
		poolScatterLoop[float64](dx, dy, idx)
	case tensor.BF16:
		b.inF32(func(f widening) { b.PoolScatter(f.out(dx), f.in(dy), idx) })
	default:
		panic(badDType("PoolScatter", dx, dy, idx))
	}
}

func poolScatterLoop[T tensor.Float](dx, dy, idx *tensor.Tensor) {
	acc, dys := make([]float64, dx.Size()), tensor.Host[T](dy)
	eachIndex(idx, dx, func(small, large int) { acc[large] += float64(dys[small]) })
	store(dx, acc)
}

// AvgPool averages over each window of x. The divisor is the number of the window's pixels inside
// the image or, with CountPad, inside the padded image, as PyTorch counts. A window without any
// pixel gives 0.
func (b *Backend) AvgPool(y, x *tensor.Tensor, p tensor.PoolParams) {
	switch y.DType() {
	case tensor.F32:
		avgPoolLoop[float32](y, x, p)
	case tensor.F64:
		avgPoolLoop[float64](y, x, p)
	case tensor.BF16:
		b.inF32(func(f widening) { b.AvgPool(f.out(y), f.in(x), p) })
	default:
		panic(badDType("AvgPool", y, x))
	}
}

func avgPoolLoop[T tensor.Float](y, x *tensor.Tensor, p tensor.PoolParams) {
	h, w, c := x.Dim(1), x.Dim(2), x.Dim(3)
	xs, acc := tensor.Host[T](x), make([]float64, y.Size())
	eachWindow(x.Dim(0), h, w, y.Dim(1), y.Dim(2), p, func(out, img int, win window) {
		to := acc[out*c:][:c]
		for r := win.r0; r < win.r1; r++ {
			for s := win.s0; s < win.s1; s++ {
				for ch, v := range xs[((img*h+r)*w+s)*c:][:c] {
					to[ch] += float64(v)
				}
			}
		}
		for ch := range to {
			to[ch] /= win.divisor(p)
		}
	})
	store(y, acc)
}

func (win window) divisor(p tensor.PoolParams) float64 {
	if p.CountPad {
		return float64(max(win.padded, 1))
	}
	return float64(max((win.r1-win.r0)*(win.s1-win.s0), 1))
}

// AvgPoolGrad is the adjoint of AvgPool: every pixel gets dy / divisor of each window it lies in.
func (b *Backend) AvgPoolGrad(dx, dy *tensor.Tensor, p tensor.PoolParams) {
	switch dx.DType() {
	case tensor.F32:
		avgPoolGradLoop[float32](dx, dy, p)
	case tensor.F64:
		avgPoolGradLoop[float64](dx, dy, p)
	case tensor.BF16:
		b.inF32(func(f widening) { b.AvgPoolGrad(f.out(dx), f.in(dy), p) })
	default:
		panic(badDType("AvgPoolGrad", dx, dy))
	}
}

func avgPoolGradLoop[T tensor.Float](dx, dy *tensor.Tensor, p tensor.PoolParams) {
	h, w, c := dx.Dim(1), dx.Dim(2), dx.Dim(3)
	dys, acc := tensor.Host[T](dy), make([]float64, dx.Size())
	eachWindow(dx.Dim(0), h, w, dy.Dim(1), dy.Dim(2), p, func(out, img int, win window) {
		from, div := dys[out*c:][:c], win.divisor(p)
		for r := win.r0; r < win.r1; r++ {
			for s := win.s0; s < win.s1; s++ {
				to := acc[((img*h+r)*w+s)*c:][:c]
				for ch, v := range from {
					to[ch] += float64(v) / div
				}
			}
		}
	})
	store(dx, acc)
}
