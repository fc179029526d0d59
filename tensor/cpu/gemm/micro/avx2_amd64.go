//go:build !purego

package micro

// Families of AVX2 kernels, and the most rows of each; the order is the generator's.
const (
	wideAVX2   = iota // 16 columns
	tailAVX2          // 9..16 columns
	narrowAVX2        // 1..8 columns

	wideRowsAVX2   = 6
	narrowRowsAVX2 = 8
)

// mulAVX2 computes a tile in parts of up to 6×16, column by column of parts: the 16 columns of B
// that they share stay in the first-level cache.
func mulAVX2(g *Args) {
	var p part
	for j := 0; j < g.Cols; j += 16 {
		cols := min(16, g.Cols-j)
		p.lanes = (cols-1)%8 + 1
		shape, most := wideAVX2, wideRowsAVX2
		switch {
		case cols <= 8:
			shape, most = narrowAVX2, narrowRowsAVX2
		case cols < 16:
			shape = tailAVX2
		}
		for r0 := 0; r0 < g.Rows; {
			rows := g.partRows(r0, most)
			g.place(&p, r0, rows, j)
			partAVX2(g, &p, shape, rows)
			r0 += rows
		}
	}
}

func packAVX2(dst []float32, width int, src []float32, stride, rows, cols int) {
	if width == 16 {
		copyRows16AVX2(&dst[0], &src[0], 4*stride, rows, cols)
	} else {
		copyRows32AVX2(&dst[0], &src[0], 4*stride, rows, cols)
	}
}

func transposeAVX2(dst []float32, rowDst int, src []float32, rowSrc, rows, cols int) {
	transpose8AVX2(&dst[0], 4*rowDst, &src[0], 4*rowSrc, rows, cols)
	from := src // not read where there are at most eight rows
	if rows > 8 {
		from = src[8*rowSrc:]
	}
	transpose8AVX2(&dst[8], 4*rowDst, &from[0], 4*rowSrc, rows-8, cols)
}

//go:noescape
func copyRows16AVX2(dst *float32, src *float32, rowSrc int, rows int, cols int)

//go:noescape
func copyRows32AVX2(dst *float32, src *float32, rowSrc int, rows int, cols int)

//go:noescape
func transpose8AVX2(dst *float32, rowDst int, src *float32, rowSrc int, rows, cols int)

//go:noescape
func zip8AVX2(dst, a, b *float32, n int)

// zipEights zips as many elements as whole vectors hold, and returns their number.
func zipEights(v Variant, dst, a, b []float32) int {
	n := len(a) &^ 7
	if n == 0 || v.Float32() < AVX2 {
		return 0
	}
	zip8AVX2(&dst[0], &a[0], &b[0], n)
	return n
}

func fmaLoopAVX2(n int)
