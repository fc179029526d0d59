package report

import (
	"math"
	"strings"
)

func (p *Plot) bars(s *svg) {
	n := len(p.Categories)
	right := s.w - 4.0
	bottom := s.h - 22
	wrapped := make([][]string, n)
	slotGuess := (s.w - 50) / float64(max(n, 1))
	for i, c := range p.Categories {
		wrapped[i] = wrapWords(c, int(slotGuess/charW))
		bottom = min(bottom, s.h-8-lineH*float64(len(wrapped[i])))
	}
	y, left := p.frame(s, bottom, right)
	slot := (right - left) / float64(max(n, 1))
	zero := y.at(math.Max(0, y.lo))
	k := float64(len(p.Series))
	width := min(slot*0.72/k, 46)
	for c := range n {
		mid := left + slot*(float64(c)+0.5)
		for l, line := range wrapped[c] {
			s.text(mid, bottom+16+lineH*float64(l), "tick", "middle", line)
		}
		for i, sr := range p.Series {
			if !y.shows(sr.Y[c]) {
				continue
			}
			x0 := mid + (float64(i)-k/2)*width
			top, low := y.at(sr.Y[c]), zero
			if top > low {
				top, low = low, top
			}
			s.el("rect", "x", x0+1, "y", top, "width", width-2, "height", max(low-top, 0.5),
				"class", "bar "+p.class(i))
			if len(sr.Lo) > 0 && y.shows(sr.Lo[c]) && y.shows(sr.Hi[c]) {
				whisker(s, x0+width/2, y.at(sr.Lo[c]), y.at(sr.Hi[c]))
			}
		}
	}
	s.el("line", "x1", left, "x2", right, "y1", zero, "y2", zero, "class", "base")
	p.marks(s, y, left, right)
}

// whisker draws a vertical interval with short ends.
func whisker(s *svg, x, lo, hi float64) {
	s.el("path", "class", "whisker", "d", "M"+px(x)+" "+px(lo)+"V"+px(hi)+
		"M"+px(x-3)+" "+px(lo)+"h6M"+px(x-3)+" "+px(hi)+"h6")
}

func (p *Plot) dots(s *svg) {
	n, k := len(p.Categories), len(p.Series)
	rowH := max(30, dotGap*float64(k)+14)
	left := 0.0
	wrapped := make([][]string, n)
	for i, c := range p.Categories {
		wrapped[i] = wrapWords(c, 26)
		for _, line := range wrapped[i] {
			left = max(left, textLen(line)+14)
		}
	}
	top := 8.0
	if len(p.Marks) > 0 {
		top = 22
	}
	bottom := top + rowH*float64(n)
	s.h = bottom + 24
	if p.XLabel != "" {
		s.h += 20
	}
	lo, hi := p.valueRange()
	x := newAxis(lo, hi, 5, false)
	x.from, x.to = left, s.w-14
	labels := x.labels()
	for i, t := range x.ticks {
		s.el("line", "x1", x.at(t), "x2", x.at(t), "y1", top, "y2", bottom, "class", "grid")
		s.text(x.at(t), bottom+17, "tick", "middle", labels[i])
	}
	if p.XLabel != "" {
		s.text((left+s.w-14)/2, s.h-4, "axis", "middle", p.XLabel)
	}
	for _, m := range p.Marks {
		if x.shows(m.Value) {
			at := x.at(m.Value)
			s.el("line", "x1", at, "x2", at, "y1", top-6, "y2", bottom, "class", "mark")
			half := textLen(m.Label) / 2
			s.text(min(max(at, left+half), s.w-half), 11, "marklabel", "middle", m.Label)
		}
	}
	for c := range n {
		y := top + rowH*float64(c)
		if c > 0 {
			s.el("line", "x1", 0, "x2", s.w-14, "y1", y, "y2", y, "class", "rule")
		}
		first := y + rowH/2 + 4 - lineH*float64(len(wrapped[c])-1)/2
		for l, line := range wrapped[c] {
			s.text(0, first+lineH*float64(l), "cat", "start", line)
		}
		for i := range p.Series {
			at := y + rowH/2 + dotGap*(float64(i)-float64(k-1)/2)
			p.dot(s, i, c, x, at)
		}
	}
}

// dot draws value c of series i with its interval at height y, in the series' own marker.
func (p *Plot) dot(s *svg, i, c int, x axis, y float64) {
	sr := p.Series[i]
	if !x.shows(sr.Y[c]) {
		return
	}
	if len(sr.Lo) > 0 && x.shows(sr.Lo[c]) && x.shows(sr.Hi[c]) {
		s.el("line", "x1", x.at(sr.Lo[c]), "x2", x.at(sr.Hi[c]), "y1", y, "y2", y,
			"class", "span "+p.class(i))
	}
	s.el("path", "class", "dot "+p.class(i), "d", marker(i, x.at(sr.Y[c]), y))
}

// marker returns the path of the i-th marker round (x, y): disc, square, diamond, triangle, and on,
// so that series differ in more than colour.
func marker(i int, x, y float64) string {
	at := func(dx, dy float64) string { return px(x+dx) + " " + px(y+dy) }
	switch i % 4 {
	case 1:
		return "M" + at(-4, -4) + "h8v8h-8Z"
	case 2:
		return "M" + at(0, -5.4) + "L" + at(5.4, 0) + "L" + at(0, 5.4) + "L" + at(-5.4, 0) + "Z"
	case 3:
		return "M" + at(0, -5) + "L" + at(5, 4) + "L" + at(-5, 4) + "Z"
	}
	return "M" + at(-4.6, 0) + "a4.6 4.6 0 1 0 9.2 0a4.6 4.6 0 1 0 -9.2 0Z"
}

// wrapWords breaks s at spaces into lines of at most n characters where words allow.
func wrapWords(s string, n int) []string {
	var lines []string
	for _, w := range strings.Fields(s) {
		last := len(lines) - 1
		if last >= 0 && len([]rune(lines[last]))+1+len([]rune(w)) <= n {
			lines[last] += " " + w
		} else {
			lines = append(lines, w)
		}
	}
	return lines
}
