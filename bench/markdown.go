package bench

import (
	"fmt"
	"slices"
	"strings"
)

// Markdown returns the record as a page: the sessions, the groups' means, every row, and what a
// second thread brings.
func (r *Record) Markdown() string {
	var b strings.Builder
	b.WriteString("# This program and PyTorch, in turn\n\n" +
		"Ratio: PyTorch's time (or memory) over ours, the median of the rounds with its smallest and " +
		"largest; above 1 ours is faster or smaller. PyTorch's figure is that of the best of the ways " +
		"that were measured: those that the session asked for and the row has, of memory eager-cl and " +
		"the step's fastest; the tables of means list them. Start and memory are measured with the C " +
		"library's malloc as it is, all else as the session's environment has it. Of bound: our rate " +
		"over the multiply-add peak, or the copy, measured beside it.\n")
	for i, s := range r.Sessions {
		modes := "all"
		if s.Modes != nil {
			modes = strings.Join(s.Modes, ", ")
		}
		fmt.Fprintf(&b, "\n%d. %s, %d threads, %d rounds of %g s, PyTorch's ways: %s: `%s`\n"+
			"   * ours: %s\n   * theirs: %s\n", i+1, s.Date, s.Threads, s.Rounds, s.Seconds, modes,
			s.Command, facts(s.Ours), facts(s.Theirs))
	}
	for _, t := range r.Threads() {
		r.means(&b, t)
	}
	for _, t := range r.Threads() {
		r.table(&b, t)
	}
	for _, t := range r.Threads() {
		r.scaling(&b, t)
	}
	return b.String()
}

// facts lists an environment in the order of its names.
func facts(e map[string]any) string {
	var list []string
	for k, v := range e {
		list = append(list, fmt.Sprintf("%s %v", k, v))
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}

func (r *Record) means(b *strings.Builder, threads int) {
	fmt.Fprintf(b, "\n## Geometric means, %s\n\nA way in front of a number was measured on so many "+
		"of the group's rows alone. Sessions are numbered above.\n\n| group | rows | ratio | rounds | "+
		"smallest | of row | PyTorch's ways | session |\n|---|---:|---:|---:|---:|---|---|---|\n",
		plural(threads))
	for _, m := range r.Means(threads) {
		fmt.Fprintf(b, "| %s | %d | **%.2f** | %.2f … %.2f | %.2f | `%s` | %s | %s |\n", m.Group, m.Rows,
			m.Ratio, m.Low, m.High, m.Worst, m.Row, strings.Join(m.Modes, ", "), strings.Trim(
				strings.Join(strings.Fields(fmt.Sprint(m.Sessions)), ", "), "[]"))
	}
	totals := r.Totals(threads)
	if len(totals) == 0 {
		return
	}
	fmt.Fprintf(b, "\nAll convolutions of a network's step, each as often as it occurs, three "+
		"directions (the stem's input gradient included):\n\n| network | ours | PyTorch | ratio |\n"+
		"|---|---:|---:|---:|\n")
	for _, t := range totals {
		fmt.Fprintf(b, "| %s | %s ms | %s ms | **%.2f** |\n", t.Net, milliseconds(t.Ours),
			milliseconds(t.Theirs), ratio(t.Theirs, t.Ours))
	}
}

func (r *Record) table(b *strings.Builder, threads int) {
	fmt.Fprintf(b, "\n## Rows, %s\n", plural(threads))
	group := ""
	for _, c := range r.Rows {
		if c.Threads != threads {
			continue
		}
		if len(c.Groups) > 0 && c.Groups[0] != group {
			group = c.Groups[0]
			fmt.Fprintf(b, "\n### %s\n\n| row | shape | ours | PyTorch | way | our rate | of bound | "+
				"ratio | rounds |\n|---|---|---:|---:|---|---:|---:|---:|---:|\n", group)
		}
		fmt.Fprintln(b, c)
	}
}

// String returns the row as a line of a Markdown table.
func (r Comparison) String() string {
	ours, theirs := r.value(medianOf(r.Ours), r.TotalOurs), r.value(medianOf(r.Theirs), r.TotalTheirs)
	rate, bound, quotient, rounds := "", "", "–", ""
	if r.Unit != Seconds && r.Unit != Megabytes && len(r.Ours) > 0 {
		v := ratio(r.Work, medianOf(r.Ours))
		rate = fmt.Sprintf("%.4g %s", v, r.Unit)
		if r.Bound > 0 {
			bound = fmt.Sprintf("%.0f %%", 100*v/r.Bound)
		}
	}
	if r.Ratio > 0 {
		quotient = fmt.Sprintf("**%.2f**", r.Ratio)
		rounds = fmt.Sprintf("%.2f … %.2f", r.Low, r.High)
	}
	if len(r.Notes) > 0 {
		notes := slices.Compact(slices.Clone(r.Notes))
		rounds = strings.TrimSpace(rounds + " " + strings.ReplaceAll(strings.Join(notes, "; "), "|", "/"))
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s | %s |", r.Name, r.Shape, ours, theirs,
		r.Best, rate, bound, quotient, rounds)
}

// value prints a time, or memory with its total.
func (r Comparison) value(v, total float64) string {
	switch {
	case v == 0:
		return "–"
	case r.Unit == Megabytes:
		return fmt.Sprintf("%.0f MB (%.0f in all)", v/1e6, total/1e6)
	}
	return milliseconds(v) + " ms"
}

func (r *Record) scaling(b *strings.Builder, threads int) {
	list := r.Scalings(threads)
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s against one\n\nSpeed-up of the median times. Bound: the same "+
		"quotient of the bound measured beside the row. Roofline: of a step, that of the times it would "+
		"take if each of its kernels ran at the multiply-add peak or as fast as a copy of its bytes, "+
		"whichever is longer; of other rows the bound's.\n\n| row | shape | ours | PyTorch | bound | "+
		"roofline | ours of roofline |\n|---|---|---:|---:|---:|---:|---:|\n", plural(threads))
	for _, s := range list {
		fmt.Fprintf(b, "| %s | %s | %.2f | %.2f | %.2f | %.2f | %.0f %% |\n", s.Row.Name, s.Row.Shape,
			s.Ours, s.Theirs, s.Bound, s.Roofline, 100*ratio(s.Ours, s.Roofline))
	}
}

func plural(threads int) string {
	if threads == 1 {
		return "1 thread"
	}
	return fmt.Sprintf("%d threads", threads)
}
