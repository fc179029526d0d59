package study

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"afterimage/gan/explore"
	"afterimage/gan/metrics"
	"afterimage/gan/report"
)

// legible is the squared correlation on real images from which on a factor is shown: below, the
// regressor is blind to it.
const legible = 0.1

// legibleFactors returns the indices of the factors that are shown, first those of which most came
// back.
func legibleFactors(e *explore.Evaluation) (shown []int) {
	for k, f := range e.Factors {
		if f.Linked.Real.Value >= legible {
			shown = append(shown, k)
		}
	}
	slices.SortStableFunc(shown, func(a, b int) int {
		return cmp.Compare(e.Factors[b].Linked.Recovered.Value, e.Factors[a].Linked.Recovered.Value)
	})
	return shown
}

// factorSection shows which factors of a scene came back; nil where they are not known.
func (p *page) factorSection() *report.Section {
	main := p.main()
	plot := report.Plot{Kind: report.Dots, Title: "Factors read off the painted picture",
		XLabel: "squared correlation with the truth", Zero: true}
	var real, label []metrics.Estimate
	shown := legibleFactors(main)
	for _, k := range shown {
		f := main.Factors[k]
		plot.Categories = append(plot.Categories, strings.ReplaceAll(f.Name, ".", " "))
		real = append(real, f.Linked.Real)
		if f.Linked.Label != nil {
			label = append(label, *f.Linked.Label)
		}
	}
	if len(shown) == 0 {
		return nil
	}
	for _, e := range p.Evaluations {
		if isLabel(e.Name) || len(e.Factors) != len(main.Factors) || len(plot.Series) == 4 {
			continue
		}
		var x []metrics.Estimate
		for _, k := range shown {
			x = append(x, e.Factors[k].Linked.Recovered)
		}
		plot.Series = append(plot.Series, report.Estimates(display(e.Name), nil, x))
	}
	plot.Series = append(plot.Series, report.Estimates("the image itself", nil, real))
	if len(label) == len(real) {
		s := report.Estimates("label only", nil, label)
		s.Muted = true
		plot.Series = append(plot.Series, s)
	}
	told := ""
	if len(label) == len(real) {
		told = "**A factor above `label only` came through the logits.** "
	}
	return &report.Section{Heading: "What came back",
		Prose: "The scenes are drawn from known numbers. One regressor, fitted on real images, " +
			"reads them off the painted pictures: 1 says that the reading follows the truth, 0 that " +
			"it tells nothing. What it reads off the images themselves is its ceiling; factors that " +
			"it cannot read even there are left out; those of which most came back stand first. " +
			told + "(`study.json` holds R² as well, " +
			"which also asks whether the reading has the right size.)",
		Plots: []report.Plot{plot}}
}

// capital returns a name as a title: with a capital letter.
func capital(name string) string {
	r, n := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(r)) + name[n:]
}

// experimentSection shows one experiment for all its subjects.
func (p *page) experimentSection(e explore.Experiment, found []*explore.Result) report.Section {
	s := report.Section{Heading: e.Title, Prose: e.Text}
	for _, r := range found {
		if r.Sheet != nil {
			s.Figures = append(s.Figures, report.Figure{Title: display(r.Subject), Sheet: r.Sheet})
		}
	}
	for k, c := range found[0].Curves {
		plot := report.Plot{Kind: report.Lines, Title: capital(c.Name), XLabel: c.XLabel, LogX: c.LogX}
		if c.YLabel != c.Name {
			plot.YLabel = c.YLabel
		}
		for _, r := range found {
			if k < len(r.Curves) && len(plot.Series) < 6 {
				plot.Series = append(plot.Series, report.Estimates(display(r.Subject),
					r.Curves[k].X, r.Curves[k].Y))
			}
		}
		s.Plots = append(s.Plots, plot)
	}
	t := report.Table{Title: fmt.Sprintf("%d test images", found[0].Images)}
	for _, r := range found {
		t.Columns = append(t.Columns, display(r.Subject))
	}
	k := slices.IndexFunc(p.Differences, func(c Comparison) bool { return c.What == e.Name })
	if k >= 0 {
		t.Columns = append(t.Columns,
			display(p.Differences[k].A)+" against "+display(p.Differences[k].B))
		t.Caption = "The last column is the paired difference; for variances the ratio."
	}
	for _, x := range found[0].Stats {
		row := report.Row{Name: x.Name, Note: x.Unit + better(x.Better, x.Unit)}
		for _, r := range found {
			cell := report.Text("–")
			for _, y := range r.Stats {
				if y.Name == x.Name {
					cell = report.Est(y.Estimate, "")
				}
			}
			row.Cells = append(row.Cells, cell)
		}
		if k >= 0 {
			row.Cells = append(row.Cells, against(p.Differences[k].Find(x.Name)))
		}
		t.Rows = append(t.Rows, row)
	}
	s.Tables = append(s.Tables, t)
	return s
}

func against(d *explore.Difference) report.Cell {
	switch {
	case d == nil:
		return report.Text("–")
	case d.Unit == "ratio":
		return report.Est(d.Estimate, "×")
	}
	return report.Est(d.Estimate, "")
}

// share shows a share of images in percent, with its interval if there is one.
func share(p float64, interval *[2]float64) report.Cell {
	if interval == nil {
		return report.Text(fmt.Sprintf("%.1f %%", 100*p))
	}
	return report.Text(fmt.Sprintf("%.1f %% [%.1f, %.1f]", 100*p, 100*interval[0], 100*interval[1]))
}

func (p *page) classifiers() report.Section {
	t := report.Table{Columns: []string{"Architecture", "Right", "Right under attack"}}
	archs := map[string]bool{}
	for _, a := range p.Accuracies {
		robust := report.Text("–")
		if a.Attack != "" {
			robust = share(a.Robust, a.RobustInterval)
			t.Caption = fmt.Sprintf("Right: of all %d test images. Under attack: of the first "+
				"%d, %s. In brackets Wilson's 95 %% intervals over images.", a.Images, a.Attacked, a.Attack)
		}
		t.Rows = append(t.Rows, report.Row{Name: a.Classifier, Note: a.Origin,
			Cells: []report.Cell{report.Text(a.Arch), share(a.Clean, a.CleanInterval), robust}})
		archs[a.Arch] = true
	}
	text := "The test images were not used to choose anything here. " + p.training
	if len(archs) > 1 && p.Compared != nil {
		text += " **The classifiers differ in architecture, so robustness is not all that " +
			"separates them.**"
	}
	return report.Section{Heading: "The classifiers", Prose: text, Tables: []report.Table{t}}
}

// trainings plots the logs: accuracy on the held-out images, and how far apart the discriminator
// keeps real and painted pictures.
func (p *page) trainings() report.Section {
	acc := report.Plot{Kind: report.Lines, Title: "Classifiers: held-out images right",
		XLabel: "epoch", YLabel: "share"}
	gap := report.Plot{Kind: report.Lines,
		Title: "Inverters: score of real less that of painted pictures", XLabel: "generator step",
		YLabel: "D(x, y) − D(G(z, y), y)",
		Caption: "Running mean of 10 log lines. A gap that neither vanishes nor runs away is a " +
			"game still going."}
	for _, c := range p.curves {
		if strings.HasPrefix(c.name, "classifier-") {
			s := report.Series{Name: c.trained()}
			for _, l := range c.lines {
				if v, ok := l["val_accuracy"]; ok {
					s.X, s.Y = append(s.X, l["epoch"]), append(s.Y, v)
				}
			}
			if len(s.X) > 0 && len(acc.Series) < 6 {
				acc.Series = append(acc.Series, s)
			}
			continue
		}
		s := report.Series{Name: display(c.trained()), Muted: isLabel(c.trained())}
		var recent []float64
		for _, l := range c.lines {
			if recent = append(recent, l["d_real"]-l["d_fake"]); len(recent) > 10 {
				recent = recent[1:]
			}
			sum := 0.0
			for _, v := range recent {
				sum += v
			}
			s.X, s.Y = append(s.X, l["step"]), append(s.Y, sum/float64(len(recent)))
		}
		if len(s.X) > 0 && len(gap.Series) < 6 {
			gap.Series = append(gap.Series, s)
		}
	}
	out := report.Section{Heading: "The trainings"}
	for _, plot := range []report.Plot{acc, gap} {
		if len(plot.Series) > 0 {
			out.Plots = append(out.Plots, plot)
		}
	}
	return out
}

// photographs says how to make such a page of photographs; nil of a study that is of some.
func (p *page) photographs() *report.Section {
	if p.Dataset != "scenes" {
		return nil
	}
	return &report.Section{Heading: "The same of photographs",
		Prose: "Scenes are drawn: their factors are known, and nobody's pictures have to be passed " +
			"on for them. With CIFAR-10 on the disk the same program does all of this to " +
			"photographs. `--rehearse` runs a few steps of everything and prints what the whole " +
			"would take on the machine at hand.",
		Commands: []string{"afterimage data get cifar-10 --data data",
			"afterimage study --preset cifar10-quick --data data --rehearse",
			"afterimage study --preset cifar10-quick --data data"}}
}

func (p *page) repeat() report.Section {
	s := report.Section{Heading: "Repeat it", Facts: slices.Clone(p.facts),
		Prose: "The same seed gives the same bytes for any number of threads. The command goes " +
			"on where it stopped; a stage whose result is there is not made again."}
	if p.shipped {
		s.Prose = "The weights lie in the repository; the images are drawn or read by the " +
			"program. The same command gives the same page."
	}
	if p.command != "" {
		s.Commands = []string{p.command}
	}
	s.Facts = append(s.Facts, report.Fact{Name: "Images",
		Value: fmt.Sprintf("test images 0 to %d of %s", p.main().Images-1, p.Dataset)},
		report.Fact{Name: "Seed", Value: fmt.Sprint(p.Seed)})
	if p.main().Space != "" {
		s.Facts = append(s.Facts, report.Fact{Name: "Features", Value: p.main().Space})
	}
	if len(p.Stages) == 0 {
		return s
	}
	t := report.Table{Title: "What it cost", Columns: []string{"Expected on two cores", "Spent",
		"CPU time", "Peak memory"}}
	wall, cpu, expected, peak := 0.0, 0.0, 0.0, int64(0)
	exact := func(v float64) report.Cell {
		return report.Text((time.Duration(v*10) * time.Second / 10).Round(time.Second).String())
	}
	memory := func(bytes int64) report.Cell {
		if bytes == 0 {
			return report.Text("not measured")
		}
		return report.Text(fmt.Sprintf("%d MB", bytes/1e6))
	}
	for _, st := range p.Stages {
		t.Rows = append(t.Rows, report.Row{Name: st.Name, Cells: []report.Cell{exact(st.Budget),
			exact(st.Seconds), exact(st.CPUSeconds), memory(st.PeakBytes)}})
		wall, cpu, expected = wall+st.Seconds, cpu+st.CPUSeconds, expected+st.Budget
		peak = max(peak, st.PeakBytes)
	}
	t.Rows = append(t.Rows, report.Row{Name: "together", Cells: []report.Cell{exact(expected),
		exact(wall), exact(cpu), memory(peak)}})
	s.Tables = append(s.Tables, t)
	return s
}
