package micro

import "math"

// # Products in bfloat16
//
// A bfloat16 is the upper half of a float32: the same exponents, 8 significant bits instead of 24.
// The variants below multiply them. Every float32 of A and B then stands for a pair of bfloat16s,
// two consecutive elements along the sum, the first in the lower half of its bits, and a step of
// the kernel adds two products:
//
//	C[r][j] += A[r][k].upper*B[k][j].upper;  C[r][j] += A[r][k].lower*B[k][j].lower
//
// in float32. A product of two bfloat16s is exact there (16 significant bits), so what rounds is
// each of the two additions, to nearest even; denormal numbers count as zero and become zero. That
// is the instruction VDPBF16PS of AVX512_BF16, which does twice the work of a multiply-add in the
// same time. Everything else, C, Bias, Alpha, Beta, offsets, strides, segments, is as in float32,
// with K, StepA and the other counts in pairs.
//
// RoundRows, PairRows and Interleave round float32s to nearest even and put them in
// pairs, along rows or across them; Pack and Transpose16 move pairs as they move float32s. A sum of
// n products of operands a, b that were float32s has the error
//
//	|got − exact| ≤ (2⁻⁷ + 2⁻¹⁶ + n·2⁻²⁴) · sum of |a||b|
//
// of which two times 2⁻⁸ and their product come from rounding the operands, the rest from the
// additions, as in float32. (Numbers below 2⁻¹²⁶ aside.)

// The variants in bfloat16. AVX512BF16 exists on amd64 machines that have AVX512_BF16, without the
// purego tag; GenericBF16 is its definition, for tests.
const (
	GenericBF16 Variant = 0x80 + iota // plain Go
	AVX512BF16                        // 512-bit Go assembly
)

// BestBF16 returns the variant that multiplies in bfloat16 on this machine; ok is false if it has
// no instruction for that.
func BestBF16() (v Variant, ok bool) { return AVX512BF16, hasBF16() }

// VariantsBF16 returns every variant in bfloat16 that this machine can run, for tests that force
// each.
func VariantsBF16() []Variant {
	if hasBF16() {
		return []Variant{GenericBF16, AVX512BF16}
	}
	return []Variant{GenericBF16}
}

// Pairs reports whether the float32s of A and B are pairs of bfloat16s.
func (v Variant) Pairs() bool { return v >= GenericBF16 }

// Elements returns how many elements of A and B a float32 stands for: 2 for pairs, else 1.
func (v Variant) Elements() int {
	if v.Pairs() {
		return 2
	}
	return 1
}

// Float32 returns the variant that multiplies float32s with the same instructions: v itself, unless
// it multiplies in bfloat16.
func (v Variant) Float32() Variant {
	switch v {
	case AVX512BF16:
		return AVX512
	case GenericBF16:
		return Generic
	}
	return v
}

// MulTaps computes a tile of up to 16 columns of a filter with three taps in a row, for variants in
// bfloat16. Row r of the result reads rows r, r+1 and r+2 of A, a tap each, whose rows of B are
// TapB apart:
//
//	C[r][j] = Alpha * sum over segments s, k < s.K, t < 3 of
//	              A[s.A + row(r+t) + k*StepA] * B[s.B + t*TapB + k*StepB + j]
//	        + Bias[j] + Beta * C[r][j]
//
// An element of A is loaded once for three products, where Mul, with one vector of columns, loads
// it for each. SkipFirst leaves out row 0 of A, SkipLast row Rows+1. Each element of C is the sum
// of two chains, that of the outer taps and that of the middle one. Ahead is not asked for. It
// panics if Rows is out of range, Cols beyond 16, or v multiplies float32s.
func MulTaps(v Variant, g *Args) {
	if g.Rows < 1 || g.Rows > MaxRows || g.Cols < 1 || g.Cols > 16 || !v.Pairs() {
		panic("micro: MulTaps: tile out of range, or float32s")
	}
	if v == AVX512BF16 {
		g.prepare()
		tapsAVX512(g)
		return
	}
	for r := range g.Rows {
		for j := range g.Cols {
			g.storeGeneric(r, j, g.tapsElement(r, j))
		}
	}
}

// tapsElement sums the products of one element of C in MulTaps.
func (g *Args) tapsElement(r, j int) float32 {
	var sum [2]float32
	for i := range g.Segs {
		s := &g.Segs[i]
		for k := range s.K {
			for tap := range 3 {
				row := r + tap
				if row == 0 && s.Skip == SkipFirst || row == g.Rows+1 && s.Skip == SkipLast {
					continue
				}
				x := math.Float32bits(g.A[g.AOff+s.A+g.rowOfA(row)+k*g.StepA])
				y := math.Float32bits(g.B[g.BOff+s.B+tap*g.TapB+k*g.StepB+j])
				c := &sum[tap%2]
				*c = addProduct(*c, x&^0xffff, y&^0xffff)
				*c = addProduct(*c, x<<16, y<<16)
			}
		}
	}
	return sum[0] + sum[1]
}

// dotGeneric is Mul in bfloat16 in plain Go.
func dotGeneric(g *Args) {
	for r := range g.Rows {
		for j := range g.Cols {
			g.storeGeneric(r, j, g.dotElement(r, j))
		}
	}
}

// dotElement sums the products of one element of C.
func (g *Args) dotElement(r, j int) (sum float32) {
	for i := range g.Segs {
		s := &g.Segs[i]
		if !g.active(s, r) {
			continue
		}
		a, b := g.AOff+s.A+g.rowOfA(r), g.BOff+s.B+j
		for range s.K {
			x, y := math.Float32bits(g.A[a]), math.Float32bits(g.B[b])
			sum = addProduct(sum, x&^0xffff, y&^0xffff)
			sum = addProduct(sum, x<<16, y<<16)
			a += g.StepA
			b += g.StepB
		}
	}
	return sum
}

// addProduct is one half of VDPBF16PS: sum + a*b with a and b given by their bits. In float64 the
// product is exact, and rounding its sum to float64 first does not change what it rounds to in
// float32 (Figueroa 1995: 53 ≥ 2·24 + 2 bits suffice).
func addProduct(sum float32, a, b uint32) float32 {
	x, y := math.Float32frombits(flush(a)), math.Float32frombits(flush(b))
	s := math.Float32bits(float32(float64(sum) + float64(x)*float64(y)))
	return math.Float32frombits(flush(s))
}

// exponent selects the exponent of a float32.
const exponent = 0x7f80_0000

// flush turns denormal numbers into zeros of their sign.
func flush(bits uint32) uint32 {
	if bits&exponent == 0 {
		return bits & 0x8000_0000
	}
	return bits
}

// RoundBF16 returns the bfloat16 nearest to x, ties to even, as a float32. Denormal numbers become
// zero, a NaN stays one, and numbers beyond the largest become infinite.
func RoundBF16(x float32) float32 { return math.Float32frombits(upper(x)) }

// upper returns the bits of x rounded to bfloat16, in the upper half.
func upper(x float32) uint32 {
	b := flush(math.Float32bits(x))
	if x != x {
		return b&^0xffff | 1<<22 // quiet, as the instruction makes it
	}
	return (b + 0x7fff + b>>16&1) &^ 0xffff
}

// pair puts two numbers into one float32: first in the lower half.
func pair(first, second float32) float32 {
	return math.Float32frombits(upper(first)>>16 | upper(second))
}

// RoundRows rounds rows of cols floats, rowSrc apart in src, to bfloat16 and writes them in pairs
// of neighbours, rows rowDst apart in dst:
//
//	dst[r*rowDst+i] = (src[r*rowSrc+2i], src[r*rowSrc+2i+1])
//
// If cols is odd, the last has zero beside it.
func RoundRows(v Variant, dst []float32, rowDst int, src []float32, rowSrc, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	dst, src = dst[:(rows-1)*rowDst+(cols+1)/2], src[:(rows-1)*rowSrc+cols]
	if v == AVX512BF16 {
		roundAVX512(dst, rowDst, src, rowSrc, rows, cols)
		return
	}
	for r := range rows {
		d, s := dst[r*rowDst:], src[r*rowSrc:][:cols]
		for i := range cols / 2 {
			d[i] = pair(s[2*i], s[2*i+1])
		}
		if cols%2 == 1 {
			d[cols/2] = pair(s[cols-1], 0)
		}
	}
}

// PairRows is Pack for the variants in bfloat16: of rows of cols <= width floats, stride apart in
// src, it rounds each two and writes them as one row of width pairs,
//
//	dst[i*width+j] = (src[2i*stride+j], src[(2i+1)*stride+j])
//
// for j < cols; what is beyond is left as it is, because no kernel reads it. Beside the last of an
// odd number of rows is zero.
func PairRows(v Variant, dst []float32, width int, src []float32, stride, rows, cols int) {
	if rows >= 2 {
		Interleave(v, dst, width, src, src[stride:], 2*stride, rows/2, cols)
	}
	if rows%2 == 1 {
		Interleave(v, dst[rows/2*width:], width, src[(rows-1)*stride:], nil, 0, 1, cols)
	}
}

// Interleave rounds rows of cols floats of a and of b, rowSrc apart in both, to bfloat16 and writes
// them as rows of cols pairs, rowDst apart:
//
//	dst[i*rowDst+j] = (a[i*rowSrc+j], b[i*rowSrc+j])
//
// b may be nil for zeros.
func Interleave(v Variant, dst []float32, rowDst int, a, b []float32, rowSrc, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	dst, a = dst[:(rows-1)*rowDst+cols], a[:(rows-1)*rowSrc+cols]
	if b != nil {
		b = b[:len(a)]
	}
	if v == AVX512BF16 {
		interleaveAVX512(dst, rowDst, a, b, rowSrc, rows, cols)
		return
	}
	for i := range rows {
		for j := range cols {
			second := float32(0)
			if b != nil {
				second = b[i*rowSrc+j]
			}
			dst[i*rowDst+j] = pair(a[i*rowSrc+j], second)
		}
	}
}

// peakPairs is PeakLoop for the variants in bfloat16: a product counts two operations, a step four.
func peakPairs(v Variant, n int) int {
	if v == AVX512BF16 {
		const round = 24 * 16 * 2 // registers, lanes, products of a lane
		rounds := n/round + 1
		peakBF16AVX512(rounds)
		return 2 * round * rounds
	}
	const one = 0x3f80_3f80
	sum := float32(0)
	for range n/2 + 1 {
		sum = addProduct(addProduct(sum, one&^0xffff, one&^0xffff), one<<16&0xffff_ffff, 0)
	}
	keep(sum)
	return 4 * (n/2 + 1)
}
