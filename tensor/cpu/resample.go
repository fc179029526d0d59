package cpu

import (
	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// Upsample repeats pixels; see tensor.Backend. Generators double; other factors, which imported
// networks alone may have, go to the reference.
func (b *Backend) Upsample(y, x *tensor.Tensor, k int) {
	if !f32(y, x) || x.Size() == 0 || k != 2 {
		b.ref.Upsample(y, x, k)
		return
	}
	b.repeat2(y, x, 1)
}

// UpsampleGrad is Upsample's adjoint; see tensor.Backend.
func (b *Backend) UpsampleGrad(dx, dy *tensor.Tensor, k int) {
	if !f32(dx, dy) || dx.Size() == 0 || k != 2 {
		b.ref.UpsampleGrad(dx, dy, k)
		return
	}
	b.pool2(dx, dy, 1)
}

// pool2 writes scale times the sums of x's 2×2 blocks.
func (b *Backend) pool2(y, x *tensor.Tensor, scale float32) {
	d, s := host(y), host(x)
	c, row := x.Dim(3), y.Dim(2)*x.Dim(3)
	b.split(y.Dim(0)*y.Dim(1), max(1, chunk/4/row), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			vec.Pool2x2(d[i*row:(i+1)*row], s[4*i*row:(4*i+2)*row], s[(4*i+2)*row:(4*i+4)*row], c, scale)
		}
	})
}

// repeat2 writes scale times every pixel of x to a 2×2 block.
func (b *Backend) repeat2(y, x *tensor.Tensor, scale float32) {
	d, s := host(y), host(x)
	c, row := x.Dim(3), x.Dim(2)*x.Dim(3)
	b.split(x.Dim(0)*x.Dim(1), max(1, chunk/4/row), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			vec.Upsample2x2(d[4*i*row:(4*i+2)*row], d[(4*i+2)*row:(4*i+4)*row], s[i*row:(i+1)*row], c, scale)
		}
	})
}
