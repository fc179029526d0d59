package conv

import (
	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// Winograd's algorithm F(4×4, 3×3) computes a tile of 4×4 outputs of a 3×3 convolution from 6×6
// inputs with 36 multiplications for each pair of channels instead of 144:
//
//	Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ x B) ] A
//
// A polynomial product of degree 5 is determined by its values at six points, here 0, 1, -1, 2, -2
// and infinity. Bᵀ and G evaluate at the points, ⊙ multiplies the values and Aᵀ interpolates, all
// in two dimensions (Lavin and Gray 2016, "Fast algorithms for convolutional neural networks").
// The sum over input channels moves inside: for each of the 36 positions it is a matrix product
// of tiles × channels times channels × outputs, which the tile kernel of package micro computes.
//
// The gradient with respect to the weights is the adjoint of the map from g to Y,
//
//	dg = Gᵀ [ sum over tiles of (A dy Aᵀ) ⊙ (Bᵀ x B) ] G
//
// and the gradient with respect to the input is a forward convolution with the taps reversed.
//
// The price is precision: the points' powers, up to 8 and 1/24, make rounding errors several times
// larger than those of the direct sum (see the tests' bound), and a non-finite input spoils all
// outputs of the tiles that it is in.

// positions is the number of points in a tile.
const positions = 36

// ForwardWinograd is Forward by Winograd's algorithm, about twice as fast and less precise, for any
// 3×3 filter with stride 1, no dilation, one group and at most two pixels of padding. It panics for
// other shapes, and as Forward does.
func (s Shape) ForwardWinograd(p *par.Pool, y, x, w []float32, e Epilogue) {
	s.forwardWinograd(micro.Best(), p, y, x, w, e)
}

func (s Shape) forwardWinograd(v micro.Variant, p *par.Pool, y, x, w []float32, e Epilogue) {
	s.checkForward("ForwardWinograd", y, x, w, &e)
	s.mustWinograd("ForwardWinograd")
	s.winogradForward(v, p, y, x, w, e).run()
}

func (s Shape) winogradForward(v micro.Variant, p *par.Pool, y, x, w []float32,
	e Epilogue) *winograd {
	q := &winograd{v: v, p: p, in: x, out: y, end: e, n: s.N, inH: s.H, inW: s.W, k: s.C,
		outH: s.OutH(), outW: s.OutW(), o: s.O, outPix: e.pitch(s.O), padTop: s.PadTop,
		padLeft: s.PadLeft}
	q.pack = func(dst []float32, width, o0, cols, tap, k0, k1 int) {
		micro.TransposePanel(v, dst, width, w[(o0*9+tap)*s.C+k0:], 9*s.C, cols, k1-k0)
	}
	return q
}

// InputGradWinograd is InputGrad by Winograd's algorithm; see ForwardWinograd.
func (s Shape) InputGradWinograd(p *par.Pool, dx, dy, w []float32) {
	s.inputGradWinograd(micro.Best(), p, dx, dy, w)
}

func (s Shape) inputGradWinograd(v micro.Variant, p *par.Pool, dx, dy, w []float32) {
	s.check("InputGradWinograd", dx, w, dy)
	s.mustWinograd("InputGradWinograd")
	s.winogradInputGrad(v, p, dx, dy, w).run()
}

func (s Shape) winogradInputGrad(v micro.Variant, p *par.Pool, dx, dy, w []float32) *winograd {
	q := &winograd{v: v, p: p, in: dy, out: dx, n: s.N, inH: s.OutH(), inW: s.OutW(), k: s.O,
		outH: s.H, outW: s.W, o: s.C, outPix: s.C, padTop: 2 - s.PadTop, padLeft: 2 - s.PadLeft}
	q.pack = func(dst []float32, width, c0, cols, tap, k0, k1 int) {
		micro.Pack(v, dst, width, w[(9*k0+8-tap)*s.C+c0:], 9*s.C, k1-k0, cols)
	}
	return q
}

// winograd is one forward or input-gradient call.
type winograd struct {
	v                 micro.Variant
	p                 *par.Pool
	in, out           []float32
	end               Epilogue // of a forward convolution
	n, inH, inW, k    int
	outH, outW, o     int
	outPix            int // stride between pixels of out
	padTop, padLeft   int
	pack              func(dst []float32, width, o0, cols, tap, k0, k1 int)
	u                 []float32 // mapped weights as a whole, [panel][position][k][width]
	tilesH, tilesW    int
	block, panelGroup int // tiles and panels of an item
	rowV              int // stride between tiles of a transformed input
	planeV, planeM    int // strides between positions
	rowM              int // stride between tiles of products
	planeU            int // stride between positions of a panel's weights
}

// Limits of an item, found by measurement on a second-level cache of 1 MiB, which also holds what
// is asked for ahead (winograd.ahead), about half as much.
const (
	winogradFloats   = 96 << 10 // transformed inputs and products
	winogradMinBlock = 3 * micro.MaxRows
	winogradMaxBlock = 8 * micro.MaxRows
	winogradPanels   = 4
)

func (q *winograd) run() {
	switch tiles := q.grid(); {
	case tiles == 0:
	case q.streams(tiles):
		q.runStreamed(tiles)
	default:
		q.runWhole(tiles)
	}
}

// grid cuts the images into tiles and returns the number of all of them.
func (q *winograd) grid() int {
	q.tilesH, q.tilesW = ceil(q.outH, 4), ceil(q.outW, 4)
	return q.n * q.tilesH * q.tilesW
}

// runWhole maps all weights, and then computes items of tiles and panels, each from the image to
// the image. An odd number of cache lines between positions spreads them over the cache's sets.
func (q *winograd) runWhole(tiles int) {
	panels := ceil(q.o, micro.MaxCols)
	q.rowV = paddedRow(q.k)
	q.planeU = oddLines(q.k * panelWidth(q.o))
	q.panelGroup = ceil(panels, ceil(panels, winogradPanels))
	groups := ceil(panels, q.panelGroup)
	perTile := positions * (q.rowV + q.panelGroup*micro.MaxCols)
	q.block = max(winogradMinBlock, min(winogradMaxBlock, winogradFloats/perTile))
	if threads := q.p.Threads(); threads > 1 {
		q.block = min(q.block, max(micro.MaxRows, ceil(tiles*groups, itemsEach*threads)))
	}
	blocks := shared(ceil(tiles, q.block), groups, q.p.Threads())
	q.block = ceil(tiles, blocks)
	blocks = ceil(tiles, q.block)
	q.rowM = q.panelGroup * micro.MaxCols
	q.planeV, q.planeM = oddLines(q.block*q.rowV), oddLines(q.block*q.rowM)

	var filled bool
	q.u, filled = q.end.Kept.Get(q.p, mappedKey{q.v, q.k, q.o}, panels*positions*q.planeU)
	if !filled {
		q.transformWeights(panels)
	}
	q.p.Run(blocks*groups, func(i int) {
		t0, p0 := i%blocks*q.block, i/blocks*q.panelGroup
		q.item(t0, min(tiles, t0+q.block), p0, min(panels, p0+q.panelGroup))
	})
	q.end.Kept.Done(q.p, q.u)
}

// A mappedKey finds the mapped weights of a forward convolution.
type mappedKey struct {
	v    micro.Variant
	k, o int
}

// paddedRow is a row stride for k channels at which tiles do not compete for cache sets.
func paddedRow(k int) int {
	if k%256 == 0 {
		return k + 16
	}
	return ceil(k, 16) * 16
}

// oddLines rounds a number of floats up to an odd number of cache lines, which spreads vectors
// that far apart over all cache sets.
func oddLines(n int) int { return (ceil(n, 16) | 1) * 16 }

// panel returns the first output channel, the number of channels, and the width of a panel.
func (q *winograd) panel(i int) (o0, cols, width int) {
	o0 = i * micro.MaxCols
	cols = min(micro.MaxCols, q.o-o0)
	return o0, cols, panelWidth(cols)
}

// transformWeights packs each panel's nine taps and maps them to 36 positions.
func (q *winograd) transformWeights(panels int) {
	const rows = 16 // channels in a piece
	pieces := ceil(q.k, rows)
	g := q.p.Borrow(9 * q.k * panels * micro.MaxCols)
	q.packTaps(g, panels)
	q.p.Run(panels*pieces, func(i int) {
		o0, _, width := q.panel(i / pieces)
		k0 := i % pieces * rows
		q.mapPanel(q.u[i/pieces*positions*q.planeU:], g[9*o0*q.k:], width, k0, min(q.k, k0+rows))
	})
	q.p.Return(g)
}

// packTaps fills g [panel][tap][k][width].
func (q *winograd) packTaps(g []float32, panels int) {
	q.p.Run(panels*9, func(i int) {
		o0, cols, width := q.panel(i / 9)
		q.pack(g[(o0*9+i%9*width)*q.k:], width, o0, cols, i%9, 0, q.k)
	})
}

// mapPanel maps channels k0..k1-1 of one panel, g [tap][k][width], to u [position][k][width].
func (q *winograd) mapPanel(u, g []float32, width, k0, k1 int) {
	var tmp [mapTmp]float32
	m, plane := weightMap(), q.k*width
	for at := k0 * width; at < k1*width; at += 16 {
		m.apply(q.v, u[at:], 6*q.planeU, q.planeU, g[at:], 3*plane, plane, 16, tmp[:])
	}
}

// item computes tiles t0..t1-1, counted over all images, of panels p0..p1-1.
func (q *winograd) item(t0, t1, p0, p1 int) {
	scratch := q.p.Borrow(positions*(q.planeV+q.planeM) + mapTmp + positions*q.k)
	defer q.p.Return(scratch)
	v, rest := scratch[:positions*q.planeV], scratch[positions*q.planeV:]
	m, rest := rest[:positions*q.planeM], rest[positions*q.planeM:]
	tmp, patch := rest[:mapTmp], rest[mapTmp:]
	q.inputs(v, tmp, patch, t0, t1)
	next := q.ahead(t0, t1, p0, p1)
	q.multiply(q.u[p0*positions*q.planeU:], v, m, t1-t0, p0, p1, &next)
	q.outputs(m, tmp, t0, t1, p0, p1)
}

// ahead lists what an item will want of the memory, which has nothing to do while it multiplies:
// the input of the item behind it, and then the pixels that it will write, for whole rows of tiles.
func (q *winograd) ahead(t0, t1, p0, p1 int) micro.Lookahead {
	var a micro.Lookahead
	o0, o1 := p0*micro.MaxCols, min(q.o, p1*micro.MaxCols)
	r0, r1 := q.firstRow(t0, q.outH), q.firstRow(t1+q.tilesW-1, q.outH)
	a.Add(q.out[r0*q.outW*q.outPix+o0:], q.outPix, (r1-r0)*q.outW, o1-o0)
	r0, r1 = q.firstRow(t1, q.inH), q.firstRow(2*t1-t0, q.inH)
	if r1 = min(r1, q.n*q.inH); r0 < r1 {
		a.Add(q.in[r0*q.inW*q.k:], q.k, (r1-r0)*q.inW, q.k)
	}
	return a
}

// firstRow is the first row of pixels of the row of tiles that tile t is in, counted over all
// images, which have h rows.
func (q *winograd) firstRow(t, h int) int {
	n, ty, _ := tileAt(t, q.tilesH, q.tilesW)
	return n*h + min(h, 4*ty)
}

// inputs maps the patches of tiles t0..t1-1 to v [position][tile][k]; patch is scratch memory.
func (q *winograd) inputs(v, tmp, patch []float32, t0, t1 int) {
	f := patcher{v: q.v, lineMap: inputMap(), h: q.inH, w: q.inW, c: q.k, c1: q.k, x: q.in,
		patch: patch, tmp: tmp}
	for t := t0; t < t1; t++ {
		n, ty, tx := tileAt(t, q.tilesH, q.tilesW)
		f.prefetch(n, 4*(ty+1)-q.padTop+2, 4*tx-q.padLeft)
		f.mapTo(v[(t-t0)*q.rowV:], q.planeV, n, 4*ty-q.padTop, 4*tx-q.padLeft)
	}
}

// tileAt returns the image and the place in its grid of tiles of tile t.
func tileAt(t, tilesH, tilesW int) (n, ty, tx int) {
	per := tilesH * tilesW
	return t / per, t % per / tilesW, t % tilesW
}

// biasPosition is the position (1, 1): Aᵀ m A of a square with a single one there is one
// everywhere, so that a bias added to this product reaches all sixteen outputs.
const biasPosition = 6 + 1

// multiply forms the 36 products of tiles × channels times channels × outputs; u begins with panel
// p0. The sum over channels is cut into the blocks of the streamed form, so that an image's bits do
// not depend on which of the two computes the batch that it is in. What is in next is asked for.
func (q *winograd) multiply(u, v, m []float32, tiles, p0, p1 int, next *micro.Lookahead) {
	seg := [1]micro.Seg{}
	g := micro.Args{A: v, B: u, C: m, Segs: seg[:], StepA: 1, Alpha: 1}
	g.SetRows(q.rowV, q.rowM)
	parts := ceil(tiles, q.v.Rows())
	most, less := ceil(tiles, parts), parts*ceil(tiles, parts)-tiles // the last ones have one less
	for xi := range positions {
		for panel := p0; panel < p1; panel++ {
			o0, cols, width := q.panel(panel)
			g.StepB, g.Cols = width, cols
			g.Bias, g.Beta = nil, 0
			if q.end.Bias != nil && xi == biasPosition {
				g.Bias = q.end.Bias[o0:][:cols]
			}
			for k0 := 0; k0 < q.k; k0 += streamDepth {
				seg[0].K = min(streamDepth, q.k-k0)
				g.BOff = ((panel-p0)*positions+xi)*q.planeU + k0*width
				g.AOff, g.COff = xi*q.planeV+k0, xi*q.planeM+(panel-p0)*micro.MaxCols
				for i := range parts {
					g.Rows = most
					if i >= parts-less {
						g.Rows--
					}
					g.Ahead, g.AheadStep, g.AheadJump = next.Take(seg[0].K)
					micro.Mul(q.v, &g)
					g.AOff += g.Rows * q.rowV
					g.COff += g.Rows * q.rowM
				}
				g.Bias, g.Beta = nil, 1
			}
		}
	}
}

// outputs interpolates and writes the pixels that exist, with what the epilogue does to them.
func (q *winograd) outputs(m, tmp []float32, t0, t1, p0, p1 int) {
	out := outputMap()
	var square [16 * 16]float32
	pix, row := q.outPix, q.outW*q.outPix
	for t := t0; t < t1; t++ {
		n, ty, tx := tileAt(t, q.tilesH, q.tilesW)
		rows, cols := min(4, q.outH-4*ty), min(4, q.outW-4*tx)
		at := (n*q.outH+4*ty)*row + 4*tx*pix
		if ahead := at + 8*pix; p0 == 0 && ahead < len(q.out) { // two tiles on
			micro.Prefetch(q.v, q.out[ahead:], row, 4, 4*pix)
			if q.end.Res != nil {
				micro.Prefetch(q.v, q.end.Res[ahead:], row, 4, 4*pix)
			}
		}
		for c := p0 * micro.MaxCols; c < min(q.o, p1*micro.MaxCols); c += 16 {
			lanes := min(16, q.o-c)
			src := m[(t-t0)*q.rowM+c-p0*micro.MaxCols:]
			if rows == 4 && cols == 4 {
				out.applyThen(q.v, q.out, at+c, row, pix, src, 6*q.planeM, q.planeM, lanes, tmp, &q.end)
				continue
			}
			out.apply(q.v, square[:], 64, 16, src, 6*q.planeM, q.planeM, lanes, tmp)
			for i := range rows {
				for j := range cols {
					to := at + i*row + j*pix + c
					copy(q.out[to:][:lanes], square[i*64+j*16:])
					q.end.finish(q.out, to, lanes, 1, lanes)
				}
			}
		}
	}
}
