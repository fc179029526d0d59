package gemm

import (
	"time"

	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// PeakFMA measures the multiply-add peak of the pool's threads in GFLOP/s (a multiply-add counts
// two): a loop in registers on every thread at once, the best of five rounds of about 10 ms. It is
// what a kernel's rate is divided by to give its fraction of peak. It takes about 50 ms and varies
// with the clock and with other programs; measure it next to what it is compared with.
func PeakFMA(p *par.Pool) float64 { return peak(p, micro.Best()) }

// PeakBF16 is PeakFMA of products in bfloat16, each of which counts two operations as well. It
// panics if HasBF16 is false.
func PeakBF16(p *par.Pool) float64 { return peak(p, bestBF16()) }

func peak(p *par.Pool, v micro.Variant) float64 {
	// One millisecond at a plausible rate is long enough for the clock and short enough to share.
	calls, perCall := 10*p.Threads(), 50_000_000/2
	if v == micro.Generic {
		perCall = 1_000_000
	}
	best := 0.0
	for range 5 {
		done := make([]int, calls)
		start := time.Now()
		p.Run(calls, func(i int) { done[i] = micro.PeakLoop(v, perCall) })
		seconds := time.Since(start).Seconds()
		flops := 0
		for _, d := range done {
			flops += d
		}
		best = max(best, float64(flops)/seconds/1e9)
	}
	return best
}
