package cpu

import (
	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// An avgPool averages windows of any kind. A row of them is a row of a depthwise convolution whose
// weights are all the same number, one over what the window divides by.
type avgPool struct {
	p            tensor.PoolParams
	y, x         []float32
	h, w, c      int // of x
	oh, ow       int
	weight, zero []float32 // of c numbers; weight is filled with over
	over         float32
}

// averageWindows is AvgPool for any windows.
func (b *Backend) averageWindows(y, x *tensor.Tensor, p tensor.PoolParams) {
	m := avgPool{p: p, y: host(y), x: host(x), h: x.Dim(1), w: x.Dim(2), c: x.Dim(3), oh: y.Dim(1),
		ow: y.Dim(2)}
	b.split(y.Dim(0)*m.oh, max(1, chunk/4/(m.ow*m.c)), func(lo, hi int) {
		m := m
		scratch := b.pool.Borrow(2 * m.c)
		m.weight, m.zero = scratch[:m.c], scratch[m.c:]
		clear(m.zero)
		for r := lo; r < hi; r++ {
			m.row(r)
		}
		b.pool.Return(scratch)
	})
}

// A cut is a window along one axis: its pixels, and what it counts of them, with the padding or
// without.
type cut struct{ from, to, count int }

// along returns window i along an axis.
func (m *avgPool) along(i, k, stride, n, before, after int) cut {
	start := i*stride - before
	c := cut{from: max(start, 0), to: min(start+k, n)}
	if c.count = c.to - c.from; m.p.CountPad {
		c.count = min(start+k, n+after) - start
	}
	return c
}

// row averages row r of y: windows of as many pixels, next to each other, in one call.
func (m *avgPool) row(r int) {
	p := m.p
	rows := m.along(r%m.oh, p.KH, p.StrideH, m.h, p.PadTop, p.PadBottom)
	image := m.x[r/m.oh*m.h*m.w*m.c:][:m.h*m.w*m.c]
	at := func(j int) cut { return m.along(j, p.KW, p.StrideW, m.w, p.PadLeft, p.PadRight) }
	for j := 0; j < m.ow; {
		first, n := at(j), 1
		for ; j+n < m.ow; n++ {
			next := at(j + n)
			if next.from != first.from+n*p.StrideW || next.to != first.to+n*p.StrideW ||
				next.count != first.count {
				break
			}
		}
		if over := 1 / float32(rows.count*first.count); over != m.over {
			m.over = over
			vec.Fill(m.weight, over)
		}
		vec.TapSums(m.y[(r*m.ow+j)*m.c:], image[min(len(image), (rows.from*m.w+first.from)*m.c):],
			m.weight, m.zero, vec.Taps{C: m.c, Count: n, KH: rows.to - rows.from,
				KW: first.to - first.from, Step: p.StrideW * m.c, Row: m.w * m.c, Col: m.c, Out: m.c})
		j += n
	}
}

// adjointPool returns the pooling that is the adjoint of p, and whether there is one: windows that
// all divide by the same number and lie a pixel apart.
func adjointPool(p tensor.PoolParams) (tensor.PoolParams, bool) {
	q := p
	q.PadTop, q.PadBottom = p.KH-1-p.PadTop, p.KH-1-p.PadBottom
	q.PadLeft, q.PadRight = p.KW-1-p.PadLeft, p.KW-1-p.PadRight
	return q, p.StrideH == 1 && p.StrideW == 1 && p.CountPad && !p.CeilMode &&
		min(q.PadTop, q.PadBottom, q.PadLeft, q.PadRight) >= 0
}

// spreadWindows is the adjoint of averageWindows for any windows: each row of pixels takes its
// share of every window that it lies in, one after the other.
func (b *Backend) spreadWindows(dx, dy *tensor.Tensor, p tensor.PoolParams) {
	m := avgPool{p: p, y: host(dy), x: host(dx), h: dx.Dim(1), w: dx.Dim(2), c: dx.Dim(3),
		oh: dy.Dim(1), ow: dy.Dim(2)}
	b.split(dx.Dim(0)*m.h, max(1, chunk/4/(m.w*m.c)), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			m.spread(r)
		}
	})
}

// spread computes row r of x from y.
func (m *avgPool) spread(r int) {
	p := m.p
	row := m.x[r*m.w*m.c : (r+1)*m.w*m.c]
	clear(row)
	for i := range m.oh {
		rows := m.along(i, p.KH, p.StrideH, m.h, p.PadTop, p.PadBottom)
		if at := r % m.h; at < rows.from || at >= rows.to {
			continue
		}
		for j := range m.ow {
			cols := m.along(j, p.KW, p.StrideW, m.w, p.PadLeft, p.PadRight)
			from := m.y[((r/m.h*m.oh+i)*m.ow+j)*m.c:][:m.c]
			share := 1 / float32(rows.count*cols.count)
			for s := cols.from; s < cols.to; s++ {
				vec.AXPY(row[s*m.c:][:m.c], share, from)
			}
		}
	}
}
