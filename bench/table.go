package bench

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Header is the first line of the table that Row.String continues.
func Header() string {
	return line("", "", "median", "min … max", "rate", "of bound", "by CPU", "")
}

// String returns the row as one line of a table: name, shape, median and spread of the times, rate,
// the fraction of the bound measured beside it, the same fraction by CPU seconds, and for a step
// the fraction of its roofline, images a second, its peak of tensor memory, its Go heap objects,
// the garbage collector's share of its CPU seconds and the loader's of its time.
func (r Row) String() string {
	times, spread, byCPU := "", "", ""
	if r.Median > 0 {
		times, spread = milliseconds(r.Median)+" ms", milliseconds(r.Min)+" … "+milliseconds(r.Max)
	}
	if r.CPUFraction > 0 {
		byCPU = fmt.Sprintf("%.0f %%", 100*r.CPUFraction)
	}
	var rest []string
	if r.Roofline > 0 {
		rest = append(rest, fmt.Sprintf("%.0f %% of roofline", 100*ratio(r.Roofline, r.Median)))
	}
	if r.ImagesPerSecond > 0 && r.Unit != Images {
		rest = append(rest, fmt.Sprintf("%.0f images/s", r.ImagesPerSecond))
	}
	if r.PeakBytes > 0 {
		rest = append(rest, fmt.Sprintf("%.0f MB", float64(r.PeakBytes)/1e6))
	}
	if r.MallocsPerRun > 0 {
		rest = append(rest, fmt.Sprintf("%.0f mallocs, GC %.2f %%", r.MallocsPerRun, 100*r.GCFraction))
	}
	if r.WaitFraction != nil {
		rest = append(rest, fmt.Sprintf("waits for the loader %.2f %%", 100**r.WaitFraction))
	}
	if r.Total > 0 {
		rest = append(rest, fmt.Sprintf("%.0f MB in all", float64(r.Total)/1e6))
	}
	fraction := ""
	if r.Bound > 0 {
		fraction = fmt.Sprintf("%.0f %%", 100*r.Fraction)
	}
	return line(r.Name, r.Shape, times, spread, fmt.Sprintf("%.1f %s", r.Rate, r.Unit), fraction,
		byCPU, strings.Join(rest, ", "))
}

// ByKernel returns a table of the kernels of a step, the longest first, each with its calls in a
// run, its time, its share of all kernels' time and how much of that its roofline is; empty for
// other rows.
func (r Row) ByKernel() string {
	all := 0.0
	for _, k := range r.Kernels {
		all += k.Seconds
	}
	var b strings.Builder
	for _, k := range r.Kernels {
		fmt.Fprintf(&b, "  %-22s %5d calls %10s ms %5.1f %% of all %4.0f %% of roofline\n", k.Kernel,
			k.Calls, milliseconds(k.Seconds), 100*ratio(k.Seconds, all), 100*ratio(k.Roofline, k.Seconds))
	}
	return b.String()
}

// line sets a row of the table: name, shape, times, spread, rate, fraction, by CPU, and the rest.
func line(cells ...string) string { return inColumns(cells, -34, -26, 11, 20, 15, 9, 7) }

// inColumns pads cells to widths, one after the other; a cell too many stands behind two blanks.
func inColumns(cells []string, widths ...int) string {
	var b strings.Builder
	for i, cell := range cells {
		if i < len(widths) {
			b.WriteString(pad(cell, widths[i]))
		} else {
			b.WriteString("  " + cell)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// pad fills s up to a width in characters, on the right if the width is negative.
func pad(s string, width int) string {
	fill := strings.Repeat(" ", max(0, max(width, -width)-utf8.RuneCountInString(s)))
	if width < 0 {
		return s + fill
	}
	return fill + s
}

// milliseconds prints three digits.
func milliseconds(seconds float64) string {
	switch ms := 1e3 * seconds; {
	case ms < 10:
		return fmt.Sprintf("%.3f", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f", ms)
	default:
		return fmt.Sprintf("%.0f", ms)
	}
}
