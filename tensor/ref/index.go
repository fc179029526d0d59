package ref

import "afterimage/tensor"

// rowSize returns the elements of one index along the first axis.
func rowSize(x *tensor.Tensor) int { return x.Shape()[1:].Size() }

// Gather copies rows: dst[i, …] = x[idx[i], …]; idx is I32 [n]. Any dtype.
func (b *Backend) Gather(dst, x, idx *tensor.Tensor) {
	d, xs := hostBytes(dst), hostBytes(x)
	row := rowSize(x) * x.DType().Size()
	for i, k := range tensor.Host[int32](idx) {
		copy(d[i*row:(i+1)*row], xs[int(k)*row:])
	}
}

// ScatterAdd sets dst to zero and adds rows: dst[idx[i], …] += x[i, …], in order of i.
func (b *Backend) ScatterAdd(dst, x, idx *tensor.Tensor) {
	switch dst.DType() {
	case tensor.F32:
		scatterAddLoop[float32](dst, x, idx)
	case tensor.F64:
		scatterAddLoop[float64](dst, x, idx)
	case tensor.BF16:
		b.inF32(func(f widening) { b.ScatterAdd(f.out(dst), f.in(x), idx) })
	default:
		panic(badDType("ScatterAdd", dst, x, idx))
	}
}

func scatterAddLoop[T tensor.Float](dst, x, idx *tensor.Tensor) {
	acc, xs, row := make([]float64, dst.Size()), tensor.Host[T](x), rowSize(x)
	for i, k := range tensor.Host[int32](idx) {
		to := acc[int(k)*row:]
		for j, v := range xs[i*row : (i+1)*row] {
			to[j] += float64(v)
		}
	}
	store(dst, acc)
}

// OneHot writes dst[i, idx[i]] = 1 and 0 elsewhere; an index outside [0, K) gives a row of zeros.
func (b *Backend) OneHot(dst, idx *tensor.Tensor) {
	k := dst.Dim(1)
	acc := make([]float64, dst.Size())
	for i, v := range tensor.Host[int32](idx) {
		if v >= 0 && int(v) < k {
			acc[i*k+int(v)] = 1
		}
	}
	store(dst, acc)
}
