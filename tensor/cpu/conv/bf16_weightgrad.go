package conv

import (
	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// The gradient of the weights in bfloat16 sums over pairs of images: x and dy are read as if they
// had half as many, whose elements are pairs. As a rule such tensors are never made. A block of dw
// (see weightgrad.go) needs only its own channels, and of those only the pixels of a step at a
// time: these are rounded and paired right before they are used, into scratch memory in which a
// pixel is pitch lanes from the next. That distance is all that distinguishes the lists of segments
// from those in float32.
//
// Where so many channels meet so many taps that such a block is larger than the cache, every step
// would read and write all of it through memory. There images are few and small, so both tensors
// are paired as a whole, once, and blocks have a row of taps and sum it from end to end.

// pairedTaps is the number of floats of a block with all taps up to which tensors are paired step
// by step: three quarters of a second-level cache, more than 128×128 channels of 3×3 filters.
const pairedTaps = 192 << 10

// A pairedGrad is one call. The embedded weightGrad is that of half the images.
type pairedGrad struct {
	weightGrad
	x, y side // all of x and of dy
}

// WeightGradBF16 is WeightGrad with x and dy rounded to bfloat16, for one group. It panics for
// other shapes, if gemm.HasBF16 is false, and as WeightGrad does.
func (s Shape) WeightGradBF16(p *par.Pool, dw, x, dy []float32) {
	s.weightGradBF16(bestBF16("WeightGradBF16"), p, dw, x, dy)
}

func (s Shape) weightGradBF16(v micro.Variant, p *par.Pool, dw, x, dy []float32) {
	s.check("WeightGradBF16", x, dw, dy)
	s.mustBF16("WeightGradBF16", DirWeightGrad)
	if len(dy) == 0 {
		clear(dw)
		return
	}
	if s.fewBF16() {
		s.weightGradFew(v, p, dw, x, dy, false)
		return
	}
	half, pixels := s, newSide(x, s.N, s.H*s.W, s.C)
	if s.thins() {
		half.H, half.W, half.StrideH, half.StrideW = s.OutH(), s.OutW(), 1, 1
		pixels.pixels, pixels.width = half.H*half.W, half.W
		pixels.row, pixels.step = s.StrideH*s.W*s.C, s.StrideW*s.C
	}
	half.N = ceil(s.N, 2)
	g := p.Memo(weightKey{half, false}, func() any { return half.gradPlan(false) }).(*gradPlan)
	if s.KH*s.KW*ceil(g.m, g.blocksM)*min(g.n, g.blockN) > pairedTaps {
		half.weightGradPaired(v, p, dw, x, dy)
		return
	}
	w := pairedGrad{weightGrad: weightGrad{Shape: half, gradPlan: g, v: v, p: p, sum: dw},
		x: pixels, y: newSide(dy, s.N, s.OutH()*s.OutW(), s.O)}
	size := len(dw)
	if g.parts > 1 || g.exchanged {
		w.sum = p.Borrow(g.parts * size)
	}
	p.Run(g.parts*g.blocksM*g.blocksN, func(i int) {
		part, b := i%g.parts, i/g.parts
		w.block(part, b/g.blocksN, b%g.blocksN, w.sum[part*size:][:size])
	})
	if g.parts > 1 || g.exchanged {
		w.finish(dw, size)
		p.Return(w.sum)
	}
}

// thins reports whether x is read at some of its pixels only, those of a 1×1 filter with a stride:
// as they are paired they become a smaller image, whose filter has none.
func (s Shape) thins() bool {
	return s.KH*s.KW == 1 && s.StrideH*s.StrideW > 1 &&
		max(s.PadTop, s.PadLeft, s.PadBottom, s.PadRight) == 0
}

// weightGradPaired is WeightGrad of images of pairs, made here of x and dy.
func (s Shape) weightGradPaired(v micro.Variant, p *par.Pool, dw, x, dy []float32) {
	image, out := s.H*s.W*s.C, s.OutH()*s.OutW()*s.O
	pairs := p.Borrow(s.N * (image + out))
	px, py := pairs[:s.N*image], pairs[s.N*image:]
	pairImages(v, p, px, x, image)
	pairImages(v, p, py, dy, out)
	s.weightGradDirect(v, p, dw, px, py)
	p.Return(pairs)
}

// pairImages rounds and pairs images of size floats.
func pairImages(v micro.Variant, p *par.Pool, dst, src []float32, size int) {
	const chunk = 4096
	chunks := ceil(size, chunk)
	p.Run(len(dst)/size*chunks, func(i int) {
		pair, from := i/chunks, i%chunks*chunk
		first := src[2*pair*size+from:]
		var second []float32
		if (2*pair+1)*size < len(src) {
			second = first[size:]
		}
		micro.Interleave(v, dst[pair*size+from:], 0, first, second, 0, 1, min(chunk, size-from))
	})
}

// A side is the part of x or dy that a step reads: channels c0..c1-1 of pixels p0..p1-1, which are
// counted over pairs of images.
type side struct {
	src       []float32
	images    int
	image     int // floats of an image
	pixels    int // of an image that are read,
	width     int // of a run of them
	row, step int // floats from one run to the next, and from pixel to pixel
	c0, c1    int
	p0, p1    int
	pitch     int // between pixels of the pairs
}

// newSide is all channels of images that are read from end to end.
func newSide(src []float32, images, pixels, channels int) side {
	return side{src: src, images: images, image: pixels * channels, pixels: pixels, width: pixels,
		step: channels, c1: channels, pitch: channels}
}

// block computes a block of rows and columns of one part for every tap.
func (w *pairedGrad) block(part, bm, bn int, sum []float32) {
	m0, m1 := bm*w.m/w.blocksM, (bm+1)*w.m/w.blocksM
	n0, n1 := bn*w.blockN, min(w.n, (bn+1)*w.blockN)
	x, y := w.x, w.y
	x.c0, x.c1, y.c0, y.c1 = n0, n1, m0, m1
	if w.exchanged {
		x.c0, x.c1, y.c0, y.c1 = m0, m1, n0, n1
	}
	x.pitch, y.pitch = oddLines(x.c1-x.c0), oddLines(y.c1-y.c0)
	panels := w.weightGrad // for its lists of segments
	panels.C, panels.O = x.pitch, y.pitch
	last := min(w.N*w.rows.count, (part+1)*w.partRows)
	rows := max(1, w.stepRows/2) // beside the pairs there are the numbers that they are made of
	beta := float32(0)
	for r0 := part * w.partRows; r0 < last; r0 += rows {
		r1 := min(last, r0+rows)
		next := w.ahead(x, y, r1, min(last, r1+rows))
		w.setRows(&x, &y, r0, r1)
		w.step(&panels, sum, &x, &y, r0, r1, beta, &next)
		beta = 1
	}
}

// step adds output rows r0..r1-1 to the block, beta times what it holds.
func (w *pairedGrad) step(panels *weightGrad, sum []float32, x, y *side, r0, r1 int, beta float32,
	next *micro.Lookahead) {
	sizeX, sizeY := (x.p1-x.p0)*x.pitch, (y.p1-y.p0)*y.pitch
	pairs := w.p.Borrow(sizeX + sizeY)
	x.pair(w.v, pairs[:sizeX])
	y.pair(w.v, pairs[sizeX:])
	a, b, stepA, stepB := y, x, y.pitch, w.StrideW*x.pitch
	g := micro.Args{A: pairs[sizeX:], B: pairs[:sizeX], C: sum, Alpha: 1, Beta: beta}
	rowC, tapC := w.KH*w.KW*w.n, w.n // of the result: [m][tap][n]
	if w.exchanged {
		a, b, stepA, stepB = x, y, w.StrideW*x.pitch, y.pitch
		g.A, g.B = g.B, g.A
		rowC, tapC = w.n, w.m*w.n // [tap][m][n]
	}
	g.StepA, g.StepB = stepA, stepB
	g.SetRows(1, rowC)
	m := a.c1 - a.c0
	tiles := ceil(m, micro.MaxRows)
	var room [gradSegs]micro.Seg
	for tap := range w.KH * w.KW {
		g.Segs = panels.appendSegs(room[:0], tap, r0, r1, stepA, stepB)
		k := g.Steps()
		for n := 0; n < b.c1-b.c0; n += micro.MaxCols {
			g.Cols = min(micro.MaxCols, b.c1-b.c0-n)
			g.BOff = n - b.p0*b.pitch
			for i := range tiles {
				m0 := i * m / tiles
				g.Rows = (i+1)*m/tiles - m0
				g.AOff = m0 - a.p0*a.pitch
				g.COff = (a.c0+m0)*rowC + tap*tapC + b.c0 + n
				g.Ahead, g.AheadStep, g.AheadJump = next.Take(k)
				micro.Mul(w.v, &g)
			}
		}
	}
	w.p.Return(pairs)
}

// setRows sets the pixels that output rows r0..r1-1 read.
func (w *pairedGrad) setRows(x, y *side, r0, r1 int) {
	x.p0, x.p1 = w.inputFrom(&w.rows, r0), w.inputTo(&w.rows, r1-1)
	y.p0, y.p1 = r0*w.cols.count, r1*w.cols.count
}

// inputFrom and inputTo bound the input pixels under output row r, counted over all images.
func (s Shape) inputFrom(rows *axis, r int) int { return s.inputAt(rows, r, rows.taps[0].off) }

func (s Shape) inputTo(rows *axis, r int) int {
	return s.inputAt(rows, r, rows.taps[s.KH-1].off+1)
}

func (s Shape) inputAt(rows *axis, r, off int) int {
	n, i := r/rows.count, r%rows.count
	return (n*s.H + max(0, min(s.H, i*s.StrideH+off))) * s.W
}

// pair rounds and pairs what a step reads.
func (s *side) pair(v micro.Variant, dst []float32) {
	for at := s.p0; at < s.p1; {
		first, second, n := s.run(at)
		rows, cols := n, s.c1-s.c0
		if cols == s.step && cols == s.pitch { // from end to end
			rows, cols = 1, rows*cols
		}
		micro.Interleave(v, dst[(at-s.p0)*s.pitch:], s.pitch, first, second, s.step, rows, cols)
		at += n
	}
}

// run returns where pixel p lies in both images of its pair, nil for one that is not there, and how
// many follow each other from there on, it among them.
func (s *side) run(p int) (first, second []float32, n int) {
	pair, at := p/s.pixels, p%s.pixels
	first = s.src[2*pair*s.image+at/s.width*s.row+at%s.width*s.step+s.c0:]
	if 2*pair+1 < s.images {
		second = first[s.image:]
	}
	return first, second, min(s.p1-p, s.width-at%s.width)
}

// ahead lists what the block will read of output rows r0..r1-1.
func (w *pairedGrad) ahead(x, y side, r0, r1 int) (a micro.Lookahead) {
	if r0 < r1 {
		w.setRows(&x, &y, r0, r1)
		x.addAhead(w.v, &a)
		y.addAhead(w.v, &a)
	}
	return a
}

// addAhead lists the pixels of a side; of the few that lie in two pairs of images, the first
// pair's. What is not read from end to end is more runs than a list has room for: these are asked
// for at once.
func (s *side) addAhead(v micro.Variant, a *micro.Lookahead) {
	if s.width == s.pixels && s.p0 < s.p1 {
		first, second, n := s.run(s.p0)
		a.Add(first, s.step, n, s.c1-s.c0)
		if second != nil {
			a.Add(second, s.step, n, s.c1-s.c0)
		}
		return
	}
	for at := s.p0; at < s.p1; {
		first, second, n := s.run(at)
		micro.Prefetch(v, first, s.step, n, s.c1-s.c0)
		micro.Prefetch(v, second, s.step, n, s.c1-s.c0)
		at += n
	}
}
