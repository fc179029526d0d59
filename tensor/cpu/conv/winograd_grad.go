package conv

import (
	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// WeightGradWinograd is WeightGrad by Winograd's algorithm; see ForwardWinograd.
func (s Shape) WeightGradWinograd(p *par.Pool, dw, x, dy []float32) {
	s.weightGradWinograd(micro.Best(), p, dw, x, dy)
}

// A step maps and multiplies winogradStep tiles, at most, and each reads and writes the mapped sums
// of a block; each part of the tiles adds a whole dw. So a part has as many tiles as a full step,
// or fewer, down to winogradLeast, where there would not be winogradItems pieces of work otherwise.
// An odd number of pieces would leave one of two threads idle, so there is one part more then, and
// all of them are smaller than these bounds say: 336 tiles in one block, three full steps, make
// four parts of 84. All that decides the order of the sum, so it follows from the shape alone.
const (
	winogradStep  = 8 * micro.MaxRows
	winogradLeast = 32
	winogradItems = 4
	winogradEven  = 2 // pieces come in as many at a time, where there are several parts
)

// winogradBlock bounds the channels of a block. Each tile of x is mapped once for each block of
// output channels that needs it, so blocks are as large as the cache bears.
const winogradBlock = 128

// winogradDW is one call: dw in blocks of output and input channels, times parts of the tiles.
// Each part of a block is summed in the mapped space, in scratch memory that stays in the
// second-level cache, mapped back to nine taps, and left to be added to the other parts in order.
type winogradDW struct {
	Shape
	v                micro.Variant
	p                *par.Pool
	x, dy            []float32
	sum              []float32 // parts copies of dw
	parts            int
	tiles            int // over all images
	tilesH, tilesW   int
	blocksM, blocksN int
}

func (s Shape) weightGradWinograd(v micro.Variant, p *par.Pool, dw, x, dy []float32) {
	s.check("WeightGradWinograd", x, dw, dy)
	s.mustWinograd("WeightGradWinograd")
	w := winogradDW{Shape: s, v: v, p: p, x: x, dy: dy, sum: dw,
		tilesH: ceil(s.OutH(), 4), tilesW: ceil(s.OutW(), 4),
		blocksM: ceil(s.O, winogradBlock), blocksN: ceil(s.C, winogradBlock)}
	w.tiles = s.N * w.tilesH * w.tilesW
	if w.tiles == 0 {
		clear(dw)
		return
	}
	blocks := w.blocksM * w.blocksN
	w.parts = max(1, min(gradParts, ceil(gradItems, blocks), w.tiles/winogradStep),
		min(ceil(winogradItems, blocks), w.tiles/winogradLeast))
	if w.parts > 1 && w.parts*blocks%winogradEven != 0 {
		w.parts++
	}
	if w.parts > 1 {
		w.sum = p.Borrow(w.parts * len(dw))
	}
	p.Run(w.parts*blocks, func(i int) {
		part, b := i%w.parts, i/w.parts
		w.block(part, b/w.blocksN, b%w.blocksN, w.sum[part*len(dw):][:len(dw)])
	})
	if w.parts > 1 {
		const chunk = 4096
		p.Run(ceil(len(dw), chunk), func(i int) {
			sumParts(v, dw[i*chunk:min(len(dw), (i+1)*chunk)], w.sum[i*chunk:], len(dw), w.parts)
		})
		p.Return(w.sum)
	}
}

// A gradBlock is the scratch memory of one block and its place in dw.
type gradBlock struct {
	m0, m1, n0, n1         int // output channels, input channels
	rowY, rowV             int // strides between tiles
	planeY, planeV, planeU int // strides between positions
	y, v, u                []float32
	tmp                    []float32
	fx, fy                 patcher
}

// block computes one block of dw for one part of the tiles.
func (w *winogradDW) block(part, bm, bn int, dw []float32) {
	b := gradBlock{m0: bm * w.O / w.blocksM, m1: (bm + 1) * w.O / w.blocksM, n0: bn * winogradBlock,
		n1: min(w.C, (bn+1)*winogradBlock)}
	m, n := b.m1-b.m0, b.n1-b.n0
	b.rowY, b.rowV = ceil(m, 16)*16, ceil(n, 16)*16
	b.planeY, b.planeV = oddLines(winogradStep*b.rowY), oddLines(winogradStep*b.rowV)
	b.planeU = oddLines(m * b.rowV)
	patch := positions * max(m, n)
	scratch := w.p.Borrow(positions*(b.planeY+b.planeV+b.planeU) + mapTmp + patch)
	defer w.p.Return(scratch)
	rest := scratch
	cut := func(n int) []float32 {
		s := rest[:n]
		rest = rest[n:]
		return s
	}
	b.y, b.v, b.u = cut(positions*b.planeY), cut(positions*b.planeV), cut(positions*b.planeU)
	b.tmp = cut(mapTmp)
	b.fx = patcher{v: w.v, lineMap: inputMap(), h: w.H, w: w.W, c: w.C, c0: b.n0, c1: b.n1, x: w.x,
		patch: rest, tmp: b.tmp}
	b.fy = patcher{v: w.v, lineMap: gradMap(), h: w.OutH(), w: w.OutW(), c: w.O, c0: b.m0, c1: b.m1,
		x: w.dy, patch: rest, tmp: b.tmp}
	b.fx.linear, b.fy.linear = b.fx.paged(), b.fy.paged()
	beta := float32(0)
	t0, t1 := part*w.tiles/w.parts, (part+1)*w.tiles/w.parts
	step := ceil(t1-t0, ceil(t1-t0, winogradStep))
	for t := t0; t < t1; t += step {
		tiles := min(step, t1-t)
		w.mapTiles(&b, t, tiles)
		w.multiply(&b, tiles, beta, w.ahead(&b, t+tiles, min(w.tiles, t+tiles+step)))
		beta = 1
	}
	back := weightGradMap()
	for o := b.m0; o < b.m1; o++ {
		for c := 0; c < n; c += 16 {
			back.apply(w.v, dw[o*9*w.C+b.n0+c:], 3*w.C, w.C, b.u[(o-b.m0)*b.rowV+c:], 6*b.planeU,
				b.planeU, min(16, n-c), b.tmp)
		}
	}
}

// paged reports whether the rows of an image begin whole pages apart, where those of a patch meet
// in the same sets of the first-level cache. Then copying every patch first takes a tenth off all
// of a weight gradient; forward, where the weights need the cache as well, it makes no difference.
func (f *patcher) paged() bool {
	const page = 4096 / 4
	return f.w*f.c%page == 0 && f.w*f.c > page
}

// mapTiles maps the block's channels of tiles t.. of x and of dy.
func (w *winogradDW) mapTiles(b *gradBlock, t, tiles int) {
	for i := range tiles {
		n, ty, tx := tileAt(t+i, w.tilesH, w.tilesW)
		b.fx.prefetch(n, 4*(ty+1)-w.PadTop+2, 4*tx-w.PadLeft)
		b.fy.prefetch(n, 4*(ty+1), 4*tx)
		b.fx.mapTo(b.v[i*b.rowV:], b.planeV, n, 4*ty-w.PadTop, 4*tx-w.PadLeft)
		b.fy.mapTo(b.y[i*b.rowY:], b.planeY, n, 4*ty, 4*tx)
	}
}

// ahead lists what the maps of tiles t0..t1-1, which come next, will read: whole rows of tiles.
func (w *winogradDW) ahead(b *gradBlock, t0, t1 int) micro.Lookahead {
	var a micro.Lookahead
	if t0 >= t1 {
		return a
	}
	for _, f := range []*patcher{&b.fy, &b.fx} {
		r0, r1 := w.firstRow(t0, f.h), w.firstRow(t1, f.h)
		if r0 < r1 {
			a.Add(f.x[r0*f.w*f.c+f.c0:], f.c, (r1-r0)*f.w, f.c1-f.c0)
		}
	}
	return a
}

// firstRow is as winograd's.
func (w *winogradDW) firstRow(t, h int) int {
	n, ty, _ := tileAt(t, w.tilesH, w.tilesW)
	return n*h + min(h, 4*ty)
}

// multiply adds, for each position, the product (channels of dy × tiles) times (tiles × channels
// of x). What is in next is asked for, by one of aheadEach products: in all of them it would be
// too much at once.
func (w *winogradDW) multiply(b *gradBlock, tiles int, beta float32, next micro.Lookahead) {
	const aheadEach = 4
	seg := [1]micro.Seg{{K: tiles}}
	g := micro.Args{A: b.y, B: b.v, C: b.u, Segs: seg[:], StepA: b.rowY, StepB: b.rowV, Alpha: 1,
		Beta: beta}
	g.SetRows(1, b.rowV)
	m, n := b.m1-b.m0, b.n1-b.n0
	parts := ceil(m, w.v.Rows())
	most, less := ceil(m, parts), parts*ceil(m, parts)-m // the last ones have one less
	for xi := range positions {
		for c := 0; c < n; c += micro.MaxCols {
			g.Cols = min(micro.MaxCols, n-c)
			g.BOff = xi*b.planeV + c
			g.AOff, g.COff = xi*b.planeY, xi*b.planeU+c
			for i := range parts {
				g.Rows = most
				if i >= parts-less {
					g.Rows--
				}
				g.Ahead = nil
				if i%aheadEach == 0 {
					g.Ahead, g.AheadStep, g.AheadJump = next.Take(tiles)
				}
				micro.Mul(w.v, &g)
				g.AOff += g.Rows
				g.COff += g.Rows * b.rowV
			}
		}
	}
}
