package study

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"afterimage/gan"
	"afterimage/gan/explore"
	"afterimage/gan/metrics"
	"afterimage/gan/report"
	"afterimage/nn/data"
	"afterimage/nn/train"
	"afterimage/tensor"
)

// Caveat is what every interval of a study covers and what it does not.
const Caveat = "intervals are 95 % bootstrap intervals over images only, one training seed"

// A Result is what a study found: study.json.
type Result struct {
	Study       string                `json:"study"`
	Title       string                `json:"title"`
	Dataset     string                `json:"dataset"`
	Seed        uint64                `json:"seed"`
	Caveat      string                `json:"caveat"`
	Accuracies  []Accuracy            `json:"classifiers"`
	Evaluations []*explore.Evaluation `json:"evaluations"`
	Compared    *Comparison           `json:"compared,omitempty"`
	Experiments []*explore.Result     `json:"experiments"`
	Differences []Comparison          `json:"experiments_compared,omitempty"`
	Stages      []Stage               `json:"stages,omitempty"`

	Lead *report.Sheet `json:"-"` // test images 0, 1, 2, … and what each inverter painted
}

// A Comparison is A − B (or A / B, where the unit says ratio), paired over the same images.
type Comparison struct {
	What        string               `json:"what"`
	A           string               `json:"a"`
	B           string               `json:"b"`
	Differences []explore.Difference `json:"differences"`
}

// Find returns the difference called name, or nil.
func (c *Comparison) Find(name string) *explore.Difference {
	if c == nil {
		return nil
	}
	for i := range c.Differences {
		if c.Differences[i].Name == name {
			return &c.Differences[i]
		}
	}
	return nil
}

// Evaluation returns the evaluation of the inverter called name, or nil.
func (r *Result) Evaluation(name string) *explore.Evaluation {
	for _, e := range r.Evaluations {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// experiment returns the results of one experiment, one for each subject.
func (r *Result) experiment(name string) []*explore.Result {
	var out []*explore.Result
	for _, e := range r.Experiments {
		if e.Experiment == name {
			out = append(out, e)
		}
	}
	return out
}

// Summary returns what to print at the end of a study: one line for each inverter.
func (r *Result) Summary() string {
	var b strings.Builder
	for _, e := range r.Evaluations {
		fmt.Fprintf(&b, "%-18s retrieval, median %v %% (50 is chance)  8×8 error %v  same class "+
			"%v %%\n",
			e.Name, e.OneDraw.Retrieval.Median, e.OneDraw.MSE8, percent(e.OneDraw.Agreement))
	}
	if d := r.Compared.Find("retrieval, median"); d != nil {
		fmt.Fprintf(&b, "%s − %s: retrieval %v points\n", r.Compared.A, r.Compared.B, d.Estimate)
	}
	return b.String() + "(" + Caveat + ")\n"
}

// collect reads what the stages left.
func (r *runner) collect() (*Result, error) {
	s := r.spec
	costs, err := r.costs()
	if err != nil {
		return nil, err
	}
	res := &Result{Study: s.Name, Title: cmp.Or(s.Title, "The study "+s.Name), Dataset: s.Dataset,
		Seed: s.seed(), Caveat: Caveat, Stages: costs}
	for _, c := range s.Classifiers {
		var a Accuracy
		if err := explore.ReadJSON(r.path("accuracy-"+c.Name+".json"), &a); err != nil {
			return nil, err
		}
		res.Accuracies = append(res.Accuracies, a.withIntervals())
	}
	for _, i := range s.Inverters {
		e := new(explore.Evaluation)
		if err := explore.ReadJSON(r.path("evaluation-"+i.Name()+".json"), e); err != nil {
			return nil, err
		}
		res.Evaluations = append(res.Evaluations, e)
	}
	for _, e := range explore.Experiments() {
		for _, sub := range s.subjects() {
			name, ok := sub.takes(e.Name)
			if !ok {
				continue
			}
			x, err := explore.Open(r.path(ExploreDir), e.Name, name)
			if errors.Is(err, os.ErrNotExist) {
				continue // not among the spec's experiments
			}
			if err != nil {
				return nil, err
			}
			res.Experiments = append(res.Experiments, x)
		}
	}
	return res, nil
}

// finish reads what the stages left, compares, and writes study.json and the page.
func (r *runner) finish() (*Result, error) {
	res, err := r.collect()
	if err != nil {
		return nil, err
	}
	res.compare(r.spec.Compare)
	lead, err := r.lead()
	if err != nil {
		return nil, err
	}
	res.Lead = lead
	if err := report.WritePNG(r.path(SheetFile), lead.Draw()); err != nil {
		return nil, err
	}
	p := &page{Result: res, command: r.o.Command}
	if p.facts, err = r.facts(); err != nil {
		return nil, err
	}
	if p.curves, err = r.curves(); err != nil {
		return nil, err
	}
	p.robustTraining(r.spec)
	if err := p.trainingSteps(r.spec); err != nil {
		return nil, err
	}
	if err := p.report().WriteFile(r.path(ReportFile)); err != nil {
		return nil, err
	}
	res.strip()
	return res, explore.WriteJSON(r.path(ResultFile), res)
}

// compare pairs two inverters' images, in the evaluation and in each experiment.
func (r *Result) compare(names []string) {
	if len(names) != 2 {
		return
	}
	a, b := r.Evaluation(names[0]), r.Evaluation(names[1])
	if a == nil || b == nil || a.OneDraw.Images == nil || b.OneDraw.Images == nil {
		return
	}
	r.Compared = &Comparison{"evaluation, one draw", a.Name, b.Name, explore.Pair(a.OneDraw.Images,
		b.OneDraw.Images, r.Seed)}
	for _, e := range explore.Names() {
		var x, y *explore.Result
		for _, res := range r.experiment(e) {
			switch {
			case res.Subject == a.Name || e == "probe" && strings.HasPrefix(a.Name,
				res.Subject+"-"):
				x = res
			case res.Subject == b.Name || e == "probe" && strings.HasPrefix(b.Name,
				res.Subject+"-"):
				y = res
			}
		}
		if x != nil && y != nil {
			if d := explore.Compare(x, y, r.Seed); len(d) > 0 {
				r.Differences = append(r.Differences, Comparison{e, x.Subject, y.Subject, d})
			}
		}
	}
}

// strip drops the values of single images, which the stages' own files keep.
func (r *Result) strip() {
	for _, e := range r.Evaluations {
		e.OneDraw.Images = nil
		if e.MeanDraw != nil {
			e.MeanDraw.Images = nil
		}
	}
	for _, x := range r.Experiments {
		for i := range x.Stats {
			x.Stats[i].Values = nil
		}
	}
}

// lead makes the first sheet: test images 0, 1, 2, … with one reconstruction by each inverter.
func (r *runner) lead() (*report.Sheet, error) {
	s := tensor.NewScope(r.backend)
	defer s.Close()
	var names []string
	var ps []explore.Painter
	for _, i := range r.spec.Inverters {
		names = append(names, i.Name())
	}
	slices.SortStableFunc(names, order(r.spec.Compare).compare)
	for _, name := range names {
		p, err := r.inverter(s, name)
		if err != nil {
			return nil, err
		}
		ps = append(ps, p)
	}
	return leadSheet(r.set.Test, r.spec.Sheet, names, ps, r.spec.seed()), nil
}

// leadSheet shows the first n test images and below each what every painter made of it.
func leadSheet(test data.Dataset, n int, names []string, ps []explore.Painter,
	seed uint64) *report.Sheet {
	if n == 0 {
		n = 32
	}
	n = min(n, test.Len())
	m, _ := explore.Load(test, 0, n)
	s := &report.Sheet{Lead: true, Wrap: 16, Scale: 2, Rows: []report.SheetRow{{Caption: "original",
		Images: report.Pictures(m)}}}
	for i := range n {
		s.Columns = append(s.Columns, fmt.Sprint(i))
	}
	for k, p := range ps {
		s.Rows = append(s.Rows, report.SheetRow{Caption: display(names[k]),
			Images: report.Pictures(p.Paint(p.Ask(m), explore.Noise{Seed: seed}))})
	}
	return s
}

func isLabel(inverter string) bool { return strings.HasSuffix(inverter, "-"+string(gan.Label)) }

// labelOnly is how the control is called on the page.
const labelOnly = "label only"

// display turns an inverter's name into words: "robust logits", and the control's into "label
// only".
func display(inverter string) string {
	if isLabel(inverter) {
		return labelOnly
	}
	return strings.ReplaceAll(inverter, "-", " ")
}

// A curve is the log of one training.
type curve struct {
	name  string
	lines []map[string]float64
}

// trained returns the name of the classifier or inverter that the curve's training made.
func (c curve) trained() string {
	_, name, _ := strings.Cut(c.name, "-")
	return name
}

// curves reads the logs of the trainings made here.
func (r *runner) curves() ([]curve, error) {
	var out []curve
	read := func(dir string) error {
		lines, err := train.ReadMetrics(r.path(dir))
		out = append(out, curve{dir, lines})
		return err
	}
	for _, c := range r.spec.Classifiers {
		if c.Weights == "" {
			if err := read("classifier-" + c.Name); err != nil {
				return nil, err
			}
		}
	}
	for _, i := range r.spec.Inverters {
		if err := read("inverter-" + i.Name()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// excludesZero reports whether an interval lies on one side of 0.
func excludesZero(e metrics.Estimate) bool { return e.Lo > 0 || e.Hi < 0 }
