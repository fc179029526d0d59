package conv

import "afterimage/tensor/cpu/gemm/micro"

// Mapped weights are four times as long as the filter: 9.4 MB for 256 channels on both sides, 38 MB
// for 512. A batch with many tiles reads them over and over from where they are, and their mapping
// is nothing beside the products. With few tiles, one image to be painted for example, writing and
// reading them is most of the time, and weights that are kept in this form leave no room in the
// last-level cache for anything else.
//
// This form never stores them. It maps the tiles first, then takes panel by panel of 32 output
// channels: maps its weights, 36·k·32 numbers that stay near the core, multiplies all tiles by them
// and interpolates. What is kept for the next call is the packed filter. Every number goes through
// the same operations in the same order as in fused items, so the bits are the same.

// Limits of the form, by measurement with 64 to 512 channels on both sides, on 2 cores of 1 MiB
// second-level and 32 MiB last-level cache: from panelPairs pairs of channels on for up to
// panelTiles tiles, and from widePairs on for any number, panelTiles at a time.
const (
	panelPairs = 128 * 128
	widePairs  = 512 * 512
	panelTiles = 128
)

// panelsFirst reports whether the call takes the form by panels, which has work for two threads to
// each panel at least. It decides about time alone, so it may ask for the number of threads.
func (q *winograd) panelsFirst(tiles, panels int) bool {
	if panels < 2*q.p.Threads() {
		return false
	}
	pairs := q.k * q.o
	return pairs >= widePairs || pairs >= panelPairs && tiles <= panelTiles
}

// byPanels is the form.
func (q *winograd) byPanels(tiles, panels int) {
	blocks := ceil(tiles, panelTiles)
	q.block = ceil(tiles, blocks)
	q.rowM = micro.MaxCols
	q.planeV, q.planeM = oddLines(q.block*q.rowV), oddLines(q.block*q.rowM)

	// The same packed filter as the direct form's.
	size := 9 * q.k * ((panels-1)*micro.MaxCols + panelWidth(q.o-(panels-1)*micro.MaxCols))
	g, filled := q.end.Kept.Get(q.p, panelsKey{q.v, 9, q.k, q.o}, size)
	if !filled {
		q.packTaps(g, panels)
	}
	each := max(positions*(q.planeU+q.planeM), positions*q.k) + mapTmp // of one thread
	v, scratch := q.p.Borrow(positions*q.planeV), q.p.Borrow(q.p.Threads()*each)
	for t0 := 0; t0 < tiles; t0 += q.block {
		t1 := min(tiles, t0+q.block)
		few := max(1, (t1-t0)/(itemsEach*q.p.Threads()))
		q.p.RunWorker(ceil(t1-t0, few), func(worker, i int) {
			own := scratch[worker*each:][:each]
			q.inputs(v[i*few*q.rowV:], own[:mapTmp], own[mapTmp:], t0+i*few, min(t1, t0+(i+1)*few))
		})
		q.p.RunWorker(panels, func(worker, i int) {
			own := scratch[worker*each:][:each]
			tmp, u, m := own[:mapTmp], own[mapTmp:], own[mapTmp+positions*q.planeU:]
			o0, _, width := q.panel(i)
			q.mapPanel(u, g[9*o0*q.k:], width, 0, q.k)
			q.multiply(u, v, m, t1-t0, i, i+1)
			q.outputs(m, tmp, t0, t1, i, i+1)
		})
	}
	q.p.Return(scratch)
	q.p.Return(v)
	q.end.Kept.Done(q.p, g)
}
