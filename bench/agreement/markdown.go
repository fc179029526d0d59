package main

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"afterimage/bench/pytorch/golden"
	"afterimage/nn/onnx/cases"
)

// The headings under which rows stand.
const (
	figuresTitle = "Published figures"
	goldensTitle = "PyTorch's values"
	casesTitle   = "ONNX's operator cases"
)

// markdown returns the page.
func (p *page) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Agreement with values nobody here made

Written by a command, whole; change nothing by hand:

    go run ./bench/agreement --data DIR

DIR holds other people's weights, images and ONNX's operator cases. The errors are those that the
tests themselves compute (`+"`go test -run '%s' ./...`"+`); single precision depends on the
kernels of the processor. **%s.**

`, tests, p.verdict())
	p.summary(&b)
	p.writeFigures(&b)
	p.writeGoldens(&b)
	p.writeCases(&b)
	return b.String()
}

// summary writes a line for every group of rows.
func (p *page) summary(b *strings.Builder) {
	b.WriteString("| what | rows | agree | fail | skipped |\n|---|--:|--:|--:|--:|\n")
	line := func(what string, q page) {
		ok, bad, skipped := q.count()
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d |\n", what, ok+bad+skipped, ok, bad, skipped)
	}
	line("published figures", page{figures: p.figures})
	line("PyTorch's values", page{goldens: p.goldens})
	line("ONNX's operator cases (skipped: not supported)", page{cases: p.cases})
}

// cell protects what would end a table's cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func (p *page) writeFigures(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\nThe list is bench/figures. A record is what a command measured that "+
		"takes minutes; `--long` measures it again.\n\n", figuresTitle)
	b.WriteString("| figure | given by | given | measured | difference | bound |  |\n" +
		"|---|---|--:|--:|--:|--:|---|\n")
	for _, f := range p.figures {
		bound := fmt.Sprintf("%.2g", f.Within)
		if f.AtMost > 0 {
			bound = fmt.Sprintf("at most %.10g", f.AtMost)
		}
		measured, diff, note := f.measured, "", ""
		switch d, met := f.Judge(f.value); {
		case f.skipped != "":
			measured, note = "", f.skipped
		case measured == "":
			note = "**not measured**: its test did not report"
		default:
			diff = fmt.Sprintf("%+.2g", d)
			if !met {
				note = "**disagrees**"
			}
		}
		if f.recorded {
			note = strings.TrimSpace(note + fmt.Sprintf(" recorded: [%s](results/%s), `%s`",
				path.Base(f.Record), f.Record, f.Command))
		}
		fmt.Fprintf(b, "| %s | %s | %.10g | %s | %s | %s | %s |\n", cell(f.Name), f.Source, f.Want,
			measured, diff, bound, cell(note))
	}
}

func (p *page) writeGoldens(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\nMade by [bench/pytorch](pytorch/README.md). An error is the largest "+
		"difference of two tensors over max(1, the largest magnitude of PyTorch's): of the value (of "+
		"all steps, where there are several), of the gradients in every input, and of the gradients of "+
		"a random product with the gradient (second). \"double\" is the reference backend in 64 bits, "+
		"\"single\" the CPU backend in 32, without Winograd's form.\n", goldensTitle)
	for _, g := range p.goldens {
		double, single := "", ""
		for _, r := range g.rows {
			double, single = boundOf(double, r.double), boundOf(single, r.single)
		}
		var bounds []string
		if double != "" {
			bounds = append(bounds, double+" in double")
		}
		if single != "" {
			bounds = append(bounds, single+" in single precision")
		}
		fmt.Fprintf(b, "\n### %s\n\nBound %s; PyTorch %s, seed %s.\n\n", g.title(),
			strings.Join(bounds, ", "), g.meta["torch"], g.meta["seed"])
		b.WriteString("| case | value, double | gradient | second | value, single | gradient | " +
			"second |  |\n|---|--:|--:|--:|--:|--:|--:|---|\n")
		for _, r := range g.rows {
			fmt.Fprintf(b, "| %s |%s%s %s |\n", cell(r.name), errorCells(r.double), errorCells(r.single),
				cell(r.note()))
		}
	}
}

func boundOf(known string, r *golden.Row) string {
	if r == nil {
		return known
	}
	return r.Bound
}

// errorCells returns the three cells of a backend.
func errorCells(r *golden.Row) string {
	if r == nil {
		r = &golden.Row{}
	}
	return fmt.Sprintf(" %s | %s | %s |", r.Value, r.Grad, r.Second)
}

// note says what the errors do not.
func (r goldenRow) note() string {
	var out []string
	if r.double == nil && r.single == nil {
		out = append(out, "**not measured**: its test did not report")
	} else if !r.ok() {
		out = append(out, "**disagrees**")
	}
	for _, m := range []*golden.Row{r.double, r.single} {
		if m != nil && m.Note != "" {
			out = append(out, m.Note)
		}
	}
	return strings.Join(out, "; ")
}

func (p *page) writeCases(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n", casesTitle)
	if len(p.cases) == 0 {
		b.WriteString("skipped: the data directory has no onnx\n")
		return
	}
	fmt.Fprintf(b, "Run by `go run ./bench/onnxcases DIR/onnx`, on the reference backend in single "+
		"precision. A case passes where |got − want| ≤ %.0e + %.0e·|want| (ONNX's own tolerances; two "+
		"units in the last place of 16-bit types); the error is its largest share of that.\n\n"+
		"| family | cases | pass | fail | unsupported | largest error of the tolerance |\n"+
		"|---|--:|--:|--:|--:|--:|\n", cases.AbsTol, cases.RelTol)
	byFamily := slices.Clone(p.cases)
	slices.SortStableFunc(byFamily, func(x, y caseRow) int {
		return strings.Compare(x.family, y.family)
	})
	for len(byFamily) > 0 {
		n, worst, name := 0, 0.0, byFamily[0].family
		var results []cases.Result
		for n < len(byFamily) && byFamily[n].family == name {
			results, worst = append(results, byFamily[n].Result), max(worst, byFamily[n].Worst)
			n++
		}
		pass, fail, not := cases.Count(results)
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %s |\n", name, n, pass, fail, not,
			share(worst))
		byFamily = byFamily[n:]
	}
	b.WriteString("\n### Every case\n\n| case | end | error of the tolerance |  |\n" +
		"|---|---|--:|---|\n")
	for _, c := range p.cases {
		worst := ""
		if c.Status == cases.Passed {
			worst = share(c.Worst)
		}
		fmt.Fprintf(b, "| %s | %v | %s | %s |\n", c.name, c.Status, worst,
			cell(strings.ReplaceAll(c.Reason, "\n", " ")))
	}
}

// share prints a share of a tolerance; 0 is 0.
func share(x float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1e", x), ".0e+00") }
