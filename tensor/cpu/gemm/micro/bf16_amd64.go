//go:build !purego

package micro

import "golang.org/x/sys/cpu"

// hasBF16 reports whether the processor and the operating system support AVX512_BF16, and AVX-512
// BW, which every processor with it has.
func hasBF16() bool {
	return AVX512.runs() && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512BF16
}

//go:noescape
func roundRows(dst *float32, rowDst int, src *float32, rowSrc int, rows, cols int)

//go:noescape
func pairRows(dst *float32, rowDst int, a, b *float32, rowSrc int, rows, cols int, both int32)

func dotLoop(n int)

func peakBF16AVX512(rounds int) { dotLoop(rounds) }

func roundAVX512(dst []float32, rowDst int, src []float32, rowSrc, rows, cols int) {
	roundRows(&dst[0], 4*rowDst, &src[0], 4*rowSrc, rows, cols)
}

func interleaveAVX512(dst []float32, rowDst int, a, b []float32, rowSrc, rows, cols int) {
	both := int32(-1)
	if b == nil { // no lanes, of memory that exists
		b, both = a, 0
	}
	pairRows(&dst[0], 4*rowDst, &a[0], &b[0], 4*rowSrc, rows, cols, both)
}
