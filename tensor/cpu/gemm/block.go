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

// sharedLimit bounds the packed copy of B, in floats (64 MiB).
const sharedLimit = 16 << 20

// blocking is how one product is cut. Only kc affects the bits of the result, and it depends on k
// alone.
type blocking struct {
	kc       int
	mc, nc   int
	shared   bool // B is packed once, before the tiles, instead of by each tile
	packA    bool
	packB    bool
	aStride  int // row stride of a packed block of A
	mi, ni   int // numbers of tiles
	n0, n    int // the slab of columns
	packed   []float32
	scratchA int // floats a worker needs
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
		t.packed = j.p.Borrow(roundUp(n, micro.MaxCols) * j.k)
		j.packShared(&t)
	}
	j.p.Run(t.mi*t.ni, func(i int) {
		var own []float32
		if need := t.scratchA + t.scratchB; need > 0 {
			own = j.p.Borrow(need)
			defer j.p.Return(own)
		}
		// Neighbouring items share columns: they use the same panels of B.
		m0, c0 := i%t.mi*t.mc, i/t.mi*t.nc
		j.tile(&t, own, m0, min(t.mc, j.m-m0), c0, min(t.nc, t.n-c0))
	})
	if t.shared {
		j.p.Return(t.packed)
	}
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
	t.shared = t.packB && t.mi > 1
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

// tile computes an mc×nc block of C, over all of k.
func (j *job) tile(t *blocking, own []float32, m0, mc, c0, nc int) {
	g := micro.Args{C: j.c, RowC: j.ldc, GroupC: 4 * j.ldc, Alpha: j.alpha, Beta: j.beta}
	var seg [1]micro.Seg
	for k0 := 0; k0 < max(1, j.k); k0 += t.kc {
		kc := min(t.kc, j.k-k0)
		if kc > 0 {
			seg[0].K = kc
			g.Segs = seg[:]
			j.operandA(t, &g, own, m0, mc, k0, kc)
			j.operandB(t, &g, own, c0, nc, k0, kc)
		}
		j.sweep(t, &g, m0, mc, c0, nc, k0, kc)
		g.Beta = 1
	}
	if j.then.Block != nil {
		j.then.Block(m0, mc, t.n0+c0, nc)
	}
}

// operandA points the kernel at rows m0.. of A, in place or packed.
func (j *job) operandA(t *blocking, g *micro.Args, own []float32, m0, mc, k0, kc int) {
	switch {
	case t.packA && j.transA:
		for r := 0; r*micro.MaxRows < mc; r++ {
			cols := min(micro.MaxRows, mc-r*micro.MaxRows)
			micro.Pack(j.v, own[r*packedRows*t.kc:], packedRows,
				j.a[k0*j.lda+m0+r*micro.MaxRows:], j.lda, kc, cols)
		}
		g.A, g.RowA, g.StepA = own, 1, packedRows
	case t.packA:
		for r := range mc {
			copy(own[r*t.aStride:][:kc], j.a[(m0+r)*j.lda+k0:])
		}
		g.A, g.RowA, g.StepA = own, t.aStride, 1
	case j.transA:
		g.A, g.RowA, g.StepA = j.a[k0*j.lda+m0:], 1, j.lda
	default:
		g.A, g.RowA, g.StepA = j.a[m0*j.lda+k0:], j.lda, 1
	}
	g.GroupA = 4 * g.RowA
}

// packedRows is the width of a packed panel of a transposed A: the rows of a tile, rounded up to a
// vector.
const packedRows = 16

// operandB points the kernel at columns c0.. of B, in place, packed before or packed here.
func (j *job) operandB(t *blocking, g *micro.Args, own []float32, c0, nc, k0, kc int) {
	switch {
	case !t.packB:
		g.B = j.b[k0*j.ldb+t.n0+c0:]
	case t.shared:
		g.B = t.packed[c0*j.k:]
	default:
		g.B = own[t.scratchA:]
		for jr := 0; jr < nc; jr += micro.MaxCols {
			j.packPanel(g.B[jr*kc:], t.n0+c0+jr, min(micro.MaxCols, nc-jr), k0, kc)
		}
	}
}

// sweep runs the two inner loops: panels of B, and tiles of rows for each.
func (j *job) sweep(t *blocking, g *micro.Args, m0, mc, c0, nc, k0, kc int) {
	rows, first := kc, 0 // of a packed panel: how many, and where this block begins
	if t.shared {
		rows, first = j.k, k0
	}
	tiles := ceil(mc, j.tileRows(t))
	for jr := 0; jr < nc; jr += micro.MaxCols {
		g.Cols = min(micro.MaxCols, nc-jr)
		if g.Bias = nil; j.then.Bias != nil && k0 == 0 {
			g.Bias = j.then.Bias[t.n0+c0+jr:][:g.Cols]
		}
		g.StepB, g.BOff = j.ldb, jr
		if t.packB {
			g.StepB = panelWidth(g.Cols)
			g.BOff = jr*rows + first*g.StepB
		}
		for ir := range tiles {
			r0, r1 := j.rowTile(t, mc, tiles, ir)
			g.Rows = r1 - r0
			g.AOff = r0 * g.RowA
			if t.packA && j.transA {
				g.AOff = r0 / micro.MaxRows * packedRows * t.kc
			}
			g.COff = (m0+r0)*j.ldc + t.n0 + c0 + jr
			micro.Mul(j.v, g)
		}
	}
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
