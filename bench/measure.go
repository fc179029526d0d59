package bench

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"slices"
	"time"

	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/cpu/gemm"
)

// Kernels measures single kernels and layers on b: matrix products, the three directions of every
// convolution of the main job's networks, and what moves memory. Rows come in the catalogue's
// order.
func Kernels(b *cpu.Backend, o Options) ([]Row, error) {
	return rows(NewCatalogue().Kernels, o, func(s Spec) (Row, error) { return Measure(b, s, o) })
}

// Steps measures whole training steps through the program's own trainers, inference, the loader,
// starting the program and its memory, on random images of a fixed seed. Each step runs on a
// backend of its own like b, so that its peak of tensor memory is its own. Rows in bfloat16 are
// left out on machines without it.
func Steps(b *cpu.Backend, o Options) ([]Row, error) {
	return rows(NewCatalogue().Steps, o, func(s Spec) (Row, error) {
		if s.Target != "" {
			return fresh(s, o)
		}
		own := cpu.OpenLike(b, b.Threads())
		defer own.Close()
		r, err := Measure(own, s, o)
		r.PeakBytes = own.Memory().Peak
		return r, err
	})
}

// rows measures what is asked for and possible.
func rows(list []Spec, o Options, measure func(Spec) (Row, error)) ([]Row, error) {
	var out []Row
	for _, s := range list {
		if !s.Matches(o.Only) || s.Precision != "" && !gemm.HasBF16() ||
			s.Target != "" && o.Program == nil {
			continue
		}
		r, err := measure(s)
		if err != nil {
			return out, err
		}
		out = append(out, r)
		if o.Observe != nil {
			o.Observe(r)
		}
	}
	return out, nil
}

// Measure measures one row on b between two measurements of its bound. Errors: ErrUnsupported, or
// whatever the work failed with.
func Measure(b *cpu.Backend, s Spec, o Options) (Row, error) {
	if o.Seconds <= 0 {
		o.Seconds = DefaultSeconds
	}
	j, err := open(b, s)
	if err != nil {
		return Row{}, err
	}
	defer j.close()
	if j.tally, err = count(b, s); err != nil {
		return Row{}, err
	}
	if err := j.warm(warmUps); err != nil {
		return Row{}, err
	}
	collected, waited := collecting(), j.waits()
	t, err := j.boundedTimes(b, s, minRuns, o.Seconds)
	if err != nil {
		return Row{}, err
	}
	collected, waited = collecting()-collected, j.waits()-waited
	r := t.row(s, Bound{t.bound, ratePerCPU(b, s)}, b.Threads())
	if s.Images > 0 && s.Unit == FLOPs {
		r.MallocsPerRun, r.GCFraction = mallocs(j), ratio(collected, t.cpu)
	}
	if j.waited != nil {
		r.WaitFraction = new(ratio(waited, t.total()))
	}
	return r, nil
}

// waits is j.waited in seconds.
func (j job) waits() float64 {
	if j.waited == nil {
		return 0
	}
	return j.waited().Seconds()
}

// boundedTimes runs a job as times does and measures its bound by the wall clock besides.
//
// Of what computes, that is the multiply-add peak, measured as the job is: the median of rounds
// between its runs, because the clock that counts is the one under the job's load. (The best of ten
// rounds before and after is 2 to 4 % higher where the clock may rise.) Of what moves memory it is
// the larger of two copies, before and after: between the runs they would empty the caches. So is
// the peak of jobs so short that there was no round between.
//
// A step's roofline is measured after it.
func (j job) boundedTimes(b *cpu.Backend, s Spec, least int, seconds float64) (timing, error) {
	bound := boundOf(b, s)
	var rounds []float64
	last := time.Now()
	between := func() {
		if time.Since(last) > roundEvery {
			rounds = append(rounds, gemm.PeakRound(b.Pool(), multiplier(b)))
			last = time.Now()
		}
	}
	if s.Unit != FLOPs || j.peak != nil {
		between = func() {}
	}
	t, err := j.times(least, seconds, between)
	if err != nil {
		return t, err
	}
	t.bound = max(bound, boundOf(b, s))
	if len(rounds) > 0 {
		slices.Sort(rounds)
		t.bound = median(rounds)
	}
	t.roofline, t.kernels = j.tally.roofline(b, t.bound)
	return t, nil
}

// boundOf measures what the machine can do of a row's unit; zero where nothing bounds it.
func boundOf(b *cpu.Backend, s Spec) float64 {
	switch s.Unit {
	case FLOPs:
		return Peak(b)
	case Bytes:
		return CopyRate(b, int(s.Work*1e9))
	}
	return 0
}

// A timing is what the runs of a job took.
type timing struct {
	seconds  []float64
	cpu      float64 // CPU seconds of all runs
	bound    float64 // by the wall clock, in the row's unit, if it was measured
	roofline float64 // seconds of a run at least, a step's only
	kernels  []KernelTime
}

// total is the seconds of all runs.
func (t timing) total() float64 {
	all := 0.0
	for _, s := range t.seconds {
		all += s
	}
	return all
}

// long is how many seconds a warm-up run takes after which another one would show nothing.
const long = 2.0

// warm makes up to n warm-up runs, only one of a long job.
func (j job) warm(n int) error {
	for range n {
		t, err := j.times(1, 0, func() {})
		if err != nil || t.seconds[0] > long {
			return err
		}
	}
	return nil
}

// times runs a job at least so often and at least so long, and calls between after each run.
func (j job) times(least int, seconds float64, between func()) (t timing, err error) {
	run := func() {
		start, c := time.Now(), cpuSeconds()
		err = j.run()
		t.seconds = append(t.seconds, time.Since(start).Seconds())
		t.cpu += cpuSeconds() - c
	}
	if j.peak != nil {
		run = func() { t.seconds = append(t.seconds, 1/j.peak()) }
	}
	begin := time.Now()
	for err == nil && (len(t.seconds) < least ||
		time.Since(begin).Seconds() < seconds && len(t.seconds) < maxRuns) {
		if e := tensor.Try(run); e != nil { // out of memory
			err = e
		}
		between()
	}
	return t, err
}

// row turns times into a row.
func (t timing) row(s Spec, bound Bound, threads int) Row {
	sorted := slices.Sorted(slices.Values(t.seconds))
	r := Row{Key: s.Key, Name: s.Name, Shape: s.Shape, Unit: s.Unit, Runs: len(sorted),
		Median: median(sorted), Min: sorted[0], Max: sorted[len(sorted)-1],
		CPU: t.cpu / float64(len(sorted)), Bound: bound.Wall,
		Roofline: t.roofline, Kernels: t.kernels}
	r.Rate = ratio(s.Work, r.Median)
	r.Fraction = ratio(r.Rate, r.Bound)
	r.CPUFraction = ratio(perCPU(s.Work, r.CPU, threads), bound.PerCPU)
	if s.Images > 0 {
		r.ImagesPerSecond = ratio(float64(s.Images), r.Median)
	}
	return r
}

// ratio is a/b, 0 where there is no b: what was not measured.
func ratio(a, b float64) float64 {
	if !(b > 0) {
		return 0
	}
	return a / b
}

// median of sorted numbers.
func median(s []float64) float64 {
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// mallocs counts the Go heap objects that one more run makes.
func mallocs(j job) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if j.run() != nil {
		return 0
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs)
}

// collecting returns the CPU seconds that the garbage collector has taken, by the runtime's own
// account, which is brought up to date at the end of each collection.
func collecting() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindFloat64 {
		return 0
	}
	return s[0].Value.Float64()
}

// fresh measures a row that takes a program of its own: see Fresh.
func fresh(s Spec, o Options) (Row, error) {
	step, err := NewCatalogue().Find(s.Target)
	if err != nil {
		return Row{}, err
	}
	f, err := StartFresh(Start(o.Program), step, "")
	if err != nil {
		return Row{}, fmt.Errorf("bench: %s: %w", s.Key, err)
	}
	r := Row{Key: s.Key, Name: s.Name, Shape: s.Shape, Unit: s.Unit, Runs: 1}
	if s.Kind == "start" {
		r.Median, r.Min, r.Max, r.Rate = f.FirstStep, f.FirstStep, f.FirstStep, f.FirstStep
	} else {
		r.Growth, r.Total, r.Rate = f.Growth, f.Total, float64(f.Growth)/1e6
	}
	return r, nil
}
