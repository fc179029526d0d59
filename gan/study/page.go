package study

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"afterimage/gan/explore"
	"afterimage/gan/metrics"
	"afterimage/gan/report"
)

// A page is a Result with what else its report shows.
type page struct {
	*Result
	curves   []curve
	facts    []report.Fact
	command  string
	shipped  bool   // made from shipped weights: nothing was trained here
	training string // one sentence on how the robust classifier was trained
	steps    string // one sentence if the inverters were not trained equally long
}

// trainingSteps says how long each inverter was trained, if not all equally long.
func (p *page) trainingSteps(s *Spec) error {
	var parts []string
	equal, first := true, 0
	for k, i := range s.Inverters {
		c, err := s.Inverter(i, 1, "")
		if err != nil {
			return err
		}
		if k == 0 {
			first = c.Steps
		}
		equal = equal && c.Steps == first
		parts = append(parts, "`"+display(i.Name())+"` "+thousands(c.Steps))
	}
	if !equal {
		p.steps = " The inverters were not trained equally long; generator steps: " +
			strings.Join(parts, ", ") + "."
	}
	return nil
}

// robustTraining says how classifiers were made robust, from the spec.
func (p *page) robustTraining(s *Spec) {
	for _, c := range s.Classifiers {
		if c.Attack.Steps > 0 {
			unit, size := "in L∞", fmt.Sprintf("%.0f/255", 255*c.Attack.Eps)
			if c.Attack.Norm == "l2" {
				unit, size = "in L2", fmt.Sprintf("%g", c.Attack.Eps)
			}
			p.training = fmt.Sprintf("The `%s` classifier was trained on images changed against "+
				"it, by up to %s %s (%d gradient step%s).",
				c.Name, size, unit, c.Attack.Steps, plural(c.Attack.Steps))
		}
	}
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// report lays the page out: the pictures that one came for, what they came out as in words and
// numbers, and then all the rest.
func (p *page) report() *report.Report {
	p.inOrder()
	kind := "study " + p.Study
	if p.shipped {
		kind = "shipped weights"
	}
	r := &report.Report{Kicker: "afterimage · " + kind, Title: p.Title, Headline: p.headline(),
		Lede: "A classifier turns an image into a few numbers, its logits. A generator learned " +
			"to paint the image back from those numbers and from noise; it is never shown the " +
			"image. **What comes back is what the classifier kept; what changes from one noise " +
			"draw to the next is what it threw away.**",
		Figure: p.first(), Finding: p.finding() + p.others() + p.kept(),
		Footer: strings.ToUpper(Caveat[:1]) + Caveat[1:] +
			": another seed may move a number by more than its interval."}
	if s := p.pictures(); s != nil {
		r.Sections = append(r.Sections, *s)
	}
	r.Sections = append(r.Sections, p.measures())
	if s := p.factorSection(); s != nil {
		r.Sections = append(r.Sections, *s)
	}
	for _, e := range explore.Experiments() {
		if found := p.experiment(e.Name); len(found) > 0 {
			r.Sections = append(r.Sections, p.experimentSection(e, found))
		}
	}
	if len(p.Accuracies) > 0 {
		r.Sections = append(r.Sections, p.classifiers())
	}
	if len(p.curves) > 0 {
		r.Sections = append(r.Sections, p.trainings())
	}
	r.Sections = append(r.Sections, p.repeat())
	if s := p.photographs(); s != nil {
		r.Sections = append(r.Sections, *s)
	}
	return r
}

func (p *page) headline() []report.Headline {
	var out []report.Headline
	names := []string{}
	if p.Compared != nil {
		names = []string{p.Compared.A, p.Compared.B}
	} else {
		for _, e := range p.Evaluations[:min(2, len(p.Evaluations))] {
			names = append(names, e.Name)
		}
	}
	for _, n := range names {
		e := p.Evaluation(n)
		note := "50 % is chance, 0 % perfect"
		if c := e.Control(explore.ControlLabel); c != nil {
			v, _ := c.Retrieval.Median.Format()
			note = "label alone: " + v + " %; chance: 50 %"
		}
		out = append(out, report.Headline{Label: "Median rank, " + display(n),
			Cell: report.Est(e.OneDraw.Retrieval.Median, "%"), Note: note})
	}
	if d := p.Compared.Find("retrieval, median"); d != nil {
		out = append(out, report.Headline{Label: "Difference", Cell: report.Est(d.Estimate,
			"points"), Note: "paired over the same images; below 0: the first holds more"})
	}
	if len(names) > 0 {
		e := p.Evaluation(names[0])
		out = append(out, report.Headline{Label: "Same class after painting",
			Cell: report.Est(percent(e.OneDraw.Agreement), "%"), Note: p.sameClass(names)})
	}
	return out
}

// sameClass says what to compare the first inverter's share of kept classes with.
func (p *page) sameClass(names []string) string {
	note := display(names[0])
	for _, name := range names[1:] {
		v, _ := percent(p.Evaluation(name).OneDraw.Agreement).Format()
		note += "; " + display(name) + ": " + v + " %"
	}
	return note
}

func percent(e metrics.Estimate) metrics.Estimate {
	return metrics.Estimate{Value: 100 * e.Value, Lo: 100 * e.Lo, Hi: 100 * e.Hi, N: e.N}
}

// firstPictures is how many test images stand large at the top of the page: all of its width.
const firstPictures = 8

// firstSide is how wide they are there at most, in pixels.
const firstSide = 128

// first shows the first test images and what became of them, large.
func (p *page) first() *report.Figure {
	n := min(firstPictures, p.shown())
	control := ""
	if p.hasLabel() {
		control = " `label only` is the control: its generator was told the predicted class and " +
			"nothing else, so whatever another row has beyond it came through the logits."
	}
	sheet := part(p.Lead, 0, n)
	sheet.Wrap, sheet.Scale = 0, max(1, firstSide/sheet.Rows[0].Images[0].Bounds().Dx())
	return &report.Figure{Title: fmt.Sprintf("Test images 0 to %d, and what was painted of each",
		n-1), Sheet: sheet,
		Caption: "Above, what the classifier saw; below it, what each generator painted from that " +
			"classifier's answer, with one noise draw, the same for all. The first test images, not " +
			"a selection. **Look for what a row keeps of the picture above it:** the class, the " +
			"colours, the background, the place and the pose of the object." + control}
}

// shown returns how many test images the study painted for its page.
func (p *page) shown() int { return len(p.Lead.Rows[0].Images) }

// pictures shows the other test images; nil if there are none.
func (p *page) pictures() *report.Section {
	n := p.shown()
	if n <= firstPictures {
		return nil
	}
	rest := part(p.Lead, firstPictures, n)
	if w := p.Lead.Wrap; w > 0 { // bands of one width
		bands := (n - firstPictures + w - 1) / w
		rest.Wrap = (n - firstPictures + bands - 1) / bands
	}
	first := p.first().Sheet // as wide as the first ones, but none larger than those
	if rest.Scale = first.Scale; rest.PageWidth() > first.PageWidth() {
		rest.Width = first.PageWidth()
	}
	return &report.Section{Heading: "More pictures",
		Figures: []report.Figure{{Sheet: rest,
			Title: fmt.Sprintf("Test images %d to %d", firstPictures, n-1)}}}
}

// part returns columns lo to hi−1 of a sheet.
func part(s *report.Sheet, lo, hi int) *report.Sheet {
	out := *s
	out.Columns, out.Rows = s.Columns[lo:hi], nil
	for _, r := range s.Rows {
		out.Rows = append(out.Rows, report.SheetRow{Caption: r.Caption, Images: r.Images[lo:hi]})
	}
	return &out
}

// hasLabel reports whether an inverter was told the label alone.
func (p *page) hasLabel() bool {
	return slices.ContainsFunc(p.Evaluations, func(e *explore.Evaluation) bool {
		return isLabel(e.Name)
	})
}

// retrievalPlot shows the median ranks side by side, of single draws and of mean pictures.
func (p *page) retrievalPlot() report.Plot {
	plot := report.Plot{Kind: report.Dots, Title: "Median rank of the true image",
		XLabel: "% of rivals that are nearer",
		Marks:  []report.Mark{{Value: 50, Label: "chance"}}, Zero: true}
	cols, mean := p.columns(false), p.columns(true)
	var one, many []metrics.Estimate
	for _, c := range cols {
		plot.Categories = append(plot.Categories, c.name)
		one = append(one, c.scores.Retrieval.Median)
		// a control has no draws: left out
		rank := metrics.Estimate{Value: math.NaN(), Lo: math.NaN(), Hi: math.NaN()}
		for _, m := range mean {
			if m.name == c.name {
				rank = m.scores.Retrieval.Median
			}
		}
		many = append(many, rank)
	}
	plot.Series = append(plot.Series, report.Estimates("one draw", nil, one))
	if len(mean) > 0 {
		plot.Series = append(plot.Series, report.Estimates(fmt.Sprintf("mean of %d draws",
			p.main().Draws), nil, many))
	}
	return plot
}

// differences tabulates the paired comparisons.
func (p *page) differences() []report.Table {
	type set struct {
		name string
		ds   []explore.Difference
	}
	var sets []set
	if p.Compared != nil {
		sets = append(sets, set{display(p.Compared.A) + " − " + display(p.Compared.B),
			p.Compared.Differences})
	}
	for _, e := range p.Evaluations {
		name := display(e.Name) + " − label only"
		if len(e.OverLabel) > 0 && (len(sets) == 0 || sets[0].name != name) { // compared already
			sets = append(sets, set{name, e.OverLabel})
		}
	}
	if len(sets) == 0 {
		return nil
	}
	t := report.Table{Title: "Differences, paired over the same images, one draw",
		Caption: "A difference counts as one where its interval excludes 0."}
	for _, s := range sets {
		t.Columns = append(t.Columns, s.name)
	}
	for _, d := range sets[0].ds {
		d = inPoints(d)
		row := report.Row{Name: d.Name, Note: d.Unit + better(d.Better, d.Unit)}
		for _, s := range sets {
			cell := report.Text("–")
			for _, x := range s.ds {
				if x.Name == d.Name {
					cell = report.Est(inPoints(x).Estimate, "")
				}
			}
			row.Cells = append(row.Cells, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return []report.Table{t}
}

// inPoints returns a difference of shares in percentage points, the scale of the table of measures.
func inPoints(d explore.Difference) explore.Difference {
	if d.Name == "same class" {
		d.Estimate, d.Unit = percent(d.Estimate), "points"
	}
	return d
}

func better(way, unit string) string {
	if way == "" {
		return ""
	}
	if unit != "" {
		return ", " + way + " is better"
	}
	return way + " is better"
}
