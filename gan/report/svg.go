package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Sizes of a chart in the units of its viewBox; at full width one unit is about one pixel.
const (
	chartW    = 560
	chartH    = 300
	charW     = 6.8 // mean advance of a character at the chart's font size
	lineH     = 14
	dotGap    = 12 // from one series of dots to the next
	tickGap   = 8
	fewPoints = 14 // a curve of at most so many points shows each of them
	fewTicks  = 8  // positions on a logarithmic axis that are all labelled
)

// An svg collects the elements of one chart.
type svg struct {
	b    strings.Builder
	w, h float64
}

// el writes one element; kv alternates attribute names and values (string, int or float64).
func (s *svg) el(name string, kv ...any) {
	s.open(name, "/>", kv...)
}

// text writes a text element.
func (s *svg) text(x, y float64, class, anchor, body string) {
	s.open("text", ">", "x", x, "y", y, "class", class, "text-anchor", anchor)
	s.b.WriteString(template.HTMLEscapeString(body))
	s.b.WriteString("</text>")
}

func (s *svg) open(name, end string, kv ...any) {
	s.b.WriteString("<" + name)
	for i := 0; i < len(kv); i += 2 {
		v := kv[i+1]
		if f, ok := v.(float64); ok {
			v = px(f)
		}
		fmt.Fprintf(&s.b, ` %s="%s"`, kv[i], template.HTMLEscapeString(fmt.Sprint(v)))
	}
	s.b.WriteString(end)
}

// px formats a coordinate with at most one decimal: a tenth of a pixel is below what is seen.
func px(v float64) string {
	s := strconv.FormatFloat(v, 'f', 1, 64)
	s = strings.TrimSuffix(s, ".0")
	if s == "-0" {
		return "0"
	}
	return s
}

// SVG draws the plot. Colours come from the page's style sheet, so it follows light and dark mode.
func (p *Plot) SVG() template.HTML {
	p.check()
	s := &svg{w: chartW, h: chartH}
	switch p.Kind {
	case Lines:
		p.lines(s)
	case Bars:
		p.bars(s)
	case Dots:
		p.dots(s)
	}
	return template.HTML(fmt.Sprintf(
		`<svg viewBox="0 0 %s %s" role="img" aria-label="%s">%s</svg>`,
		px(s.w), px(s.h), template.HTMLEscapeString(p.describe()), s.b.String()))
}

// class returns the style class of series i, which sets its colour.
func (p *Plot) class(i int) string {
	if p.Series[i].Muted {
		return "s0"
	}
	return fmt.Sprintf("s%d", i+1)
}

// frame draws what Lines and Bars share, the value axis on the left with its grid, and returns it;
// the plotting area is between left and right.
func (p *Plot) frame(s *svg, bottom, right float64) (y axis, left float64) {
	lo, hi := p.valueRange()
	y = newAxis(lo, hi, 5, p.LogY)
	top := 10.0
	if p.YLabel != "" {
		s.text(0, 11, "axis", "start", p.YLabel)
		top = 28
	}
	y.from, y.to = bottom, top
	labels := y.labels()
	for _, l := range labels {
		left = max(left, textLen(l)+tickGap)
	}
	for i, t := range y.ticks {
		at := y.at(t)
		class := "grid"
		if t == 0 {
			class = "base"
		}
		s.el("line", "x1", left, "x2", right, "y1", at, "y2", at, "class", class)
		s.text(left-tickGap, at+4, "tick", "end", labels[i])
	}
	return y, left
}

// marks draws horizontal reference lines across left..right, each labelled at the end where
// the series stay farther away.
func (p *Plot) marks(s *svg, y axis, left, right float64) {
	for _, m := range p.Marks {
		if !y.shows(m.Value) {
			continue
		}
		at := y.at(m.Value)
		s.el("line", "x1", left, "x2", right, "y1", at, "y2", at, "class", "mark")
		if p.clearance(y, at, true) > p.clearance(y, at, false) {
			s.text(left+4, at-5, "marklabel", "start", m.Label)
		} else {
			s.text(right, at-5, "marklabel", "end", m.Label)
		}
	}
}

// clearance returns the distance from height at to the nearest first or last value of a series.
func (p *Plot) clearance(y axis, at float64, first bool) float64 {
	d := math.Inf(1)
	for _, c := range p.Series {
		if n := len(c.Y); n > 0 {
			v := c.Y[n-1]
			if first {
				v = c.Y[0]
			}
			if y.shows(v) {
				d = min(d, math.Abs(y.at(v)-at))
			}
		}
	}
	return d
}

// xAxis returns an axis over the abscissas of all series, and their range. Where they are counts,
// as steps are, so are the ticks.
func (p *Plot) xAxis() (x axis, lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	counts := true
	for _, c := range p.Series {
		for _, v := range c.X {
			if finite(v) && (!p.LogX || v > 0) {
				lo, hi = min(lo, v), max(hi, v)
				counts = counts && v == math.Round(v)
			}
		}
	}
	if lo > hi {
		lo, hi = 0, 1
	}
	x = newAxis(lo, hi, 5, p.LogX).tight(lo, hi)
	if counts && hi-lo >= 2 {
		x.ticks = slices.DeleteFunc(x.ticks, func(t float64) bool { return t != math.Round(t) })
	}
	return x, lo, hi
}

func (p *Plot) lines(s *svg) {
	room := 0.0
	if len(p.Series) > 1 {
		for _, c := range p.Series {
			room = max(room, textLen(c.Name)+14)
		}
	}
	right := s.w - min(max(room, 12), 170)
	bottom := s.h - 24
	if p.XLabel != "" {
		bottom -= 18
	}
	y, left := p.frame(s, bottom, right)
	x, lo, hi := p.xAxis()
	c := p.Series[0].X
	if n := len(c); p.LogX && n > 1 && n <= fewTicks && c[0] == lo && c[n-1] == hi {
		x.ticks = c // a sweep over a few factors: label those
	}
	x.from, x.to = left+6, right-4
	labels := x.labels()
	s.el("line", "x1", left, "x2", right, "y1", bottom, "y2", bottom, "class", "base")
	for i, t := range x.ticks {
		s.el("line", "x1", x.at(t), "x2", x.at(t), "y1", bottom, "y2", bottom+4, "class", "base")
		s.text(x.at(t), bottom+17, "tick", "middle", labels[i])
	}
	if p.XLabel != "" {
		s.text((left+right)/2, s.h-4, "axis", "middle", p.XLabel)
	}
	for i := range p.Series {
		p.band(s, i, x, y)
	}
	for i := range p.Series {
		p.curve(s, i, x, y)
	}
	p.marks(s, y, left, right)
	if len(p.Series) > 1 {
		p.endLabels(s, x, y, right+8)
	}
}

// band fills between the interval limits of series i.
func (p *Plot) band(s *svg, i int, x, y axis) {
	c := p.Series[i]
	var up, down []string
	for j := range c.Lo {
		if x.shows(c.X[j]) && y.shows(c.Lo[j]) && y.shows(c.Hi[j]) {
			up = append(up, px(x.at(c.X[j]))+" "+px(y.at(c.Hi[j])))
			down = append(down, px(x.at(c.X[j]))+" "+px(y.at(c.Lo[j])))
		}
	}
	if len(up) < 2 {
		return
	}
	for l, r := 0, len(down)-1; l < r; l, r = l+1, r-1 {
		down[l], down[r] = down[r], down[l]
	}
	s.el("path", "class", "band "+p.class(i), "d", "M"+strings.Join(append(up, down...), "L")+"Z")
}

// curve draws series i, broken where a value has no place, with its points if they are few.
func (p *Plot) curve(s *svg, i int, x, y axis) {
	c := p.Series[i]
	var d strings.Builder
	var points [][2]float64
	pen := "M"
	for j, v := range c.Y {
		if !x.shows(c.X[j]) || !y.shows(v) {
			pen = "M"
			continue
		}
		d.WriteString(pen + px(x.at(c.X[j])) + " " + px(y.at(v)))
		pen = "L"
		points = append(points, [2]float64{x.at(c.X[j]), y.at(v)})
	}
	if d.Len() > 0 {
		s.el("path", "class", "curve "+p.class(i), "d", d.String())
	}
	for _, at := range points {
		if len(c.Y) <= fewPoints {
			s.el("circle", "cx", at[0], "cy", at[1], "r", 3.2, "class", "dot "+p.class(i))
		}
	}
}

// endLabels names each curve at its right end, pushed apart where they would overlap.
func (p *Plot) endLabels(s *svg, x, y axis, at float64) {
	type label struct {
		series int
		y      float64
	}
	var ls []label
	for i, c := range p.Series {
		for j := len(c.Y) - 1; j >= 0; j-- {
			if y.shows(c.Y[j]) && x.shows(c.X[j]) {
				l := label{i, y.at(c.Y[j])}
				k := len(ls)
				for k > 0 && ls[k-1].y > l.y { // sorted from the top, stable
					k--
				}
				ls = append(ls[:k], append([]label{l}, ls[k:]...)...)
				break
			}
		}
	}
	for range 20 { // relax: each pass moves overlapping neighbours apart by half
		for k := 1; k < len(ls); k++ {
			if over := lineH - (ls[k].y - ls[k-1].y); over > 0.01 {
				ls[k-1].y -= over / 2
				ls[k].y += over / 2
			}
		}
	}
	for _, l := range ls {
		s.text(at, l.y+4, "name "+p.class(l.series), "start", p.Series[l.series].Name)
	}
}

// labels returns the text of every tick, with as many decimals as their distance needs.
func (a axis) labels() []string {
	out := make([]string, len(a.ticks))
	d := 0
	if len(a.ticks) > 1 && !a.log {
		step := a.ticks[1] - a.ticks[0]
		for s := step; d < 6 && math.Abs(s-math.Round(s)) > 1e-6; s *= 10 {
			d++
		}
	}
	for i, t := range a.ticks {
		if a.log {
			out[i] = plain(t)
		} else {
			out[i] = group(t, d)
		}
	}
	return out
}

// plain formats a number with four significant digits, thousands grouped.
func plain(v float64) string {
	if !finite(v) {
		return "n/a"
	}
	d := 0
	if v != 0 {
		d = min(max(3-int(math.Floor(math.Log10(math.Abs(v)))), 0), 6)
	}
	s := group(v, d)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// group formats v with d decimals, commas between thousands and a true minus sign.
func group(v float64, d int) string {
	s := strconv.FormatFloat(math.Abs(v), 'f', d, 64)
	whole, frac, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if d > 0 {
		whole += "." + frac
	}
	if v < 0 && strings.Trim(s, "0.") != "" {
		return "−" + whole
	}
	return whole
}

// textLen estimates the width of a label.
func textLen(s string) float64 { return charW * float64(len([]rune(s))) }
