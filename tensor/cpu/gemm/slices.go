package gemm

import "afterimage/tensor/cpu/gemm/micro"

// Products with a long k and a small C: the gradient of a 1×1 convolution's weights has k equal to
// the number of pixels.
const (
	sliceK      = 1024      // a slice is at least this long
	maxSlices   = 16        // and there are at most so many
	slicedMaxMN = 256 * 256 // beyond this C has blocks enough to share
)

// sliceCount returns into how many slices k is cut. It looks at the shape alone.
func sliceCount(m, n, k int) int {
	if m*n > slicedMaxMN || k < 4*sliceK {
		return 1
	}
	return min(maxSlices, k/sliceK)
}

// runSliced computes each slice's product into a buffer of its own and adds them in order.
func (j *job) runSliced(s int) {
	size := j.m * j.n
	partial := j.p.Borrow(s * size)
	j.then.Kept.Direct() // each slice packs its own
	inner := *j
	inner.alpha, inner.beta, inner.ldc, inner.then = 1, 0, j.n, Epilogue{}
	j.p.Run(s, func(i int) {
		k0, k1 := i*j.k/s, (i+1)*j.k/s
		one := inner
		one.k = k1 - k0
		one.c = partial[i*size:][:size]
		if j.v.Pairs() {
			k0, k1 = 2*k0, min(j.depth, 2*k1)
		}
		one.depth = k1 - k0
		startA, startB := k0, k0*j.ldb
		if j.transA {
			startA = k0 * j.lda
		}
		if j.transB {
			startB = k0
		}
		one.a, one.b = j.a[startA:], j.b[startB:]
		one.run() // inside a Run: on this thread
	})
	j.p.Run(ceil(j.m, sumRows), func(i int) {
		for r := i * sumRows; r < min(j.m, (i+1)*sumRows); r++ {
			j.sumRow(partial, size, s, r)
			if j.then.Block != nil {
				j.then.Block(r, 1, 0, j.n)
			}
		}
	})
	j.p.Return(partial)
}

// sumRows is the number of rows of C one tile of the final sum covers.
const sumRows = 16

// sumRow adds row r of the partial products to C: a product with a row of ones, so that the order
// of the sum is the kernel's, first slice first.
func (j *job) sumRow(partial []float32, size, s, r int) {
	var ones [maxSlices]float32
	for i := range ones {
		ones[i] = 1
	}
	seg := [1]micro.Seg{{K: s}}
	g := micro.Args{A: ones[:], B: partial, C: j.c, Segs: seg[:], StepA: 1, StepB: size, Rows: 1,
		Alpha: j.alpha, Beta: j.beta}
	for c := 0; c < j.n; c += micro.MaxCols {
		g.Cols = min(micro.MaxCols, j.n-c)
		g.BOff, g.COff = r*j.n+c, r*j.ldc+c
		if j.then.Bias != nil {
			g.Bias = j.then.Bias[c:][:g.Cols]
		}
		micro.Mul(j.v.Float32(), &g)
	}
}
