// Package gemm multiplies float32 matrices: C = alpha·op(A)·op(B) + beta·C.
//
// # The six loops
//
// A multiply-add needs two numbers and memory delivers far fewer than the arithmetic can use, so
// the whole art is to use each number often while it is close. Loops round a small kernel do
// that (Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication"; Van Zee
// and van de Geijn 2015, "BLIS"):
//
//	for jc over n in steps of NC          columns of B and C
//	  for pp over k in steps of KP        their packed KP×NC block of B: third-level cache
//	    for ic over m in steps of MC      an MC×KP block of A: second-level cache
//	      for jr over NC in steps of 32     one panel of B and, for each of the sums that it has
//	        for pc over KP in steps of KC     steps for, KC×32 of it
//	          for ir over MC in steps of ≤14    the micro-kernel: a 14×32 tile of C in registers,
//	                                            KC steps, each 28 vector multiply-adds for two
//	                                            vectors of B and fourteen elements of A
//
// The sixth loop is not in the books. KC fixes the bits of C: it is the length of the sums that are
// made in registers and added up in memory, and depends on k alone, because a row of C must be the
// same in any batch. KP, one KC or two, fixes how often C comes from far: where both sums of a
// panel follow one another, the few tiles of a block are still in the cache when the second is
// added. That leaves a block of A half the rows. It pays from some hundred rows of C on, which KP
// is free to look at.
//
// These are AVX-512's numbers. AVX2 and NEON have less room in registers: their tiles are 12×32,
// which the micro-kernel computes in parts of 6×16.
//
// # Where the time goes
//
// The kernel alone, on operands in the second-level cache, runs at 97 to 98 % of the multiply-add
// peak. What surrounds it has to cost next to nothing, and does where it hides behind arithmetic:
//
//   - B is packed in passing: the first tile of rows that uses a panel reads it where it lies and
//     the kernel writes it to the panel besides (micro.MulCopy). Packing beforehand costs two
//     passes through memory, 2 to 5 % of a square product and 15 % of one with 64 rows. It remains
//     for a B that has to be turned (transB) or is kept for further calls.
//   - A is read in place: the kernel takes any strides. Rows a page apart meet in one set of the
//     first-level cache: tiles have no more of them than fit beside B, eleven where a set has
//     twelve lines. Where it has eight A is copied, strip by strip just before its first use.
//   - What comes from far is asked for in the steps of the tile before, a cache line in each: the
//     next panel, the next rows of A (ahead.go), C shortly before its store.
//   - KC is large, so that C is read and written seldom and tiles begin seldom.
//   - Of sums of up to 32 steps C is most of what moves, and it moves in order: the two inner loops
//     change places, so that its rows are written from end to end (sweepAcross).
//
// What is left, 5 to 6 % of 1024³ and of 2048³ on one thread where 512³ and 768³ lose 3 to 4, is in
// part rows a page apart: all lines of a panel of B pass through a few sets of each cache, so that
// the tile that packs it asks for it itself, late, and takes two to three times as long as others.
// To the kernel's own 1 to 1.5 % come C, 0.5 to 1 %, and 1 to 2 % for panels on their way from the
// third-level cache. bench/LOG.md has what was tried.
//
// The tiles of the parallel loop are MC and NC multiples; each thread packs for itself, so nobody
// waits for another's packing. How large they are: plan.go.
//
// The sum over k of one element of C is never divided among threads and its blocks depend on k
// alone, so the result has the same bits for any number of threads and for any tiling. Products
// with a small C and a long k, whose blocks would be too few to share, are the exception: k is cut
// into slices by a rule that looks only at the shape, and the partial products are added in order.
//
// SBGEMM rounds A and B to bfloat16 and multiplies pairs of neighbours along k at once, in the same
// loops with half the length; both operands are packed then, because packing is what rounds.
//
// Non-goals: other types, complex numbers, triangular and symmetric forms, tuning at run time.
//
// Invariants:
//
//  1. The bits of C depend on the operands and their shape, not on the number of threads.
//  2. C is not read when beta is zero. Every product is formed: 0·NaN is NaN, also when alpha is 0.
//  3. Nothing is allocated in the steady state but a few closures; scratch belongs to the pool.
//
// Comes from: tensor/cpu (MatMul, linear layers, 1×1 convolutions). Goes to: package micro.
package gemm
