//go:build amd64 && !purego

package vec

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// best returns the fastest variant that this processor runs.
func best() table {
	switch {
	case hasAVX512():
		return avx512Table()
	case hasAVX2():
		return avx2Table()
	}
	return goTable()
}

// variants returns every variant that can run here, for the tests.
func variants() []table {
	all := []table{goTable()}
	if hasAVX2() {
		all = append(all, avx2Table())
	}
	if hasAVX512() {
		all = append(all, avx512Table())
	}
	return all
}

// hasAVX2 asks for AVX2 and for fused multiply-adds, a feature of its own.
func hasAVX2() bool { return cpu.X86.HasAVX2 && cpu.X86.HasFMA }

// hasAVX512 asks for the parts that the assembly uses: those of every server processor since
// Skylake and Zen 4.
func hasAVX512() bool {
	x := cpu.X86
	return x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL && x.HasBMI2
}

// span is how many elements one assembly call handles: such a call cannot be pre-empted, so it
// should stay well below a millisecond. Sums also depend on it: they add one partial sum a span.
const span = 1 << 17

// chunks calls f on [lo, hi) pieces of dst. With stream, where dst is part of a large array, the
// pieces after the first begin at a cache line and are to be written around the cache (nt).
func chunks(dst []float32, stream bool, f func(lo, hi int, nt bool)) {
	n, lo := len(dst), 0
	nt := stream && cap(dst) >= StreamLen
	if nt {
		if lo = offLine(dst); lo > 0 {
			f(0, lo, false)
		}
	}
	for lo < n {
		hi := min(n, lo+span)
		f(lo, hi, nt)
		lo = hi
	}
}

// around reports whether dst, made of x alone, may be written around the cache.
func around(dst, x []float32) bool { return !same(dst, x) && cap(dst) >= 2*StreamLen }

// offLine returns how many elements of dst come before its first cache line boundary.
func offLine(dst []float32) int {
	return int(-uintptr(unsafe.Pointer(unsafe.SliceData(dst))) >> 2 & 15)
}

// rowChunks calls f on pieces of dst [rows, c] that are whole rows. With stream they are to be
// written around the cache where dst is part of a large array and each row begins at a cache line.
func rowChunks(dst []float32, c int, stream bool, f func(lo, rows int, nt bool)) {
	nt := stream && cap(dst) >= StreamLen && c%16 == 0 && offLine(dst) == 0
	per := max(1, span/max(c, 1))
	for lo := 0; lo < len(dst); lo += per * c {
		f(lo, min(per, (len(dst)-lo)/c), nt)
	}
}

// same says whether two slices of equal, nonzero length are one.
func same(x, y []float32) bool { return &x[0] == &y[0] }
