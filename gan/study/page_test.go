package study

import (
	"fmt"
	"image"
	"math"
	"slices"
	"strings"
	"testing"

	"afterimage/gan/explore"
	"afterimage/gan/metrics"
	"afterimage/gan/report"
)

// The page says that something was found only where the interval excludes 0.
func TestFindingFollowsTheInterval(t *testing.T) {
	eval := func(name string, v float64) *explore.Evaluation {
		e := metrics.Estimate{Value: v, Lo: v - 1, Hi: v + 1, N: 100}
		return &explore.Evaluation{Name: name,
			OneDraw: &explore.Scores{Retrieval: explore.Rank{Median: e, Mean: e}}}
	}
	for _, c := range []struct {
		lo, hi float64
		want   string
	}{{-16, -12, "hold more of the image than"}, {12, 16, "hold less of the image than"}, {-3, 1,
		"are not told apart"}} {
		p := &page{Result: &Result{Evaluations: []*explore.Evaluation{eval("robust-logits", 30),
			eval("standard-logits", 44)},
			Compared: &Comparison{A: "robust-logits", B: "standard-logits",
				Differences: []explore.Difference{
					{Name: "retrieval, median", Estimate: metrics.Estimate{Value: (c.lo + c.hi) / 2,
						Lo: c.lo, Hi: c.hi, N: 100}}}}}}
		if got := p.finding(); !strings.Contains(got, c.want) {
			t.Errorf("interval %v to %v: %q", c.lo, c.hi, got)
		}
		if p.others() != "" {
			t.Errorf("interval %v to %v: no other measure, but %q", c.lo, c.hi, p.others())
		}
		p.Compared.Differences = append(p.Compared.Differences,
			explore.Difference{Name: "retrieval, mean", Estimate: metrics.Estimate{Value: 2, Lo: -1,
				Hi: 5, N: 100}},
			explore.Difference{Name: "8×8 error", Estimate: metrics.Estimate{Value: -2, Lo: -3,
				Hi: -1, N: 100}})
		if got := p.others(); (got != "") != (c.hi == 1) || strings.Contains(got, "mean rank") ||
			got != "" && !strings.Contains(got, "8×8 error (difference") ||
			got != "" && !strings.Contains(got, "in favour of the robust logits") {
			t.Errorf("interval %v to %v: %q", c.lo, c.hi, got)
		}
		if len(p.headline()) != 4 {
			t.Errorf("%d headlines", len(p.headline()))
		}
	}
}

// Shares are points on the page, a label control is named where there is one, and different numbers
// of training steps are said.
func TestPageSaysWhatThereIs(t *testing.T) {
	d := inPoints(explore.Difference{Name: "same class", Estimate: metrics.Estimate{Value: 0.039,
		Lo: 0.01, Hi: 0.06}})
	if d.Unit != "points" || math.Abs(d.Estimate.Value-3.9) > 1e-9 {
		t.Errorf("0.039 became %v %s", d.Estimate, d.Unit)
	}
	p := &page{Result: &Result{Lead: blank(2), Dataset: "cifar-10"}}
	if p.photographs() != nil {
		t.Error("a study of photographs says how to make one")
	}
	p.Dataset = "scenes"
	if s := p.photographs(); s == nil || !strings.Contains(s.Commands[0], "data get cifar-10") {
		t.Errorf("how to make the page of photographs: %+v", s)
	}
	for _, name := range []string{"robust-logits", "robust-label"} {
		p.Evaluations = append(p.Evaluations, &explore.Evaluation{Name: name})
		if got := strings.Contains(p.first().Caption, "label only"); got != isLabel(name) {
			t.Errorf("with %d inverters: label control explained: %v", len(p.Evaluations), got)
		}
	}
	s := parse(t, tiny)
	if err := p.trainingSteps(s); err != nil || !strings.Contains(p.steps, "`label only` 2, ") {
		t.Errorf("steps: %q, %v", p.steps, err)
	}
	s.Inverters, p.steps = s.Inverters[1:], ""
	if err := p.trainingSteps(s); err != nil || p.steps != "" {
		t.Errorf("equal steps: %q, %v", p.steps, err)
	}
}

// blank returns a sheet of n test images in two rows.
func blank(n int) *report.Sheet {
	s := &report.Sheet{Lead: true, Wrap: 16, Rows: make([]report.SheetRow, 2)}
	for i := range n {
		s.Columns = append(s.Columns, fmt.Sprint(i))
		for r := range s.Rows {
			s.Rows[r].Images = append(s.Rows[r].Images, image.NewRGBA(image.Rect(0, 0, 32, 32)))
		}
	}
	return s
}

// The first pictures stand large above everything, the rest below in bands of one width; none is
// shown twice and none left out.
func TestPicturesAreSplit(t *testing.T) {
	for n, wrap := range map[int]int{1: 0, 8: 0, 9: 1, 24: 16, 32: 12, 41: 11} {
		p := &page{Result: &Result{Lead: blank(n)}}
		got := p.first().Sheet.Columns
		if p.first().Sheet.Scale != 4 {
			t.Errorf("of %d: enlarged %d times", n, p.first().Sheet.Scale)
		}
		if rest := p.pictures(); rest != nil {
			sheet := rest.Figures[0].Sheet
			got = append(slices.Clone(got), sheet.Columns...)
			if sheet.Wrap != wrap || len(sheet.Rows[1].Images) != n-firstPictures {
				t.Errorf("of %d: %d pictures in bands of %d, expected %d", n, len(sheet.Rows[1].Images),
					sheet.Wrap, wrap)
			}
			wide := p.first().Sheet.PageWidth()
			if got := sheet.PageWidth(); got != wide && (got > wide || sheet.Width != 0) {
				t.Errorf("of %d: %d pixels wide below %d", n, got, wide)
			}
		} else if wrap != 0 {
			t.Errorf("of %d: no others", n)
		}
		if !slices.Equal(got, p.Lead.Columns) {
			t.Errorf("of %d: shown %v", n, got)
		}
	}
}

// A page begins with what the study compares, whatever the spec's order, and ends with controls;
// the result keeps the spec's order.
func TestPageOrder(t *testing.T) {
	names := []string{"robust-label", "standard-features", "standard-logits", "robust-features",
		"robust-logits"}
	res := &Result{Compared: &Comparison{A: "robust-logits", B: "standard-logits"},
		Accuracies: []Accuracy{{Classifier: "standard"}, {Classifier: "robust"}}}
	p := &page{Result: res}
	for _, n := range names {
		res.Evaluations = append(res.Evaluations, &explore.Evaluation{Name: n})
		res.Experiments = append(res.Experiments, &explore.Result{Subject: n})
		p.curves = append(p.curves, curve{name: "inverter-" + n})
	}
	p.inOrder()
	want := []string{"robust-logits", "standard-logits", "robust-features", "standard-features",
		"robust-label"}
	for i, n := range want {
		if p.Evaluations[i].Name != n || p.Experiments[i].Subject != n || p.curves[i].trained() != n {
			t.Errorf("place %d: %s, %s, %s: expected %s", i, p.Evaluations[i].Name,
				p.Experiments[i].Subject, p.curves[i].trained(), n)
		}
		if res.Evaluations[i].Name != names[i] {
			t.Errorf("the result has %s in place %d, expected %s", res.Evaluations[i].Name, i, names[i])
		}
	}
	if p.Accuracies[0].Classifier != "robust" {
		t.Errorf("first classifier %s", p.Accuracies[0].Classifier)
	}
	if got := (order{}).compare("a-logits", "b-logits"); got != 0 {
		t.Errorf("nothing compared: %d", got)
	}
}

// Factors of which most came back stand first; those that the regressor cannot read are left out.
func TestLegibleFactors(t *testing.T) {
	e := &explore.Evaluation{}
	for _, v := range [][2]float64{{0.1, 0.5}, {0.9, 0.05}, {0.4, 0.5}, {0.1, 0.9}} {
		e.Factors = append(e.Factors, explore.FactorScore{Linked: explore.FactorLink{
			Recovered: metrics.Estimate{Value: v[0]}, Real: metrics.Estimate{Value: v[1]}}})
	}
	if got := legibleFactors(e); !slices.Equal(got, []int{2, 0, 3}) {
		t.Errorf("%v", got)
	}
}

// The best of the inverters is stressed, a control never.
func TestTableStressesTheBestInverter(t *testing.T) {
	score := func(rank float64) *explore.Scores {
		nan := metrics.Estimate{Value: math.NaN(), Lo: math.NaN(), Hi: math.NaN()}
		return &explore.Scores{Retrieval: explore.Rank{Median: metrics.Estimate{Value: rank},
			Mean: nan}, MSE8: nan, PSNR: nan, SSIM: nan, Agreement: nan, Logits: nan}
	}
	tb := (&page{}).table("t", "", []column{{"a", score(40), false}, {"b", score(30), false}, {"c",
		score(10), true}})
	got := []bool{}
	for _, c := range tb.Rows[0].Cells {
		got = append(got, c.Best)
	}
	if !slices.Equal(got, []bool{false, true, false}) {
		t.Errorf("stressed: %v", got)
	}
	var _ report.Table = tb
}

func TestNumbersForPeople(t *testing.T) {
	for _, c := range [][2]string{{thousands(70433988), "70,433,988"}, {thousands(12), "12"},
		{si(1.04e15, "FLOP"), "1.04 PFLOP"}} {
		if c[0] != c[1] {
			t.Errorf("got %q, want %q", c[0], c[1])
		}
	}
}
