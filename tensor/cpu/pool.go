package cpu

import (
	"math"

	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// halving reports whether p is 2×2 pooling of stride 2 without padding on even extents: the case
// networks are made of, which has vector loops.
func halving(p tensor.PoolParams, h, w int) bool {
	return p.KH == 2 && p.KW == 2 && p.StrideH == 2 && p.StrideW == 2 && h%2 == 0 && w%2 == 0 &&
		p.PadTop == 0 && p.PadLeft == 0 && p.PadBottom == 0 && p.PadRight == 0
}

// whole reports whether the only window of p is an h×w image.
func whole(p tensor.PoolParams, h, w int) bool {
	return p.KH == h && p.KW == w && p.PadTop == 0 && p.PadLeft == 0 && p.PadBottom == 0 &&
		p.PadRight == 0
}

// AvgPool averages windows; see tensor.Backend.
func (b *Backend) AvgPool(y, x *tensor.Tensor, p tensor.PoolParams) {
	switch h, w := x.Dim(1), x.Dim(2); {
	case !f32(y, x) || x.Size() == 0 || y.Size() == 0:
		b.ref.AvgPool(y, x, p)
	case halving(p, h, w):
		b.pool2(y, x, 0.25)
	case whole(p, h, w):
		b.Reduce(tensor.Mean, y, x, []int{1, 2})
	default:
		b.averageWindows(y, x, p)
	}
}

// AvgPoolGrad is AvgPool's adjoint; see tensor.Backend.
func (b *Backend) AvgPoolGrad(dx, dy *tensor.Tensor, p tensor.PoolParams) {
	q, same := adjointPool(p)
	switch {
	case !f32(dx, dy) || dx.Size() == 0 || dy.Size() == 0:
		b.ref.AvgPoolGrad(dx, dy, p)
	case halving(p, dx.Dim(1), dx.Dim(2)):
		b.repeat2(dx, dy, 0.25)
	case same:
		b.averageWindows(dx, dy, q)
	default:
		b.spreadWindows(dx, dy, p)
	}
}

// MaxPool takes window maxima; see tensor.Backend.
func (b *Backend) MaxPool(y, idx, x *tensor.Tensor, p tensor.PoolParams) {
	if !f32(y, x) || x.Size() == 0 || y.Size() == 0 {
		b.ref.MaxPool(y, idx, x, p)
		return
	}
	m := maxPool{p: p, y: host(y), x: host(x), h: x.Dim(1), w: x.Dim(2), c: x.Dim(3), oh: y.Dim(1),
		ow: y.Dim(2)}
	if idx != nil {
		m.idx = tensor.Host[int32](idx)
	}
	b.split(y.Dim(0)*m.oh, max(1, chunk/4/(m.ow*m.c)), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			m.row(r)
		}
	})
}

// A maxPool is one call of MaxPool.
type maxPool struct {
	p               tensor.PoolParams
	y, x            []float32
	idx             []int32 // nil where nobody asks for it
	h, w, c, oh, ow int
}

// row computes row r of the outputs, counted over all images: the windows that lie inside the image
// from left to right in one call, those cut off on either side one by one.
func (m maxPool) row(r int) {
	p := m.p
	image, i := r/m.oh, r%m.oh
	x := m.x[image*m.h*m.w*m.c:][:m.h*m.w*m.c]
	top := i*p.StrideH - p.PadTop
	u0, u1 := max(top, 0), min(top+p.KH, m.h)
	inside := min(m.ow, (p.PadLeft+p.StrideW-1)/p.StrideW) // first window that begins in the image
	end := max(inside, min(m.ow, (m.w+p.PadLeft-p.KW)/p.StrideW+1))
	if m.w+p.PadLeft < p.KW {
		end = inside
	}
	for j := range inside {
		m.windows(x, r, j, 1, u0, u1)
	}
	m.windows(x, r, inside, end-inside, u0, u1)
	for j := end; j < m.ow; j++ {
		m.windows(x, r, j, 1, u0, u1)
	}
}

// windows computes count windows of image rows u0..u1-1 from output j of row r on, of which several
// lie inside the image. Padding alone gets the reference's answer.
func (m maxPool) windows(x []float32, r, j, count, u0, u1 int) {
	if count == 0 {
		return
	}
	left := j*m.p.StrideW - m.p.PadLeft
	v0, v1 := max(left, 0), min(left+m.p.KW, m.w)
	o := (r*m.ow + j) * m.c
	y, idx := m.y[o:][:count*m.c], m.idx
	if idx != nil {
		idx = idx[o:][:count*m.c]
	}
	if u0 >= u1 || v0 >= v1 {
		vec.Fill(y, float32(math.Inf(-1)))
		clear(idx)
		return
	}
	first := u0*m.w + v0
	vec.MaxWindows(y, idx, x[first*m.c:], vec.Windows{C: m.c, Count: count, KH: u1 - u0, KW: v1 - v0,
		Pitch: m.w, Step: m.p.StrideW, First: int32(first)})
}

// PoolGather reads winners; see tensor.Backend.
func (b *Backend) PoolGather(y, x, idx *tensor.Tensor) {
	if !f32(y, x) || y.Size() == 0 {
		b.ref.PoolGather(y, x, idx)
		return
	}
	d, s, at := host(y), host(x), tensor.Host[int32](idx)
	b.pool.Run(y.Dim(0), func(n int) {
		c, per, img := y.Dim(3), len(d)/y.Dim(0), s[n*len(s)/x.Dim(0):]
		for i := n * per; i < (n+1)*per; i += c {
			for k, pos := range at[i : i+c] {
				d[i+k] = img[int(pos)*c+k]
			}
		}
	})
}

// PoolScatter adds to winners; see tensor.Backend. Samples are independent, so threads never meet.
func (b *Backend) PoolScatter(dx, dy, idx *tensor.Tensor) {
	if !f32(dx, dy) || dx.Size() == 0 {
		b.ref.PoolScatter(dx, dy, idx)
		return
	}
	d, g, at := host(dx), host(dy), tensor.Host[int32](idx)
	b.pool.Run(dx.Dim(0), func(n int) {
		c, per, img := dx.Dim(3), len(g)/dx.Dim(0), len(d)/dx.Dim(0)
		dx := d[n*img : (n+1)*img]
		clear(dx)
		vec.ScatterAdd(dx, g[n*per:(n+1)*per], at[n*per:(n+1)*per], c)
	})
}
