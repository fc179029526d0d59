package report

import (
	"fmt"
	"html/template"
	"strings"
)

// A legendEntry names a series beside its marker.
type legendEntry struct {
	Name  string
	Class string
	Mark  template.HTML
}

// Legend returns an entry per series where the chart does not name them itself.
func (p *Plot) Legend() []legendEntry {
	if p.Kind == Lines || len(p.Series) < 2 {
		return nil
	}
	out := make([]legendEntry, len(p.Series))
	for i, s := range p.Series {
		d := marker(i, 6, 6)
		if p.Kind == Bars {
			d = "M1 1h10v10h-10Z"
		}
		out[i] = legendEntry{s.Name, p.class(i), template.HTML(
			`<svg viewBox="0 0 12 12" aria-hidden="true"><path class="dot ` + p.class(i) +
				`" d="` + d + `"/></svg>`)}
	}
	return out
}

// maxNumbers is how many values a plot may have for its numbers to be listed below it.
const maxNumbers = 80

// Numbers returns the plot's values as a table, or nil if they are too many to be read.
func (p *Plot) Numbers() *Table {
	rows := p.Categories
	if p.Kind == Lines {
		rows = rows[:0:0]
		for _, v := range p.Series[0].X {
			rows = append(rows, plain(v))
		}
		for _, s := range p.Series { // one table needs one set of positions
			if fmt.Sprint(s.X) != fmt.Sprint(p.Series[0].X) {
				return nil
			}
		}
	}
	if len(rows)*len(p.Series) > maxNumbers {
		return nil
	}
	t := &Table{}
	for _, s := range p.Series {
		t.Columns = append(t.Columns, s.Name)
	}
	for i, name := range rows {
		r := Row{Name: name}
		for _, s := range p.Series {
			c := Cell{Value: plain(s.Y[i])}
			if len(s.Lo) > 0 {
				c.Interval = "[" + plain(s.Lo[i]) + ", " + plain(s.Hi[i]) + "]"
			}
			r.Cells = append(r.Cells, c)
		}
		t.Rows = append(t.Rows, r)
	}
	return t
}

// describe returns the text alternative: what is plotted and where each series goes.
func (p *Plot) describe() string {
	var b strings.Builder
	kind := map[Kind]string{Lines: "Line chart", Bars: "Bar chart", Dots: "Dot chart"}[p.Kind]
	fmt.Fprintf(&b, "%s: %s.", kind, p.Title)
	for _, s := range p.Series {
		switch n := len(s.Y); {
		case n == 0:
			fmt.Fprintf(&b, " %s: no values.", s.Name)
		case p.Kind == Lines:
			fmt.Fprintf(&b, " %s: from %s at %s to %s at %s.", s.Name,
				plain(s.Y[0]), plain(s.X[0]), plain(s.Y[n-1]), plain(s.X[n-1]))
		default:
			fmt.Fprintf(&b, " %s:", s.Name)
			for i, v := range s.Y {
				fmt.Fprintf(&b, " %s %s;", p.Categories[i], plain(v))
			}
		}
	}
	for _, m := range p.Marks {
		fmt.Fprintf(&b, " Reference %s: %s.", m.Label, plain(m.Value))
	}
	return b.String()
}
