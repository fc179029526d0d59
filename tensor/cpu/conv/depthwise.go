package conv

import (
	"slices"

	"afterimage/tensor/cpu/par"
	"afterimage/tensor/cpu/vec"
)

// A depthwise convolution has a filter for each channel and no sum over channels, so it is no
// product of matrices: tiles would use one column in sixteen. Its vectors are channels instead,
// and so are those of the filters, once they are turned into [tap][channel]. vec.TapSums takes
// a row of pixels, with their sums in registers, through all taps. At a border, where a tap
// outside is skipped as everywhere in this package, the taps inside still form a rectangle:
// columns with the same ones make a run.
//
// The gradient of the input is a forward convolution for each phase of the strides. That of the
// weights sums over pixels: vec.TapGrads keeps the sums of a rectangle of taps in registers from
// one end of a block of pixels to the other.

// depthwise reports whether every channel is convolved by itself into one.
func (s Shape) depthwise() bool { return s.Groups > 1 && s.Groups == s.C && s.C == s.O }

// Limits of a depthwise item.
const (
	tapWeights = 4 << 10  // floats of weights, which stay in the first-level cache through its rows
	tapInput   = 32 << 10 // floats of input that its output rows are the first to read
	tapRows    = 8        // output rows at a time: as many pixels as vec.TapSums takes at once
	tapBlock   = 8 * 16   // channels that it takes of a single pixel
)

// A tapRun is a run of output positions along an axis whose taps inside are the same ones.
type tapRun struct{ from, n, t0, t1 int }

// within returns the taps [t0, t1) that lie inside at position j.
func (a *axis) within(j int) (t0, t1 int) {
	for t0 < len(a.taps) && j*a.step+a.taps[t0].off < 0 {
		t0++
	}
	for t1 = t0; t1 < len(a.taps) && j*a.step+a.taps[t1].off < a.in; t1++ {
	}
	return t0, t1
}

// runs cuts the axis into runs.
func (a *axis) runs() []tapRun {
	var out []tapRun
	for j := range a.count {
		t0, t1 := a.within(j)
		if n := len(out); n > 0 && out[n-1].t0 == t0 && out[n-1].t1 == t1 {
			out[n-1].n++
			continue
		}
		out = append(out, tapRun{j, 1, t0, t1})
	}
	return out
}

// spacing is the distance of neighbouring taps, which is the same everywhere.
func (a *axis) spacing() int {
	if len(a.taps) < 2 {
		return 0
	}
	return a.taps[1].off - a.taps[0].off
}

// A depthTable is what a depthwise pass derives from its axes.
type depthTable struct {
	rows, cols       axis
	rowRuns, colRuns []tapRun
	runOf            []int // of each row, its run
}

func newDepthTable(rows, cols axis) *depthTable {
	t := &depthTable{rows: rows, cols: cols, rowRuns: rows.runs(), colRuns: cols.runs()}
	for i, r := range t.rowRuns {
		t.runOf = append(t.runOf, slices.Repeat([]int{i}, r.n)...)
	}
	return t
}

// A depthPass is one sweep over an output tensor: a forward convolution, or one phase of the
// gradient of an input.
type depthPass struct {
	*depthTable
	w []float32 // [tap row][tap column][channel]
}

// A depthRun is a call: its passes write the same tensor.
type depthRun struct {
	p                *par.Pool
	in, out          []float32
	n, c             int
	inRow, inImage   int // strides in floats; of a pixel it is c
	outRow, outImage int
	end              Epilogue // of a forward run
	passes           []depthPass
}

// depthTapsKey finds the table of a pass, and its turned weights where they are kept, without the
// extents of images: what decides which taps it has and in what order.
type depthTapsKey struct {
	Shape
	grad           bool
	phaseH, phaseW int
}

// pass adds the pass with the given axes over weights w [C KH KW].
func (d *depthRun) pass(s Shape, w []float32, grad bool, i, j int) {
	key := s
	key.N = 0
	t := d.p.Memo(depthTapsKey{key, grad, i, j}, func() any {
		if grad {
			return newDepthTable(
				gradAxis(s.H, s.OutH(), s.KH, s.StrideH, s.PadTop, s.DilH, i),
				gradAxis(s.W, s.OutW(), s.KW, s.StrideW, s.PadLeft, s.DilW, j))
		}
		return newDepthTable(forwardAxis(s.H, s.OutH(), s.KH, s.StrideH, s.PadTop, s.DilH),
			forwardAxis(s.W, s.OutW(), s.KW, s.StrideW, s.PadLeft, s.DilW))
	}).(*depthTable)
	key.H, key.W = 0, 0
	q := depthPass{depthTable: t}
	taps := len(t.rows.taps) * len(t.cols.taps)
	var filled bool
	q.w, filled = d.end.Kept.Get(d.p, depthTapsKey{key, grad, i, j}, taps*s.C)
	if !filled {
		at := 0
		for _, u := range t.rows.taps {
			for _, v := range t.cols.taps {
				for c := range s.C {
					q.w[at+c] = w[(c*s.KH+u.k)*s.KW+v.k]
				}
				at += s.C
			}
		}
	}
	d.passes = append(d.passes, q)
}

func (s Shape) depthForward(p *par.Pool, y, x, w []float32, e Epilogue) {
	d := &depthRun{p: p, in: x, out: y, n: s.N, c: s.C, inRow: s.W * s.C, inImage: s.H * s.W * s.C,
		outRow: s.OutW() * s.C, outImage: s.OutH() * s.OutW() * s.C, end: e}
	d.pass(s, w, false, 0, 0)
	d.run()
}

func (s Shape) depthInputGrad(p *par.Pool, dx, dy, w []float32, kept *par.Kept) {
	d := &depthRun{p: p, in: dy, out: dx, n: s.N, c: s.C, inRow: s.OutW() * s.C,
		inImage: s.OutH() * s.OutW() * s.C, outRow: s.W * s.C, outImage: s.H * s.W * s.C,
		end: Epilogue{Kept: kept}}
	for i := range s.StrideH {
		for j := range s.StrideW {
			d.pass(s, w, true, i, j)
		}
	}
	d.run()
}

// run cuts the output into items, runs of rows times blocks of channels, and computes them.
func (d *depthRun) run() {
	taps, perImage, rowTerms := 1, 0, 0
	for _, q := range d.passes {
		t := len(q.rows.taps) * len(q.cols.taps)
		taps, perImage = max(taps, t), max(perImage, q.rows.count)
		rowTerms += t * q.cols.count
	}
	rows, step := d.n*perImage, d.passes[0].rows.step
	if rows > 0 {
		blocks := ceil(d.c, min(d.c, max(16, tapWeights/taps&^15)))
		block := min(d.c, (ceil(d.c, blocks)+15)&^15) // none much smaller than the others
		if blocks > 1 && d.passes[0].cols.count < tapRows {
			block = min(d.c, max(tapBlock, block/tapBlock*tapBlock))
		}
		blocks = ceil(d.c, block)
		itemRows := max(1, tapInput/max(1, step*d.inRow/d.c*block))
		if 2*rowTerms*d.c*rows <= minFlops {
			itemRows, block, blocks = rows, d.c, 1
		} else if threads := d.p.Threads(); threads > 1 {
			itemRows = min(itemRows, max(tapRows, rows*blocks/(itemsEach*threads)))
			if items := ceil(rows, itemRows); items*blocks%threads != 0 {
				itemRows = ceil(rows, ceil(items, threads)*threads)
			}
		}
		zeros := d.p.Borrow(block)
		clear(zeros)
		d.p.Run(ceil(rows, itemRows)*blocks, func(i int) {
			r0, c0 := i/blocks*itemRows, i%blocks*block
			d.item(zeros, r0, min(rows, r0+itemRows), perImage, c0, min(block, d.c-c0))
		})
		d.p.Return(zeros)
	}
	for _, q := range d.passes {
		d.end.Kept.Done(d.p, q.w)
	}
}

// item computes channels c0..c0+c-1 of output rows r0..r1-1, counted over all images with perImage
// in each (some phases of an image of odd size have one row less).
func (d *depthRun) item(zeros []float32, r0, r1, perImage, c0, c int) {
	start := zeros
	if d.end.Bias != nil {
		start = d.end.Bias[c0:]
	}
	most := tapRows
	if len(d.passes) > 1 { // they write the same lines in turn
		most = 1
	}
	for r := r0; r < r1; {
		i := r % perImage
		n := min(r1-r, perImage-i, most)
		for _, q := range d.passes {
			for lo, end := i, min(i+n, q.rows.count); lo < end; {
				rows := q.rowRuns[q.runOf[lo]]
				hi := min(end, rows.from+rows.n)
				d.block(q, start, r/perImage, tapRun{lo, hi - lo, rows.t0, rows.t1}, c0, c)
				lo = hi
			}
		}
		d.end.finish(d.out, r*d.outRow+c0, c, n*d.outRow/d.c, d.c)
		r += n
	}
}

// block computes a run of rows of image n of a pass: row by row but for columns, such as those at a
// border, that are fewer than the rows.
func (d *depthRun) block(q depthPass, start []float32, n int, rows tapRun, c0, c int) {
	tapRow := len(q.cols.taps) * d.c
	out := n*d.outImage + (q.rows.start+rows.from*q.rows.stride)*d.outRow + c0
	t := vec.Taps{C: c, KH: rows.t1 - rows.t0, Row: q.rows.spacing() * d.inRow,
		Col: q.cols.spacing() * d.c, WRow: tapRow, WCol: d.c}
	for _, r := range q.colRuns {
		t.KW = r.t1 - r.t0
		across := places{r.n, q.cols.step * d.c, q.cols.stride * d.c}
		down := places{rows.n, q.rows.step * d.inRow, q.rows.stride * d.outRow}
		t.Next = t.KH * t.Row
		if across.n < down.n {
			across, down, t.Next = down, across, 0
		}
		t.Count, t.Step, t.Out = across.n, across.in, across.out
		at := out + (q.cols.start+r.from*q.cols.stride)*d.c
		if t.KH <= 0 || t.KW <= 0 {
			for i := range down.n {
				vec.TapSums(d.out[at+i*down.out:], nil, nil, start, t)
			}
			continue
		}
		row := rows.from*q.rows.step + q.rows.taps[rows.t0].off
		col := r.from*q.cols.step + q.cols.taps[r.t0].off
		x := d.in[n*d.inImage+row*d.inRow+col*d.c+c0:]
		w := q.w[rows.t0*tapRow+r.t0*d.c+c0:]
		for i := range down.n {
			vec.TapSums(d.out[at+i*down.out:], x[i*down.in:], w, start, t)
		}
	}
}

// Places are n positions, and their distances in the input and in the output.
type places struct{ n, in, out int }

// Limits of a depthwise weight gradient.
const (
	depthGradRows  = 16 << 10 // floats of input in a step: while they are summed the next arrive
	depthGradBlock = 64       // channels of an item
	depthGradWhole = 256      // up to so many an item has all channels, and its rows are of one piece
)

// depthWeightGrad cuts the sum over pixels into parts by the shape, adds these in order and turns
// the result into [C KH KW].
func (s Shape) depthWeightGrad(p *par.Pool, dw, x, dy []float32) {
	rows := forwardAxis(s.H, s.OutH(), s.KH, s.StrideH, s.PadTop, s.DilH)
	cols := forwardAxis(s.W, s.OutW(), s.KW, s.StrideW, s.PadLeft, s.DilW)
	g := &depthGrad{s, rows, cols, rows.runs(), cols.runs()}
	block := depthGradBlock
	if s.C <= depthGradWhole {
		block = s.C
	}
	taps, blocks := s.KH*s.KW, ceil(s.C, block)
	parts := max(1, min(gradParts, ceil(gradItems, blocks), s.N*s.OutH()/partRows))
	partRows := ceil(s.N*s.OutH(), parts)
	sums := p.Borrow(parts * taps * s.C)
	p.Run(parts*blocks, func(i int) {
		part, c0 := i/blocks, i%blocks*block
		c := min(block, s.C-c0)
		sum := sums[part*taps*s.C:][:taps*s.C]
		for k := range taps {
			clear(sum[k*s.C+c0:][:c])
		}
		for r, end := part*partRows, min((part+1)*partRows, s.N*s.OutH()); r < end; {
			n, i := r/s.OutH(), r%s.OutH()
			step := max(1, min(depthGradRows/max(1, s.StrideH*s.W*c), end-r, s.OutH()-i))
			g.step(sum, x, dy, n, i, i+step, c0, c)
			r += step
		}
	})
	total := sums[:taps*s.C]
	for part := 1; part < parts; part++ {
		vec.AddTo(total, sums[part*taps*s.C:][:taps*s.C])
	}
	for c := range s.C {
		for k := range taps {
			dw[c*taps+k] = total[k*s.C+c]
		}
	}
	p.Return(sums)
}

// A depthGrad is a weight gradient: pixels that meet the same taps make runs along both axes.
type depthGrad struct {
	Shape
	rows, cols       axis
	rowRuns, colRuns []tapRun
}

// step adds what rows i0..i1-1 of dy's image n contribute to channels c0..c0+c-1 of sum [tap][C].
func (s *depthGrad) step(sum, x, dy []float32, n, i0, i1, c0, c int) {
	next := s.after(x, dy, n, i0, i1, c)
	for _, rows := range s.rowRuns {
		lo, hi := max(i0, rows.from), min(i1, rows.from+rows.n)
		if lo >= hi || rows.t0 == rows.t1 {
			continue
		}
		for _, r := range s.colRuns {
			if r.t0 == r.t1 {
				continue
			}
			row := lo*s.StrideH + s.rows.taps[rows.t0].off
			col := r.from*s.StrideW + s.cols.taps[r.t0].off
			t := vec.TapPixels{C: c, Rows: hi - lo, Cols: r.n, KH: rows.t1 - rows.t0, KW: r.t1 - r.t0,
				XRow: s.StrideH * s.W * s.C, XCol: s.StrideW * s.C,
				DYRow: s.OutW() * s.C, DYCol: s.C, TapRow: s.DilH * s.W * s.C, TapCol: s.DilW * s.C,
				SumRow: s.KW * s.C, SumCol: s.C}
			next.give(&t)
			vec.TapGrads(sum[(rows.t0*s.KW+r.t0)*s.C+c0:], x[((n*s.H+row)*s.W+col)*s.C+c0:],
				dy[((n*s.OutH()+lo)*s.OutW()+r.from)*s.C+c0:], t)
		}
	}
}

// A gradAhead is what a step's calls ask for: the rows of the next step, from end to end.
type gradAhead struct {
	x, dy []float32
	each  int // floats of x for each of dy
}

// after is what follows rows i0..i1-1 of image n, as far as it is of one piece.
func (s *depthGrad) after(x, dy []float32, n, i0, i1, c int) gradAhead {
	if c < s.C {
		return gradAhead{}
	}
	_, last := s.rows.within(i1 - 1)
	if last == 0 {
		return gradAhead{}
	}
	row := (i1-1)*s.StrideH + s.rows.taps[last-1].off + 1
	return gradAhead{x[(n*s.H+row)*s.W*c:], dy[(n*s.OutH()+i1)*s.OutW()*c:], s.StrideH * s.StrideW}
}

// give hands the call its share.
func (a *gradAhead) give(t *vec.TapPixels) {
	const line = 16 // floats
	lines := t.Rows * t.Cols * ceil(t.C, line)
	t.NextX, t.NextDY, t.NextStep = a.x, a.dy, a.each*line
	a.x, a.dy = a.x[min(len(a.x), a.each*lines*line):], a.dy[min(len(a.dy), lines*line):]
}
