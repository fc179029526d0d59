package gemm

import "afterimage/tensor/cpu/gemm/micro"

// Block sizes, for a second-level cache of 1 MiB: a packed block of B of maxKC×maxNC floats takes
// 480 KiB, and the block of A that is used with it 252 KiB.
const (
	maxKC = 384
	maxNC = 320
	maxMC = 12 * micro.MaxRows
)

// itemsPerThread is how many tiles each thread should find, so that a thread which is held up
// leaves little for the others to wait for.
const itemsPerThread = 6

// smallFlops is the work below which a second thread does not pay: some microseconds.
const smallFlops = 1 << 19

// sharedLimit bounds the packed copies of A and of B, in floats (64 MiB each).
const sharedLimit = 16 << 20

// blocking is how one product is cut. Only kc affects the bits of the result, and it depends on k
// alone.
type blocking struct {
	kc       int
	mc, nc   int
	shared   bool // B is packed once, before the tiles, instead of by each tile
	sharedA  bool // and so is A
	packA    bool
	packB    bool
	aStride  int // row stride of a packed block of A
	mi, ni   int // numbers of tiles
	n0, n    int // the slab of columns
	packed   []float32
	packedA  []float32 // blocks of scratchA floats, those of a row of blocks one after the other
	scratchA int       // floats that a block of A takes, and of B when each tile packs its own
	scratchB int
}

// blockK cuts k into equal blocks of at most maxKC.
func blockK(k int) int {
	if k == 0 {
		return 1
	}
	blocks := ceil(k, maxKC)
	return min(k, roundUp(ceil(k, blocks), 8))
}

// run computes the product, slab by slab if B is very large.
func (j *job) run() {
	slab := j.n
	if j.k > 0 {
		slab = min(slab, max(maxNC, sharedLimit/j.k/maxNC*maxNC))
	}
	for n0 := 0; n0 < j.n; n0 += slab {
		j.runSlab(n0, min(slab, j.n-n0))
	}
}

func (j *job) runSlab(n0, n int) {
	t := j.plan(n0, n)
	if t.shared {
		var filled bool
		t.packed, filled = j.then.Kept.Get(j.p, panelsKey{j.v, n0, n, j.k},
			roundUp(n, micro.MaxCols)*j.k)
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
		// Neighbouring items share columns: they use the same panels of B.
		m0, c0 := i%t.mi*t.mc, i/t.mi*t.nc
		j.tile(&t, own, m0, min(t.mc, j.m-m0), c0, min(t.nc, t.n-c0))
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

// kBlocks is the number of blocks of k.
func (t *blocking) kBlocks(k int) int { return ceil(k, t.kc) }

// own is the number of floats that a tile packs for itself.
func (t *blocking) own() int {
	if t.sharedA {
		return t.scratchB
	}
	return t.scratchA + t.scratchB
}

// plan chooses the blocking of a slab.
func (j *job) plan(n0, n int) blocking {
	t := blocking{kc: blockK(j.k), n0: n0, n: n}
	threads := j.p.Threads()
	if 2*j.m*n*j.k < smallFlops {
		threads = 1
	}
	t.mc = roundUp(ceil(j.m, ceil(j.m, maxMC)), micro.MaxRows)
	t.nc = roundUp(ceil(n, ceil(n, maxNC)), micro.MaxCols)
	if threads > 1 {
		t.shrink(j.m, n, itemsPerThread*threads)
	}
	t.mi, t.ni = ceil(j.m, t.mc), ceil(n, t.nc)
	// A panel of B in place costs a cache line or two for each step of k, which one row tile or
	// two take no longer to load than a packed copy would take to make.
	t.packB = j.transB || j.m > 2*micro.MaxRows
	// Rows of A a multiple of 4 KiB apart share one set of the first-level cache, whose eight lines
	// are fewer than the rows of a tile; at 2 KiB two sets hold them, and a copy costs more.
	t.packA = j.transA && n > micro.MaxCols || !j.transA && j.lda*4%4096 == 0 && j.m > 8
	if j.v.Pairs() { // which packing makes
		t.packA, t.packB = true, true
	}
	t.shared = t.packB && (t.mi > 1 || j.then.Kept != nil)
	if t.packA {
		t.aStride = t.kc + 16
		if t.aStride*4%1024 == 0 {
			t.aStride += 16
		}
		t.scratchA = roundUp(t.mc, 16) * t.aStride
		if j.transA {
			t.scratchA = ceil(t.mc, micro.MaxRows) * packedRows * t.kc
		}
	}
	t.sharedA = t.packA && t.ni > j.alone() && t.mi*t.kBlocks(j.k)*t.scratchA <= sharedLimit
	if t.packB && !t.shared {
		t.scratchB = t.kc * t.nc
	}
	return t
}

// shrink makes tiles smaller until there are enough of them, keeping them near square and large
// enough to pay for their packing.
func (t *blocking) shrink(m, n, want int) {
	const minMC, minNC = 2 * micro.MaxRows, 2 * micro.MaxCols
	for ceil(m, t.mc)*ceil(n, t.nc) < want {
		switch {
		case t.nc > minNC && (t.nc >= t.mc || t.mc <= minMC):
			t.nc = roundUp(t.nc/2, micro.MaxCols)
		case t.mc > minMC:
			t.mc = roundUp(t.mc/2, micro.MaxRows)
		case t.nc > micro.MaxCols:
			t.nc = micro.MaxCols
		default:
			return
		}
	}
}

// A step is one block of k of one tile of C: rows m0..m0+mc-1, columns c0..c0+nc-1 of the slab, and
// what the kernel reads of B.
type step struct {
	m0, mc, c0, nc, k0, kc int
	b                      []float32
}

// tile computes an mc×nc block of C, over all of k.
func (j *job) tile(t *blocking, own []float32, m0, mc, c0, nc int) {
	g := micro.Args{C: j.c, RowC: j.ldc, GroupC: 4 * j.ldc, Alpha: j.alpha, Beta: j.beta}
	var seg [1]micro.Seg
	for k0 := 0; k0 < max(1, j.k); k0 += t.kc {
		s := step{m0: m0, mc: mc, c0: c0, nc: nc, k0: k0, kc: min(t.kc, j.k-k0)}
		if s.kc > 0 {
			seg[0].K = s.kc
			g.Segs = seg[:]
			j.operandA(t, &g, own, &s)
			s.b = j.operandB(t, own, &s)
			g.B = s.b
		}
		j.sweep(t, &g, &s)
		g.Beta = 1
	}
	if j.then.Block != nil {
		j.then.Block(m0, mc, t.n0+c0, nc)
	}
}

// operandA points the kernel at rows m0.. of A, in place, packed before or packed here.
func (j *job) operandA(t *blocking, g *micro.Args, own []float32, s *step) {
	switch {
	case t.sharedA:
		g.A = t.packedA[t.blockA(s.m0, s.k0, j.k):]
	case t.packA:
		j.packBlockA(t, own, s.m0, s.mc, s.k0, s.kc)
		g.A = own
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

// blockA is where the shared copy of the block of A at (m0, k0) begins.
func (t *blocking) blockA(m0, k0, k int) int {
	return (m0/t.mc*t.kBlocks(k) + k0/t.kc) * t.scratchA
}

// packedRows is the width of a packed panel of a transposed A: the rows of a tile, rounded up to a
// vector.
const packedRows = 16

// operandB returns columns c0.. of B, in place, packed before or packed here.
func (j *job) operandB(t *blocking, own []float32, s *step) []float32 {
	switch {
	case !t.packB:
		return j.b[s.k0*j.ldb+t.n0+s.c0:]
	case t.shared:
		return t.packed[s.c0*j.k:]
	}
	b := own[t.own()-t.scratchB:]
	for jr := 0; jr < s.nc; jr += micro.MaxCols {
		j.packPanel(b[jr*s.kc:], t.n0+s.c0+jr, min(micro.MaxCols, s.nc-jr), s.k0, s.kc)
	}
	return b
}

// sweep runs the two inner loops: panels of B, and tiles of rows for each.
func (j *job) sweep(t *blocking, g *micro.Args, s *step) {
	tiles := ceil(s.mc, j.tileRows(t))
	for jr := 0; jr < s.nc; jr += micro.MaxCols {
		next := j.ahead(t, s, jr)
		g.BOff, g.StepB, g.Cols = j.panelB(t, s, jr)
		if g.Bias = nil; j.then.Bias != nil && s.k0 == 0 {
			g.Bias = j.then.Bias[t.n0+s.c0+jr:][:g.Cols]
		}
		for ir := range tiles {
			r0, r1 := j.rowTile(t, s.mc, tiles, ir)
			g.Rows = r1 - r0
			g.AOff = r0 * g.RowA
			if t.packA && j.transA {
				g.AOff = r0 / micro.MaxRows * packedRows * t.kc
			}
			g.COff = (s.m0+r0)*j.ldc + t.n0 + s.c0 + jr
			g.Ahead, g.AheadStep = next.Take(s.kc)
			micro.Mul(j.v, g)
		}
	}
}

// panelB returns where the panel of columns jr.. of a step's B begins, its step and its columns.
func (j *job) panelB(t *blocking, s *step, jr int) (off, step, cols int) {
	cols = min(micro.MaxCols, s.nc-jr)
	if !t.packB {
		return jr, j.ldb, cols
	}
	step = panelWidth(cols)
	if t.shared { // panels have all of k
		return jr*j.k + s.k0*step, step, cols
	}
	return jr * s.kc, step, cols
}

// ahead lists what is needed after the panel at column jr: the next panel and, if A lies packed, a
// share of its next block.
func (j *job) ahead(t *blocking, s *step, jr int) (a micro.Lookahead) {
	if s.kc == 0 {
		return a
	}
	if t.sharedA && s.k0+t.kc < j.k {
		share := t.scratchA / ceil(s.nc, micro.MaxCols)
		a.Add(t.packedA[t.blockA(s.m0, s.k0+t.kc, j.k)+jr/micro.MaxCols*share:], share, 1, share)
	}
	if j.v.Pairs() && !t.sharedA {
		j.aheadOfPairs(&a, t, s, jr)
	}
	if jr+micro.MaxCols < s.nc {
		off, step, cols := j.panelB(t, s, jr+micro.MaxCols)
		a.Add(s.b[off:], step, s.kc, cols)
	}
	return a
}

// tileRows is the most rows of a tile: a packed panel's of a transposed A, else the variant's.
func (j *job) tileRows(t *blocking) int {
	if t.packA && j.transA {
		return micro.MaxRows
	}
	return j.v.Rows()
}

// rowTile divides mc rows evenly into tiles; packed panels of a transposed A have fixed places.
func (j *job) rowTile(t *blocking, mc, tiles, i int) (r0, r1 int) {
	if t.packA && j.transA {
		return i * micro.MaxRows, min(mc, (i+1)*micro.MaxRows)
	}
	return i * mc / tiles, (i + 1) * mc / tiles
}

// panelWidth is the row length of a packed panel with the given number of columns.
func panelWidth(cols int) int {
	if cols <= 16 {
		return 16
	}
	return 32
}

func ceil(a, b int) int { return (a + b - 1) / b }

func roundUp(a, b int) int { return ceil(a, b) * b }
