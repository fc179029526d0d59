package gemm

import "afterimage/tensor/cpu/gemm/micro"

// lastSteps is the length of the last segment of a tile's sum, where the kernel asks for C: about
// as long as memory takes to answer, and so near the store that C is still in the first-level cache
// by then. Asked for at the start, in the midst of all else that a new tile misses, it costs 1 to
// 2 %.
const lastSteps = 32

// shortSum is the length below which a segment more costs as much as it saves.
const shortSum = 8 * lastSteps

// farRows is how many rows ahead the tile that packs a panel of B asks for it where no tile before
// does: soon enough for memory, and so late that rows which meet in a few sets of the second-level
// cache are still there.
const farRows = 64

// ahead lists what is needed after the sum at hand: the next one's panel of B or, where the tile
// that packs it will ask for it, the place that it is packed to; if A was packed beforehand, a
// share of its next block.
func (j *job) ahead(t *blocking, s *step, jr int) (a micro.Lookahead) {
	if s.kc == 0 {
		return a
	}
	if t.sharedA && s.k0+t.kc < j.k {
		share := t.scratchA / ceil(s.nc, micro.MaxCols)
		a.Add(t.packedA[(s.blockA+s.k0/t.kc+1)*t.scratchA+jr/micro.MaxCols*share:], share, 1, share)
	}
	if j.v.Pairs() && !t.sharedA {
		j.aheadOfPairs(&a, t, s, jr)
	}
	k0 := s.k0 + s.kc
	if k0 == s.p0+s.kp {
		k0, jr = s.p0, jr+micro.MaxCols
	}
	if jr >= s.nc {
		return a
	}
	kc := min(t.kc, s.p0+s.kp-k0)
	cols := min(micro.MaxCols, s.nc-jr)
	width := panelWidth(cols)
	switch {
	case t.shared:
		a.Add(t.packed[(s.c0+jr)*j.k+k0*width:], width, kc, width)
	case t.passing && (!s.first || t.far > 0):
		a.Add(t.panel(s, jr, k0, width), width, kc, width)
	case !j.transB:
		a.Add(j.b[k0*j.ldb+t.n0+s.c0+jr:], j.ldb, kc, cols)
	}
	return a
}

// cut divides the sum into segments of each steps, the last of what is left.
func (s *step) cut(g *micro.Args, pieces, each int) {
	g.Segs = g.Segs[:min(pieces, s.kc)] // none if there is no sum
	for i := range g.Segs {
		g.Segs[i] = micro.Seg{A: i * each * g.StepA, B: i * each * g.StepB, K: each}
	}
	if n := len(g.Segs); n > 0 {
		g.Segs[n-1].K = s.kc - (n-1)*each
	}
}

// cutLast cuts off the last steps, of a sum for which that is worth it.
func (j *job) cutLast(g *micro.Args, s *step) {
	if s.kc < shortSum || !j.v.Prefetches() {
		s.cut(g, 1, s.kc)
		return
	}
	s.cut(g, 2, s.kc-lastSteps)
}

// meetsA reports whether the tiles of a block's first panel should ask for A: whether it is read
// where it lies, by kernels that can.
func (j *job) meetsA(t *blocking, g *micro.Args, s *step) bool {
	const vector = 16 // narrower tiles have no room for it
	return s.kc >= lastSteps && !t.sharedA && !j.v.Pairs() && j.v.Prefetches() && g.Cols > vector
}

// aheadRows makes a tile ask for rows r0..r1-1 of the block of A: if these are pieces of longer
// rows, in a segment for each.
func (j *job) aheadRows(g *micro.Args, s *step, r0, r1 int) {
	g.AheadJump = 0
	if j.transA {
		j.cutLast(g, s)
		g.Ahead, g.AheadStep = j.a[s.k0*j.lda+s.m0+r0:], j.lda
		return
	}
	g.Ahead, g.AheadStep = j.a[(s.m0+r0)*j.lda+s.k0:], micro.CacheLine
	each := s.kc / (r1 - r0)
	if s.kc == j.lda || each < micro.CacheLine {
		j.cutLast(g, s)
		return
	}
	s.cut(g, r1-r0, each)
	g.AheadJump = j.lda - each*micro.CacheLine
}

// unaskedB reports whether the first tile of a block should ask for the panel that it reads itself:
// one packed before that nobody has asked for, where other tiles suffice to ask for the next.
func (j *job) unaskedB(t *blocking, g *micro.Args, s *step) bool {
	const enough = 3 // tiles: two take a line in each step, and a row of a panel has two
	return t.shared && s.tiles >= enough && s.kc > farRows && j.v.Prefetches() &&
		g.Cols == micro.MaxCols
}

// aheadOwn makes a tile ask for its own panel, farRows ahead: a line of each row, since the
// processor brings the one beside it.
func (j *job) aheadOwn(g *micro.Args, s *step) {
	j.cutLast(g, s)
	g.Ahead, g.AheadStep, g.AheadJump = g.B[g.BOff+farRows*g.StepB:], g.StepB, 0
}
