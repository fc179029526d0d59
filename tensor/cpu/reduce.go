package cpu

import (
	"unsafe"

	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// Reduce reduces over axes; see tensor.Backend. Sums and means have vector loops for every set of
// neighbouring axes, x seen as [outer, red, inner]; the rest goes to the reference.
func (b *Backend) Reduce(op tensor.ReduceOp, dst, x *tensor.Tensor, axes []int) {
	outer, red, inner, ok := span(x.Shape(), axes)
	if !f32(dst, x) || !ok || x.Size() == 0 || op != tensor.Sum && op != tensor.Mean {
		b.ref.Reduce(op, dst, x, axes)
		return
	}
	scale := 1.0
	if op == tensor.Mean {
		scale = 1 / float64(red)
	}
	y, s := host(dst), host(x)
	switch {
	case outer == 1 && inner == 1:
		y[0] = float32(scale * b.sum(s))
	case inner == 1:
		b.split(outer, max(1, chunk/red), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				y[i] = float32(scale * vec.Sum(s[i*red:(i+1)*red]))
			}
		})
	default:
		parts := b.columns(outer, red, inner, 1,
			func(acc []float64, lo, hi int) { vec.ColSum(acc, s[lo:hi]) })
		b.split(len(y), chunk/4, func(lo, hi int) {
			for i, v := range parts.sums[lo:hi] {
				y[lo+i] = float32(scale * v)
			}
		})
		parts.done()
	}
}

// span sees x as [outer, red, inner] with red the product of axes, which must be neighbours once
// axes of extent 1 are left out.
func span(x tensor.Shape, axes []int) (outer, red, inner int, ok bool) {
	in := make([]bool, len(x))
	for _, a := range axes {
		in[a] = true
	}
	outer, red, inner = 1, 1, 1
	stage := 0
	for i, d := range x {
		switch {
		case d == 1:
		case in[i] && stage <= 1:
			red *= d
			stage = 1
		case in[i]:
			return 0, 0, 0, false
		case stage == 0:
			outer *= d
		default:
			inner *= d
			stage = 2
		}
	}
	return outer, red, inner, true
}

// sum adds all of s: fixed chunks in float64, added in order.
func (b *Backend) sum(s []float32) float64 {
	n := (len(s) + chunk - 1) / chunk
	if n <= 1 {
		return vec.Sum(s)
	}
	part := b.doubles(n)
	b.pool.Run(n, func(i int) { part[i] = vec.Sum(s[i*chunk : min((i+1)*chunk, len(s))]) })
	total := 0.0
	for _, v := range part {
		total += v
	}
	b.giveBack(part)
	return total
}

// partials are per-channel sums of x seen as [outer, rows, inner].
type partials struct {
	sums []float64 // [outer, width·inner]
	b    *Backend
}

func (p partials) done() { p.b.giveBack(p.sums) }

// columnRows is how many rows the vector loops of column sums add in float32 before they go to the
// float64 accumulators: single rows left over take several times as long.
const columnRows = 16

// columns computes sums over rows with f, which adds the elements [lo, hi) of x, whole rows of one
// outer index, to an accumulator of width·inner numbers. Rows are cut into chunks that depend on
// their number and length alone, each summed on its own, and chunks are added in order: the same
// bits for any number of threads.
func (b *Backend) columns(
	outer, rows, inner, width int, f func(acc []float64, lo, hi int),
) partials {
	const maxChunks = 64 // bounds the scratch; 64 tiles keep any number of cores of one socket busy
	grain := max(columnRows, chunk/inner, (rows+maxChunks-1)/maxChunks)
	grain = (grain + columnRows - 1) / columnRows * columnRows
	per := max(1, (rows+grain/2)/grain) // the last chunk is up to half a grain longer or shorter
	w, n := width*inner, outer*width*inner
	all := b.doubles(per * n) // [chunk, outer, width·inner]
	b.pool.Run(outer*per, func(i int) {
		o, t := i/per, i%per
		hi := rows
		if t < per-1 {
			hi = (t + 1) * grain
		}
		acc := all[t*n+o*w:][:w]
		clear(acc)
		f(acc, (o*rows+t*grain)*inner, (o*rows+hi)*inner)
	})
	b.split(n, chunk/2, func(lo, hi int) {
		for t := 1; t < per; t++ {
			vec.AddDoubles(all[lo:hi], all[t*n+lo:t*n+hi])
		}
	})
	return partials{all[:n], b}
}

// doubles borrows n float64s from the pool's scratch.
func (b *Backend) doubles(n int) []float64 {
	s := b.pool.Borrow(2 * max(n, 1))
	s = s[:cap(s)]
	return unsafe.Slice((*float64)(unsafe.Pointer(&s[0])), len(s)/2)[:n]
}

// giveBack returns what doubles lent.
func (b *Backend) giveBack(d []float64) {
	d = d[:cap(d)]
	b.pool.Return(unsafe.Slice((*float32)(unsafe.Pointer(&d[0])), 2*len(d)))
}

// ArgMax works along the last axis; see tensor.Backend.
func (b *Backend) ArgMax(dst, x *tensor.Tensor) {
	if !f32(x) || x.Size() == 0 {
		b.ref.ArgMax(dst, x)
		return
	}
	y, s, k := tensor.Host[int32](dst), host(x), x.Dim(-1)
	b.split(len(y), max(1, chunk/k), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			y[i] = int32(vec.ArgMax(s[i*k : (i+1)*k]))
		}
	})
}

// Softmax works along the last axis; see tensor.Backend.
func (b *Backend) Softmax(log bool, dst, x *tensor.Tensor) {
	if !f32(dst, x) || x.Size() == 0 {
		b.ref.Softmax(log, dst, x)
		return
	}
	f := vec.Softmax
	if log {
		f = vec.LogSoftmax
	}
	y, s, k := host(dst), host(x), x.Dim(-1)
	b.split(len(s)/k, max(1, chunk/4/k), func(lo, hi int) { f(y[lo*k:hi*k], s[lo*k:hi*k], k) })
}
