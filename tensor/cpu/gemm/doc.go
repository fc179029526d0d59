// Package gemm multiplies float32 matrices: C = alpha·op(A)·op(B) + beta·C.
//
// # The five loops
//
// A multiply-add needs two numbers and memory delivers far fewer than the arithmetic can use, so
// the whole art is to use each number often while it is close. Five loops round a small kernel do
// that (Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication"; Van Zee
// and van de Geijn 2015, "BLIS"):
//
//	for jc over n in steps of NC        a slab of B and C
//	  for pc over k in steps of KC      its packed KC×NC block of B: second-level cache
//	    for ic over m in steps of MC    an MC×KC block of A
//	      for jr over NC in steps of 32     one KC×32 panel of B: first-level cache
//	        for ir over MC in steps of ≤14    the micro-kernel: a 14×32 tile of C in registers,
//	                                          KC steps, each 28 vector multiply-adds for two
//	                                          vectors of B and fourteen elements of A
//
// These are AVX-512's numbers. AVX2 and NEON have less room in registers: their tiles are 12×32,
// which the micro-kernel computes in parts of 6×16.
//
// Here the micro-kernel (package micro) takes any strides for A, so A is only copied when its rows
// would compete for the same cache sets or would be a page apart. B is read as vectors and packed
// into panels of 32 columns, unless so few rows use it that the copy would cost more than it saves.
//
// The loops over ic and jc are the parallel ones: their blocks are the tiles handed to the pool.
// The sum over k of one element of C is never divided among threads and its blocks depend on k
// alone, so the result has the same bits for any number of threads and for any tiling. Products
// with a small C and a long k, whose blocks would be too few to share, are the exception: k is cut
// into slices by a rule that looks only at the shape, and the partial products are added in order.
//
// SBGEMM rounds A and B to bfloat16 and multiplies pairs of neighbours along k at once, in the same
// five loops with half the length; both operands are packed then, because packing is what rounds.
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
