package bench

import (
	"regexp"
	"slices"
	"syscall"
	"time"

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
	Only    *regexp.Regexp // rows whose "name shape" it does not match are left out; nil: all
	Observe func(Row)      // called with every row as soon as it is there; may be nil
}

// A Row is one measurement. Times are seconds of one run.
type Row struct {
	Name   string  `json:"name"`
	Shape  string  `json:"shape"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Runs   int     `json:"runs"`
	CPU    float64 `json:"cpu"` // CPU seconds of the process for a run, the mean of all runs

	Rate        float64 `json:"rate"`         // work / Median
	Unit        string  `json:"unit"`         // GFLOP/s or GB/s
	Bound       float64 `json:"bound"`        // the larger of the rates before and after
	Fraction    float64 `json:"fraction"`     // Rate / Bound
	CPUFraction float64 `json:"cpu_fraction"` // the same by CPU seconds; see Bound

	ImagesPerSecond float64 `json:"images_per_second,omitempty"`
	PeakBytes       int     `json:"peak_bytes,omitempty"`      // of tensor memory, a step's only
	MallocsPerRun   float64 `json:"mallocs_per_run,omitempty"` // Go heap objects, a step's only
}

// Units of Row.Rate.
const (
	FLOPs = "GFLOP/s"
	Bytes = "GB/s"
)

// A Bound is what the machine can do at one moment.
//
// On a machine shared with other programs the wall clock counts their time too. CPU seconds do not:
// PerCPU is the rate per CPU second times the number of threads, which equals Wall on an idle
// machine.
type Bound struct {
	Wall   float64 // work per second of the wall clock
	PerCPU float64 // work per CPU second, times the threads
}

func (b Bound) larger(c Bound) Bound {
	return Bound{max(b.Wall, c.Wall), max(b.PerCPU, c.PerCPU)}
}

// peakSteps is the number of multiply-adds in one call of the peak loop: a few milliseconds.
const peakSteps = 100_000_000

// Peak measures the multiply-add peak of the backend's threads in GFLOP/s; it takes about 60 ms.
func Peak(b *cpu.Backend) Bound {
	pool := b.Pool()
	wall := gemm.PeakFMA(pool)
	v, steps := micro.Best(), peakSteps
	if v == micro.Generic {
		steps = 1_000_000
	}
	done := make([]int, pool.Threads())
	start := cpuSeconds()
	pool.Run(len(done), func(i int) { done[i] = micro.PeakLoop(v, steps) })
	spent := cpuSeconds() - start
	flops := 0
	for _, d := range done {
		flops += d
	}
	return Bound{wall, perCPU(float64(flops)/1e9, spent, pool.Threads())}
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

// CopyRate measures how fast the backend's threads copy, in GB/s, with bytes/2 read and as many
// written: the best of three. The size matters: what fits a cache is copied faster.
func CopyRate(b *cpu.Backend, bytes int) Bound {
	n := max(bytes/8, 1)
	src, dst := b.Pool().Borrow(n), b.Pool().Borrow(n)
	defer b.Pool().Return(src)
	defer b.Pool().Return(dst)
	for i := 0; i < n; i += pageFloats {
		// Memory that was never written is one page of zeros for the reader, and always in cache.
		src[i] = 1
	}
	pieces := (n + copyPiece - 1) / copyPiece
	once := func() {
		b.Pool().Run(pieces, func(i int) {
			lo, hi := i*copyPiece, min((i+1)*copyPiece, n)
			copy(dst[lo:hi], src[lo:hi])
		})
	}
	once()
	var best Bound
	repeat := max(1, 16<<20/(8*n)) // small copies are too short for the clock
	for range 3 {
		start, cpu := time.Now(), cpuSeconds()
		for range repeat {
			once()
		}
		gb := float64(repeat*8*n) / 1e9
		spent := cpuSeconds() - cpu
		best = best.larger(Bound{gb / time.Since(start).Seconds(), perCPU(gb, spent, b.Threads())})
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

// A meter measures rows on one backend.
type meter struct {
	b    *cpu.Backend
	o    Options
	rows []Row
}

func newMeter(b *cpu.Backend, o Options) *meter {
	if o.Seconds <= 0 {
		o.Seconds = DefaultSeconds
	}
	return &meter{b: b, o: o}
}

// wants reports whether a row is asked for.
func (m *meter) wants(name, shape string) bool {
	return m.o.Only == nil || m.o.Only.MatchString(name+" "+shape)
}

// flops measures f, which does the given number of floating-point operations.
func (m *meter) flops(name, shape string, flops float64, f func()) {
	if m.wants(name, shape) {
		m.add(m.row(name, shape, flops/1e9, FLOPs, func() Bound { return Peak(m.b) }, f))
	}
}

// bytes measures f, which reads and writes the given number of bytes when each operand is read once
// a pass and each result written once.
func (m *meter) bytes(name, shape string, bytes int, f func()) {
	if m.wants(name, shape) {
		bound := func() Bound { return CopyRate(m.b, bytes) }
		m.add(m.row(name, shape, float64(bytes)/1e9, Bytes, bound, f))
	}
}

func (m *meter) add(r Row) {
	m.rows = append(m.rows, r)
	if m.o.Observe != nil {
		m.o.Observe(r)
	}
}

// row measures f between two measurements of its bound.
func (m *meter) row(name, shape string, work float64, unit string, bound func() Bound,
	f func()) Row {
	for range warmUps {
		f()
	}
	before := bound()
	var times []float64
	cpu := 0.0
	for total := 0.0; len(times) < minRuns || total < m.o.Seconds && len(times) < maxRuns; {
		start, c := time.Now(), cpuSeconds()
		f()
		t := time.Since(start).Seconds()
		cpu += cpuSeconds() - c
		times = append(times, t)
		total += t
	}
	most := before.larger(bound())
	slices.Sort(times)
	r := Row{Name: name, Shape: shape, Unit: unit, Runs: len(times), Bound: most.Wall,
		Median: median(times), Min: times[0], Max: times[len(times)-1],
		CPU: cpu / float64(len(times))}
	r.Rate = work / r.Median
	r.Fraction = r.Rate / r.Bound
	if most.PerCPU > 0 {
		r.CPUFraction = perCPU(work, r.CPU, m.b.Threads()) / most.PerCPU
	}
	return r
}

// median of sorted numbers.
func median(s []float64) float64 {
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}
