package conv

import "afterimage/tensor/cpu/gemm/micro"

// Few tiles and many channels, one image to be painted for example, turn the costs of Winograd's
// algorithm round: the mapped weights are 36 numbers for each pair of channels where there were
// nine, 38 MB for 512 channels on both sides, go out to memory, and come back for a handful of
// products each. Here they are never whole. An item maps the weights of one panel for some channels
// of the sum, uses them while they lie in the second-level cache, for all its tiles, and goes on to
// the next channels, so that they stream by:
//
//	for each block of channels: U = G g Gᵀ;  M += U ⊙ V
//
// The mapped inputs V, which every panel reads, are made first, for all tiles. What is kept for the
// next call is the packed filter, the same as the direct form's. The sum over channels is cut into
// blocks of streamDepth, each added to the ones before, and so it is in the form with whole
// weights: the bits are the same.

const (
	streamDepth = 128               // channels of a block
	streamItem  = 5 * micro.MaxRows // tiles of an item, at most: M stays in the cache too

	// Where this form is the faster one, by measurement (BenchmarkWinograd): from streamChannels on
	// both sides, for one tile in streamPairs pairs of channels, at most streamTiles, or
	// streamTilesLarge from streamLarge pairs on.
	streamChannels   = 32
	streamPairs      = 32
	streamTiles      = 256
	streamLarge      = 2 * 256 * 256
	streamTilesLarge = 640
	// Mapped weights that are kept need no mapping any more: of fewer pairs, which stay in a cache,
	// there they are kept whole.
	streamKept = 128 * 128
)

// streams reports whether this form computes a call with so many tiles.
func (q *winograd) streams(tiles int) bool {
	pairs := q.k * q.o
	switch {
	case min(q.k, q.o) < streamChannels:
		return false
	case q.end.Kept != nil && pairs < streamKept:
		return false
	case pairs < streamLarge:
		return tiles <= min(streamTiles, pairs/streamPairs)
	}
	return tiles <= streamTilesLarge
}

// winogradStreamed is one call of it.
type winogradStreamed struct {
	*winograd
	blocks         int
	v              []float32 // mapped inputs [block of channels][position][tile][streamDepth]
	planeV, blockV int       // between positions and blocks of it
	planeU         int       // between positions of a panel's mapped weights
	most           int       // tiles of an item
	kept           []float32 // packed filters [panel][tap][k][width], if they are kept
}

// runStreamed computes everything for the given number of tiles. Where the panels do not share
// evenly among the threads the tiles are cut too, although each piece maps the weights again.
func (q *winograd) runStreamed(tiles int) {
	panels := ceil(q.o, micro.MaxCols)
	items, threads := ceil(tiles, streamItem), q.p.Threads()
	for items*panels%threads != 0 && items*panels < itemsEach*threads &&
		items < ceil(tiles, micro.MaxRows) {
		items++
	}
	w := winogradStreamed{winograd: q, blocks: ceil(q.k, streamDepth), most: ceil(tiles, items),
		planeV: oddLines(tiles * streamDepth), planeU: oddLines(streamDepth * micro.MaxCols)}
	w.blockV = positions * w.planeV
	q.planeM, q.rowM = oddLines(w.most*micro.MaxCols), micro.MaxCols
	if q.end.Kept != nil {
		w.kept = q.keptTaps(panels)
	}
	w.v = q.p.Borrow(w.blocks * w.blockV)
	q.p.Run(tiles, func(t int) { w.mapInput(t) })
	q.p.Run(panels*items, func(i int) {
		t0 := i % items * w.most
		w.item(t0, min(tiles, t0+w.most), i/items)
	})
	q.p.Return(w.v)
}

// keptTaps are the packed filters, as the direct form keeps them.
func (q *winograd) keptTaps(panels int) []float32 {
	columns := (panels-1)*micro.MaxCols + panelWidth(q.o-(panels-1)*micro.MaxCols)
	g, filled := q.end.Kept.Get(q.p, panelsKey{q.v, 9, q.k, q.o}, 9*q.k*columns)
	if !filled {
		q.packTaps(g, panels)
	}
	return g
}

// mapInput maps all channels of a tile.
func (w *winogradStreamed) mapInput(t int) {
	scratch := w.p.Borrow(mapTmp + positions*w.k)
	tmp, patch := scratch[:mapTmp], scratch[mapTmp:]
	f := patcher{v: w.winograd.v, lineMap: inputMap(), h: w.inH, w: w.inW, c: w.k, x: w.in,
		patch: patch, tmp: tmp}
	n, ty, tx := tileAt(t, w.tilesH, w.tilesW)
	for b := range w.blocks {
		f.c0, f.c1 = b*streamDepth, min(w.k, (b+1)*streamDepth)
		f.mapTo(w.v[b*w.blockV+t*streamDepth:], w.planeV, n, 4*ty-w.padTop, 4*tx-w.padLeft)
	}
	w.p.Return(scratch)
}

// item computes tiles t0..t1-1 of a panel.
func (w *winogradStreamed) item(t0, t1, panel int) {
	scratch := w.p.Borrow(9*oddLines(streamDepth*micro.MaxCols) + positions*(w.planeU+w.planeM) +
		mapTmp)
	tmp, rest := scratch[:mapTmp], scratch[mapTmp:]
	u, rest := rest[:positions*w.planeU], rest[positions*w.planeU:]
	m, taps := rest[:positions*w.planeM], rest[positions*w.planeM:]
	for b := range w.blocks {
		k0, k1 := b*streamDepth, min(w.k, (b+1)*streamDepth)
		w.mapWeights(u, taps, tmp, panel, k0, k1)
		w.multiply(u, m, t0, t1, panel, b, k1-k0)
	}
	w.outputs(m, tmp, t0, t1, panel, panel+1)
	w.p.Return(scratch)
}

// mapWeights maps channels k0..k1-1 of a panel to u [position][k][width]; taps is where they are
// packed if no packed form is kept.
func (w *winogradStreamed) mapWeights(u, taps, tmp []float32, panel, k0, k1 int) {
	o0, cols, width := w.panel(panel)
	plane := oddLines(streamDepth * micro.MaxCols)
	if w.kept != nil {
		plane = w.k * width
		taps = w.kept[9*o0*w.k+k0*width:]
	} else {
		for tap := range 9 {
			w.pack(taps[tap*plane:], width, o0, cols, tap, k0, k1)
		}
	}
	m := weightMap()
	for at := 0; at < (k1-k0)*width; at += 16 {
		m.apply(w.winograd.v, u[at:], 6*w.planeU, w.planeU, taps[at:], 3*plane, plane, 16, tmp)
	}
}

// multiply adds the products of one block of channels.
func (w *winogradStreamed) multiply(u, m []float32, t0, t1, panel, block, k int) {
	o0, cols, width := w.panel(panel)
	seg := [1]micro.Seg{{K: k}}
	g := micro.Args{A: w.v, B: u, C: m, Segs: seg[:], StepA: 1, StepB: width, Cols: cols, Alpha: 1}
	if block > 0 {
		g.Beta = 1
	}
	g.SetRows(streamDepth, micro.MaxCols)
	tiles := t1 - t0
	parts := ceil(tiles, w.winograd.v.Rows())
	for xi := range positions {
		g.Bias = nil
		if w.end.Bias != nil && xi == biasPosition && block == 0 {
			g.Bias = w.end.Bias[o0:][:cols]
		}
		in := block*w.blockV + xi*w.planeV + t0*streamDepth
		var next micro.Lookahead
		if xi+1 < positions {
			next.Add(w.v[in+w.planeV:], streamDepth, tiles, streamDepth)
		}
		g.BOff = xi * w.planeU
		for i := range parts {
			r0, r1 := i*tiles/parts, (i+1)*tiles/parts
			g.Rows, g.AOff, g.COff = r1-r0, in+r0*streamDepth, xi*w.planeM+r0*micro.MaxCols
			g.Ahead, g.AheadStep, g.AheadJump = next.Take(k)
			micro.Mul(w.winograd.v, &g)
		}
	}
}
