package study

import (
	"fmt"
	"strings"
)

// finding says what the comparison came out as.
func (p *page) finding() string {
	d := p.Compared.Find("retrieval, median")
	if d == nil {
		return ""
	}
	a, b := p.Evaluation(p.Compared.A), p.Evaluation(p.Compared.B)
	verdict := "are not told apart by this measure"
	switch {
	case excludesZero(d.Estimate) && d.Estimate.Value < 0:
		verdict = "hold more of the image than"
	case excludesZero(d.Estimate):
		verdict = "hold less of the image than"
	}
	av, _ := a.OneDraw.Retrieval.Median.Format()
	bv, _ := b.OneDraw.Retrieval.Median.Format()
	dv, di := d.Estimate.Format()
	numbers := fmt.Sprintf("the true image ranks %s %% among the other test images of the %s, "+
		"against %s %% (50 %% is chance; difference %s points, %s)",
		av, a.Protocol, bv, dv, di)
	if !excludesZero(d.Estimate) {
		return fmt.Sprintf("Here %s and %s %s: %s.", phrase(a.Name), phrase(b.Name), verdict,
			numbers)
	}
	return fmt.Sprintf("Here %s %s %s: %s.", phrase(a.Name), verdict, phrase(b.Name), numbers)
}

// others names the measures that tell the two inverters apart when the median ranks do not; ""
// otherwise.
func (p *page) others() string {
	d := p.Compared.Find("retrieval, median")
	if d == nil || excludesZero(d.Estimate) {
		return ""
	}
	var closer, farther []string
	for _, m := range []struct{ name, phrase, unit string }{
		{"retrieval, mean", "the mean rank", " points"}, {"8×8 error", "the 8×8 error", ""}} {
		if x := p.Compared.Find(m.name); x != nil && excludesZero(x.Estimate) {
			v, i := x.Estimate.Format()
			said := fmt.Sprintf("%s (difference %s%s, %s)", m.phrase, v, m.unit, i)
			if x.Estimate.Value < 0 {
				closer = append(closer, said)
			} else {
				farther = append(farther, said)
			}
		}
	}
	var parts []string
	for _, s := range []struct {
		said []string
		side string
	}{{closer, p.Compared.A}, {farther, p.Compared.B}} {
		if len(s.said) > 0 {
			parts = append(parts, strings.Join(s.said, " and ")+" in favour of "+phrase(s.side))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " What does tell them apart: " + strings.Join(parts, "; ") + "."
}

// kept says of a page of shipped weights how many reconstructions keep the class.
func (p *page) kept() string {
	if !p.shipped {
		return ""
	}
	var parts []string
	for _, e := range p.Evaluations {
		if !isLabel(e.Name) {
			v, i := percent(e.OneDraw.Agreement).Format()
			parts = append(parts, fmt.Sprintf("%s %% %s from %s", v, i, phrase(e.Name)))
		}
	}
	return " Of the reconstructions, the classifier sees the class of the original again in " +
		strings.Join(parts, " and in ") + "."
}

// phrase names what an inverter is told, within a sentence.
func phrase(inverter string) string {
	if isLabel(inverter) {
		return "the label alone"
	}
	return "the " + display(inverter)
}
