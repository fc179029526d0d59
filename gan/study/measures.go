package study

import (
	"fmt"
	"math"
	"strings"

	"afterimage/gan/explore"
	"afterimage/gan/metrics"
	"afterimage/gan/report"
)

// A measure is a row of the table of measures.
type measure struct {
	name, note string
	better     int // −1: lower, +1: higher, 0: neither
	scale      float64
	of         func(s *explore.Scores) *metrics.Estimate
}

func measures() []measure {
	return []measure{
		{"Retrieval, median", "%, lower is better, 50 is chance", -1, 1,
			func(s *explore.Scores) *metrics.Estimate { return &s.Retrieval.Median }},
		{"Retrieval, mean", "%", -1, 1,
			func(s *explore.Scores) *metrics.Estimate { return &s.Retrieval.Mean }},
		{"Retrieval by features, median", "%, independent network", -1, 1,
			func(s *explore.Scores) *metrics.Estimate {
				if s.ByFeature == nil {
					return nil
				}
				return &s.ByFeature.Median
			}},
		{"8×8 error", "mean squared, lower is better", -1, 1,
			func(s *explore.Scores) *metrics.Estimate { return &s.MSE8 }},
		{"PSNR", "dB, higher is better", 1, 1,
			func(s *explore.Scores) *metrics.Estimate { return &s.PSNR }},
		{"SSIM", "higher is better", 1, 1,
			func(s *explore.Scores) *metrics.Estimate { return &s.SSIM }},
		{"LPIPS", "v0.1, SqueezeNet; lower is better", -1, 1,
			func(s *explore.Scores) *metrics.Estimate { return s.LPIPS }},
		{"Same class", "%, by the inverted classifier", 1, 100,
			func(s *explore.Scores) *metrics.Estimate { return &s.Agreement }},
		{"Same class elsewhere", "%, by the independent network", 1, 100,
			func(s *explore.Scores) *metrics.Estimate { return s.Elsewhere }},
		{"Logit distance", "relative, lower is better", -1, 1,
			func(s *explore.Scores) *metrics.Estimate { return &s.Logits }},
		{"Fréchet distance", "independent network's features, lower is better", -1, 1,
			func(s *explore.Scores) *metrics.Estimate {
				if s.Frechet == nil {
					return nil
				}
				return &metrics.Estimate{Value: s.Frechet.Value, Lo: math.NaN(), Hi: math.NaN(),
					N: s.Frechet.N}
			}},
	}
}

// A column is one set of pictures in the table.
type column struct {
	name    string
	scores  *explore.Scores
	control bool
}

// columns lists the inverters, the label control, and what knows the class alone.
func (p *page) columns(mean bool) []column {
	var out, last []column
	for _, e := range p.Evaluations {
		s := e.OneDraw
		if mean {
			s = e.MeanDraw
		}
		if s == nil {
			continue
		}
		if isLabel(e.Name) {
			last = append(last, column{display(e.Name), s, true})
		} else {
			out = append(out, column{display(e.Name), s, false})
		}
	}
	out = append(out, last...)
	if mean {
		return out
	}
	e := p.main()
	for _, name := range []string{explore.ControlMean, explore.ControlOther} {
		if c := e.Control(name); c != nil {
			out = append(out, column{name, c, true})
		}
	}
	return out
}

// main returns the evaluation whose controls the page shows.
func (p *page) main() *explore.Evaluation {
	if p.Compared != nil {
		return p.Evaluation(p.Compared.A)
	}
	for _, e := range p.Evaluations {
		if !isLabel(e.Name) {
			return e
		}
	}
	return p.Evaluations[0]
}

func (p *page) table(title, caption string, cols []column) report.Table {
	t := report.Table{Title: title, Caption: caption}
	for _, c := range cols {
		t.Columns = append(t.Columns, c.name)
	}
	for _, m := range measures() {
		row := report.Row{Name: m.name, Note: m.note}
		best, found := -1, false
		for k, c := range cols {
			e := m.of(c.scores)
			if e == nil {
				row.Cells = append(row.Cells, report.Text("–"))
				continue
			}
			found = true
			v := metrics.Estimate{Value: e.Value * m.scale, Lo: e.Lo * m.scale, Hi: e.Hi * m.scale,
				N: e.N}
			row.Cells = append(row.Cells, report.Est(v, ""))
			if !c.control && (best < 0 ||
				float64(m.better)*(e.Value-m.of(cols[best].scores).Value) > 0) {
				best = k
			}
		}
		if !found {
			continue
		}
		if best >= 0 {
			row.Cells[best] = row.Cells[best].Stress()
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (p *page) measures() report.Section {
	e := p.main()
	s := report.Section{
		Heading: "How much came back",
		Prose: fmt.Sprintf("Test images 0 to %d, each painted once. **Retrieval** asks how well "+
			"the painted picture picks out its original: the percentage of the other test images "+
			"of the %s that are nearer to it, by the 8×8 block means (layout and colour); 0 %% "+
			"is always nearest, 50 %% is chance, whatever the class gives away. `class mean` is "+
			"the mean training image of that class, `other image` another test image of it, which "+
			"is one of the rivals and so 50/R points above chance with R of them. "+
			"Blurred averages win every squared error, which is why the error alone says little.",
			e.Images-1, e.Protocol),
	}
	s.Plots = []report.Plot{p.retrievalPlot()}
	s.Tables = append(s.Tables, p.table(fmt.Sprintf("%d test images, one noise draw", e.Images),
		"Bold: the best of the inverters. In brackets: "+strings.TrimPrefix(Caveat, "intervals are ")+
			"."+p.steps,
		p.columns(false)))
	if cols := p.columns(true); len(cols) > 0 {
		s.Tables = append(s.Tables, p.table(fmt.Sprintf("The mean picture of %d draws", e.Draws),
			"Averaging over draws leaves what the logits decide.", cols))
	}
	s.Tables = append(s.Tables, p.differences()...)
	return s
}
