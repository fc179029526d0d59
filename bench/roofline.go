package bench

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// A KernelTime is what the calls of one kernel, a method of the backend, take of a step.
type KernelTime struct {
	Kernel   string  `json:"kernel"`
	Calls    int     `json:"calls"`    // in a run
	Seconds  float64 `json:"seconds"`  // of a run, the mean of countedRuns
	Roofline float64 `json:"roofline"` // seconds of a run at least
}

// countedRuns is how many runs a ledger is kept of, after a first one.
const countedRuns = 3

// count runs a step a few times on a backend like b that keeps a ledger, and returns the calls of
// all runs but the first. Rows that are no steps have none: they stand beside a bound of their own.
func count(b *cpu.Backend, s Spec) (tally, error) {
	open := stepOpeners()[s.Kind]
	if open == nil {
		return nil, nil
	}
	l := &ledger{cpu.OpenLike(b, b.Threads()), tally{}}
	defer l.Backend.Close()
	var err error
	e := tensor.Try(func() {
		var j job
		if j, err = open(l, s); err != nil {
			return
		}
		defer j.close()
		for i := 0; err == nil && i <= countedRuns; i++ {
			if i == 1 {
				clear(l.tally)
			}
			err = j.run()
		}
	})
	if e != nil { // out of memory
		err = e
	}
	return l.tally, err
}

// smallestCopy is the smallest copy whose rate bounds a kernel, in bytes.
const smallestCopy = 64 << 10

// roofline returns the seconds that a run takes at least with b's threads, in all and by kernel,
// the longest first: of each call the longer of its operations at the given peak, in GFLOP/s, and
// its bytes at the rate of a copy of as many, rounded up to a power of two, measured now. Calls do
// not overlap: one begins when the one before it has ended. A copy that fits a cache is measured in
// it, wherever the step's tensors are.
//
// Source: Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for
// multicore architectures", CACM 52(4), 2009; here call by call.
func (y tally) roofline(b *cpu.Backend, peak float64) (all float64, list []KernelTime) {
	if len(y) == 0 {
		return 0, nil
	}
	own := cpu.OpenLike(b, b.Threads()) // the step finds its memory as it left it
	defer own.Close()
	rates := map[int]float64{} // GB/s, of copies of so many bytes
	rate := func(bytes float64) float64 {
		size := smallestCopy
		for float64(size) < bytes {
			size *= 2
		}
		if rates[size] == 0 {
			rates[size] = CopyRate(own, size)
		}
		return rates[size]
	}
	kernels := map[string]KernelTime{}
	for c, s := range y {
		k := kernels[c.kernel]
		k.Kernel = c.kernel
		k.Calls += s.times / countedRuns
		k.Seconds += s.seconds / countedRuns
		k.Roofline += float64(s.times/countedRuns) / 1e9 * math.Max(c.flops/peak, c.bytes/rate(c.bytes))
		kernels[c.kernel] = k
	}
	list = slices.SortedFunc(maps.Values(kernels), func(a, b KernelTime) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Kernel, b.Kernel))
	})
	for _, k := range list {
		all += k.Roofline
	}
	return all, list
}
