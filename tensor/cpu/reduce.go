package cpu

import (
	"slices"
	"unsafe"

	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// Reduce reduces over axes; see tensor.Backend. The loops are for neighbouring axes, x seen as
// [outer, red, inner]. Where others lie between, x is turned first so that none do.
func (b *Backend) Reduce(op tensor.ReduceOp, dst, x *tensor.Tensor, axes []int) {
	if !f32(dst, x) || x.Size() == 0 {
		b.ref.Reduce(op, dst, x, axes)
		return
	}
	s := host(x)
	outer, red, inner, ok := span(x.Shape(), axes)
	if !ok {
		outer, red, inner = dst.Size(), x.Size()/dst.Size(), 1
		s = b.pool.Borrow(x.Size())
		defer b.pool.Return(s)
		b.gatherAxes(s, x, axes)
	}
	switch op {
	case tensor.MaxOf:
		larger := func(x, y float32) float32 { return max(x, y) }
		b.extremes(choice{vec.Max, larger}, host(dst), s, outer, red, inner)
	case tensor.MinOf:
		smaller := func(x, y float32) float32 { return min(x, y) }
		b.extremes(choice{vec.Min, smaller}, host(dst), s, outer, red, inner)
	case tensor.Mean:
		b.sums(host(dst), s, outer, red, inner, 1/float64(red))
	default:
		b.sums(host(dst), s, outer, red, inner, 1)
	}
}

// gatherAxes writes x with axes behind all others, in their order.
func (b *Backend) gatherAxes(dst []float32, x *tensor.Tensor, axes []int) {
	var perm, size, stride []int
	for i := range x.Shape() {
		if !slices.Contains(axes, i) {
			perm = append(perm, i)
		}
	}
	for i := range x.Shape() {
		if slices.Contains(axes, i) {
			perm = append(perm, i)
		}
	}
	for _, p := range perm {
		size, stride = append(size, x.Dim(p)), append(stride, x.Shape().Strides()[p])
	}
	b.strided(bits(dst), words(x), size, tensor.Shape(size).Strides(), stride, 0, 0)
}

// sums computes y = scale·Σ over the middle axis of s [outer, red, inner].
func (b *Backend) sums(y, s []float32, outer, red, inner int, scale float64) {
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

// A choice is the larger or the smaller of two numbers, NaN if either is: of vectors and of one.
type choice struct {
	each func(dst, x, y []float32)
	one  func(x, y float32) float32
}

const (
	// extremeRows is how many rows a tile of extremes takes at least.
	extremeRows = 16
	// extremeWidth is what its vectors are to hold: shorter rows are taken side by side.
	extremeWidth = 512
	// extremeFew is up to how many numbers are compared one by one.
	extremeFew = 32
)

// extremes computes y = f over the middle axis of s [outer, red, inner]. Tiles are runs of rows,
// and of columns where rows are long; the next turn takes the rows that they leave. A choice does
// not round, so that the order does not show.
func (b *Backend) extremes(f choice, y, s []float32, outer, red, inner int) {
	cols := min(inner, chunk/extremeRows)
	rows := max(extremeRows, chunk/cols)
	across, down := (inner+cols-1)/cols, (red+rows-1)/rows
	to := y
	if down > 1 {
		to = b.pool.Borrow(outer * down * inner)
		defer b.pool.Return(to)
	}
	tile := func(i int, scratch []float32) {
		o, t, at := i/across/down, i/across%down, i%across*cols
		n := min(rows, red-t*rows)
		m, from := to[(o*down+t)*inner+at:][:min(cols, inner-at)], s[(o*red+t*rows)*inner+at:]
		if across == 1 {
			extreme(f, m, from[:n*inner], scratch)
			return
		}
		copy(m, from)
		for r := 1; r < n; r++ {
			f.each(m, m, from[r*inner:][:len(m)])
		}
	}
	few := max(1, chunk/min(chunk, red*inner)) // tiles of one call, where there are many small ones
	b.split(outer*down*across, few, func(lo, hi int) {
		scratch := b.pool.Borrow(2 * extremeWidth)
		for i := lo; i < hi; i++ {
			tile(i, scratch)
		}
		b.pool.Return(scratch)
	})
	if down > 1 {
		b.extremes(f, y, to, outer, down, inner)
	}
}

// extreme computes y = f over the rows of s [rows, len(y)]; scratch holds 2·extremeWidth numbers.
func extreme(f choice, y, s, scratch []float32) {
	c := len(y)
	if c == 1 && len(s) <= extremeFew {
		m := s[0]
		for _, v := range s[1:] {
			m = f.one(m, v)
		}
		y[0] = m
		return
	}
	wide := c
	for wide < extremeWidth && 4*wide <= len(s) {
		wide *= 2
	}
	acc := y
	if wide > c {
		acc = scratch[:wide]
	}
	n := copy(acc, s)
	for ; n+wide <= len(s); n += wide {
		f.each(acc, acc, s[n:n+wide])
	}
	rest := s[n:]
	f.each(acc[:len(rest)], acc[:len(rest)], rest)
	for ; wide > c; wide /= 2 {
		f.each(acc[:wide/2], acc[:wide/2], acc[wide/2:wide])
	}
	copy(y, acc)
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
