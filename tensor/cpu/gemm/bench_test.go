package gemm

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"afterimage/tensor/cpu/par"
)

// BenchmarkSGEMM reports the rate and its fraction of the multiply-add peak measured just before.
func BenchmarkSGEMM(b *testing.B) {
	for _, threads := range []int{1, 2} {
		p := par.New(threads)
		for _, s := range []struct {
			m, n, k        int
			transA, transB bool
		}{
			{256, 256, 256, false, false}, {512, 512, 512, false, false},
			{1024, 1024, 1024, false, false}, {2048, 2048, 2048, false, false},
			{64, 1024, 576, false, false}, {64, 3136, 576, false, false},
			{256, 784, 1152, false, false}, {128, 1024, 1024, false, true},
			{1024, 1024, 128, true, false}, {64, 256, 25088, true, false},
			{100352, 64, 64, false, true}, {100352, 64, 256, false, false},
		} {
			name := fmt.Sprintf("t%d/%dx%dx%d", threads, s.m, s.n, s.k)
			b.Run(name, func(b *testing.B) { benchmark(b, p, s.transA, s.transB, s.m, s.n, s.k) })
		}
		p.Close()
	}
}

func benchmark(b *testing.B, p *par.Pool, transA, transB bool, m, n, k int) {
	// Memory that was never written is one page of zeros, which no cache misses.
	rng := rand.New(rand.NewPCG(1, 1))
	x, y, c := random(rng, m*k), random(rng, k*n), random(rng, m*n)
	lda, ldb := k, n
	if transA {
		lda = m
	}
	if transB {
		ldb = k
	}
	peak := PeakFMA(p)
	b.ReportAllocs()
	for b.Loop() {
		SGEMM(p, transA, transB, m, n, k, 1, x, lda, y, ldb, 0, c, n)
	}
	rate := 2 * float64(m) * float64(n) * float64(k) * float64(b.N) / b.Elapsed().Seconds() / 1e9
	b.ReportMetric(rate, "GFLOP/s")
	b.ReportMetric(100*rate/peak, "%peak")
}
