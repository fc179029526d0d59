package conv

import (
	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
	"afterimage/tensor/cpu/vec"
)

// The planar form is for passes that produce very few channels: the input gradient of a network's
// first layer, which every step of an attack needs, and the last layer of a generator. A tile that
// has output channels as its columns fills 3 of 16 lanes there. So pixels become the columns:
//
//	q[tap, c][pixel] = sum over k of w[tap, c, k] * in[pixel, k]
//
// is one matrix product with all taps and channels as rows, and an output is the sum of the q of
// its taps, each read at another pixel. Either the input is turned round for it, in small bands,
// or, where there are fewer q of a pixel, it is read where it lies, pixels are the rows of the
// product, and the q are turned round. The sums run along whole bands: q and the output have the
// same pitch from row to row, wide enough that what a tap carries over the border of the image
// falls into columns that no output has, and the columns that no input has hold zeros.

// planarBand is the number of floats of a band's products and of what is turned round, which stay
// in the second-level cache. Bands begin at rows that follow from the shape, so that sums do too.
const planarBand = 48 << 10

// Limits of the shapes that the planar form is used for; see Shape.planar.
const (
	planarOut   = 4  // channels produced, at most
	planarIn    = 8  // channels summed over, at least: each costs a multiply-add, each q much more
	planarTaps  = 4  // taps, at least
	planarWidth = 12 // width of the input, at least: a row fills vectors of 16
	planarLate  = 32 // channels summed over, at least, for q to be turned round, not the input
)

// planar reports whether the pass in direction d is faster in the planar form: it produces o
// channels from k of an input that is width pixels wide, which is y's for the gradient of x. The
// answer depends on nothing but the shape.
func (s Shape) planar(d Direction) bool {
	k, o, width := s.C, s.O, s.W
	if d == DirInputGrad {
		k, o, width = s.O, s.C, s.OutW()
	}
	return s.planarApplies(d) && o <= planarOut && k >= planarIn && s.KH*s.KW >= planarTaps &&
		width >= planarWidth
}

// planarApplies reports whether the planar form can compute a direction.
func (s Shape) planarApplies(d Direction) bool {
	return s.Groups == 1 && (d == DirInputGrad || s.StrideH == 1 && s.StrideW == 1)
}

// A planarTap is one tap of one phase: output row a takes from input row a + row, and likewise for
// columns.
type planarTap struct {
	phase    int
	kh, kw   int
	row, col int
}

// A planarTable is what follows from the shape of an image.
type planarTable struct {
	rows, cols []axis // of each phase
	taps       []planarTap
	first      int // smallest row offset of a tap
	last       int // and the largest
	margin     int // floats around a plane of outputs, for what falls outside
	pitch      int // between rows of q and of outputs
	width      int // of the q of an input pixel, where they are turned round
	band       int // input rows in a band
	perImage   int // output rows, the most of all phases
}

// newPlanarTable joins the phases' axes; inH, inW and k are the input's.
func newPlanarTable(rows, cols []axis, inH, inW, k, o int) *planarTable {
	t := &planarTable{rows: rows, cols: cols, pitch: inW}
	for i := range rows {
		t.perImage = max(t.perImage, rows[i].count)
		for _, r := range rows[i].taps {
			t.first, t.last = min(t.first, r.off), max(t.last, r.off)
			for _, c := range cols[i].taps {
				t.taps = append(t.taps, planarTap{i, r.k, c.k, r.off, c.off})
				t.margin = max(t.margin, c.off, -c.off)
			}
		}
	}
	for i := range cols {
		t.pitch = max(t.pitch, cols[i].count)
	}
	t.pitch += t.margin
	turned := k
	if width := ceil(len(t.taps)*o, 16) * 16; k >= max(width, planarLate) {
		turned, t.width = width, width
	}
	t.band = max(1, min(inH, planarBand/max(1, (len(t.taps)*o+turned)*t.pitch)))
	return t
}

// A planarPass is one call.
type planarPass struct {
	*planarTable
	v                     micro.Variant
	p                     *par.Pool
	in, out               []float32
	end                   Epilogue // of a forward pass
	n, inH, inW, k        int
	outH, outW, o         int
	w                     []float32 // [tap][o][k]
	columns               []float32 // and as panels, where q are turned round
	splits, rowsPerSplit  int       // items of an image
	pixels, plane, planes int       // strides of a turned channel, of q, of a plane of outputs
}

type planarKey struct {
	Shape
	Direction
}

// forwardPlanar is Forward in the planar form.
func (s Shape) forwardPlanar(v micro.Variant, p *par.Pool, y, x, w []float32, e Epilogue) {
	key := s
	key.N = 0
	t := p.Memo(planarKey{key, DirForward}, func() any {
		return newPlanarTable(
			[]axis{forwardAxis(s.H, s.OutH(), s.KH, 1, s.PadTop, s.DilH)},
			[]axis{forwardAxis(s.W, s.OutW(), s.KW, 1, s.PadLeft, s.DilW)}, s.H, s.W, s.C, s.O)
	}).(*planarTable)
	q := planarPass{planarTable: t, v: v, p: p, in: x, out: y, end: e, n: s.N, inH: s.H,
		inW: s.W, k: s.C, outH: s.OutH(), outW: s.OutW(), o: s.O}
	q.w = p.Borrow(len(t.taps) * q.o * q.k)
	e.Kept.Direct()
	for i, tap := range t.taps {
		for o := range q.o {
			copy(q.w[(i*q.o+o)*q.k:][:q.k], w[((o*s.KH+tap.kh)*s.KW+tap.kw)*q.k:])
		}
	}
	q.run()
	p.Return(q.w)
}

// inputGradPlanar is InputGrad in the planar form.
func (s Shape) inputGradPlanar(v micro.Variant, p *par.Pool, dx, dy, w []float32) {
	outH, outW := s.OutH(), s.OutW()
	key := s
	key.N = 0
	t := p.Memo(planarKey{key, DirInputGrad}, func() any {
		var rows, cols []axis
		for i := range s.StrideH {
			for j := range s.StrideW {
				rows = append(rows, gradAxis(s.H, outH, s.KH, s.StrideH, s.PadTop, s.DilH, i))
				cols = append(cols, gradAxis(s.W, outW, s.KW, s.StrideW, s.PadLeft, s.DilW, j))
			}
		}
		return newPlanarTable(rows, cols, outH, outW, s.O, s.C)
	}).(*planarTable)
	q := planarPass{planarTable: t, v: v, p: p, in: dy, out: dx, n: s.N, inH: outH, inW: outW,
		k: s.O, outH: s.H, outW: s.W, o: s.C}
	q.w = p.Borrow(len(t.taps) * q.o * q.k)
	for i, tap := range t.taps {
		for c := range q.o {
			dst := q.w[(i*q.o+c)*q.k:][:q.k]
			for k := range dst {
				dst[k] = w[((k*s.KH+tap.kh)*s.KW+tap.kw)*q.o+c]
			}
		}
	}
	q.run()
	p.Return(q.w)
}

// run shares the images, or runs of their rows when there are few images, among the threads. An
// output has the same bits however they are cut: it sums its bands, and in each its taps, in order.
func (q *planarPass) run() {
	if q.n*q.perImage == 0 {
		return
	}
	q.splits = 1
	if want := itemsEach * q.p.Threads(); q.p.Threads() > 1 && q.n < want {
		q.splits = max(1, min(ceil(want, q.n), q.perImage/(4*(q.band+q.last-q.first))))
	}
	q.rowsPerSplit = ceil(q.perImage, q.splits)
	q.pixels = oddLines(q.band * q.inW)
	q.plane = oddLines(q.band*q.pitch + micro.MaxCols)
	q.planes = oddLines(q.rowsPerSplit*q.pitch + 2*q.margin)
	if q.width > 0 {
		q.columns = q.p.Borrow(q.width * q.k)
		q.packColumns()
	}
	q.p.Run(q.n*q.splits, func(i int) {
		a0 := i % q.splits * q.rowsPerSplit
		q.item(i/q.splits, a0, min(q.perImage, a0+q.rowsPerSplit))
	})
	q.p.Return(q.columns)
}

// packColumns makes panels of the weights.
func (q *planarPass) packColumns() {
	rows := len(q.taps) * q.o
	for r := 0; r < rows; r += micro.MaxCols {
		cols := min(micro.MaxCols, rows-r)
		micro.TransposePanel(q.v, q.columns[r*q.k:], panelWidth(cols), q.w[r*q.k:], q.k, cols, q.k)
	}
}

// item computes rows a0..a1-1 of every phase of image n.
func (q *planarPass) item(n, a0, a1 int) {
	rows := len(q.taps) * q.o
	sizeBand, multiply := q.k*q.pixels, q.multiplyTurned
	if q.width > 0 {
		sizeBand, multiply = q.band*q.inW*q.width, q.multiply
	}
	sizeQ, sizeOut := rows*q.plane, len(q.rows)*q.o*q.planes
	scratch := q.p.Borrow(sizeBand + sizeQ + sizeOut)
	room, products, sums := scratch[:sizeBand], scratch[sizeBand:][:sizeQ], scratch[sizeBand+sizeQ:]
	clear(products)
	clear(sums)
	i0, i1 := max(0, a0+q.first), min(q.inH, a1+q.last)
	for i := i0 / q.band * q.band; i < i1; i += q.band {
		multiply(room, products, n, i, min(q.inH, i+q.band))
		q.add(sums, products, a0, a1, i, min(q.inH, i+q.band))
	}
	q.store(sums, n, a0, a1)
	q.p.Return(scratch)
}

// multiply forms the products of input rows i0..i1-1 with all taps, pixel by pixel, and turns these
// round.
func (q *planarPass) multiply(byPixel, products []float32, n, i0, i1 int) {
	rows, first, pixels := len(q.taps)*q.o, (n*q.inH+i0)*q.inW, (i1-i0)*q.inW
	seg := [1]micro.Seg{{K: q.k}}
	g := micro.Args{A: q.in, B: q.columns, C: byPixel, Segs: seg[:], StepA: 1, Alpha: 1}
	g.SetRows(q.k, q.width)
	tiles := ceil(pixels, q.v.Rows())
	for t := range tiles {
		p0, p1 := t*pixels/tiles, (t+1)*pixels/tiles
		g.Rows, g.AOff = p1-p0, (first+p0)*q.k
		g.Ahead, g.AheadStep = q.in[(first+p1)*q.k:], micro.CacheLine // the next tile's pixels
		for r := 0; r < rows; r += micro.MaxCols {
			g.Cols = min(micro.MaxCols, rows-r)
			g.StepB, g.BOff, g.COff = panelWidth(g.Cols), r*q.k, p0*q.width+r
			micro.Mul(q.v, &g)
			g.Ahead, g.AheadStep = nil, 0
		}
	}
	for i := range i1 - i0 {
		for j := 0; j < q.inW; j += 16 {
			micro.Transpose16(q.v, products[i*q.pitch+j:], q.plane,
				byPixel[(i*q.inW+j)*q.width:], q.width, min(16, q.inW-j), rows)
		}
	}
}

// multiplyTurned turns input rows i0..i1-1 round and forms their products with all taps.
func (q *planarPass) multiplyTurned(turned, products []float32, n, i0, i1 int) {
	src := q.in[(n*q.inH+i0)*q.inW*q.k : (n*q.inH+i1)*q.inW*q.k]
	pixels := (i1 - i0) * q.inW
	for i := 0; i < pixels; i += 16 {
		micro.Transpose16(q.v, turned[i:], q.pixels, src[i*q.k:], q.k, min(16, pixels-i), q.k)
	}
	seg := [1]micro.Seg{{K: q.k}}
	g := micro.Args{A: q.w, B: turned, C: products, Segs: seg[:], StepA: 1, StepB: q.pixels,
		Alpha: 1}
	g.SetRows(q.k, q.plane)
	rows := len(q.taps) * q.o
	tiles := ceil(rows, micro.MaxRows)
	rowIn := q.inW * q.k
	for i := range i1 - i0 {
		if ahead := (n*q.inH + i1 + i) * rowIn; ahead < len(q.in) {
			micro.Prefetch(q.v, q.in[ahead:], 0, 1, rowIn)
		}
		for j := 0; j < q.inW; j += micro.MaxCols {
			g.Cols = min(micro.MaxCols, q.inW-j)
			g.BOff = i*q.inW + j
			for t := range tiles {
				r := t * rows / tiles
				g.Rows = (t+1)*rows/tiles - r
				g.AOff, g.COff = r*q.k, r*q.plane+i*q.pitch+j
				micro.Mul(q.v, &g)
			}
		}
	}
}

// add adds the products of input rows i0..i1-1 to the outputs that they belong to.
func (q *planarPass) add(sums, products []float32, a0, a1, i0, i1 int) {
	for t, tap := range q.taps {
		lo, hi := max(i0, a0+tap.row), min(i1, min(a1, q.rows[tap.phase].count)+tap.row)
		if lo >= hi {
			continue
		}
		for o := range q.o {
			src := products[(t*q.o+o)*q.plane+(lo-i0)*q.pitch:][:(hi-lo)*q.pitch]
			at := (tap.phase*q.o+o)*q.planes + q.margin + (lo-tap.row-a0)*q.pitch - tap.col
			vec.AddTo(sums[at:][:len(src)], src)
		}
	}
}

// store writes the finished rows, channels innermost.
func (q *planarPass) store(sums []float32, n, a0, a1 int) {
	for phase := range q.rows {
		rows, cols := &q.rows[phase], &q.cols[phase]
		if cols.count == 0 {
			continue
		}
		planes := sums[phase*q.o*q.planes+q.margin:]
		for a := a0; a < min(a1, rows.count); a++ {
			out := q.out[((n*q.outH+rows.start+a*rows.stride)*q.outW+cols.start)*q.o:]
			q.interleave(out, planes[(a-a0)*q.pitch:], cols.count, cols.stride*q.o)
		}
		if row := q.outW * q.o; a0 < min(a1, rows.count) {
			q.end.finish(q.out, (n*q.outH+a0)*row, row, min(a1, rows.count)-a0, row)
		}
	}
}

// interleave writes a row of count pixels, step elements apart, from its planes.
func (q *planarPass) interleave(out, planes []float32, count, step int) {
	if q.o == 3 && q.end.Bias == nil { // the usual image; three streams at once take half the time
		x, y, z := planes[:count], planes[q.planes:][:count], planes[2*q.planes:][:count]
		for i := range x {
			pix := out[i*step:][:3:3]
			pix[0], pix[1], pix[2] = x[i], y[i], z[i]
		}
		return
	}
	for o := range q.o {
		bias := float32(0)
		if q.end.Bias != nil {
			bias = q.end.Bias[o]
		}
		for i, x := range planes[o*q.planes:][:count] {
			out[i*step+o] = x + bias
		}
	}
}
