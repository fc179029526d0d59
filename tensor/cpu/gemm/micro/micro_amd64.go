//go:build !purego

package micro

import (
	"sync"

	"golang.org/x/sys/cpu"
)

// runs reports whether the processor and the operating system support the variant.
func (v Variant) runs() bool {
	switch v {
	case Generic:
		return true
	case AVX2:
		return cpu.X86.HasAVX2 && cpu.X86.HasFMA
	case AVX512:
		return cpu.X86.HasAVX512F
	}
	return false
}

func cpuid(leaf uint32) (eax, ebx uint32)

// dataWays returns how many lines a set of the first-level data cache holds, which AMD and Intel
// tell in different leaves of the same form; 1 where they don't.
var dataWays = sync.OnceValue(func() int {
	const amd, intel, extended = 0x8000001d, 4, 0x80000000
	leaf := uint32(intel)
	if last, _ := cpuid(extended); last >= amd {
		leaf = amd
	}
	_, ebx := cpuid(leaf)
	return int(ebx>>22) + 1
})

//go:noescape
func transpose16(dst *float32, rowDst int, src *float32, rowSrc int, rows, cols int)

//go:noescape
func copyRows16(dst *float32, src *float32, rowSrc int, rows int, mask int)

//go:noescape
func copyRows32(dst *float32, src *float32, rowSrc int, rows int, mask int)

//go:noescape
func prefetchRows(src *float32, rowSrc int, rows, lines int)

func fmaLoop(n int)

// peakLoop does rounds of the multiply-adds that PeakLoop counts.
func peakLoop(v Variant, rounds int) {
	if v == AVX2 {
		fmaLoopAVX2(rounds)
		return
	}
	fmaLoop(rounds)
}

func mulNEON(*Args) { panic("micro: NEON is arm64's") }

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

func prefetchLines(src []float32, stride, rows, cols int) {
	prefetchRows(&src[0], 4*stride, rows, (cols+15)/16)
}
