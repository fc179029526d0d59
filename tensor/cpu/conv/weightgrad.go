package conv

import (
	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// WeightGrad computes the gradient of a convolution with respect to its weights, the adjoint of
// Forward in w:
//
//	dw[o, kh, kw, c] = sum over n, oh, ow of dy[n, oh, ow, o] *
//	    x[n, oh*StrideH + kh*DilH - PadTop, ow*StrideW + kw*DilW - PadLeft, c]
//
// where positions outside x do not take part. dw is overwritten. Shapes and panics are as in
// Forward. The sum over pixels is cut into parts by a rule that looks only at the Shape, and the
// parts are added in order.
func (s Shape) WeightGrad(p *par.Pool, dw, x, dy []float32) {
	s.weightGrad(micro.Best(), p, dw, x, dy)
}

// Limits of the work of a weight gradient; see pass.go for the reasoning about cache. Every tile of
// dw is read and written once in each step through the pixels, which costs about as much as ten
// pixels, so steps are made long enough for that not to matter.
const (
	gradBlockM = 10 * micro.MaxRows // rows of a block of dw, at most
	pointRows  = 19 * micro.MaxRows // the same for a single tap, which uses its pixels only once
	gradBlockN = 4 * micro.MaxCols  // columns, at most,
	pointCols  = 8 * micro.MaxCols  // or this, if that is all of a single tap's dw,
	fewBlockN  = 32 * micro.MaxCols // or this, beside up to fewChannels rows
	gradTaps   = 96 << 10           // floats of a block with all taps, at most, else a row of taps
	gradPixels = 64 << 10           // floats of x and dy that a block reads between returns to it,
	gradDepth  = 256                // or those of so many pixels, if they are at most
	gradMore   = 128 << 10          // so many floats,
	pairsMore  = 96 << 10           // or, where they are paired as well, so many
	gradParts  = 16                 // parts of the sum over pixels, at most
	gradItems  = 24                 // blocks times parts, if the pixels suffice,
	pointItems = 16                 // or of a single tap, little work beside adding the parts
	partRows   = 4                  // output rows in a part, at least
	gradSegs   = 256                // segments of a tile, at most: one for each row
)

// A gradPlan is how a weight gradient is computed. Everything in it follows from the Shape.
//
// A tile of the result has the channels of one operand as rows, read one by one, and the channels
// of the other as columns, read as vectors. Usually the columns are input channels, so that tiles
// lie in dw as they are. When there are few input channels (the first layer has 3 for a vector of
// 16) the roles are exchanged and the sum is turned round at the end.
type gradPlan struct {
	rows, cols axis
	exchanged  bool
	m, n       int // rows and columns for each tap and group
	parts      int
	partRows   int // output rows (over all images) in a part
	blocksM    int
	blockN     int
	blocksN    int
	tapRows    int  // blocks of a row of taps each, KH, or 1 block of all taps
	stepRows   int  // output rows summed at a time
	sparse     bool // x is read at few of its pixels: 1×1 filters with a stride
}

// A weightKey finds the plan of a weight gradient that may split its taps, or that does not.
type weightKey struct {
	Shape
	split bool
}

// gradPlan plans for blocks that may have a single row of taps if split is set. Parts cost memory
// traffic, a whole dw each, so large weights are rather cut by their taps; what reads its pixels
// through copies of its own, like bf16_weightgrad.go, would make these again for each block.
func (s Shape) gradPlan(split bool) *gradPlan {
	o, c := s.O/s.Groups, s.C/s.Groups
	g := &gradPlan{m: o, n: c, tapRows: 1,
		rows:   forwardAxis(s.H, s.OutH(), s.KH, s.StrideH, s.PadTop, s.DilH),
		cols:   forwardAxis(s.W, s.OutW(), s.KW, s.StrideW, s.PadLeft, s.DilW),
		sparse: s.KH*s.KW == 1 && s.StrideH*s.StrideW > 1}
	if laneShare(o, c) > laneShare(c, o) {
		g.exchanged, g.m, g.n = true, c, o
	}
	blockM, items := pointRows, pointItems
	if s.KH*s.KW > 1 {
		items = gradItems
	}
	if split && s.KH*s.KW > 1 {
		blockM = gradBlockM
		if s.KH*s.KW*min(g.m, blockM)*min(g.n, gradBlockN) > gradTaps {
			g.tapRows = s.KH
		}
	}
	g.blockN = gradBlockN
	switch {
	// All there is to do is to read the other operand, which wants to be read from end to end.
	case g.m <= fewChannels:
		g.blockN = fewBlockN
	// In one block both operands are read once, and from end to end.
	case s.KH*s.KW == 1 && g.m <= pointRows && g.n <= pointCols &&
		s.N*s.OutH()*s.OutW() >= gradParts*gradDepth:
		g.blockN = pointCols
	}
	g.blocksM, g.blocksN = ceil(g.m, blockM), ceil(g.n, g.blockN)
	rows := s.N * s.OutH()
	blocks := s.Groups * g.blocksM * g.blocksN * g.tapRows
	g.parts = max(1, min(gradParts, ceil(items, blocks), rows/partRows))
	g.partRows = max(1, ceil(rows, g.parts))
	g.parts = max(1, ceil(rows, g.partRows)) // none empty
	more := gradMore
	if !split {
		more = pairsMore
	}
	g.stepRows = s.gradStep(g, min(g.m, blockM), min(g.n, g.blockN), more)
	return g
}

// gradStep is the number of output rows that blocks of m rows and n columns sum at a time, the same
// for all steps of a part but the last.
func (s Shape) gradStep(g *gradPlan, m, n, more int) int {
	outW := s.OutW()
	dy, x := outW, s.W*s.StrideH // pixels of a row
	switch {
	case g.sparse:
		x = dy
	case g.tapRows > 1:
		x = s.W
	}
	if g.exchanged {
		dy, x = x, dy
	}
	perRow := max(1, dy*m+x*n)
	rows := max(gradPixels/perRow, min(more/perRow, ceil(gradDepth, max(1, outW))))
	rows = max(1, min(gradSegs, rows))
	return ceil(g.partRows, ceil(g.partRows, rows))
}

// laneShare is the share of the arithmetic units that a tile with so many columns and rows uses.
func laneShare(cols, rows int) float64 {
	return float64(cols) / float64(ceil(cols, 16)*16) * min(1, float64(rows)/6)
}

func (s Shape) weightGrad(v micro.Variant, p *par.Pool, dw, x, dy []float32) {
	s.check("WeightGrad", x, dw, dy)
	if s.N*s.OutH()*s.OutW() == 0 {
		clear(dw)
		return
	}
	if s.depthwise() {
		s.depthWeightGrad(p, dw, x, dy)
		return
	}
	if t, reversed, ok := s.few(); ok {
		if reversed {
			x, dy = dy, x
		}
		t.weightGradFew(v, p, dw, x, dy, reversed)
		return
	}
	s.weightGradDirect(v, p, dw, x, dy)
}

// weightGradDirect is WeightGrad tap by tap, for any shape with pixels.
func (s Shape) weightGradDirect(v micro.Variant, p *par.Pool, dw, x, dy []float32) {
	g := p.Memo(weightKey{s, true}, func() any { return s.gradPlan(true) }).(*gradPlan)
	w := weightGrad{Shape: s, gradPlan: g, v: v, p: p, x: x, dy: dy, sum: dw}
	size := len(dw)
	if g.parts > 1 || g.exchanged {
		w.sum = p.Borrow(g.parts * size)
	}
	p.Run(g.parts*s.Groups*g.blocksM*g.blocksN*g.tapRows, func(i int) {
		part, row := i%g.parts, i/g.parts%g.tapRows
		i /= g.parts * g.tapRows
		w.block(part, i/(g.blocksM*g.blocksN), i/g.blocksN%g.blocksM, i%g.blocksN, row, size)
	})
	if g.parts > 1 || g.exchanged {
		w.finish(dw, size)
		p.Return(w.sum)
	}
}

// weightGrad is one call.
type weightGrad struct {
	Shape
	*gradPlan
	v     micro.Variant
	p     *par.Pool
	x, dy []float32
	sum   []float32 // parts copies of dw, in its order or exchanged
}

// A dwBlock is a block of dw: rows m0..m1-1 and columns n0..n1-1 of a group.
type dwBlock struct{ group, m0, m1, n0, n1 int }

// block computes, for one part of the pixels, a block of rows and columns, for one row of taps or
// for all.
func (w *weightGrad) block(part, group, bm, bn, tapRow, size int) {
	var room [gradSegs]micro.Seg
	segs := room[:0]
	g := micro.Args{A: w.dy, B: w.x, C: w.sum, StepA: w.O, StepB: w.StrideW * w.C, Alpha: 1}
	rowC, tapC := w.KH*w.KW*w.n, w.n // of the result: [m][tap][n]
	if w.exchanged {
		g.A, g.B, g.StepA, g.StepB = w.x, w.dy, w.StrideW*w.C, w.O
		rowC, tapC = w.n, w.m*w.n // [tap][m][n]
	}
	g.SetRows(1, rowC)
	b := dwBlock{group, bm * w.m / w.blocksM, (bm + 1) * w.m / w.blocksM,
		bn * w.blockN, min(w.n, (bn+1)*w.blockN)}
	groupC := part*size + group*(size/w.Groups)
	last := min(w.N*w.rows.count, (part+1)*w.partRows)
	tiles := ceil(b.m1-b.m0, w.v.Rows())
	taps := w.KH * w.KW / w.tapRows
	for r0 := part * w.partRows; r0 < last; r0 += w.stepRows {
		r1 := min(last, r0+w.stepRows)
		next := w.ahead(b, r0, r1, min(last, r1+w.stepRows))
		for tap := tapRow * taps; tap < (tapRow+1)*taps; tap++ {
			g.Segs = w.appendSegs(segs, tap, r0, r1, g.StepA, g.StepB)
			k := g.Steps()
			for n := b.n0; n < b.n1; n += micro.MaxCols {
				g.Cols = min(micro.MaxCols, b.n1-n)
				g.BOff = group*w.n + n
				for i := range tiles {
					m := b.m0 + i*(b.m1-b.m0)/tiles
					g.Rows = b.m0 + (i+1)*(b.m1-b.m0)/tiles - m
					g.AOff = group*w.m + m
					g.COff = groupC + m*rowC + tap*tapC + n
					g.Ahead, g.AheadStep, g.AheadJump = next.Take(k)
					micro.Mul(w.v, &g)
				}
			}
		}
		g.Beta = 1
	}
}

// ahead lists what the tiles of a step, output rows r0..r1-1, find far away, in the order in which
// they come to it: rows of the block but for the cache line that the first tile waits for, columns
// but for those of the first panel, and what the next step, rows r1..r2-1, begins with. A step as a
// whole asked for in the one before would need twice the cache, and the first of a part would wait
// for all of it. But a single tile of rows has no time to ask for the next panel.
func (w *weightGrad) ahead(b dwBlock, r0, r1, r2 int) (a micro.Lookahead) {
	const line = micro.CacheLine
	panel := micro.MaxCols
	if b.m1-b.m0 <= w.v.Rows() {
		panel = b.n1 - b.n0
	}
	rowsOfX := w.exchanged
	w.addAhead(&a, rowsOfX, b.group, r1, r2, b.m0, min(b.m1, b.m0+line)) // the last to be taken
	w.addAhead(&a, !rowsOfX, b.group, r1, r2, b.n0, min(b.n1, b.n0+panel))
	w.addAhead(&a, !rowsOfX, b.group, r0, r1, b.n0+panel, b.n1)
	w.addAhead(&a, rowsOfX, b.group, r0, r1, b.m0+line, b.m1)
	return a
}

// addAhead adds to a list channels c0..c1-1 of a group of x or dy, in the pixels that output rows
// r0..r1-1 are the first to read.
func (w *weightGrad) addAhead(a *micro.Lookahead, ofX bool, group, r0, r1, c0, c1 int) {
	outW := w.cols.count
	if !ofX {
		dy := w.dy[min(len(w.dy), r0*outW*w.O+group*(w.O/w.Groups)+c0):]
		a.Add(dy, w.O, (r1-r0)*outW, c1-c0)
		return
	}
	from, to := w.firstInput(r0), w.firstInput(r1)
	x := w.x[min(len(w.x), from*w.C+group*(w.C/w.Groups)+c0):]
	if w.sparse {
		step := w.StrideW * w.C
		a.AddRuns(x, step, w.StrideH*w.W*w.C-outW*step, (r1-r0)*outW, c1-c0)
		return
	}
	a.Add(x, w.C, to-from, c1-c0)
}

// firstInput is the pixel of x that begins the rows which output row r begins with.
func (w *weightGrad) firstInput(r int) int {
	n, i := r/w.rows.count, r%w.rows.count
	return (n*w.H + min(w.H, i*w.StrideH)) * w.W
}

// appendSegs lists, for one tap and output rows r0..r1-1, the runs of output pixels whose input
// pixel lies inside the image.
func (w *weightGrad) appendSegs(list []micro.Seg, tap, r0, r1, stepA, stepB int) []micro.Seg {
	th, tw := w.rows.taps[tap/w.KW], w.cols.taps[tap%w.KW]
	lo, hi := w.cols.valid(tw)
	top, bottom := w.rows.valid(th)
	if lo >= hi {
		return list
	}
	outW := w.cols.count
	for r := r0; r < r1; r++ {
		n, i := r/w.rows.count, r%w.rows.count
		if i < top || i >= bottom {
			continue
		}
		dy := (r*outW + lo) * w.O
		x := ((n*w.H+i*w.StrideH+th.off)*w.W + lo*w.StrideW + tw.off) * w.C
		seg := micro.Seg{A: dy, B: x, K: hi - lo}
		if w.exchanged {
			seg.A, seg.B = x, dy
		}
		if k := len(list); k > 0 {
			// A row without a border continues in the next one.
			l := &list[k-1]
			if l.A+l.K*stepA == seg.A && l.B+l.K*stepB == seg.B {
				l.K += seg.K
				continue
			}
		}
		list = append(list, seg)
	}
	return list
}

// finish adds the parts in order into dw.
func (w *weightGrad) finish(dw []float32, size int) {
	total := dw
	if w.exchanged {
		total = w.p.Borrow(size)
	}
	const chunk = 4096
	w.p.Run(ceil(size, chunk), func(i int) {
		sumParts(w.v.Float32(), total[i*chunk:min(size, (i+1)*chunk)], w.sum[i*chunk:], size, w.parts)
	})
	if !w.exchanged {
		return
	}
	taps := w.KH * w.KW
	per := size / w.Groups
	w.p.Run(w.O, func(o int) {
		src := total[o/w.n*per+o%w.n:]
		for i := range taps * w.m {
			dw[o*taps*w.m+i] = src[i*w.n]
		}
	})
	w.p.Return(total)
}

// sumParts adds parts vectors, size elements apart, in order: a product with a row of ones.
func sumParts(v micro.Variant, dst, src []float32, size, parts int) {
	var ones [gradParts]float32
	for i := range ones {
		ones[i] = 1
	}
	seg := [1]micro.Seg{{K: parts}}
	g := micro.Args{A: ones[:], B: src, C: dst, Segs: seg[:], StepA: 1, StepB: size, Rows: 1,
		Alpha: 1}
	for c := 0; c < len(dst); c += micro.MaxCols {
		g.Cols = min(micro.MaxCols, len(dst)-c)
		g.BOff, g.COff = c, c
		micro.Mul(v, &g)
	}
}
