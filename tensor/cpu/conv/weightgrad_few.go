package conv

import (
	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// A tile of a weight gradient has the channels of one operand as rows. An image has three, which
// leaves the arithmetic waiting for its own results. But in NHWC the channels of all taps of a
// filter's row lie side by side: KW·C consecutive numbers, nine for 3×3 filters. With these as
// rows a tile computes a row of taps at once and reads the other operand once for them. At the left
// and right border some of the taps lie outside; these few columns of pixels are products of their
// own, with fewer rows, that step from row to row of the image. Up to sixteen channels gain from
// this too where the other operand has twice as many: by the other form they would be columns, one
// vector, and every element of the other operand would be read for sixteen products only.
//
// In bfloat16, whose instruction has its result two cycles later, a tile of one vector and eight
// rows, half of sixteen channels, waits for its own results a third of the time; twelve rows of the
// 48 of three taps do not. There up to sixteen channels always take this form.

// Channels on the few side up to which this form is used: always, and beside at least twice as many
// on the other side.
const (
	fewChannels = 4
	fewRows     = 16
)

// fewPixels is the number of floats of both operands that is used for all rows of taps before the
// next, a fifth of a second-level cache; fewPairs is the same in bfloat16, where beside the pairs
// there are the numbers that they are made of.
const (
	fewPixels = 48 << 10
	fewPairs  = 32 << 10
)

// fewTaps is one call: f is the operand with few channels, read as the input of the convolution
// Shape, and g the other, read as the gradient of its output. In bfloat16 the Shape has half as
// many images, of pairs.
type fewTaps struct {
	Shape
	rows, cols axis
	v          micro.Variant
	p          *par.Pool
	f, g       []float32
	images     int // of f and g
	m          int // rows of tiles: KW*C
	lo, hi     int // output columns with all taps inside
	stepRows   int
}

type fewKey struct{ Shape }

// few returns the convolution whose weight gradient the call amounts to, with the few channels on
// the input's side: s itself, or, when y has few channels, the convolution of dy that gives x, its
// taps reversed. ok is false if neither fits.
func (s Shape) few() (t Shape, reversed, ok bool) {
	if s.Groups != 1 || s.DilW != 1 || s.KW < 2 {
		return s, false, false
	}
	if s.C <= fewChannels && s.O > s.C || s.C <= fewRows && s.O >= 2*s.C {
		return s, false, true
	}
	if s.O > fewChannels || s.StrideH != 1 || s.StrideW != 1 || s.DilH != 1 ||
		max(s.PadTop, s.PadBottom) >= s.KH || max(s.PadLeft, s.PadRight) >= s.KW {
		return s, false, false
	}
	t = s
	t.H, t.W, t.C, t.O = s.OutH(), s.OutW(), s.O, s.C
	t.PadTop, t.PadBottom = s.KH-1-s.PadTop, s.KH-1-s.PadBottom
	t.PadLeft, t.PadRight = s.KW-1-s.PadLeft, s.KW-1-s.PadRight
	return t, true, true
}

// fewBF16 reports whether WeightGradBF16 takes the channels of a row of taps for rows.
func (s Shape) fewBF16() bool {
	return s.Groups == 1 && s.DilW == 1 && s.KW > 1 && s.C <= fewRows
}

// weightGradFew is WeightGrad for a shape t from few, or from fewBF16. The sum over pixels is cut
// into parts as there.
func (t Shape) weightGradFew(v micro.Variant, p *par.Pool, dw, f, g []float32, reversed bool) {
	axes := p.Memo(fewKey{t}, func() any {
		return &[2]axis{forwardAxis(t.H, t.OutH(), t.KH, t.StrideH, t.PadTop, t.DilH),
			forwardAxis(t.W, t.OutW(), t.KW, t.StrideW, t.PadLeft, t.DilW)}
	}).(*[2]axis)
	w := fewTaps{Shape: t, v: v, p: p, f: f, g: g, images: t.N, m: t.KW * t.C, rows: axes[0],
		cols: axes[1]}
	w.N = ceil(t.N, v.Elements())
	w.lo, _ = w.cols.valid(w.cols.taps[0])
	_, w.hi = w.cols.valid(w.cols.taps[t.KW-1])
	w.lo = min(w.lo, w.cols.count)
	w.hi = max(w.lo, w.hi)
	perRow := w.cols.count*t.O + t.W*t.StrideH*t.C
	floats := fewPixels
	if v.Pairs() {
		floats = fewPairs
	}
	w.stepRows = max(1, min(gradSegs, floats/perRow))
	rows := w.N * w.rows.count
	parts := max(1, min(gradParts, rows/partRows))
	size := len(dw)
	sum := p.Borrow(parts * size)
	p.Run(parts, func(i int) {
		w.part(sum[i*size:][:size], i*rows/parts, (i+1)*rows/parts)
	})
	const chunk = 4096
	total := p.Borrow(size)
	p.Run(ceil(size, chunk), func(i int) {
		sumParts(v.Float32(), total[i*chunk:min(size, (i+1)*chunk)], sum[i*chunk:], size, parts)
	})
	t.unpackFew(dw, total, reversed)
	p.Return(total)
	p.Return(sum)
}

// unpackFew brings a sum [KH][KW][C][O] of the shape from few into the order of dw.
func (t Shape) unpackFew(dw, sum []float32, reversed bool) {
	taps := t.KH * t.KW
	for tap := range taps {
		for c := range t.C {
			row := sum[(tap*t.C+c)*t.O:][:t.O]
			if reversed {
				copy(dw[(c*taps+taps-1-tap)*t.O:], row)
				continue
			}
			for o, x := range row {
				dw[(o*taps+tap)*t.C+c] = x
			}
		}
	}
}

// part sums output rows first..last-1, counted over all images: first the pixels with all taps
// inside, then the columns at the borders, from the top of the part to its end or, in bfloat16, of
// a step.
func (w *fewTaps) part(sum []float32, first, last int) {
	clear(sum)
	var room [gradSegs]micro.Seg
	for r0 := first; r0 < last; r0 += w.stepRows {
		r1 := min(last, r0+w.stepRows)
		in, next := w.open(r0, r1), w.ahead(r1, min(last, r1+w.stepRows))
		for kh := range w.KH {
			segs := w.inner(room[:0], kh, r0, r1)
			w.multiply(sum, in, segs, kh, 0, w.KW, w.StrideW*w.C, w.O, &next)
		}
		if w.v.Pairs() {
			w.borders(sum, in, r0, r1)
			w.p.Return(in.room)
		}
	}
	if !w.v.Pairs() {
		w.borders(sum, fewWindow{f: w.f, g: w.g}, first, last)
	}
}

// borders adds the columns of output rows first..last-1 at which some taps lie outside.
func (w *fewTaps) borders(sum []float32, in fewWindow, first, last int) {
	var room [gradSegs]micro.Seg
	columnRows := gradSegs / 2 * w.rows.count // a segment for each image
	for j := 0; j < w.cols.count; j++ {
		if j == w.lo && w.lo < w.hi {
			j = w.hi - 1
			continue
		}
		k0, k1 := w.tapsAt(j)
		for r0 := first; r0 < last; r0 += columnRows {
			for kh := range w.KH {
				segs := w.column(room[:0], kh, j, r0, min(last, r0+columnRows))
				w.multiply(sum, in, segs, kh, k0, k1, w.StrideH*w.W*w.C, w.cols.count*w.O,
					&micro.Lookahead{})
			}
		}
	}
}

// A fewWindow is what a step reads of the operands: element i of f is f[i-fromF]. In float32 these
// are the operands themselves, in bfloat16 pairs made of them, in room.
type fewWindow struct {
	f, g, room   []float32
	fromF, fromG int
}

// open returns what output rows r0..r1-1 read.
func (w *fewTaps) open(r0, r1 int) fewWindow {
	if !w.v.Pairs() {
		return fewWindow{f: w.f, g: w.g}
	}
	f, g := w.sides(r0, r1)
	sizeF := (f.p1 - f.p0) * w.C
	room := w.p.Borrow(sizeF + (g.p1-g.p0)*w.O)
	in := fewWindow{f: room[:sizeF], g: room[sizeF:], room: room, fromF: f.p0 * w.C,
		fromG: g.p0 * w.O}
	f.pair(w.v, in.f)
	g.pair(w.v, in.g)
	return in
}

// sides are the parts of the operands that output rows r0..r1-1 read, of all channels.
func (w *fewTaps) sides(r0, r1 int) (f, g side) {
	f = newSide(w.f, w.images, w.H*w.W, w.C)
	f.p0, f.p1 = w.inputFrom(&w.rows, r0), w.inputTo(&w.rows, r1-1)
	g = newSide(w.g, w.images, w.rows.count*w.cols.count, w.O)
	g.p0, g.p1 = r0*w.cols.count, r1*w.cols.count
	return f, g
}

// ahead lists what output rows r0..r1-1 read: in bfloat16 of both operands, in float32 of the one
// with many channels.
func (w *fewTaps) ahead(r0, r1 int) (next micro.Lookahead) {
	switch {
	case r0 >= r1:
	case w.v.Pairs():
		f, g := w.sides(r0, r1)
		f.addAhead(w.v, &next)
		g.addAhead(w.v, &next)
	default:
		next.Add(w.g[r0*w.cols.count*w.O:], w.O, (r1-r0)*w.cols.count, w.O)
	}
	return next
}

// tapsAt returns the taps that lie inside at output column j.
func (w *fewTaps) tapsAt(j int) (k0, k1 int) {
	start := j*w.StrideW - w.PadLeft
	k0 = min(w.KW, max(0, -start))
	return k0, max(k0, min(w.KW, w.W-start))
}

// multiply adds the products of taps k0..k1-1 of row kh.
func (w *fewTaps) multiply(sum []float32, in fewWindow, segs []micro.Seg,
	kh, k0, k1, stepF, stepG int, next *micro.Lookahead) {
	if len(segs) == 0 || k0 >= k1 {
		return
	}
	g := micro.Args{A: in.f, B: in.g, C: sum, Segs: segs, StepA: stepF, StepB: stepG, Alpha: 1,
		Beta: 1}
	g.SetRows(1, w.O)
	m, k := (k1-k0)*w.C, g.Steps()
	tiles := ceil(m, w.v.Rows())
	for o := 0; o < w.O; o += micro.MaxCols {
		g.Cols = min(micro.MaxCols, w.O-o)
		g.BOff = o - in.fromG
		for i := range tiles {
			r := i * m / tiles
			g.Rows = (i+1)*m/tiles - r
			g.AOff = k0*w.C + r - in.fromF
			g.COff = (kh*w.m+k0*w.C+r)*w.O + o
			g.Ahead, g.AheadStep, g.AheadJump = next.Take(k)
			micro.Mul(w.v, &g)
		}
	}
}

// at returns where the taps of row kh begin for output column j of output row r, and that pixel.
func (w *fewTaps) at(r, kh, j int) (f, g int) {
	n, i := r/w.rows.count, r%w.rows.count
	f = ((n*w.H+i*w.StrideH+w.rows.taps[kh].off)*w.W + j*w.StrideW - w.PadLeft) * w.C
	return f, (r*w.cols.count + j) * w.O
}

// inner lists the runs of output pixels of rows r0..r1-1 that have all taps of row kh inside.
func (w *fewTaps) inner(list []micro.Seg, kh, r0, r1 int) []micro.Seg {
	top, bottom := w.rows.valid(w.rows.taps[kh])
	if w.lo == w.hi {
		return list
	}
	for r := r0; r < r1; r++ {
		if i := r % w.rows.count; i >= top && i < bottom {
			f, g := w.at(r, kh, w.lo)
			list = append(list, micro.Seg{A: f, B: g, K: w.hi - w.lo})
		}
	}
	return list
}

// column lists the pixels of output column j in rows r0..r1-1, image by image.
func (w *fewTaps) column(list []micro.Seg, kh, j, r0, r1 int) []micro.Seg {
	top, bottom := w.rows.valid(w.rows.taps[kh])
	for r := r0; r < r1; {
		image := r / w.rows.count * w.rows.count
		from, to := max(r, image+top), min(r1, image+bottom)
		if from < to {
			f, g := w.at(from, kh, j)
			list = append(list, micro.Seg{A: f, B: g, K: to - from})
		}
		r = image + w.rows.count
	}
	return list
}
