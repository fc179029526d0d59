package gemm

import "afterimage/tensor/cpu/gemm/micro"

// run computes the product, slab by slab if B is very large.
func (j *job) run() {
	slab := j.n
	if j.k > 0 {
		slab = min(slab, max(slabUnit, sharedLimit/j.k/slabUnit*slabUnit))
	}
	for n0 := 0; n0 < j.n; n0 += slab {
		n := min(slab, j.n-n0)
		j.runSlab(j.plan(n0, n, j.sumsOfPanel()))
	}
}

// slabUnit is what the number of columns of a slab is a multiple of.
const slabUnit = 10 * micro.MaxCols

func (j *job) runSlab(t blocking) {
	if t.shared {
		var filled bool
		t.packed, filled = j.then.Kept.Get(j.p, panelsKey{j.v, t.n0, t.n, j.k},
			roundUp(t.n, micro.MaxCols)*j.k)
		if !filled {
			j.packShared(&t)
		}
	}
	if t.sharedA {
		t.packedA = j.p.Borrow(t.mi * t.kBlocks(j.k) * t.scratchA)
		j.packSharedA(&t)
	}
	j.p.Run(t.mi*t.ni, func(i int) {
		var own []float32
		if need := t.own(); need > 0 {
			own = j.p.Borrow(need)
			defer j.p.Return(own)
		}
		j.tile(&t, own, i)
	})
	if t.shared {
		j.then.Kept.Done(j.p, t.packed)
	}
	if t.sharedA {
		j.p.Return(t.packedA)
	}
}

// A panelsKey finds the packed panels of a slab of B.
type panelsKey struct {
	v        micro.Variant
	n0, n, k int
}

// A step is one block of A and the panels of B that it meets: rows m0..m0+mc-1 of C, columns
// c0..c0+nc-1 of the slab, and kp steps of k from p0 on; the sum at hand has kc of them from k0 on.
type step struct {
	m0, mc, c0, nc, p0, kp, k0, kc int

	own    []float32 // where the tile packs: A, then B
	blockA int       // number of the rows' first block in the shared copy of A
	tiles  int       // of rows, for the kernel
	first  bool      // of the tile's blocks with these k, the one that packs B
}

// tile computes tile i of C, over all of k.
func (j *job) tile(t *blocking, own []float32, i int) {
	m0, m1 := t.rows(i, j.m)
	c0, c1 := t.cols(i)
	g := micro.Args{C: j.c, RowC: j.ldc, GroupC: 4 * j.ldc, Alpha: j.alpha, Beta: j.beta,
		LateC: true}
	var segs [micro.MaxRows]micro.Seg
	g.Segs = segs[:0]
	s := step{c0: c0, nc: c1 - c0, own: own, blockA: i % t.mi * t.kBlocks(j.k)}
	for s.p0 = 0; s.p0 < max(1, j.k); s.p0 += t.kp {
		s.kp = min(t.kp, j.k-s.p0)
		for s.m0 = m0; s.m0 < m1; s.m0 += t.bm {
			s.mc, s.first = min(t.bm, m1-s.m0), s.m0 == m0
			s.tiles = ceil(s.mc, t.unit)
			if t.across {
				j.sweepAcross(t, &g, &s)
				continue
			}
			j.sweep(t, &g, &s)
		}
	}
	if j.then.Block != nil {
		j.then.Block(m0, m1-m0, t.n0+c0, c1-c0)
	}
}

// sweep runs the loops over panels of B and over the sums that each panel takes part in.
func (j *job) sweep(t *blocking, g *micro.Args, s *step) {
	for jr := 0; jr < s.nc; jr += micro.MaxCols {
		for k0 := s.p0; k0 < s.p0+max(1, s.kp); k0 += t.kc {
			s.k0, s.kc = k0, min(t.kc, s.p0+s.kp-k0)
			j.sweepRows(t, g, s, jr)
		}
	}
}

// sweepRows runs the inner loop: tiles of rows for one sum and the panel of columns jr...
func (j *job) sweepRows(t *blocking, g *micro.Args, s *step, jr int) {
	j.operandA(t, g, s, jr)
	next := j.ahead(t, s, jr)
	panel := j.operandB(t, g, s, jr)
	g.Beta, g.Bias = 1, nil
	if s.k0 == 0 {
		g.Beta = j.beta
		if j.then.Bias != nil {
			g.Bias = j.then.Bias[t.n0+s.c0+jr:][:g.Cols]
		}
	}
	packA := jr == 0 && t.packA && !t.sharedA && s.kc > 0 && !j.v.Pairs()
	meets := jr == 0 && j.meetsA(t, g, s)
	unasked := jr == 0 && j.unaskedB(t, g, s)
	cut := false // as most tiles' sums are
	for ir, r1 := 0, 0; ir < s.tiles; ir++ {
		r0 := r1
		r1 = j.rowsUpTo(t, s, ir)
		if packA {
			j.packRowsA(t, s.own, s.m0, r0, r1, s.k0, s.kc)
		}
		g.Rows, g.AOff = r1-r0, r0*g.RowA
		if t.packA && j.transA {
			g.AOff = r0 / micro.MaxRows * packedRows * t.kc
		}
		g.COff = (s.m0+r0)*j.ldc + t.n0 + s.c0 + jr
		switch {
		case panel != nil:
			s.cut(g, 1, s.kc)
			micro.MulCopy(j.v, g, panel, t.far)
			g.B, g.BOff, g.StepB, panel = panel, 0, panelWidth(g.Cols), nil
			continue
		case unasked && ir == 0:
			j.aheadOwn(g, s)
		case meets && ir+1 < s.tiles:
			j.aheadRows(g, s, r1, j.rowsUpTo(t, s, ir+1))
		default:
			if !cut {
				j.cutLast(g, s)
				cut = true
			}
			g.Ahead, g.AheadStep, g.AheadJump = next.Take(s.kc)
		}
		micro.Mul(j.v, g)
	}
}

// sweepAcross runs the two inner loops the other way round, for the only block of a short sum:
// tiles of rows, and for each the panels of B, which were packed before. Everything is near or read
// in order.
func (j *job) sweepAcross(t *blocking, g *micro.Args, s *step) {
	s.k0, s.kc = 0, s.kp
	j.operandA(t, g, s, 0)
	s.cut(g, 1, s.kc)
	for ir, r1 := 0, 0; ir < s.tiles; ir++ {
		r0 := r1
		r1 = j.rowsUpTo(t, s, ir)
		g.Rows, g.AOff = r1-r0, r0*g.RowA
		for jr := 0; jr < s.nc; jr += micro.MaxCols {
			j.operandB(t, g, s, jr)
			if j.then.Bias != nil {
				g.Bias = j.then.Bias[t.n0+s.c0+jr:][:g.Cols]
			}
			g.COff = (s.m0+r0)*j.ldc + t.n0 + s.c0 + jr
			micro.Mul(j.v, g)
		}
	}
}

// operandA points the kernel at the block of A: in place, packed before or, with the first panel of
// B, packed now. That is sweepRows' to do, row by row as it is needed, but rounding is a longer
// loop, and faster over the whole block at once.
func (j *job) operandA(t *blocking, g *micro.Args, s *step, jr int) {
	if s.kc == 0 {
		return
	}
	switch {
	case t.sharedA:
		g.A = t.packedA[(s.blockA+s.k0/t.kc)*t.scratchA:]
	case t.packA:
		if g.A = s.own; j.v.Pairs() && jr == 0 {
			j.packRowsA(t, s.own, s.m0, 0, s.mc, s.k0, s.kc)
		}
	case j.transA:
		g.A, g.RowA, g.StepA = j.a[s.k0*j.lda+s.m0:], 1, j.lda
	default:
		g.A, g.RowA, g.StepA = j.a[s.m0*j.lda+s.k0:], j.lda, 1
	}
	if t.packA {
		g.RowA, g.StepA = t.aStride, 1
		if j.transA {
			g.RowA, g.StepA = 1, packedRows
		}
	}
	g.GroupA = 4 * g.RowA
}

// operandB points the kernel at the panel of columns jr.. of the slab: packed before or by an
// earlier block of the tile, packed here, or in place; in that case it may return where the first
// tile of rows has to pack it.
func (j *job) operandB(t *blocking, g *micro.Args, s *step, jr int) (panel []float32) {
	g.Cols = min(micro.MaxCols, s.nc-jr)
	if s.kc == 0 {
		return nil
	}
	width, n0 := panelWidth(g.Cols), t.n0+s.c0+jr
	switch {
	case t.shared: // panels have all of k
		g.B, g.BOff, g.StepB = t.packed, (s.c0+jr)*j.k+s.k0*width, width
	case t.passing && !s.first:
		g.B, g.BOff, g.StepB = t.panel(s, jr, s.k0, width), 0, width
	case t.packB && !t.passing:
		g.B, g.BOff, g.StepB = t.panel(s, 0, s.k0, width), 0, width
		j.packPanel(g.B, n0, g.Cols, s.k0, s.kc)
	default:
		g.B, g.BOff, g.StepB = j.b, s.k0*j.ldb+n0, j.ldb
		if t.passing {
			return t.panel(s, jr, s.k0, width)
		}
	}
	return nil
}

// panel is where a tile packs the panel of its columns jr.., width of them, from row k0 of B on.
func (t *blocking) panel(s *step, jr, k0, width int) []float32 {
	return s.own[t.own()-t.scratchB+jr*s.kp+(k0-s.p0)*width:]
}

// rowsUpTo returns the end of the rows of tile i of a block, which are divided evenly; packed
// panels of a transposed A have fixed places.
func (j *job) rowsUpTo(t *blocking, s *step, i int) int {
	if t.packA && j.transA {
		return min(s.mc, (i+1)*micro.MaxRows)
	}
	return (i + 1) * s.mc / s.tiles
}
