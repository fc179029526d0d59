package gemm

import "afterimage/tensor/cpu/gemm/micro"

// maxKC bounds the steps of k in one sum. The first-level cache does not hold 14 rows of A and 32
// columns of B over so many steps, but they are read in order, and the longer a tile's sum, the
// smaller a share of it is the store and what a new tile misses.
const maxKC = 1024

// deepRows is the number of rows of C from which on panels of B have two sums' steps, for C to come
// from far once instead of twice. A block of A has half the rows then, so that panels of B come
// from the third-level cache twice as often, which with fewer rows costs more.
const deepRows = 512

// blockFloats is the size of a block of A, half of a second-level cache of 1 MiB: beside it lie the
// panel of B in use and the next.
const blockFloats = 128 << 10

// Limits of a tile of C and how many tiles each thread should find, so that a thread which is held
// up leaves little for the others to wait for.
//
// A tile that packs B in passing should be large: it does so once for all its rows, and takes A
// from far once for all its columns. It may therefore be one of few. A tile whose B was packed
// before it wants to be in the cache when the epilogue looks at it, and to have several panels:
// each is asked for while the one before is in use, and the first by nobody.
const (
	maxRows       = 2048
	maxCols       = 1024
	tilesOfThread = 2

	maxRowsPacked       = 12 * micro.MaxRows
	maxColsPacked       = 320
	tilesOfThreadPacked = 6

	minRows, minCols = 2 * micro.MaxRows, 2 * micro.MaxCols
	panelsOfTile     = 8
)

// Limits of a product whose sums are so short that it writes more than it reads, and whose B fits
// the first-level cache as a whole. There a tile of rows meets all panels of B in turn, instead of
// a panel all tiles of rows, so that C leaves for memory from end to end: written in columns of 128
// bytes, 33 MB of rows of 1 KiB took 1.5 times as long.
const (
	acrossK      = 32
	acrossFloats = 8 << 10 // of B
)

// pageFloats is 4 KiB: lines so far apart share a set of the first-level cache.
const pageFloats = 1 << 10

// farFloats is 3 MiB: a larger matrix is taken to come from memory, not from a third-level cache
// that others use as well.
const farFloats = 768 << 10

// wayFloats is 64 KiB: lines so far apart share a set of a second-level cache of 1 MiB, which has
// room for wayLines of them. A panel of B in place that needs more, asked for in the tile before,
// has left again when it is used, and has driven out what is in use.
const (
	wayFloats = 16 << 10
	wayLines  = 16
)

// smallFlops is the work below which a second thread does not pay: some microseconds.
const smallFlops = 1 << 19

// sharedLimit bounds the packed copies of A and of B, in floats (64 MiB each).
const sharedLimit = 16 << 20

// blocking is how one product is cut. Only kc affects the bits of the result, and it depends on k
// alone.
type blocking struct {
	kc       int // steps of k in one sum
	kp       int // and in one panel of B: those of one or more sums
	mi, ni   int // numbers of tiles along the rows of C and the columns of the slab
	unit     int // rows of a kernel's tile
	bm       int // rows of a block of A, a multiple of that: a tile has one or more
	packB    bool
	passing  bool // B is packed by the first block of each tile as it reads it
	far      int  // rows ahead that this asks for B, if the tile before does not; else 0
	shared   bool // B is packed once, before the tiles
	across   bool // all panels for a tile of rows before the next
	packA    bool
	sharedA  bool // and A
	aStride  int  // row stride of a packed block of A
	n0, n    int  // the slab of columns
	packed   []float32
	packedA  []float32 // blocks of scratchA floats, those of a row of blocks one after the other
	scratchA int       // floats that a block of A takes, and
	scratchB int       // those of B that a tile packs
}

// blockK cuts k into equal blocks of at most maxKC.
func blockK(k int) int {
	if k == 0 {
		return 1
	}
	blocks := ceil(k, maxKC)
	return min(k, roundUp(ceil(k, blocks), 8))
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

// rows returns the rows of C that tile i has: neighbours share columns, which use the same panels
// of B.
func (t *blocking) rows(i, m int) (from, to int) {
	i %= t.mi
	units := ceil(m, t.unit)
	return i * units / t.mi * t.unit, min(m, (i+1)*units/t.mi*t.unit)
}

// cols returns the columns of the slab that tile i has: whole panels.
func (t *blocking) cols(i int) (from, to int) {
	i /= t.mi
	panels := ceil(t.n, micro.MaxCols)
	return i * panels / t.ni * micro.MaxCols, min(t.n, (i+1)*panels/t.ni*micro.MaxCols)
}

// sumsOfPanel is the number of sums that a panel of B packed in passing has the steps for. The bits
// of C do not depend on it, so it may look at the rows.
func (j *job) sumsOfPanel() int {
	if j.m >= deepRows {
		return 2
	}
	return 1
}

// plan chooses the blocking of a slab.
func (j *job) plan(n0, n, sums int) blocking {
	t := blocking{kc: blockK(j.k), n0: n0, n: n}
	// A panel of B in place costs a cache line or two for each step of k, which one row tile or
	// two take no longer to load than a packed copy would take to make.
	t.packB = j.transB || j.m > 2*micro.MaxRows || j.v.Pairs()
	t.passing = t.packB && !j.transB && !j.v.Pairs() && j.then.Kept == nil
	// Rows of A in one set of the first-level cache are as many as fit, or they are copied; in two
	// sets, half a page apart, they fit, and a copy costs more. bfloat16 is made by packing.
	oneSet := !j.transA && j.lda%pageFloats == 0 && j.m > 8
	t.packA = j.transA && n > micro.MaxCols || oneSet && j.v.RowsInSet() == 0 || j.v.Pairs()
	t.kp = t.kc
	if t.passing && !t.packA {
		t.kp = min(j.k, sums*t.kc)
	}
	crowded := t.kc*(j.ldb&-j.ldb) > wayFloats*wayLines
	if t.passing && crowded && j.k*j.n > farFloats && j.v.Prefetches() {
		t.far = farRows
	}
	j.share(&t)
	t.shared = t.packB && !t.passing && (t.mi > 1 || j.then.Kept != nil)
	t.across = t.shared && !t.packA && 0 < j.k && j.k <= acrossK && n*j.k <= acrossFloats
	switch t.unit = j.v.Rows(); {
	case t.packA && j.transA:
		t.unit = micro.MaxRows // a packed panel's
	case oneSet && !t.packA:
		t.unit = j.v.RowsInSet()
	}
	rows := ceil(ceil(j.m, t.unit), t.mi)
	if t.passing {
		rows = ceil(rows, ceil(rows, max(2, blockFloats/t.kp/t.unit)))
	}
	t.bm = rows * t.unit
	if t.packA {
		t.aStride = t.kc + 16
		if t.aStride*4%1024 == 0 {
			t.aStride += 16
		}
		t.scratchA = roundUp(t.bm, 16) * t.aStride
		if j.transA {
			t.scratchA = ceil(t.bm, micro.MaxRows) * packedRows * t.kc
		}
	}
	t.sharedA = t.packA && !t.passing && t.ni > j.alone() &&
		t.mi*t.kBlocks(j.k)*t.scratchA <= sharedLimit
	switch {
	case t.passing:
		t.scratchB = t.kp * micro.MaxCols * ceil(ceil(n, micro.MaxCols), t.ni)
	case t.packB && !t.shared:
		t.scratchB = t.kc * micro.MaxCols
	}
	return t
}

// share cuts C into tiles: small enough ones and, if there are several threads, enough of them, of
// a good shape and large enough to pay for their packing.
func (j *job) share(t *blocking) {
	rows, cols := maxRowsPacked, maxColsPacked
	if t.passing {
		rows, cols = maxRows, maxCols
	}
	t.mi, t.ni = ceil(j.m, rows), ceil(t.n, cols)
	threads := j.p.Threads()
	switch {
	case threads == 1 || 2*j.m*t.n*j.k < smallFlops:
	case t.passing:
		j.sharePassing(t, threads)
	default:
		j.sharePacked(t, threads)
	}
}

// sharePassing cuts until there are tiles enough, first into the same work for each thread.
func (j *job) sharePassing(t *blocking, threads int) {
	if t.mi*t.ni%threads != 0 {
		if t.wide(j.m, t.n) && t.n >= threads*minCols {
			t.ni = roundUp(t.ni, threads)
		} else if j.m >= threads*minRows {
			t.mi = roundUp(t.mi, threads)
		}
	}
	for t.mi*t.ni < tilesOfThread*threads {
		rows, cols := ceil(j.m, t.mi), ceil(t.n, t.ni)
		switch {
		case cols > minCols && (t.wide(rows, cols) || rows <= minRows):
			t.ni *= 2
		case rows > minRows:
			t.mi *= 2
		case cols > micro.MaxCols:
			t.ni = ceil(t.n, micro.MaxCols)
		default:
			return
		}
	}
}

// sharePacked cuts one way. Threads that share columns read all of A and a part of B each, which
// pays where B is the larger; threads that share rows read a part of A, mostly one that they wrote
// themselves, and all of B. Few panels that threads cannot share evenly are halved.
func (j *job) sharePacked(t *blocking, threads int) {
	tiles, panels := tilesOfThreadPacked*threads, ceil(t.n, micro.MaxCols)
	tall := j.m >= threads*micro.MaxRows
	switch {
	case !t.wide(j.m, t.n) || panels < threads:
		if tall {
			t.mi = roundUp(max(t.mi, min(ceil(tiles, t.ni), ceil(j.m, minRows))), threads)
		}
	case panels%threads != 0 && panels < panelsOfTile && tall:
		t.mi, t.ni = max(t.mi, threads), panels
	default:
		t.ni = max(t.ni, min(ceil(tiles, t.mi), panels/panelsOfTile))
		t.ni = min(panels, roundUp(t.ni, threads))
	}
}

// wide reports whether a tile should rather have fewer columns than fewer rows. The first panel of
// B waits for A, which is the more of the work the fewer columns there are, and the first rows wait
// for B; where A is copied as well, columns are dearer.
func (t *blocking) wide(rows, cols int) bool {
	switch {
	case t.packA:
		return cols >= 2*rows
	case t.passing:
		return 2*cols >= rows
	}
	return cols >= rows
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
