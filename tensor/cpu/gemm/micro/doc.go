// Package micro is the inner kernel of matrix multiplication and convolution: a tile of C, kept in
// registers, that sums products of elements of A and rows of B over a list of segments.
//
//	C[r][j] = Alpha * sum over segments s, k < s.K of
//	              A[s.A + row(r) + k*StepA] * B[s.B + k*StepB + j]
//	        + Bias[j] + Beta * C[r][j]
//
// In a matrix product there is one segment, the K loop. In a convolution there is one segment for
// each tap of the filter: moving to the next tap moves the place where the same pixels' inputs
// begin, and nothing else. The input is read where it lies; no matrix of patches is built. In the
// gradient of the weights a segment is a row of pixels. One family of kernels therefore carries
// nearly all arithmetic of the CPU backend.
//
// A is read one element at a time and broadcast to all lanes, so its strides are free and it
// seldom needs packing. B is read in vectors of 16 or 32 columns, so its rows must be contiguous:
// Pack and Transpose16 make such panels, and MulCopy makes one of the B that it multiplies with.
//
// The kernels are Go assembly written by generators (tensor/cpu/internal/asmgen/gemm, for arm64
// .../neon); Generic is the same contract in plain Go, the specification and the fallback. AVX-512
// keeps a whole tile of 14×32 in its registers. AVX2 and NEON have a quarter of their room and
// compute a tile in parts of at most 6×16, one column of parts after the other. NEON was tested
// under emulation only, and has no packing of its own.
//
// A second family multiplies pairs of bfloat16s with AVX512_BF16; see bf16.go.
//
// Non-goals: blocking, threading, choosing tile shapes; callers do that.
//
// Invariants:
//
//  1. Each element of C is one chain of multiply-adds in the order of the segments, started from
//     zero, or in MulTaps the sum of two: its bits depend neither on the tile it is computed in
//     nor on its neighbours. Of a pair of bfloat16s the second is added first.
//  2. C is not read when Beta is zero, and nothing outside its Rows×Cols elements is written.
//  3. Columns at or beyond Cols are neither read in B nor written in C.
//
// Comes from: packages gemm and conv. Goes to: the machine.
package micro

//go:generate sh -c "cd ../../internal/asmgen && go run ./gemm && go run ./neon"
