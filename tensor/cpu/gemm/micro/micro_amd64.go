//go:build !purego

package micro

import "golang.org/x/sys/cpu"

// hasAVX512 reports whether the processor and the operating system support AVX-512 F.
func hasAVX512() bool { return cpu.X86.HasAVX512F }

//go:noescape
func transpose16(dst *float32, rowDst int, src *float32, rowSrc int, rows, cols int)

//go:noescape
func copyRows16(dst *float32, src *float32, rowSrc int, rows int, mask int)

//go:noescape
func copyRows32(dst *float32, src *float32, rowSrc int, rows int, mask int)

//go:noescape
func prefetchRows(src *float32, rowSrc int, rows, lines int)

func fmaLoop(n int)

func peakAVX512(rounds int) { fmaLoop(rounds) }

func packAVX512(dst []float32, width int, src []float32, stride, rows, cols int) {
	mask := 1<<cols - 1
	if width == 16 {
		copyRows16(&dst[0], &src[0], 4*stride, rows, mask)
	} else {
		copyRows32(&dst[0], &src[0], 4*stride, rows, mask)
	}
}

func transposeAVX512(dst []float32, rowDst int, src []float32, rowSrc, rows, cols int) {
	for j := 0; j < cols; j += 16 {
		transpose16(&dst[j*rowDst], 4*rowDst, &src[j], 4*rowSrc, rows, min(16, cols-j))
	}
}

func prefetchAVX512(src []float32, stride, rows, cols int) {
	prefetchRows(&src[0], 4*stride, rows, (cols+15)/16)
}
