package cpu

import (
	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// Upsample repeats pixels; see tensor.Backend. Generators double, which has a loop of its own.
func (b *Backend) Upsample(y, x *tensor.Tensor, k int) {
	switch {
	case !f32(y, x) || x.Size() == 0:
		b.ref.Upsample(y, x, k)
	case k == 2:
		b.repeat2(y, x, 1)
	default:
		b.repeat(y, x, k)
	}
}

// UpsampleGrad is Upsample's adjoint; see tensor.Backend.
func (b *Backend) UpsampleGrad(dx, dy *tensor.Tensor, k int) {
	switch {
	case !f32(dx, dy) || dx.Size() == 0:
		b.ref.UpsampleGrad(dx, dy, k)
	case k == 2:
		b.pool2(dx, dy, 1)
	default:
		b.blockSums(dx, dy, k)
	}
}

// repeat writes every pixel of x to a k×k block: the first row of blocks pixel by pixel, the others
// as copies of it.
func (b *Backend) repeat(y, x *tensor.Tensor, k int) {
	d, s := host(y), host(x)
	c, row := x.Dim(3), x.Dim(2)*x.Dim(3)
	b.split(x.Dim(0)*x.Dim(1), max(1, chunk/(k*k*row)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			block := d[i*k*k*row : (i+1)*k*k*row]
			first := block[:k*row]
			for w := 0; w < row; w += c {
				for j := range k {
					copy(first[w*k+j*c:], s[i*row+w:][:c])
				}
			}
			for r := 1; r < k; r++ {
				copy(block[r*k*row:], first)
			}
		}
	})
}

// blockSums writes the sums of x's k×k blocks: of its rows, as wide as they are, then of the pixels
// in them.
func (b *Backend) blockSums(y, x *tensor.Tensor, k int) {
	d, s := host(y), host(x)
	c, row := y.Dim(3), y.Dim(2)*y.Dim(3)
	b.split(y.Dim(0)*y.Dim(1), max(1, chunk/(k*k*row)), func(lo, hi int) {
		sum := b.pool.Borrow(k * row)
		for i := lo; i < hi; i++ {
			block := s[i*k*k*row : (i+1)*k*k*row]
			copy(sum, block)
			for r := 1; r < k; r++ {
				vec.AddTo(sum, block[r*k*row:][:k*row])
			}
			for w := 0; w < row; w += c {
				to := d[i*row+w:][:c]
				copy(to, sum[w*k:])
				for j := 1; j < k; j++ {
					vec.AddTo(to, sum[w*k+j*c:][:c])
				}
			}
		}
		b.pool.Return(sum)
	})
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
