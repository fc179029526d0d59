package bench

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// A Mean is a group's geometric mean of ratios.
type Mean struct {
	Group   string  `json:"group"`
	Threads int     `json:"threads"`
	Rows    int     `json:"rows"` // with a ratio
	Ratio   float64 `json:"ratio"`
	Low     float64 `json:"low"` // smallest and largest mean of one round
	High    float64 `json:"high"`
	Worst   float64 `json:"worst"` // smallest ratio of a row
	Row     string  `json:"row"`   // that row's key

	Modes    []string `json:"modes"`    // the other program's ways that were measured
	Sessions []int    `json:"sessions"` // that the rows were measured in, from 1 on
}

// Threads lists the numbers of threads that were measured, in order.
func (r *Record) Threads() []int {
	var list []int
	for _, c := range r.Rows {
		list = append(list, c.Threads)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Means returns the geometric mean of every group's ratios, in order of first appearance.
func (r *Record) Means(threads int) []Mean {
	var means []Mean
	for _, c := range r.Rows {
		if c.Threads != threads || c.Ratio == 0 {
			continue
		}
		for _, g := range c.Groups {
			if !slices.ContainsFunc(means, func(m Mean) bool { return m.Group == g }) {
				means = append(means, r.mean(g, threads))
			}
		}
	}
	return means
}

func (r *Record) mean(group string, threads int) Mean {
	m := Mean{Group: group, Threads: threads}
	tried := map[string]int{} // rows, by mode
	var all []float64
	var rounds [][]float64 // of each round the ratios of all rows
	for _, c := range r.Rows {
		if c.Threads != threads || c.Ratio == 0 || !slices.Contains(c.Groups, group) {
			continue
		}
		all = append(all, c.Ratio)
		m.Sessions = append(m.Sessions, c.Session)
		for mode := range c.Modes {
			tried[mode]++
		}
		if m.Rows++; m.Row == "" || c.Ratio < m.Worst {
			m.Worst, m.Row = c.Ratio, c.Key
		}
		for i := range min(len(c.Ours), len(c.Theirs)) {
			if i == len(rounds) {
				rounds = append(rounds, nil)
			}
			if q := ratio(c.Theirs[i], c.Ours[i]); q > 0 {
				rounds[i] = append(rounds[i], q)
			}
		}
	}
	slices.Sort(m.Sessions)
	m.Sessions = slices.Compact(m.Sessions)
	m.Modes = ways(tried, m.Rows)
	m.Ratio = geometric(all)
	m.Low, m.High = m.Ratio, m.Ratio
	for _, q := range rounds {
		if len(q) == m.Rows { // a round that a row has not been in has another mean
			m.Low, m.High = min(m.Low, geometric(q)), max(m.High, geometric(q))
		}
	}
	return m
}

// ways lists the modes that were measured, those of some rows alone with their number:
// "compile (3)".
func ways(tried map[string]int, rows int) []string {
	var list []string
	for _, mode := range slices.Sorted(maps.Keys(tried)) {
		if n := tried[mode]; n < rows {
			mode = fmt.Sprintf("%s (%d)", mode, n)
		}
		list = append(list, mode)
	}
	return list
}

// geometric mean of positive numbers; 0 of none.
func geometric(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(x)))
}

// A Total is the time of all convolutions of a network's training step, each as often as it
// occurs, in all three directions.
type Total struct {
	Net          string  `json:"net"`
	Ours, Theirs float64 // seconds
}

// Totals returns the convolutions' share of every network's step.
func (r *Record) Totals(threads int) []Total {
	var totals []Total
	for _, c := range r.Rows {
		if c.Threads != threads || c.Ratio == 0 || len(c.Groups) == 0 || !isConv(c) {
			continue
		}
		for net, uses := range c.Uses {
			i := slices.IndexFunc(totals, func(t Total) bool { return t.Net == net })
			if i < 0 {
				i = len(totals)
				totals = append(totals, Total{Net: net})
			}
			totals[i].Ours += float64(uses) * medianOf(c.Ours)
			totals[i].Theirs += float64(uses) * medianOf(c.Theirs)
		}
	}
	slices.SortFunc(totals, func(a, b Total) int {
		if a.Net < b.Net {
			return -1
		}
		return 1
	})
	return totals
}

func isConv(c Comparison) bool {
	return slices.ContainsFunc([]string{"conv forward", "conv input-grad", "conv weight-grad"},
		func(g string) bool { return c.Groups[0] == g })
}

// A Scaling is what a second thread brings to a row.
type Scaling struct {
	Row          Comparison // with the larger number of threads
	Ours, Theirs float64    // time of one thread over that of more
	Bound        float64    // the same of the row's bound
	Roofline     float64    // the same of a step's roofline, of other rows the bound
}

// Scalings returns the rows that were measured with one thread and with the given number.
func (r *Record) Scalings(threads int) []Scaling {
	var list []Scaling
	for _, c := range r.Rows {
		one, ok := r.Find(c.Key, 1)
		if !ok || c.Threads != threads || threads == 1 || c.Unit != FLOPs && c.Unit != Bytes {
			continue
		}
		s := Scaling{Row: c, Ours: ratio(medianOf(one.Ours), medianOf(c.Ours)),
			Theirs: ratio(medianOf(one.Theirs), medianOf(c.Theirs)), Bound: ratio(c.Bound, one.Bound)}
		if s.Roofline = ratio(one.Roofline, c.Roofline); s.Roofline == 0 {
			s.Roofline = s.Bound
		}
		list = append(list, s)
	}
	return list
}
