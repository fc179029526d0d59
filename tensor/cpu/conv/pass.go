package conv

import (
	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// A pass is one sweep of the tile kernel over an output tensor: a forward convolution, or one
// phase of an input gradient.
type pass struct {
	v micro.Variant
	p *par.Pool
	*table

	in, out                   []float32
	n                         int // images
	inImage, inRow, inPix     int // strides in elements
	outImage, outRow, outPix  int
	groups, k, o              int      // channels of a group that are summed over, and produced
	end                       Epilogue // of a forward pass
	packed                    []float32
	key                       any // finds packed where it is kept; nil for a forward pass
	pack                      func(dst []float32, width, group, o0, cols, tapIndex int)
	panelsPerGroup, groupSize int // packed panels, and floats, of one group
}

// Limits of a work item, for a second-level cache of 1 MiB: the weights of an item are read again
// for every tile of pixels, its input pixels again for every panel of weights.
const (
	itemWeights = 96 << 10 // floats
	itemInput   = 48 << 10 // floats
	itemFlops   = 32 << 20 // a fraction of a millisecond
	itemsEach   = 6        // items for each thread, so that a slow core does not delay the join
	minFlops    = 1 << 19  // less than this is not worth a second thread,
	minPacked   = 1 << 8   // nor are fewer rows of a panel to pack, some microseconds
)

// run computes passes that share their input and their channels: the one of a forward convolution,
// or the phases of an input gradient, side by side so that what one has brought into the cache
// serves the others. It packs the weights and sweeps the output, by rows or by images.
func run(passes []*pass) {
	if stacks(passes) {
		runBy(sweepStacked, passes)
		return
	}
	runBy(sweep, passes)
}

// runBy is run with a given sweep.
func runBy(sweep func([]*pass), passes []*pass) {
	for _, q := range passes {
		q.panelsPerGroup = ceil(q.o, micro.MaxCols)
		lastWidth := panelWidth(q.o - (q.panelsPerGroup-1)*micro.MaxCols)
		q.groupSize = q.taps() * q.k * ((q.panelsPerGroup-1)*micro.MaxCols + lastWidth)
		key := q.key
		if key == nil {
			key = panelsKey{q.v, q.taps(), q.k, q.o}
		}
		var filled bool
		q.packed, filled = q.end.Kept.Get(q.p, key, q.groups*q.groupSize)
		if !filled {
			q.packAll()
		}
	}
	sweep(passes)
	for _, q := range passes {
		q.end.Kept.Done(q.p, q.packed)
	}
}

// A panelsKey finds the packed panels of a forward pass.
type panelsKey struct {
	v          micro.Variant
	taps, k, o int
}

// taps is the number of taps of the pass.
func (q *pass) taps() int { return len(q.rows.taps) * len(q.cols.taps) }

// panel returns the group, the first output channel in it, the number of channels and the place of
// the packed weights of a panel.
func (q *pass) panel(i int) (group, o0, cols, at int) {
	group, o0 = i/q.panelsPerGroup, i%q.panelsPerGroup*micro.MaxCols
	return group, o0, min(micro.MaxCols, q.o-o0), group*q.groupSize + o0*q.taps()*q.k
}

// packAll fills the panels [tap][k][width].
func (q *pass) packAll() {
	panels, taps := q.groups*q.panelsPerGroup, q.taps()
	one := func(i int) {
		group, o0, cols, at := q.panel(i / taps)
		width := panelWidth(cols)
		q.pack(q.packed[at+i%taps*q.k*width:], width, group, o0, cols, i%taps)
	}
	if panels*taps*q.k < minPacked {
		for i := range panels * taps {
			one(i)
		}
		return
	}
	q.p.Run(panels*taps, one)
}

// sweep cuts the output into items, runs of rows times runs of panels, and computes them.
func sweep(passes []*pass) {
	q := passes[0]
	perPanel, rowFlops, perImage := 1, 1, 0
	for _, r := range passes {
		perPanel += r.taps() * r.k * micro.MaxCols
		rowFlops += 2 * r.taps() * r.k * micro.MaxCols * r.cols.count
		perImage = max(perImage, r.rows.count)
	}
	panels, rows := q.groups*q.panelsPerGroup, q.n*perImage
	if rows == 0 {
		return
	}
	itemPanels := max(1, min(panels, itemWeights/perPanel))
	panelItems := ceil(panels, itemPanels)
	itemPanels = ceil(panels, panelItems)
	rowFlops *= itemPanels
	itemRows := max(1, itemFlops/rowFlops)
	if itemPanels*len(passes) > 1 || q.v.Pairs() {
		itemRows = min(itemRows, max(1, itemInput/max(1, q.rowInput())))
	}
	if rowFlops*rows*panelItems <= minFlops {
		itemRows = rows
	} else if threads := q.p.Threads(); threads > 1 {
		itemRows = min(itemRows, max(1, rows*panelItems/(itemsEach*threads)))
	}
	rowItems := shared(ceil(rows, itemRows), panelItems, q.p.Threads())
	itemRows = ceil(rows, rowItems)
	rowItems = ceil(rows, itemRows)
	q.p.Run(panelItems*rowItems, func(i int) {
		r0, p0 := i%rowItems*itemRows, i/rowItems*itemPanels
		r1, p1 := min(rows, r0+itemRows), min(panels, p0+itemPanels)
		in := openWindow(passes, perImage, r0, r1)
		for n, q := range passes {
			each := q.together(p0, p1)
			for panel := p0; panel < p1; panel += each {
				q.item(in, panel, each, perImage, r0, r1, n == 0 && panel == p0)
			}
		}
		q.finish(p0, p1, r0, r1)
		in.close(q)
	})
}

// rowInput is the number of floats of the input that an output row is the first to read, about.
func (q *pass) rowInput() int {
	rows, cols := min(q.rows.step, len(q.rows.taps)), min(q.cols.step, len(q.cols.taps))
	return rows * q.inRow * cols / q.cols.step
}

// shared returns the least number of pieces, from the given one on, of which groups of them share
// evenly among the threads, if they are so few that one more or less would show: while one thread
// works on the last piece the others wait.
func shared(pieces, groups, threads int) int {
	for pieces*groups > 1 && pieces*groups%threads != 0 && pieces*groups < 4*itemsEach*threads {
		pieces++
	}
	return pieces
}

// A tile of pixels meets all panels of weights in turn, so that pixels are written from end to end,
// where these weights stay in the first-level cache and it pays: from 1 KiB for a pixel on, when
// the stores of a single panel meet in a few sets of that cache and hold up each other and what is
// loaded from there.
const (
	acrossSum    = 32  // taps × channels
	acrossPixels = 256 // floats
)

// together is how many of panels p0..p1-1 a tile of pixels meets before the next tile: all or one.
func (q *pass) together(p0, p1 int) int {
	if q.groups == 1 && q.taps()*q.k <= acrossSum && q.outPix >= acrossPixels {
		return p1 - p0
	}
	return 1
}

// item computes count panels of output channels, from the given one on, for output rows r0..r1-1,
// counted over all images with perImage in each (some phases of an image of odd size have one row
// less, which is left out). The first panel of an item finds its input in memory, and asks for the
// next row's in time.
func (q *pass) item(win window, panel, count, perImage, r0, r1 int, first bool) {
	group, o0, cols, at := q.panel(panel)
	width, size := panelWidth(cols), micro.MaxCols*q.taps()*q.k
	g := micro.Args{A: win.a, B: q.packed, C: q.out, StepA: 1, Alpha: 1, TapB: q.k * 16}
	g.SetRows(q.cols.step*q.inPix, q.cols.stride*q.outPix)
	for r := r0; r < r1; r++ {
		n, i := r/perImage, r%perImage
		if i >= q.rows.count {
			continue
		}
		in := n*q.inImage + i*q.rows.step*q.inRow + group*q.k - win.from
		var next micro.Lookahead
		if first && (width > 16 || !q.v.Pairs()) {
			soon := r + 1
			if q.v.Pairs() { // the item has its input, the next item's comes from memory
				soon = r + r1 - r0
			}
			next = q.ahead(soon/perImage, soon%perImage)
		}
		out := n*q.outImage + (q.rows.start+i*q.rows.stride)*q.outRow + group*q.o
		for t, s := range q.spans {
			g.Rows = s.n
			g.AOff = in + s.from*q.cols.step*q.inPix
			pixel := out + (q.cols.start+s.from*q.cols.stride)*q.outPix
			g.BOff = at
			for o := o0; o < o0+count*micro.MaxCols; o += micro.MaxCols {
				g.Cols = min(micro.MaxCols, q.o-o)
				g.StepB = panelWidth(g.Cols)
				g.Segs = q.segs[g.StepB/32][q.class[i]][t]
				g.COff = pixel + o
				if q.end.Bias != nil {
					g.Bias = q.end.Bias[group*q.o+o:][:g.Cols]
				}
				if g.Cols <= 16 && q.v.Pairs() && q.fused != nil {
					g.Segs = q.fused[q.class[i]][t]
					micro.MulTaps(q.v, &g)
				} else {
					g.Ahead, g.AheadStep, g.AheadJump = next.Take(g.Steps())
					micro.Mul(q.v, &g)
				}
				g.BOff += size
			}
		}
	}
}

// finish applies the epilogue to the channels of panels p0..p1-1 in output rows r0..r1-1 of a
// forward pass, whose rows and pixels follow one another.
func (q *pass) finish(p0, p1, r0, r1 int) {
	group, o0, _, _ := q.panel(p0)
	last, from, cols, _ := q.panel(p1 - 1)
	first, end := group*q.o+o0, last*q.o+from+cols
	q.end.finish(q.out, r0*q.outRow+first, end-first, (r1-r0)*q.cols.count, q.outPix)
}

// ahead lists the input rows that output row i of image n is the first to use.
func (q *pass) ahead(n, i int) micro.Lookahead {
	var a micro.Lookahead
	if n >= q.n || len(q.rows.taps) == 0 {
		return a
	}
	hi := i*q.rows.step + q.rows.taps[len(q.rows.taps)-1].off + 1
	lo := max(0, hi-min(q.rows.step, len(q.rows.taps)))
	if i == 0 {
		lo = 0
	}
	hi = min(hi, q.rows.in)
	size := q.v.Elements()
	row := q.inRow * size
	switch from := (n*q.rows.in + lo) * row; {
	case lo >= hi:
	case len(q.cols.taps) == 1 && q.cols.step > 1 && hi == lo+1: // 1×1 with a stride: some pixels
		first := max(0, q.cols.taps[0].off)
		a.Add(q.in[from+first*q.inPix*size:], q.cols.step*q.inPix*size, q.cols.count, q.inPix*size)
	default:
		a.Add(q.in[from:], row, hi-lo, row)
	}
	return a
}

// panelWidth is the row length of a packed panel with the given number of columns.
func panelWidth(cols int) int {
	if cols <= 16 {
		return 16
	}
	return 32
}

func ceil(a, b int) int { return (a + b - 1) / b }
