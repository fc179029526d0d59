package bench

import (
	"fmt"
	"slices"

	"afterimage/tensor/cpu"
)

// A SpeedUp is what more threads bring to a step, measured with one thread and with all in turn,
// round by round, beside what they would bring on the roofline.
type SpeedUp struct {
	Key     string `json:"key"`
	Name    string `json:"name"`
	Shape   string `json:"shape"`
	Threads int    `json:"threads"`
	// Of each round: the median time of a run in seconds, and its roofline.
	One          []float64 `json:"one"`
	Many         []float64 `json:"many"`
	RooflineOne  []float64 `json:"roofline_one"`
	RooflineMany []float64 `json:"roofline_many"`
	// Ratio is the median over the rounds of One/Many, Low and High are its extremes; Roofline is the
	// quotient of the medians of both rooflines, Fraction is Ratio/Roofline.
	Ratio    float64 `json:"ratio"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	Roofline float64 `json:"roofline"`
	Fraction float64 `json:"fraction"`
}

// SpeedUps measures steps with one thread and with b's in turn, so often, and gives each to
// observe. Rows that are no steps are left out. Errors: what a step failed with.
func SpeedUps(b *cpu.Backend, o Options, rounds int, observe func(SpeedUp)) ([]SpeedUp,
	error) {
	var all []SpeedUp
	for _, s := range NewCatalogue().Steps {
		if stepOpeners()[s.Kind] == nil || s.Precision != "" || !s.Matches(o.Only) {
			continue
		}
		u, err := speedUp(b, s, o.Seconds, rounds)
		if err != nil {
			return all, err
		}
		all = append(all, u)
		observe(u)
	}
	return all, nil
}

// speedUp measures one step.
func speedUp(b *cpu.Backend, s Spec, seconds float64, rounds int) (u SpeedUp, err error) {
	u = SpeedUp{Key: s.Key, Name: s.Name, Shape: s.Shape, Threads: b.Threads()}
	type side struct {
		on               *cpu.Backend
		job              job
		times, rooflines *[]float64
	}
	sides := [2]side{
		{on: cpu.OpenLike(b, 1), times: &u.One, rooflines: &u.RooflineOne},
		{on: cpu.OpenLike(b, b.Threads()), times: &u.Many, rooflines: &u.RooflineMany}}
	for i := range sides {
		defer sides[i].on.Close()
	}
	for i := range sides {
		t := &sides[i]
		if t.job, err = open(t.on, s); err != nil {
			return u, err
		}
		defer t.job.close()
		if t.job.tally, err = count(t.on, s); err != nil {
			return u, err
		}
		if err = t.job.warm(warmUps); err != nil {
			return u, err
		}
	}
	for range rounds {
		for _, t := range sides {
			m, err := t.job.boundedTimes(t.on, s, 1, seconds)
			if err != nil {
				return u, err
			}
			*t.times = append(*t.times, medianOf(m.seconds))
			*t.rooflines = append(*t.rooflines, m.roofline)
		}
	}
	u.finish()
	return u, nil
}

// finish computes the quotients from the rounds.
func (u *SpeedUp) finish() {
	var ratios []float64
	for i := range u.One {
		ratios = append(ratios, ratio(u.One[i], u.Many[i]))
	}
	if len(ratios) == 0 {
		return
	}
	u.Ratio, u.Low, u.High = medianOf(ratios), slices.Min(ratios), slices.Max(ratios)
	u.Roofline = ratio(medianOf(u.RooflineOne), medianOf(u.RooflineMany))
	u.Fraction = ratio(u.Ratio, u.Roofline)
}

// ScalingHeader is the first line of the table that SpeedUp.String continues.
func ScalingHeader(threads int) string {
	return scalingLine("", "", "1 thread", plural(threads), "faster", "rounds", "roofline",
		"of roofline")
}

// String returns the step as one line of a table: name, shape, median times, how much faster more
// threads are with its spread, the same on the roofline, and the quotient of the two.
func (u SpeedUp) String() string {
	return scalingLine(u.Name, u.Shape, milliseconds(medianOf(u.One))+" ms",
		milliseconds(medianOf(u.Many))+" ms", fmt.Sprintf("%.2f", u.Ratio),
		fmt.Sprintf("%.2f … %.2f", u.Low, u.High), fmt.Sprintf("%.2f", u.Roofline),
		fmt.Sprintf("%.0f %%", 100*u.Fraction))
}

func scalingLine(cells ...string) string {
	return inColumns(cells, -28, -15, 10, 11, 8, 14, 10, 13)
}
