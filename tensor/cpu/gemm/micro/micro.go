package micro

// The largest tile.
const (
	MaxRows = 14 // rows of a tile
	MaxCols = 32 // columns of a tile: the width of a panel
)

// A Variant is an implementation of the kernels.
type Variant uint8

// The variants, slowest first. All but Generic are Go assembly, absent with the tag purego.
const (
	Generic Variant = iota // plain Go
	NEON                   // 128 bits: arm64
	AVX2                   // 256 bits: amd64 with AVX2 and FMA
	AVX512                 // 512 bits: amd64 with AVX-512 F

	variants
)

// String returns "generic", "neon", "avx2" or "avx512", with " bf16" behind it where products are
// in bfloat16.
func (v Variant) String() string {
	if v.Pairs() {
		return v.Float32().String() + " bf16"
	}
	return [variants]string{"generic", "neon", "avx2", "avx512"}[v]
}

// Rows is the most rows of a tile at which the variant is at its best, at most MaxRows. Any other
// number gives the same bits.
func (v Variant) Rows() int {
	if v == AVX2 || v == NEON {
		return 12 // two parts of six
	}
	return MaxRows
}

// RowsInSet is the most rows of a tile where rows of A are a page apart, so that the elements in
// use meet in one set of the first-level cache: one less than it has lines, the last being B's. It
// is 0 if so few rows would cost more than a copy of A.
func (v Variant) RowsInSet() int {
	const worth = 12 // lines of a set; eight were not tried
	if n := dataWays(); v == AVX512 && n >= worth {
		return min(n-1, MaxRows)
	}
	return 0
}

// Prefetches reports whether the variant's kernels ask for what comes later, Args.Ahead and C,
// between the steps of the sum.
func (v Variant) Prefetches() bool { return v.Float32() == AVX512 }

// Best returns the fastest variant that this machine can run.
func Best() Variant {
	for v := variants - 1; v > Generic; v-- {
		if v.runs() {
			return v
		}
	}
	return Generic
}

// Variants returns every variant that this machine can run, for tests that force each.
func Variants() []Variant {
	var vs []Variant
	for v := Generic; v < variants; v++ {
		if v.runs() {
			vs = append(vs, v)
		}
	}
	return vs
}

// A Seg is a run of K > 0 steps: A begins at Args.AOff+A and B at Args.BOff+B.
type Seg struct {
	A, B int
	K    int
	Skip int // rows of the tile that take no part: SkipNone, SkipFirst or SkipLast
}

// Values of Seg.Skip. In a tile of one row only SkipNone is allowed.
const (
	SkipNone = iota
	SkipFirst
	SkipLast
)

// Args describes one tile. All counts are in float32s, not bytes. The order of the fields is known
// to the assembly.
//
// Row r of A begins at (r/4)*GroupA + (r%4)*RowA after the segment's start, and row r of C at
// COff + (r/4)*GroupC + (r%4)*RowC: four rows share a pointer register. SetRows sets the usual
// case of equally spaced rows.
type Args struct {
	A, B, C []float32
	Segs    []Seg
	Bias    []float32 // nil, or at least Cols elements; added once to each row

	AOff, BOff, COff int

	RowA, GroupA int // between rows of A
	StepA        int // between the elements of a row of A
	StepB        int // between rows of B
	RowC, GroupC int // between rows of C

	Rows, Cols int // 1..MaxRows, 1..MaxCols

	Alpha, Beta float32

	mask uint32

	// LateC makes the kernel ask for C where the last segment begins instead of the first.
	LateC bool

	aheadStep, aheadJump int // bytes; of a copying kernel, how far ahead it asks for B
	askC                 int // segments left when C is asked for

	// Ahead is memory that will be read soon, which each step of the sum asks to be brought into
	// the second-level cache: the line at its start, then one AheadStep floats on, and so on, and
	// AheadJump further where a segment ends; kernels that ask before the first step instead leave
	// out what has jumps. It may end before that. With none, both are 0. It changes nothing but
	// the time.
	AheadStep, AheadJump int
	Ahead                []float32

	panel []float32 // of MulCopy

	// TapB is the distance in B between the taps of MulTaps.
	TapB int
}

// SetRows spaces the rows of A and of C equally.
func (g *Args) SetRows(rowA, rowC int) {
	g.RowA, g.GroupA = rowA, 4*rowA
	g.RowC, g.GroupC = rowC, 4*rowC
}

// Mul computes one tile; see the package comment for the formula. Offsets are not checked by the
// assembly: the caller vouches that every element described lies in its slice. It panics if Rows
// or Cols is out of range.
func Mul(v Variant, g *Args) {
	if g.Rows < 1 || g.Rows > MaxRows || g.Cols < 1 || g.Cols > MaxCols {
		panic("micro: Mul: tile out of range")
	}
	between := v.Float32() == AVX512 && g.Cols > 16 // the steps of the sum
	if len(g.Ahead) > 0 && !between && g.AheadJump == 0 {
		Prefetch(v, g.Ahead, g.AheadStep, g.Steps(), 1)
	}
	if v.Float32() == AVX512 {
		g.prepare()
	}
	switch v {
	case AVX512BF16:
		dotAVX512(g, (g.Cols+15)/16)
	case GenericBF16:
		dotGeneric(g)
	case AVX512:
		mulAVX512(g, (g.Cols+15)/16)
	case AVX2:
		mulAVX2(g)
	case NEON:
		mulNEON(g)
	default:
		mulGeneric(g)
	}
}

// prepare sets what the kernels with AVX-512 read in a form of their own.
func (g *Args) prepare() {
	g.mask = uint32(1<<g.Cols - 1)
	g.aheadStep, g.aheadJump, g.askC = 4*g.AheadStep, 4*g.AheadJump, len(g.Segs)
	if g.LateC {
		g.askC = 1
	}
}

// MulCopy is Mul of one segment, of which no row is left out, that also copies the rows of B it
// reads one after the other to panel, each of 16 or 32 floats (the smaller that holds Cols) with
// zeros beyond Cols: the panel that Pack would make, in passing where there is a kernel for it. It
// does not ask for what Ahead says, but for rows of B, far of them ahead of those in use. It panics
// as Mul does, if there is another number of segments, and if the panel is too small.
func MulCopy(v Variant, g *Args, panel []float32, far int) {
	if len(g.Segs) != 1 || g.Segs[0].Skip != SkipNone {
		panic("micro: MulCopy: not one whole segment")
	}
	seg, width := g.Segs[0], 32
	if g.Cols <= 16 {
		width = 16
	}
	panel = panel[:seg.K*width]
	if v == AVX512 && width == 32 && 1 <= g.Rows && g.Rows <= MaxRows && g.Cols <= MaxCols {
		g.mask, g.panel, g.aheadStep = uint32(1<<g.Cols-1), panel, 4*far*g.StepB
		copyAVX512(g)
		g.panel = nil
		return
	}
	Pack(v, panel, width, g.B[g.BOff+seg.B:], g.StepB, seg.K, g.Cols)
	packed, one := *g, [1]Seg{{A: seg.A, K: seg.K}}
	packed.B, packed.BOff, packed.StepB, packed.Segs = panel, 0, width, one[:]
	packed.Ahead, packed.AheadStep, packed.AheadJump = nil, 0, 0
	Mul(v, &packed)
}

// Steps is the length of the tile's sum, and the number of lines that it asks for Ahead.
func (g *Args) Steps() int {
	n := 0
	for _, s := range g.Segs {
		n += s.K
	}
	return n
}

// Pack copies rows of cols <= width floats, stride apart in src, to consecutive rows of width
// floats in dst, filled up with zeros. width is 16 or 32.
func Pack(v Variant, dst []float32, width int, src []float32, stride, rows, cols int) {
	if rows <= 0 {
		return
	}
	dst, src = dst[:rows*width], src[:(rows-1)*stride+cols]
	switch {
	case v.Float32() == AVX512 && cols > 0:
		packAVX512(dst, width, src, stride, rows, cols)
		return
	case v == AVX2 && cols > 0:
		packAVX2(dst, width, src, stride, rows, cols)
		return
	}
	for r := range rows {
		d := dst[r*width:][:width]
		clear(d[copy(d, src[r*stride:][:cols]):])
	}
}

// Transpose16 writes dst[j*rowDst+i] = src[i*rowSrc+j] for i < 16 and j < cols, with zero for
// i >= rows: it makes a 16-column panel from up to 16 rows.
func Transpose16(v Variant, dst []float32, rowDst int, src []float32, rowSrc, rows, cols int) {
	if cols <= 0 {
		return
	}
	dst = dst[:(cols-1)*rowDst+16]
	if rows > 0 {
		src = src[:(rows-1)*rowSrc+cols]
	}
	switch {
	case v.Float32() == AVX512 && rows > 0:
		transposeAVX512(dst, rowDst, src, rowSrc, rows, cols)
		return
	case v == AVX2 && rows > 0:
		transposeAVX2(dst, rowDst, src, rowSrc, rows, cols)
		return
	}
	for j := range cols {
		d := dst[j*rowDst:][:16]
		for i := range rows {
			d[i] = src[i*rowSrc+j]
		}
		clear(d[rows:])
	}
}

// TransposePanel makes a panel [cols][width] of width 16 or 32 from up to width rows, rowSrc apart
// in src, as Transpose16 does: while it turns sixteen rows it asks for the next sixteen, of this
// panel or the one behind it, because large weights come from memory and sixteen short rows side by
// side are more than the processor foresees.
func TransposePanel(v Variant, dst []float32, width int, src []float32, rowSrc, rows, cols int) {
	const part = 64
	for i := 0; i < width; i += 16 {
		in := src[min(i*rowSrc, len(src)):]
		next := src[min((i+16)*rowSrc, len(src)):]
		for j := 0; j < cols; j += part {
			n := min(part, cols-j)
			Prefetch(v, next[min(j, len(next)):], rowSrc, 16, n)
			Transpose16(v, dst[j*width+i:], width, in[min(j, len(in)):], rowSrc,
				max(0, min(16, rows-i)), n)
		}
	}
}

// Zip writes dst[2i] = a[i] and dst[2i+1] = b[i] for all of a, of which b has as many.
func Zip(v Variant, dst, a, b []float32) {
	dst, b = dst[:2*len(a)], b[:len(a)]
	for i := zipEights(v, dst, a, b); i < len(a); i++ {
		dst[2*i], dst[2*i+1] = a[i], b[i]
	}
}

// Prefetch asks for rows of cols floats, stride apart in src, to be brought into the second-level
// cache. It computes nothing and may name memory beyond the end of src. The order in which a tile
// kernel touches its input is too irregular for the processor to foresee; its caller knows.
func Prefetch(v Variant, src []float32, stride, rows, cols int) {
	if (v.Float32() == AVX512 || v == AVX2) && len(src) > 0 && rows > 0 && cols > 0 {
		prefetchLines(src, stride, rows, cols)
	}
}

// PeakLoop performs about n multiply-adds in registers and returns the number of floating-point
// operations done, two for each multiply-add.
func PeakLoop(v Variant, n int) int {
	if v.Pairs() {
		return peakPairs(v, n)
	}
	if v == Generic {
		return peakGeneric(n)
	}
	// In one round of the assembly: registers times lanes.
	round := [variants]int{NEON: 24 * 4, AVX2: 14 * 8, AVX512: 24 * 16}[v]
	rounds := n/round + 1
	peakLoop(v, rounds)
	return 2 * round * rounds
}
