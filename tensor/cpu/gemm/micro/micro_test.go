package micro

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// TestLayout compares the field offsets that the generator assumes with the compiler's.
func TestLayout(t *testing.T) {
	var g Args
	var s Seg
	var p part
	for _, f := range []struct {
		name      string
		got, want uintptr
	}{
		{"A", unsafe.Offsetof(g.A), 0}, {"B", unsafe.Offsetof(g.B), 24},
		{"C", unsafe.Offsetof(g.C), 48}, {"Segs", unsafe.Offsetof(g.Segs), 72},
		{"Bias", unsafe.Offsetof(g.Bias), 96}, {"AOff", unsafe.Offsetof(g.AOff), 120},
		{"BOff", unsafe.Offsetof(g.BOff), 128}, {"COff", unsafe.Offsetof(g.COff), 136},
		{"RowA", unsafe.Offsetof(g.RowA), 144}, {"GroupA", unsafe.Offsetof(g.GroupA), 152},
		{"StepA", unsafe.Offsetof(g.StepA), 160}, {"StepB", unsafe.Offsetof(g.StepB), 168},
		{"RowC", unsafe.Offsetof(g.RowC), 176}, {"GroupC", unsafe.Offsetof(g.GroupC), 184},
		{"Alpha", unsafe.Offsetof(g.Alpha), 208}, {"Beta", unsafe.Offsetof(g.Beta), 212},
		{"mask", unsafe.Offsetof(g.mask), 216}, {"TapB", unsafe.Offsetof(g.TapB), 312},
		{"aheadStep", unsafe.Offsetof(g.aheadStep), 224},
		{"aheadJump", unsafe.Offsetof(g.aheadJump), 232}, {"askC", unsafe.Offsetof(g.askC), 240},
		{"Ahead", unsafe.Offsetof(g.Ahead), 264}, {"panel", unsafe.Offsetof(g.panel), 288},
		{"Seg.A", unsafe.Offsetof(s.A), 0}, {"Seg.B", unsafe.Offsetof(s.B), 8},
		{"Seg.K", unsafe.Offsetof(s.K), 16}, {"Seg.Skip", unsafe.Offsetof(s.Skip), 24},
		{"Seg", unsafe.Sizeof(s), 32},
		{"part.a", unsafe.Offsetof(p.a), 0}, {"part.b", unsafe.Offsetof(p.b), 8},
		{"part.c", unsafe.Offsetof(p.c), 16}, {"part.bias", unsafe.Offsetof(p.bias), 24},
		{"part.skips", unsafe.Offsetof(p.skips), 32}, {"part.lanes", unsafe.Offsetof(p.lanes), 40},
	} {
		if unsafe.Sizeof(uintptr(0)) == 8 && f.got != f.want {
			t.Errorf("%s is at byte %d, the generator assumes %d", f.name, f.got, f.want)
		}
	}
}

// guard is what memory around the results must still hold afterwards.
const guard = -12345.5

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = rng.Float32()*2 - 1
	}
	return x
}

// randomTile draws a tile with a few segments that overlap in A and B.
func randomTile(rng *rand.Rand, rows, cols int) *Args {
	g := &Args{Rows: rows, Cols: cols, Alpha: 1, StepB: cols + rng.IntN(5)}
	g.StepA = 1 + rng.IntN(3)
	g.RowA, g.GroupA = 7+rng.IntN(40), 100+rng.IntN(100)
	g.RowC, g.GroupC = cols+rng.IntN(3), 4*(cols+3)+rng.IntN(9)
	if rng.IntN(2) == 0 {
		g.SetRows(g.RowA, g.RowC)
	}
	for range rng.IntN(4) {
		s := Seg{A: rng.IntN(60), B: rng.IntN(60), K: 1 + rng.IntN(20)}
		if rows > 1 {
			s.Skip = rng.IntN(3)
		}
		g.Segs = append(g.Segs, s)
	}
	g.AOff, g.BOff, g.COff = rng.IntN(10), rng.IntN(10), 64
	lastA := g.AOff + 60 + 20*g.StepA + (rows-1)/4*g.GroupA + 3*g.RowA
	lastB := g.BOff + 60 + 20*g.StepB + cols
	g.A, g.B = random(rng, lastA), random(rng, lastB)
	g.C = make([]float32, 128+4*g.GroupC+4*g.RowC)
	for i := range g.C {
		g.C[i] = guard
	}
	if rng.IntN(2) == 0 {
		g.Alpha, g.Beta = 0.5, -1.5
	}
	if rng.IntN(2) == 0 {
		g.Bias = random(rng, cols)
	}
	return g
}

// bound is the rounding error allowed in one element: each of the at most 80 multiply-adds rounds
// once or twice relative to the sum of magnitudes (Higham, section 3.1).
func bound(magnitude float64) float64 { return 100 * magnitude / (1 << 24) }

func TestMulAgainstFloat64(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, v := range Variants() {
		for rows := 1; rows <= MaxRows; rows++ {
			for cols := 1; cols <= MaxCols; cols++ {
				g := randomTile(rng, rows, cols)
				before := append([]float32(nil), g.C...)
				Mul(v, g)
				checkTile(t, fmt.Sprintf("%v %dx%d", v, rows, cols), g, before)
			}
		}
	}
}

// TestMulCopy: a tile that packs B in passing has the bits of one that does not, and leaves the
// panel that Pack makes, nothing behind it.
func TestMulCopy(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, v := range Variants() {
		for rows := 1; rows <= MaxRows; rows++ {
			for cols := 1; cols <= MaxCols; cols++ {
				g := randomTile(rng, rows, cols)
				g.Segs = []Seg{{A: 3, B: 5, K: 1 + rng.IntN(20)}}
				one, k, width := *g, g.Segs[0].K, 16*((cols+15)/16)
				one.C = slices.Clone(g.C)
				panel := make([]float32, k*width+1)
				panel[k*width] = guard
				Mul(v, g)
				MulCopy(v, &one, panel, rng.IntN(40))
				if !slices.Equal(one.C, g.C) {
					t.Fatalf("%v %dx%d: other bits when B is copied", v, rows, cols)
				}
				want := make([]float32, k*width, k*width+1)
				Pack(Generic, want, width, g.B[g.BOff+5:], g.StepB, k, cols)
				if !slices.Equal(panel, append(want, guard)) {
					t.Fatalf("%v %dx%d: not the packed panel", v, rows, cols)
				}
			}
		}
	}
}

// TestLookahead: what a tile asks for, and when, changes nothing; nor that its sum is cut.
func TestLookahead(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, v := range Variants() {
		for _, cols := range []int{7, 32} {
			g := randomTile(rng, MaxRows, cols)
			g.Segs = []Seg{{K: 20}}
			one := *g
			one.C = slices.Clone(g.C)
			one.Segs = []Seg{{K: 9}, {K: 9, A: 9 * g.StepA, B: 9 * g.StepB},
				{K: 2, A: 18 * g.StepA, B: 18 * g.StepB}}
			one.Ahead, one.AheadStep, one.AheadJump, one.LateC = g.A, CacheLine, 100, true
			Mul(v, g)
			Mul(v, &one)
			if !slices.Equal(one.C, g.C) {
				t.Fatalf("%v, %d columns: other bits with Ahead and LateC", v, cols)
			}
		}
	}
}

// TestTake: pieces come line by line, the list added last first, and in runs with their jump; what
// lies end to end is one piece.
func TestTake(t *testing.T) {
	x := make([]float32, 1000)
	for i := range x {
		x[i] = float32(i)
	}
	var a Lookahead
	a.Add(x, 20, 4, 20)             // five lines of 80 floats
	a.AddRuns(x[2:], 100, 7, 6, 17) // two lines of six pieces
	for i, want := range [][3]int{{2, 100, 7}, {402, 100, 7}, {18, 100, 7}, {418, 100, 7},
		{0, 16, 0}, {64, 16, 0}, {-1, 0, 0}} {
		got := [3]int{-1}
		x, step, jump := a.Take(4)
		if got[1], got[2] = step, jump; len(x) > 0 {
			got[0] = int(x[0])
		}
		if got != want {
			t.Errorf("piece %d: start, step and jump %v, want %v", i, got, want)
		}
	}
}

func checkTile(t *testing.T, what string, g *Args, before []float32) {
	t.Helper()
	inTile := make(map[int]bool)
	for r := range g.Rows {
		for j := range g.Cols {
			at := g.COff + r/4*g.GroupC + r%4*g.RowC + j
			inTile[at] = true
			var sum, mag float64
			for i := range g.Segs {
				s := &g.Segs[i]
				for k := 0; k < s.K && g.active(s, r); k++ {
					p := float64(g.A[g.AOff+s.A+g.rowOfA(r)+k*g.StepA]) *
						float64(g.B[g.BOff+s.B+k*g.StepB+j])
					sum, mag = sum+p, mag+math.Abs(p)
				}
			}
			sum *= float64(g.Alpha)
			if g.Bias != nil {
				sum += float64(g.Bias[j])
				mag++
			}
			sum += float64(g.Beta) * float64(before[at])
			mag += math.Abs(float64(g.Beta) * float64(before[at]))
			if got := float64(g.C[at]); math.Abs(got-sum) > bound(mag) {
				t.Fatalf("%s: row %d col %d: got %g, want %g", what, r, j, got, sum)
			}
		}
	}
	for i, c := range g.C {
		if !inTile[i] && c != guard {
			t.Fatalf("%s: C[%d] outside the tile was overwritten with %g", what, i, c)
		}
	}
}

// TestMulReadsOnlyItsColumns puts the last needed element at the end of the slices' memory and NaN
// in every column that does not belong to the tile.
func TestMulReadsOnlyItsColumns(t *testing.T) {
	nan := float32(math.NaN())
	for _, v := range Variants() {
		for cols := 1; cols <= MaxCols; cols++ {
			const k, stride = 5, 40
			b := make([]float32, (k-1)*stride+cols)
			for i := range b {
				b[i] = nan
				if i%stride < cols {
					b[i] = 1
				}
			}
			g := &Args{A: []float32{1, 1, 1, 1, 1}, B: b, C: make([]float32, cols), StepA: 1,
				StepB: stride, Rows: 1, Cols: cols, Alpha: 1, Segs: []Seg{{K: k}}}
			g.C[0] = nan // Beta is zero: must not be read
			Mul(v, g)
			for j, c := range g.C {
				if c != k {
					t.Fatalf("%v cols %d: C[%d] = %g, want %d", v, cols, j, c, k)
				}
			}
			b[0] = nan
			if Mul(v, g); g.C[0] == g.C[0] {
				t.Fatalf("%v: NaN in B gave %g", v, g.C[0])
			}
		}
	}
}

// TestTilesAreIndependent: an element has the same bits alone as in a tile of any size, which takes
// other kernels and other parts of them.
func TestTilesAreIndependent(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, v := range Variants() {
		for range 60 {
			g := randomTile(rng, 1+rng.IntN(MaxRows), 1+rng.IntN(MaxCols))
			for i := range g.Segs {
				g.Segs[i].Skip = SkipNone // all that a tile of one row allows
			}
			before := append([]float32(nil), g.C...)
			Mul(v, g)
			all := append([]float32(nil), g.C...)
			copy(g.C, before)
			for r := range g.Rows {
				for j := range g.Cols {
					one := *g
					one.Rows, one.Cols = 1, 1
					one.AOff, one.BOff = g.AOff+g.rowOfA(r), g.BOff+j
					one.COff = g.COff + g.rowOfC(r) + j
					if g.Bias != nil {
						one.Bias = g.Bias[j:]
					}
					Mul(v, &one)
					if got, want := g.C[one.COff], all[one.COff]; got != want {
						t.Fatalf("%v %dx%d: row %d col %d is %g alone, %g in the tile", v, g.Rows,
							g.Cols, r, j, got, want)
					}
				}
			}
		}
	}
}

func TestPacking(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, v := range Variants() {
		for _, width := range []int{16, 32} {
			for cols := range width + 1 {
				rows, stride := 1+rng.IntN(9), cols+rng.IntN(5)
				src := random(rng, (rows-1)*stride+cols)
				dst := random(rng, rows*width+1)
				last := dst[rows*width]
				Pack(v, dst, width, src, stride, rows, cols)
				for i, got := range dst[:rows*width] {
					want := float32(0)
					if i%width < cols {
						want = src[i/width*stride+i%width]
					}
					if got != want {
						t.Fatalf("%v Pack width %d cols %d: element %d", v, width, cols, i)
					}
				}
				if dst[rows*width] != last {
					t.Fatalf("%v Pack width %d cols %d wrote beyond", v, width, cols)
				}
			}
		}
		for rows := range 17 {
			for cols := 1; cols < 40; cols++ {
				testTranspose(t, v, rng, rows, cols)
			}
		}
	}
}

func testTranspose(t *testing.T, v Variant, rng *rand.Rand, rows, cols int) {
	rowSrc, rowDst := cols+rng.IntN(4), 16+rng.IntN(3)*8
	src := random(rng, max(0, (rows-1)*rowSrc+cols))
	dst := make([]float32, (cols-1)*rowDst+17)
	for i := range dst {
		dst[i] = guard
	}
	Transpose16(v, dst, rowDst, src, rowSrc, rows, cols)
	for i, got := range dst {
		want := float32(guard)
		if j, r := i/rowDst, i%rowDst; j < cols && r < 16 {
			want = 0
			if r < rows {
				want = src[r*rowSrc+j]
			}
		}
		if got != want {
			t.Fatalf("%v %dx%d: dst[%d] = %g, want %g", v, rows, cols, i, got, want)
		}
	}
}

// TestZip deals out the elements of two rows of all lengths up to some vectors, and writes no more.
func TestZip(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, v := range Variants() {
		for n := range 40 {
			a, b, dst := random(rng, n), random(rng, n), make([]float32, 2*n+1)
			dst[2*n] = guard
			Zip(v, dst, a, b)
			for i := range n {
				if dst[2*i] != a[i] || dst[2*i+1] != b[i] {
					t.Fatalf("%v: pair %d of %d: %v", v, i, n, dst[2*i:2*i+2])
				}
			}
			if dst[2*n] != guard {
				t.Fatalf("%v: %d pairs wrote beyond", v, n)
			}
		}
	}
}

func ExampleMul() {
	// A 2×2 tile of C = A·B with A 2×3 and B 3×2.
	g := &Args{
		A: []float32{1, 2, 3, 4, 5, 6}, B: []float32{1, 0, 0, 1, 1, 1}, C: make([]float32, 4),
		Segs: []Seg{{K: 3}}, StepA: 1, StepB: 2, Rows: 2, Cols: 2, Alpha: 1,
	}
	g.SetRows(3, 2)
	Mul(Best(), g)
	fmt.Println(g.C)
	// Output: [4 5 10 11]
}

// BenchmarkMul is a tile with both operands in the first-level cache.
func BenchmarkMul(b *testing.B) {
	for _, tile := range [][2]int{{14, 32}, {12, 32}, {8, 32}, {4, 32}, {14, 16}, {8, 16}} {
		b.Run(fmt.Sprintf("%dx%d", tile[0], tile[1]), func(b *testing.B) {
			const k = 144
			g := &Args{A: make([]float32, 14*k), B: make([]float32, 32*k),
				C: make([]float32, 14*32), Segs: []Seg{{K: k}}, StepA: 1, StepB: tile[1],
				Rows: tile[0], Cols: tile[1], Alpha: 1}
			g.SetRows(k, 32)
			v := Best()
			for b.Loop() {
				for range 100 {
					Mul(v, g)
				}
			}
			flops := 100 * 2 * float64(k*tile[0]*tile[1]) * float64(b.N)
			b.ReportMetric(flops/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
	b.Run("peak", func(b *testing.B) {
		flops := 0
		for b.Loop() {
			flops += PeakLoop(Best(), 1<<20)
		}
		b.ReportMetric(float64(flops)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
	})
}

// TestRowsInSet compares what the processor says of its first-level cache with what the system
// says.
func TestRowsInSet(t *testing.T) {
	for _, v := range Variants() {
		if n := v.RowsInSet(); n < 0 || n > MaxRows {
			t.Errorf("%v: %d rows in a set", v, n)
		}
	}
	raw, err := os.ReadFile("/sys/devices/system/cpu/cpu0/cache/index0/ways_of_associativity")
	if err != nil || runtime.GOARCH != "amd64" || Best() == Generic {
		t.Skip("no system to compare with")
	}
	if got, want := strconv.Itoa(dataWays()), strings.TrimSpace(string(raw)); got != want {
		t.Errorf("sets of %s lines, the system says %s", got, want)
	}
}
