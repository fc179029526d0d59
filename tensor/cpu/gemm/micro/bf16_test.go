package micro

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// bits is every kind of float32: its corners, halfway cases of rounding to bfloat16, and random
// patterns, of which one in 256 is a NaN or an infinity and one in 256 denormal.
func bits(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	corners := []uint32{0, 1 << 31, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffbfffff, 1,
		0x807fffff, 0x00800000, 0x7f7fffff, 0x7f7f8000, 0x7f7f7fff, 0x3f808000, 0x3f818000, 0x3f807fff,
		0x3f808001, 0xbf818000, 0x007fffff, 0x00ffffff}
	for i := range x {
		b := rng.Uint32()
		switch rng.IntN(4) {
		case 0:
			b = corners[rng.IntN(len(corners))]
		case 1:
			b = b&^0xffff | 0x8000 // a tie
		}
		x[i] = math.Float32frombits(b)
	}
	return x
}

// sameFloats reports whether two slices hold the same bits.
func sameFloats(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return math.Float32bits(x) == math.Float32bits(y)
	})
}

// TestRoundBF16 compares with the definition: of the two bfloat16s around x the nearer one, of two
// equally near the even one.
func TestRoundBF16(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	for _, x := range bits(rng, 1<<16) {
		got, b := RoundBF16(x), math.Float32bits(x)
		g := math.Float32bits(got)
		switch {
		case g&0xffff != 0:
			t.Fatalf("RoundBF16(%#x) = %#x is no bfloat16", b, g)
		case x != x:
			if got == got {
				t.Fatalf("RoundBF16 of the NaN %#x = %g", b, got)
			}
		case b&exponent == 0:
			if g != b&(1<<31) {
				t.Fatalf("RoundBF16(%g) = %#x, expected a zero of its sign", x, g)
			}
		default:
			down := b &^ 0xffff
			if b&0xffff > 0x8000 || b&0xffff == 0x8000 && b>>16&1 == 1 {
				down += 1 << 16
			}
			if g != down {
				t.Fatalf("RoundBF16(%#x) = %#x, expected %#x", b, g, down)
			}
		}
	}
	for x, want := range map[float32]float32{1: 1, 1.00390625: 1, 1.01171875: 1.015625,
		-3.4e38: float32(math.Inf(-1))} {
		if got := RoundBF16(x); got != want {
			t.Errorf("RoundBF16(%v) = %v, want %v", x, got, want)
		}
	}
}

// TestPairing holds what makes pairs to RoundBF16, with guards around the results.
func TestPairing(t *testing.T) {
	rng := rand.New(rand.NewPCG(33, 34))
	for _, v := range VariantsBF16() {
		for cols := 1; cols <= 100; cols++ {
			testRoundRows(t, v, rng, 1+rng.IntN(4), cols)
			testInterleave(t, v, rng, 1+rng.IntN(4), cols)
		}
		for _, width := range []int{16, 32} {
			for cols := range width + 1 {
				for rows := range 6 {
					testPairRows(t, v, rng, width, rows, cols)
				}
			}
		}
	}
}

func guarded(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = guard
	}
	return x
}

func testRoundRows(t *testing.T, v Variant, rng *rand.Rand, rows, cols int) {
	rowSrc, lanes := cols+rng.IntN(4), (cols+1)/2
	rowDst := lanes + rng.IntN(4)
	src, want := bits(rng, (rows-1)*rowSrc+cols), guarded(rows*rowDst+20)
	got := slices.Clone(want)
	for r := range rows {
		for i := range lanes {
			second := float32(0)
			if 2*i+1 < cols {
				second = src[r*rowSrc+2*i+1]
			}
			want[r*rowDst+i] = pair(src[r*rowSrc+2*i], second)
		}
	}
	if RoundRows(v, got, rowDst, src, rowSrc, rows, cols); !sameFloats(got, want) {
		t.Fatalf("%v: RoundRows of %d rows of %d:\n%x, want\n%x", v, rows, cols, got, want)
	}
}

func testInterleave(t *testing.T, v Variant, rng *rand.Rand, rows, cols int) {
	rowSrc, rowDst := cols+rng.IntN(4), cols+rng.IntN(4)
	a, b := bits(rng, (rows-1)*rowSrc+cols), bits(rng, (rows-1)*rowSrc+cols)
	for _, b := range [][]float32{b, nil} {
		want := guarded(rows*rowDst + 20)
		got := slices.Clone(want)
		for r := range rows {
			for j := range cols {
				second := float32(0)
				if b != nil {
					second = b[r*rowSrc+j]
				}
				want[r*rowDst+j] = pair(a[r*rowSrc+j], second)
			}
		}
		if Interleave(v, got, rowDst, a, b, rowSrc, rows, cols); !sameFloats(got, want) {
			t.Fatalf("%v: Interleave of %d rows of %d, second operand %v", v, rows, cols, b != nil)
		}
	}
}

func testPairRows(t *testing.T, v Variant, rng *rand.Rand, width, rows, cols int) {
	stride := cols + rng.IntN(5)
	src, want := bits(rng, max(0, (rows-1)*stride+cols)), guarded((rows+1)/2*width+20)
	got := slices.Clone(want)
	for r := 0; r < rows; r += 2 {
		for j := range cols {
			second := float32(0)
			if r+1 < rows {
				second = src[(r+1)*stride+j]
			}
			want[r/2*width+j] = pair(src[r*stride+j], second)
		}
	}
	if PairRows(v, got, width, src, stride, rows, cols); !sameFloats(got, want) {
		t.Fatalf("%v: PairRows of %d rows of %d in panels of %d", v, rows, cols, width)
	}
}

// randomPairs draws a tile of bfloat16s, some of them special if specials is set.
func randomPairs(rng *rand.Rand, rows, cols int, specials bool) *Args {
	g := randomTile(rng, rows, cols)
	for _, x := range [][]float32{g.A, g.B} {
		var y []float32
		if specials {
			y = bits(rng, 2*len(x))
		} else {
			y = random(rng, 2*len(x))
		}
		RoundRows(GenericBF16, x, len(x), y, len(y), 1, len(y))
	}
	return g
}

// TestDotIsTheInstruction holds the assembly to addProduct, bit by bit, on ordinary numbers and on
// NaN, infinities, zeros and denormals, of which only what makes a NaN may have another sign or
// payload.
func TestDotIsTheInstruction(t *testing.T) {
	v, ok := BestBF16()
	if !ok {
		t.Skip("no AVX512_BF16 here: only the plain Go is tested")
	}
	rng := rand.New(rand.NewPCG(35, 36))
	check := func(g *Args, mul func(Variant, *Args), what string) {
		want := slices.Clone(g.C)
		h := *g
		h.C = want
		mul(v, g)
		mul(GenericBF16, &h)
		for i, c := range g.C {
			if math.Float32bits(c) != math.Float32bits(want[i]) && (c == c || want[i] == want[i]) {
				t.Fatalf("%s, %dx%d: C[%d] = %g (%#x), want %g (%#x)", what, g.Rows, g.Cols, i,
					c, math.Float32bits(c), want[i], math.Float32bits(want[i]))
			}
		}
	}
	for rows := 1; rows <= MaxRows; rows++ {
		for cols := 1; cols <= MaxCols; cols++ {
			for _, specials := range []bool{false, true} {
				check(randomPairs(rng, rows, cols, specials), Mul, "Mul")
				if cols <= 16 {
					check(randomTaps(rng, rows, cols, specials), MulTaps, "MulTaps")
				}
			}
		}
	}
}

// randomTaps draws a tile of three taps.
func randomTaps(rng *rand.Rand, rows, cols int, specials bool) *Args {
	g := randomPairs(rng, rows+2, cols, specials) // for its rows of A
	g.Rows, g.TapB = rows, rng.IntN(50)
	for range 2 * g.TapB {
		g.B = append(g.B, g.B[rng.IntN(len(g.B))])
	}
	if rng.IntN(2) == 0 && len(g.Segs) > 0 {
		g.Segs[0].Skip = SkipLast
	}
	return g
}

// TestMulTaps holds the three taps to those of Mul, each a segment of its own, within the rounding
// of other orders of one sum.
func TestMulTaps(t *testing.T) {
	rng := rand.New(rand.NewPCG(37, 38))
	for _, v := range VariantsBF16() {
		for rows := 2; rows <= MaxRows; rows++ {
			g := randomTaps(rng, rows, 16, false)
			g.SetRows(g.RowA, g.RowC)
			g.A = append(g.A, make([]float32, 16*g.RowA)...)
			want := *g
			want.C, want.Segs = slices.Clone(g.C), nil
			for _, s := range g.Segs {
				for tap := range 3 {
					one := Seg{A: s.A + tap*g.RowA, B: s.B + tap*g.TapB, K: s.K}
					if s.Skip == SkipFirst && tap == 0 || s.Skip == SkipLast && tap == 2 {
						one.Skip = s.Skip
					}
					want.Segs = append(want.Segs, one)
				}
			}
			MulTaps(v, g)
			Mul(v, &want)
			for i, c := range g.C {
				if d := math.Abs(float64(c - want.C[i])); d > 1e-4 {
					t.Fatalf("%v, %d rows: C[%d] = %g, want %g", v, rows, i, c, want.C[i])
				}
			}
		}
	}
}

// TestPeakPairs: the loop that measures the peak does about what it is asked for, in full products.
func TestPeakPairs(t *testing.T) {
	for _, v := range VariantsBF16() {
		if flops := PeakLoop(v, 1000); flops < 2000 || flops > 4000 || flops%4 != 0 {
			t.Errorf("%v: %d operations for 1000 products", v, flops)
		}
	}
}

// BenchmarkDot compares the peaks of float32 and of bfloat16.
func BenchmarkDot(b *testing.B) {
	v, ok := BestBF16()
	if !ok {
		b.Skip("no AVX512_BF16 here")
	}
	for _, w := range []Variant{Best(), v} {
		b.Run(fmt.Sprintf("peak/%v", w), func(b *testing.B) {
			flops := 0
			for b.Loop() {
				flops += PeakLoop(w, 1<<20)
			}
			b.ReportMetric(float64(flops)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
