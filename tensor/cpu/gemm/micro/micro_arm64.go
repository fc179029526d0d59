//go:build !purego

package micro

// runs reports whether the processor supports the variant; every arm64 processor that Go runs on
// has NEON.
func (v Variant) runs() bool { return v == Generic || v == NEON }

// rowsNEON is the most rows of a part.
const rowsNEON = 6

// mulNEON computes a tile in parts of up to 6×16; columns that are left over are taken by fours,
// then one by one.
func mulNEON(g *Args) {
	var p part
	for j, cols := 0, 16; j < g.Cols; j += cols {
		for cols > g.Cols-j {
			cols /= 4
		}
		for r0 := 0; r0 < g.Rows; {
			rows := g.partRows(r0, rowsNEON)
			g.place(&p, r0, rows, j)
			partNEON(g, &p, rows, cols)
			r0 += rows
		}
	}
}

func fmaLoopNEON(n int)

// peakLoop does rounds of the multiply-adds that PeakLoop counts.
func peakLoop(_ Variant, rounds int) { fmaLoopNEON(rounds) }

// The variants of other processors, which no caller can hold from Best or Variants.
const absent = "micro: not a variant of arm64"

func mulAVX512(*Args, int) { panic(absent) }

func mulAVX2(*Args) { panic(absent) }

func packAVX512([]float32, int, []float32, int, int, int) { panic(absent) }

func packAVX2([]float32, int, []float32, int, int, int) { panic(absent) }

func transposeAVX512([]float32, int, []float32, int, int, int) { panic(absent) }

func transposeAVX2([]float32, int, []float32, int, int, int) { panic(absent) }

func copyAVX512(*Args) { panic(absent) }

func prefetchLines([]float32, int, int, int) { panic(absent) }

// dataWays is not known.
func dataWays() int { return 1 }

func zipEights(Variant, []float32, []float32, []float32) int { return 0 }
