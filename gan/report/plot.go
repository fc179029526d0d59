package report

import (
	"math"

	"afterimage/gan/metrics"
)

// A Kind is a way of plotting.
type Kind uint8

const (
	Lines Kind = iota // curves over a number: training, a sweep
	Bars              // quantities from zero, per category, side by side per series
	Dots              // values with intervals along one axis, a line per category: comparisons
)

// A Plot is one chart. Values that are not finite are left out.
type Plot struct {
	Kind       Kind
	Title      string
	XLabel     string
	YLabel     string
	Categories []string // Bars and Dots: one per value of each series
	Series     []Series // at most six, told apart by colour, dash or marker
	Marks      []Mark   // reference lines on the value axis: chance, a target
	LogX, LogY bool     // Lines: logarithmic axes; values ≤ 0 are left out
	Zero       bool     // the value axis starts at zero; Bars always do
	Caption    string   // prose
}

// A Series is one curve or set of bars or dots. Lo and Hi, if given, are interval limits.
type Series struct {
	Name   string
	X      []float64 // Lines only; increasing
	Y      []float64
	Lo, Hi []float64
	Muted  bool // a control: drawn in grey
}

// Estimates returns a series of estimates with their intervals; x is nil for Bars and Dots.
func Estimates(name string, x []float64, es []metrics.Estimate) Series {
	s := Series{Name: name, X: x}
	for _, e := range es {
		s.Y, s.Lo, s.Hi = append(s.Y, e.Value), append(s.Lo, e.Lo), append(s.Hi, e.Hi)
	}
	return s
}

// A Mark is a labelled reference line at a value.
type Mark struct {
	Value float64
	Label string
}

// maxSeries is how many colours the page defines.
const maxSeries = 6

// check panics unless lengths fit.
func (p *Plot) check() {
	const op = "report.Plot"
	if len(p.Series) == 0 || len(p.Series) > maxSeries {
		fail(op, "%q: %d series: expected 1 to %d", p.Title, len(p.Series), maxSeries)
	}
	for _, s := range p.Series {
		want := len(p.Categories)
		if p.Kind == Lines {
			want = len(s.X)
		}
		if len(s.Y) != want || len(s.Lo) != len(s.Hi) || len(s.Lo) != 0 && len(s.Lo) != want {
			fail(op, "%q, series %q: %d values and %d, %d limits for %d positions",
				p.Title, s.Name, len(s.Y), len(s.Lo), len(s.Hi), want)
		}
	}
}

// valueRange returns the smallest and largest finite value, interval limit and mark.
func (p *Plot) valueRange() (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	take := func(v float64) {
		if finite(v) && (!p.LogY || v > 0) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	for _, s := range p.Series {
		for _, vs := range [][]float64{s.Y, s.Lo, s.Hi} {
			for _, v := range vs {
				take(v)
			}
		}
	}
	for _, m := range p.Marks {
		take(m.Value)
	}
	if p.Zero || p.Kind == Bars {
		take(0)
	}
	if lo > hi {
		return 0, 1
	}
	return lo, hi
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// An axis maps values to pixels and knows its ticks.
type axis struct {
	lo, hi   float64 // of the values, after widening to ticks
	from, to float64 // pixels
	log      bool
	ticks    []float64
}

// newAxis returns an axis over [lo, hi] widened to round numbers, with about n ticks.
func newAxis(lo, hi float64, n int, log bool) axis {
	if log && lo > 0 {
		return logAxis(lo, hi)
	}
	if lo == hi {
		pad := math.Abs(lo) / 10
		if pad == 0 {
			pad = 1
		}
		lo, hi = lo-pad, hi+pad
	}
	step := niceStep((hi - lo) / float64(n))
	// Rounding in the division must not add an empty tick interval.
	first, last := math.Floor(lo/step+1e-9), math.Ceil(hi/step-1e-9)
	a := axis{lo: first * step, hi: last * step}
	for i := first; i <= last; i++ {
		a.ticks = append(a.ticks, i*step)
	}
	return a
}

// tight returns an axis that ends at hi itself, ticks inside: for the steps of a curve.
func (a axis) tight(lo, hi float64) axis {
	if a.log || lo == hi {
		return a
	}
	a.lo, a.hi = lo, hi
	kept := a.ticks[:0]
	for _, t := range a.ticks {
		if t >= lo && t <= hi {
			kept = append(kept, t)
		}
	}
	a.ticks = kept
	return a
}

// logAxis has ticks at 1, 2, 5 times powers of ten over less than three decades, else at powers.
func logAxis(lo, hi float64) axis {
	a := axis{lo: lo, hi: hi, log: true}
	if lo == hi {
		a.lo, a.hi = lo/2, hi*2
	}
	factors := []float64{1}
	if math.Log10(a.hi/a.lo) < 3 {
		factors = []float64{1, 2, 5}
	}
	for e := math.Floor(math.Log10(a.lo)); e <= math.Ceil(math.Log10(a.hi)); e++ {
		for _, f := range factors {
			if v := f * math.Pow(10, e); v >= a.lo*(1-1e-9) && v <= a.hi*(1+1e-9) {
				a.ticks = append(a.ticks, v)
			}
		}
	}
	return a
}

// niceStep returns the smallest of 1, 2, 2.5, 5 times a power of ten that is at least s.
func niceStep(s float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(s)))
	for _, f := range []float64{1, 2, 2.5, 5} {
		if f*p >= s*(1-1e-9) {
			return f * p
		}
	}
	return 10 * p
}

// at returns the pixel of v.
func (a axis) at(v float64) float64 {
	t := (v - a.lo) / (a.hi - a.lo)
	if a.log {
		t = math.Log(v/a.lo) / math.Log(a.hi/a.lo)
	}
	return a.from + t*(a.to-a.from)
}

// shows reports whether v has a place on the axis.
func (a axis) shows(v float64) bool { return finite(v) && (!a.log || v > 0) }
