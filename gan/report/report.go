package report

import (
	"fmt"

	"afterimage/gan/metrics"
	"afterimage/tensor"
)

// A Report is the content of one page. Studies and single runs use the same type.
type Report struct {
	Kicker   string     // a small line above the title: what kind of page this is
	Title    string     // the finding or the run's name
	Lede     string     // one paragraph: what one sees here (prose)
	Figure   *Figure    // what one came to see, before anything is said of it; may be nil
	Finding  string     // what came out, in words (prose)
	Headline []Headline // what came out, in at most four numbers, large
	Sections []Section
	Footer   string // prose
}

// A Headline is one large number at the top of the page.
type Headline struct {
	Label string // what it is, above the number
	Cell  Cell
	Note  string // what to compare it with, below the number
}

// A Section is a heading with what belongs under it, in this order: prose, figures, plots,
// tables, facts, commands. Everything but the heading may be empty.
type Section struct {
	Heading  string
	Prose    string // paragraphs separated by an empty line
	Figures  []Figure
	Plots    []Plot
	Tables   []Table
	Facts    []Fact
	Commands []string // shell command lines, without a prompt
}

// A Figure is a contact sheet with its caption.
type Figure struct {
	Title   string
	Sheet   *Sheet
	Caption string // prose
}

// check panics unless the figure has a sheet whose parts fit together.
func (f *Figure) check() {
	if f.Sheet == nil {
		fail("report.Write", "figure %q has no sheet", f.Title)
	}
	f.Sheet.check()
}

// beside reports whether the section's text has one plot to stand next to where the page is wide.
func (s Section) beside() bool {
	return s.Prose != "" && len(s.Figures) == 0 && len(s.Plots) == 1
}

// narrow is how many columns a sheet may have to stand beside another one.
const narrow = 6

// pairs reports whether the section's sheets are all narrow enough to stand side by side.
func (s Section) pairs() bool {
	for _, f := range s.Figures {
		if b := f.Sheet.bands()[0]; b[1]-b[0] > narrow {
			return false
		}
	}
	return len(s.Figures) > 1
}

// A Table has a name for every row and column; cells hold numbers with intervals, or text.
type Table struct {
	Title   string
	Columns []string // without the column of row names
	Rows    []Row
	Caption string // prose
}

// A Row is a line of a table.
type Row struct {
	Name    string
	Note    string // small, below the name: the unit, the better direction, the value of chance
	Cells   []Cell // one per column
	Control bool   // a control, set back from the rest
}

// A Cell is a value with its interval and unit, as text. Make one with Est or Text.
type Cell struct {
	Value    string
	Interval string // "[28.1, 32.2]" or ""
	Unit     string
	Best     bool // stressed
}

// A Fact is a named value: a line of the environment or the configuration.
type Fact struct{ Name, Value string }

// Est returns the cell of an estimate, unit such as "%" or "dB" or "".
func Est(e metrics.Estimate, unit string) Cell {
	v, i := e.Format()
	return Cell{Value: v, Interval: i, Unit: unit}
}

// Text returns a cell of plain text.
func Text(s string) Cell { return Cell{Value: s} }

// Duration returns a number of seconds as people say it, to two or three digits: –, 90 s, 60 min,
// 2.5 h, 17.1 days.
func Duration(seconds float64) string {
	switch {
	case seconds == 0:
		return "–"
	case seconds < 120:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds < 2*3600:
		return fmt.Sprintf("%.0f min", seconds/60)
	case seconds < 48*3600:
		return fmt.Sprintf("%.1f h", seconds/3600)
	}
	return fmt.Sprintf("%.1f days", seconds/86400)
}

// Stress returns the cell marked as the best of its kind.
func (c Cell) Stress() Cell {
	c.Best = true
	return c
}

// check panics if the parts do not fit together; a page that silently drops a column would lie.
func (r *Report) check() {
	if r.Title == "" {
		fail("report.Write", "the report has no title")
	}
	if r.Figure != nil {
		r.Figure.check()
	}
	for _, s := range r.Sections {
		if s.Heading == "" {
			fail("report.Write", "a section has no heading")
		}
		for _, t := range s.Tables {
			for _, row := range t.Rows {
				if len(row.Cells) != len(t.Columns) {
					fail("report.Write", "table %q, row %q: %d cells for %d columns",
						t.Title, row.Name, len(row.Cells), len(t.Columns))
				}
			}
		}
		for _, f := range s.Figures {
			f.check()
		}
		for i := range s.Plots {
			s.Plots[i].check()
		}
	}
}

// fail panics with the error type of misuse.
func fail(op, format string, args ...any) {
	panic(&tensor.Error{Op: op, Reason: fmt.Sprintf(format, args...)})
}
