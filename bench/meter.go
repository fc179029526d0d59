package bench

import (
	"regexp"
	"syscall"
	"time"

	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/cpu/gemm"
	"afterimage/tensor/cpu/gemm/micro"
)

// Warm-up and least number of measured runs: the first run takes memory from the system and builds
// tables, the second finds the caches as all others do; a median of five is moved by three bad
// ones.
const (
	warmUps = 2
	minRuns = 5
	maxRuns = 1000
)

// DefaultSeconds is how long a row is measured when Options leaves it open.
const DefaultSeconds = 0.3

// Options say what is measured and for how long.
type Options struct {
	Seconds float64        // time for a row, if five runs take less; 0: DefaultSeconds
	Only    *regexp.Regexp // rows that it does not match are left out (see Spec.Matches); nil: all
	Observe func(Row)      // called with every row as soon as it is there; may be nil
	// Program is the command line of a program that answers like Serve, for rows that take a fresh
	// one; without it those rows are left out.
	Program []string
}

// A Row is one measurement. Times are seconds of one run.
type Row struct {
	Key    string  `json:"key"`
	Name   string  `json:"name"`
	Shape  string  `json:"shape"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Runs   int     `json:"runs"`
	CPU    float64 `json:"cpu"` // CPU seconds of the process for a run, the mean of all runs

	Rate        float64 `json:"rate"`                   // work / Median
	Unit        string  `json:"unit"`                   // of Rate
	Bound       float64 `json:"bound,omitempty"`        // see boundedTimes
	Fraction    float64 `json:"fraction,omitempty"`     // Rate / Bound
	CPUFraction float64 `json:"cpu_fraction,omitempty"` // the same by CPU seconds; see Bound

	// Roofline is the seconds that a step takes at least, by what its kernels have to do; see
	// KernelTime. Kernels lists them, the longest first, as they ran in a few runs of their own.
	Roofline float64      `json:"roofline,omitempty"`
	Kernels  []KernelTime `json:"kernels,omitempty"`

	ImagesPerSecond float64 `json:"images_per_second,omitempty"`
	PeakBytes       int     `json:"peak_bytes,omitempty"`      // of tensor memory, a step's only
	MallocsPerRun   float64 `json:"mallocs_per_run,omitempty"` // Go heap objects, a step's only
	// GCFraction is the garbage collector's share of the CPU seconds of all runs, a step's only: what
	// collections that ended among them took.
	GCFraction float64 `json:"gc_fraction,omitempty"`
	// WaitFraction is the share of all runs' time in which they waited for the loader, of steps that
	// take their batches from it.
	WaitFraction *float64 `json:"wait_fraction,omitempty"`
	// Growth and Total are the largest resident memory of a fresh program over the one after start,
	// and all of it, in bytes.
	Growth int `json:"growth,omitempty"`
	Total  int `json:"total,omitempty"`
}

// A Bound is what the machine can do at one moment.
//
// On a machine shared with other programs the wall clock counts their time too. CPU seconds do not:
// PerCPU is the rate per CPU second times the number of threads, which equals Wall on an idle
// machine.
type Bound struct {
	Wall   float64 // work per second of the wall clock
	PerCPU float64 // work per CPU second, times the threads
}

// peakSteps is the number of multiply-adds in one call of the peak loop: a millisecond or so.
const peakSteps = 100_000_000

// roundEvery is how long runs go on until the peak is measured again between two of them.
const roundEvery = 20 * time.Millisecond

// multiplier is the kernels whose multiply-adds b's products are made of.
func multiplier(b *cpu.Backend) micro.Variant {
	if half, ok := micro.BestBF16(); ok && b.Precision() == tensor.BF16 {
		return half
	}
	return micro.Best()
}

// Peak measures the multiply-add peak of the backend's threads in GFLOP/s, of products in bfloat16
// if b's precision is that: the best of some rounds.
func Peak(b *cpu.Backend) float64 {
	if multiplier(b).Pairs() {
		return gemm.PeakBF16(b.Pool())
	}
	return gemm.PeakFMA(b.Pool())
}

// manyTicks is how long CPU seconds are counted for a rate, at least. The system brings those of
// threads that are running up to date at its tick, every 4 or 10 ms, but for the one that asks: of
// 2 ms of two threads it often has counted one.
const manyTicks = 80 * time.Millisecond

// ratePerCPU measures what a CPU second of b's threads can do of a row's unit, times the threads.
func ratePerCPU(b *cpu.Backend, s Spec) float64 {
	var run func() float64 // returns the work it did
	switch s.Unit {
	case FLOPs:
		v, steps := multiplier(b), peakSteps
		if v == micro.Generic {
			steps = 1_000_000
		}
		done := make([]int, b.Threads())
		run = func() float64 {
			b.Pool().Run(len(done), func(i int) { done[i] = micro.PeakLoop(v, steps) })
			return float64(len(done)*done[0]) / 1e9
		}
	case Bytes:
		c := newCopier(b, int(s.Work*1e9))
		defer c.close()
		c.once()
		run = func() float64 { c.once(); return float64(8*len(c.src)) / 1e9 }
	default:
		return 0
	}
	start, cpu, work := time.Now(), cpuSeconds(), 0.0
	for time.Since(start) < manyTicks {
		work += run()
	}
	return perCPU(work, cpuSeconds()-cpu, b.Threads())
}

// perCPU is work per CPU second times threads, 0 where the clock is too coarse to tell.
func perCPU(work, seconds float64, threads int) float64 {
	if seconds <= 0 {
		return 0
	}
	return work / seconds * float64(threads)
}

// copyPiece is how many floats of a copy a thread takes at a time: 64 KiB, as the backend does.
const copyPiece = 16 << 10

// pageFloats is the smallest page of memory of any system this runs on, in floats.
const pageFloats = 4096 / 4

// A copier copies between two blocks of memory of a backend, in pieces on its threads.
type copier struct {
	b        *cpu.Backend
	src, dst []float32
}

// newCopier takes bytes of memory, half of them to be read and half to be written.
func newCopier(b *cpu.Backend, bytes int) copier {
	n := max(bytes/8, 1)
	c := copier{b, b.Pool().Borrow(n), b.Pool().Borrow(n)}
	for i := 0; i < n; i += pageFloats {
		// Memory that was never written is one page of zeros for the reader, and always in cache.
		c.src[i] = 1
	}
	return c
}

func (c copier) close() {
	c.b.Pool().Return(c.src)
	c.b.Pool().Return(c.dst)
}

func (c copier) once() {
	n := len(c.src)
	c.b.Pool().Run((n+copyPiece-1)/copyPiece, func(i int) {
		lo, hi := i*copyPiece, min((i+1)*copyPiece, n)
		copy(c.dst[lo:hi], c.src[lo:hi])
	})
}

// CopyRate measures how fast the backend's threads copy, in GB/s, with bytes/2 read and as many
// written: the best of three. The size matters: what fits a cache is copied faster.
func CopyRate(b *cpu.Backend, bytes int) float64 {
	c := newCopier(b, bytes)
	defer c.close()
	c.once()
	n, best := len(c.src), 0.0
	repeat := max(1, 16<<20/(8*n)) // small copies are too short for the clock
	for range 3 {
		start := time.Now()
		for range repeat {
			c.once()
		}
		best = max(best, float64(repeat*8*n)/1e9/time.Since(start).Seconds())
	}
	return best
}

// cpuSeconds is the CPU time that the process has taken so far, of all threads.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
