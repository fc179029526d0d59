package conv

import "afterimage/tensor/cpu/gemm/micro"

// A tile is a run of pixels of one row, so where rows are four pixels wide, as at the end of a
// network for small images, a vector of weights is loaded for four multiply-adds instead of
// fourteen. There the rows of a tile are images instead: the same pixel of up to fourteen. All of
// them have the same taps inside, so nothing is left out of a tile at a border, and every sum has
// the terms and the order that it has in a row's tile: the bits are the same.
//
// Images lie a power of two apart as a rule, so that their pixels would compete for one place in
// the first-level cache. The input rows of an item are therefore copied, to
//
//	[row][column][image, micro.MaxRows of them][channels, padded to an odd number of cache lines]

// Where it is worth the copy, by measurement (BenchmarkStacked).
const (
	stackGain  = 1.5            // images for each output column, at least
	stackUses  = 8              // taps times panels that use the copy, at least
	stackWidth = 6              // output columns, at most: seven rows fill a tile well enough
	stackInput = 96 << 10       // floats of copied input in an item, about, or one row of output
	stackMost  = 4 * stackInput // and this at most for a row
)

// stackPitch is the distance of images in a copied pixel of k channels.
func stackPitch(k int) int { return oddLines(k) }

// stacks reports whether images are the better rows of tiles for passes, which share their input.
func stacks(passes []*pass) bool {
	if !stackable(passes) {
		return false
	}
	taps, rows := 0, 0
	for _, q := range passes {
		taps += q.taps()
		rows = max(rows, len(q.rows.taps))
	}
	q := passes[0]
	return taps*ceil(q.o, micro.MaxCols) >= stackUses &&
		rows*q.cols.in*micro.MaxRows*stackPitch(q.k) <= stackMost &&
		float64(stackHeight(q)) >= stackGain*float64(widest(passes))
}

// stackable reports whether tiles of images can compute passes.
func stackable(passes []*pass) bool {
	q := passes[0]
	return q.groups == 1 && widest(passes) <= stackWidth && q.n*q.rows.in*q.cols.in > 0
}

// stackHeight is the number of images in a tile, as equal as they can be.
func stackHeight(q *pass) int { return ceil(q.n, ceil(q.n, q.v.Rows())) }

// widest is the number of output columns of the widest pass.
func widest(passes []*pass) (width int) {
	for _, q := range passes {
		width = max(width, q.cols.count)
	}
	return width
}

// stackSegs lists the segments of an output pixel whose taps inside are the given ones of each
// axis, for panels of width columns.
func (t *table) stackSegs(rowTaps, colTaps []int, k, width int) []micro.Seg {
	var list []micro.Seg
	pixel := micro.MaxRows * stackPitch(k)
	for _, i := range rowTaps {
		for _, j := range colTaps {
			list = append(list, micro.Seg{K: k, B: (i*len(t.cols.taps) + j) * k * width,
				A: (t.rows.taps[i].off*t.cols.in + t.cols.taps[j].off) * pixel})
		}
	}
	return list
}

// addStack adds the segments of stacked tiles to a table.
func (t *table) addStack(rowClasses [][]int, k int) {
	var colClasses [][]int
	t.colClass, colClasses = t.cols.classes()
	for w := range t.stack {
		t.stack[w] = make([][][]micro.Seg, len(rowClasses))
		for r, rowTaps := range rowClasses {
			for _, colTaps := range colClasses {
				t.stack[w][r] = append(t.stack[w][r], t.stackSegs(rowTaps, colTaps, k, 16<<w))
			}
		}
	}
}

// A stacked sweep is that of passes whose tiles are stacked.
type stacked struct {
	passes     []*pass
	images     int    // of an item
	rows       int    // output rows of an item, of each image and pass
	perImage   int    // output rows of an image, the most of all passes
	used       []bool // input columns that a tap reads
	pitch      int    // of images
	pixel, row int    // strides of the copied input
}

// sweepStacked is sweep with stacked tiles.
func sweepStacked(passes []*pass) {
	q := passes[0]
	s := stacked{passes: passes, images: stackHeight(q), pitch: stackPitch(q.k),
		used: make([]bool, q.cols.in)}
	s.pixel = micro.MaxRows * s.pitch
	s.row = q.cols.in * s.pixel
	for _, r := range passes {
		s.perImage = max(s.perImage, r.rows.count)
		r.markColumns(s.used)
	}
	if q.n*s.perImage == 0 {
		return
	}
	s.rows = 1 // as many as the first item has room for; those below read rows for its padding, too
	for s.rows < s.perImage && s.inputRows(0, s.rows+1)*s.row <= stackInput {
		s.rows++
	}
	blocks, rowItems := ceil(q.n, s.images), ceil(s.perImage, s.rows)
	panels := q.panelsPerGroup
	panelItems := 1
	if threads := q.p.Threads(); threads > 1 {
		panelItems = min(panels, ceil(itemsEach*threads, blocks*rowItems))
	}
	q.p.Run(blocks*rowItems*panelItems, func(i int) {
		r0 := i % rowItems * s.rows
		n0, part := i/rowItems%blocks*s.images, i/(rowItems*blocks)
		s.item(n0, min(q.n, n0+s.images), r0, min(s.perImage, r0+s.rows),
			part*panels/panelItems, (part+1)*panels/panelItems)
	})
}

// markColumns marks the input columns that a tap of the pass reads.
func (q *pass) markColumns(used []bool) {
	for _, t := range q.cols.taps {
		lo, hi := q.cols.valid(t)
		for j := lo; j < hi; j++ {
			used[j*q.cols.step+t.off] = true
		}
	}
}

// inputFrom and inputTo bound the input rows that output rows r0..r1-1 of all passes read.
func (s *stacked) inputFrom(r0 int) int {
	from := s.passes[0].rows.in
	for _, q := range s.passes {
		if len(q.rows.taps) > 0 {
			from = min(from, max(0, r0*q.rows.step+q.rows.taps[0].off))
		}
	}
	return from
}

func (s *stacked) inputTo(r1 int) int {
	to := 0
	for _, q := range s.passes {
		if n := len(q.rows.taps); n > 0 {
			to = max(to, min(q.rows.in, (r1-1)*q.rows.step+q.rows.taps[n-1].off+1))
		}
	}
	return to
}

// inputRows is the number of them, at most.
func (s *stacked) inputRows(r0, r1 int) int { return max(0, s.inputTo(r1)-s.inputFrom(r0)) }

// item computes panels p0..p1-1 of output rows r0..r1-1 of images n0..n1-1.
func (s *stacked) item(n0, n1, r0, r1, p0, p1 int) {
	q := s.passes[0]
	from := s.inputFrom(r0)
	in := q.p.Borrow(s.inputRows(r0, r1) * s.row)
	s.copyInput(in, n0, n1, from, from+s.inputRows(r0, r1))
	for _, q := range s.passes {
		for panel := p0; panel < p1; panel++ {
			s.panel(q, in, panel, n0, n1, r0, min(r1, q.rows.count), from)
		}
	}
	for n := n0; n < n1; n++ {
		q.finish(p0, p1, n*s.perImage+r0, n*s.perImage+r1)
	}
	q.p.Return(in)
}

// copyInput copies input rows from..to-1 of images n0..n1-1, rounded where the kernel multiplies
// pairs of bfloat16s.
func (s *stacked) copyInput(dst []float32, n0, n1, from, to int) {
	q := s.passes[0]
	size := q.v.Elements()
	for n := n0; n < n1; n++ {
		for i := from; i < to; i++ {
			src := q.in[size*(n*q.inImage+i*q.inRow):]
			d := dst[(i-from)*s.row+(n-n0)*s.pitch:]
			for j, used := range s.used {
				switch pix := src[size*j*q.inPix:]; {
				case !used:
				case q.v.Pairs():
					micro.RoundRows(q.v, d[j*s.pixel:], 0, pix, 0, 1, size*q.k)
				default:
					copy(d[j*s.pixel:][:q.k], pix)
				}
			}
		}
	}
}

// panel computes one panel of output channels of a pass.
func (s *stacked) panel(q *pass, in []float32, panel, n0, n1, r0, r1, from int) {
	_, o0, cols, at := q.panel(panel)
	width := panelWidth(cols)
	g := micro.Args{A: in, B: q.packed, C: q.out, BOff: at, StepA: 1, StepB: width, Cols: cols,
		Alpha: 1, Rows: n1 - n0}
	g.SetRows(s.pitch, q.outImage)
	if q.end.Bias != nil {
		g.Bias = q.end.Bias[o0:][:cols]
	}
	var next micro.Lookahead
	if panel+1 < q.panelsPerGroup {
		_, _, _, after := q.panel(panel + 1)
		next.Add(q.packed[after:], width, q.taps()*q.k, width)
	}
	for i := r0; i < r1; i++ {
		for j := range q.cols.count {
			g.Segs = q.stack[width/32][q.class[i]][q.colClass[j]]
			g.AOff = (i*q.rows.step-from)*s.row + j*q.cols.step*s.pixel
			g.COff = n0*q.outImage + (q.rows.start+i*q.rows.stride)*q.outRow +
				(q.cols.start+j*q.cols.stride)*q.outPix + o0
			g.Ahead, g.AheadStep, g.AheadJump = next.Take(g.Steps())
			micro.Mul(q.v, &g)
		}
	}
}
