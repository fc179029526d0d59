package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"afterimage/bench/figures"
	"afterimage/bench/pytorch/golden"
	"afterimage/nn/onnx/cases"
)

// TestPageIsCurrent holds the rows of the committed page to those that the golden files, the list
// of figures and, where they are at hand, the operator cases give. It measures nothing.
func TestPageIsCurrent(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(pagePath)))
	if err != nil {
		t.Fatal(err)
	}
	data := os.Getenv("AFTERIMAGE_DATA")
	p, err := newPage(root, data)
	if err != nil {
		t.Fatal(err)
	}
	got, want := rowsOf(string(text)), p.names()
	if len(p.cases) == 0 {
		t.Log("AFTERIMAGE_DATA is not set: the operator cases of the page are not compared")
		got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, casesTitle) })
	}
	if !slices.Equal(got, want) {
		have, due := difference(got, want), difference(want, got)
		t.Errorf("%s is out of date: %d rows that nothing measures, such as %q; %d rows missing, such "+
			"as %q: run go run ./bench/agreement --data DIR", pagePath, len(have), first(have), len(due),
			first(due))
	}
	for _, bad := range []string{"**disagrees**", "**not measured**"} {
		if strings.Contains(string(text), bad) {
			t.Errorf("%s says of something: %s", pagePath, bad)
		}
	}
}

func difference(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

// sample is a page with a row of every kind.
func sample() *page {
	row := &golden.Row{Value: "1.0e-16", Bound: "1e-14", OK: true}
	return &page{data: true,
		goldens: []goldenFile{{path: "nn/testdata/x", meta: map[string]string{"torch": "2", "seed": "1"},
			rows: []goldenRow{{"a|b", row, nil}, {"c", nil, row}}}},
		figures: []figureRow{{Figure: figures.All()[0], measured: "0.1024", value: 0.1024},
			{Figure: figures.All()[1], skipped: "skipped: no data directory given"}},
		cases: []caseRow{{"node/test_relu", family("node/test_relu"), cases.Result{}},
			{"node/test_loop", family("node/test_loop"),
				cases.Result{Status: cases.Unsupported, Reason: "operator Loop"}}},
	}
}

// TestRoundTrip reads back from a page the rows it was written from.
func TestRoundTrip(t *testing.T) {
	p := sample()
	if got := rowsOf(p.markdown()); !slices.Equal(got, p.names()) {
		t.Errorf("read %q, wrote %q", got, p.names())
	}
	if ok, bad, skipped := p.count(); ok != 4 || bad != 0 || skipped != 2 {
		t.Errorf("%s", p.verdict())
	}
}

// TestDisagreement sees what is wrong of every kind: an error above its bound, a row that no test
// reported, a figure outside its bound or not measured, a case that failed.
func TestDisagreement(t *testing.T) {
	for name, spoil := range map[string]func(p *page){
		"golden":          func(p *page) { p.goldens[0].rows[0].double = &golden.Row{Value: "NaN"} },
		"no golden":       func(p *page) { p.goldens[0].rows[1].single = nil },
		"figure":          func(p *page) { p.figures[0].value = 0.2 },
		"no figure":       func(p *page) { p.figures[1].skipped = "" },
		"case that fails": func(p *page) { p.cases[0].Status = cases.Failed },
	} {
		p := sample()
		spoil(p)
		if p.agrees() {
			t.Errorf("%s: nobody notices", name)
		}
	}
}

// TestCollect reads what go test -json prints.
func TestCollect(t *testing.T) {
	p := sample()
	p.goldens[0].rows[1].single = nil
	var log bytes.Buffer
	err := p.collect(strings.NewReader(`{"Action":"attr","Package":"afterimage/nn",`+
		`"Test":"TestGolden","Key":"golden","Value":"{\"File\":\"testdata/x\",\"Case\":\"c\",`+
		`\"Backend\":\"cpu f32\",`+
		`\"Value\":\"2.0e-07\",\"Bound\":\"6e-06\",\"OK\":true}"}
{"Action":"output","Package":"afterimage/nn","Test":"TestGolden","Output":"why\n"}
{"Action":"fail","Package":"afterimage/nn","Test":"TestGolden"}
`), &log)
	r := p.goldens[0].rows[1].single
	if err != nil || r == nil || r.Value != "2.0e-07" || !p.agrees() {
		t.Errorf("%v, %+v", err, r)
	}
	if !strings.Contains(log.String(), "why") {
		t.Errorf("a failure's output is not shown: %q", log.String())
	}
	err = p.collect(strings.NewReader(`{"Action":"attr","Package":"nn","Test":"T",`+
		`"Key":"figure","Value":"{\"Name\":\"the moon's mass\",\"Value\":\"1\"}"}`), &log)
	if err == nil {
		t.Error("a figure that is not listed is taken")
	}
}

// Wrong use ends with 2 and says why.
func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"more"}, {"--data", "no/such/folder"}, {"--nope"}} {
		var errs bytes.Buffer
		if code := run(args, &errs); code != exitUsage || errs.Len() == 0 {
			t.Errorf("%q: exit %d, %q", args, code, errs.String())
		}
	}
}

// Every family of the page has a case, and transposed convolutions are not convolutions.
func TestFamilies(t *testing.T) {
	for name, want := range map[string]string{
		"node/test_convtranspose_pads":      "transposed convolution",
		"node/test_basic_conv_with_padding": "convolution",
		"node/test_sce_mean_weight":         "NLL and softmax cross-entropy",
		"node/test_tanh":                    "activations",
		"node/test_add":                     other,
		"pytorch-operator/test_operator_mm": "networks exported from PyTorch (pytorch-operator)",
	} {
		if got := family(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// names lists the page's rows, each with the heading it stands under.
func (p *page) names() []string {
	var out []string
	for _, f := range p.figures {
		out = append(out, figuresTitle+": "+f.Name)
	}
	for _, g := range p.goldens {
		for _, r := range g.rows {
			out = append(out, g.title()+": "+r.name)
		}
	}
	for _, c := range p.cases {
		out = append(out, casesTitle+": "+c.name)
	}
	return out
}

// rowsOf returns what names returned of the page that text was written from.
func rowsOf(text string) []string {
	var out []string
	under, count := "", false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "## "):
			under = strings.TrimPrefix(line, "## ")
			count = under == figuresTitle
		case strings.HasPrefix(line, "### "):
			if under != casesTitle {
				under = strings.TrimPrefix(line, "### ")
			}
			count = true
		case count && strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| case |") &&
			!strings.HasPrefix(line, "| figure |"):
			name, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
			name, _, _ = strings.Cut(name, " |")
			out = append(out, under+": "+unescape(name))
		}
	}
	return out
}

// unescape undoes cell.
func unescape(s string) string { return strings.ReplaceAll(s, `\|`, "|") }
