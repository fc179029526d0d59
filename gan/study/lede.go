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
	av, _ := a.OneDraw.Retrieval.Median.Format()
	bv, _ := b.OneDraw.Retrieval.Median.Format()
	dv, di := d.Estimate.Format()
	verdict := fmt.Sprintf("By this rank %s and %s are not told apart", phrase(a.Name), phrase(b.Name))
	switch {
	case excludesZero(d.Estimate) && d.Estimate.Value < 0:
		verdict = fmt.Sprintf("**So %s hold more of the image than %s**", phrase(a.Name), phrase(b.Name))
	case excludesZero(d.Estimate):
		verdict = fmt.Sprintf("**So %s hold less of the image than %s**", phrase(a.Name), phrase(b.Name))
	}
	return fmt.Sprintf("How much came back is measured, not judged by eye: of the other test images "+
		"of the %s, how many are nearer to a painted picture than its own original is? In the median "+
		"%s %% for %s and %s %% for %s; 50 %% is chance. %s (difference %s points, %s).",
		a.Protocol, av, phrase(a.Name), bv, phrase(b.Name), verdict, dv, di)
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
