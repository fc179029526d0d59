package gemm

import (
	"time"

	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// PeakFMA measures the multiply-add peak of the pool's threads in GFLOP/s (a multiply-add counts
// two): a loop in registers on every thread at once, the best of five rounds of some milliseconds.
// It varies with the clock and with other programs; PeakRound is measured next to what is compared
// with it.
func PeakFMA(p *par.Pool) float64 { return peak(p, micro.Best()) }

// PeakBF16 is PeakFMA of products in bfloat16, each of which counts two operations as well. It
// panics if HasBF16 is false.
func PeakBF16(p *par.Pool) float64 { return peak(p, bestBF16()) }

func peak(p *par.Pool, v micro.Variant) float64 {
	best := 0.0
	for range 5 {
		best = max(best, PeakRound(p, v))
	}
	return best
}

// PeakRound is one of the rounds that PeakFMA takes the best of, for a given variant: what the
// machine does at this moment, in GFLOP/s. Processors lower their clock under work that loads more
// than their multipliers, so a kernel has a lower peak beside it than a register loop has alone;
// rounds between the kernel's runs show it.
func PeakRound(p *par.Pool, v micro.Variant) float64 {
	// Some milliseconds at a plausible rate are long enough for the clock, and a hundredth of that
	// short enough that no thread waits long for the last of another.
	calls, perCall := 100*p.Threads(), 5_000_000/2
	if v == micro.Generic {
		perCall = 100_000
	}
	p.Run(p.Threads(), func(int) { micro.PeakLoop(v, perCall) }) // wakes who sleeps
	done := make([]int, calls)
	start := time.Now()
	p.Run(calls, func(i int) { done[i] = micro.PeakLoop(v, perCall) })
	seconds := time.Since(start).Seconds()
	flops := 0
	for _, d := range done {
		flops += d
	}
	return float64(flops) / seconds / 1e9
}
