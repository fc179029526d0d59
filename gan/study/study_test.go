package study

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"afterimage/gan/explore"
	"afterimage/gan/metrics"
	"afterimage/gan/report"
	"afterimage/nn/data"
	"afterimage/nn/train"
	"afterimage/tensor/cpu"
)

// tiny is a whole study in seconds: a few steps of the smallest networks.
const tiny = `
name: tiny
title: A test
dataset: scenes
train_images: 48
test_images: 24
sheet: 4
classifiers:
  - {name: standard, arch: resnet8, epochs: 1, batch: 16, lr: 0.05}
  - {name: robust, arch: resnet8, epochs: 1, batch: 16, lr: 0.05,
     attack: {norm: linf, eps: 0.03, step_size: 0.03, steps: 1}}
inverters:
  - {classifier: robust, condition: label, ch: 2, steps: 2, batch: 8, sample_every: 2}
  - {classifier: standard, condition: logits, ch: 2, steps: 3, batch: 8, sample_every: 3}
  - {classifier: robust, condition: logits, ch: 2, steps: 3, batch: 8, sample_every: 3}
compare: [robust-logits, standard-logits]
accuracy: {images: 6, eps: 8, step_size: 2, steps: 2}
evaluate: {images: 12, draws: 2, train_images: 30}
explore: {experiments: [probe, noise, misclassified, shift], images: 10, train_images: 30,
  draws: 2, pictures: 3}
`

func parse(t *testing.T, text string) *Spec {
	t.Helper()
	s, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// small is less still: one classifier, one inverter.
const small = `
name: small
title: A test
dataset: scenes
train_images: 48
test_images: 20
sheet: 2
classifiers: [{name: standard, arch: resnet8, epochs: 1, batch: 16, lr: 0.05}]
inverters: [{classifier: standard, condition: logits, ch: 2, steps: 3, batch: 4, sample_every: 3}]
evaluate: {images: 10, draws: 2}
explore: {experiments: [noise], images: 8, draws: 2, pictures: 2}
`

// A study stopped again and again ends with the numbers of one that was not.
func TestStudyIsResumable(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains four networks: a few seconds")
	}
	b := cpu.Open(2)
	defer b.Close()
	s := parse(t, small)
	whole, pieces := t.TempDir(), t.TempDir()
	if _, err := Run(b, s, Options{Dir: whole}); err != nil {
		t.Fatal(err)
	}
	stops := 0
	for {
		asked := 0
		_, err := Run(b, s, Options{Dir: pieces, TensorBoard: true,
			Stopped: func() bool { asked++; return asked > 2 }})
		if err == nil {
			break
		}
		if !errors.Is(err, train.ErrStopped) {
			t.Fatal(err)
		}
		if stops++; stops > 20 {
			t.Fatal("a stopped study does not get on")
		}
	}
	if stops < 3 {
		t.Fatalf("the study was stopped %d times only", stops)
	}
	if a, b := numbers(t, whole), numbers(t, pieces); a != b {
		t.Errorf("a study in pieces differs:\n%s\n%s", a, b)
	}
	for dir, want := range map[string]int{whole: 0, pieces: 2} {
		events, err := filepath.Glob(filepath.Join(dir, "*", train.EventsFile))
		if err != nil || len(events) != want {
			t.Errorf("%d trainings of %s have an event file, expected %d: %v", len(events), dir, want, err)
		}
	}
	other := parse(t, small+"seed: 7\n")
	if _, err := Run(b, other, Options{Dir: whole}); err == nil || !strings.Contains(err.Error(),
		"other settings") {
		t.Errorf("another study in the same directory: %v", err)
	}
}

// Runs of one study at the same time share its stages: each is run once, and the numbers are those
// of a single run.
func TestStudyIsShared(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains four networks: a few seconds")
	}
	s := parse(t, small)
	alone, shared := t.TempDir(), t.TempDir()
	var mu sync.Mutex
	times := map[string]int{}
	run := func(dir string) error {
		b := cpu.Open(1)
		defer b.Close()
		_, err := Run(b, s, Options{Dir: dir, Note: func(st Stage) {
			mu.Lock()
			defer mu.Unlock()
			if dir == shared && !st.Done {
				times[st.Name]++
			}
		}})
		return err
	}
	errs := make(chan error)
	for _, dir := range []string{alone, shared, shared, shared} {
		go func() { errs <- run(dir) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if len(times) != 5 {
		t.Errorf("stages that were run: %v", times)
	}
	for name, n := range times {
		if n != 1 {
			t.Errorf("stage %s was run %d times", name, n)
		}
	}
	if a, b := numbers(t, alone), numbers(t, shared); a != b {
		t.Errorf("a shared study differs:\n%s\n%s", a, b)
	}
}

// A whole study compares, writes its page, makes nothing anew when run again, and leaves inverters
// that can be shown alone.
func TestStudyFromEndToEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains five networks: a few seconds")
	}
	b := cpu.Open(2)
	defer b.Close()
	s := parse(t, tiny)
	o := Options{Dir: t.TempDir(), Command: "afterimage study --preset tiny"}
	res, err := Run(b, s, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Evaluations) != 3 || len(res.Experiments) != 8 || res.Compared == nil ||
		len(res.Differences) == 0 {
		t.Fatalf("%d evaluations, %d experiments, compared %v", len(res.Evaluations),
			len(res.Experiments), res.Compared)
	}
	var anew []string
	o.Note = func(st Stage) {
		if !st.Done {
			anew = append(anew, st.Name)
		}
	}
	if _, err := Run(b, s, o); err != nil || len(anew) > 0 {
		t.Errorf("run again: %v, made anew: %v", err, anew)
	}
	checkPage(t, filepath.Join(o.Dir, ReportFile))
	shipped(t, b, o.Dir)
}

// A training that goes on notes with what, and the record of before is told first.
func TestContinuationIsRecorded(t *testing.T) {
	dir := t.TempDir()
	for k, want := range []string{"", `"first"`} {
		told := ""
		r := &runner{o: Options{Dir: dir, Environment: []string{"first", "second"}[k],
			Former: func(_ string, last json.RawMessage) { told = string(last) }}}
		if err := r.former(); err != nil || told != want {
			t.Errorf("start %d was told %q, expected %q: %v", k, told, want, err)
		}
		run, err := r.begin(r.path("classifier-x"), struct{ A int }{1}, new(struct{ A int }))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := run.Restore(train.LatestFile, nil); err != nil {
			t.Fatal(err)
		}
		if err := run.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r := &runner{o: Options{Dir: dir, Facts: func(all []json.RawMessage) []report.Fact {
		return []report.Fact{{Name: fmt.Sprint(len(all)), Value: string(all[0]) + string(all[1])}}
	}}}
	if f, err := r.facts(); err != nil || len(f) != 1 || f[0].Name != "2" ||
		f[0].Value != `"first""second"` {
		t.Errorf("the page says %v: %v", f, err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "classifier-x", train.EnvironmentFile))
	if err != nil || string(raw) != "\"first\"\n\"second\"\n" {
		t.Errorf("the record is %q: %v", raw, err)
	}
}

// numbers returns study.json without the times.
func numbers(t *testing.T, dir string) string {
	t.Helper()
	var r map[string]any
	if err := explore.ReadJSON(filepath.Join(dir, ResultFile), &r); err != nil {
		t.Fatal(err)
	}
	delete(r, "stages")
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func checkPage(t *testing.T, path string) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"robust logits", "label only", "class mean",
		"What a small regression recovers", "New noise, same logits",
		"images only, one training seed", "What it cost", "afterimage study --preset tiny"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page does not say %q", want)
		}
	}
	// not in a base64 picture
	if at := regexp.MustCompile(`[> (\[]NaN`).FindIndex(page); at != nil {
		t.Errorf("the page shows NaN: …%s…", page[max(0, at[0]-300):min(len(page), at[1]+60)])
	}
}

// shipped makes the page from weights alone.
func shipped(t *testing.T, b *cpu.Backend, dir string) {
	sh := Shipment{Dataset: "scenes", Names: []string{"robust-logits", "standard-logits",
		"robust-label"}, Images: 12, Sheet: 4, Draws: 2,
		Compare: [2]string{"robust-logits", "standard-logits"}}
	for _, n := range sh.Names {
		sh.Inverters = append(sh.Inverters, filepath.Join(dir, "inverter-"+n))
	}
	r, res, err := Shipped(b, sh)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Evaluations) != 3 || res.Compared == nil || len(r.Sections) < 4 {
		t.Errorf("%d evaluations, compared %v, %d sections", len(res.Evaluations), res.Compared,
			len(r.Sections))
	}
	var out bytes.Buffer
	if err := r.Write(&out); err != nil || !strings.Contains(out.String(), "shipped weights") ||
		!strings.Contains(out.String(), "sees the class of the original again") {
		t.Errorf("page of %d bytes: %v", out.Len(), err)
	}
	sh.Names = sh.Names[:1]
	if _, _, err := Shipped(b, sh); err == nil {
		t.Error("one name for three inverters was accepted")
	}
}

// Every preset parses and constructs; those of paper scale have the published sizes.
func TestPresets(t *testing.T) {
	want := []string{"cifar10", "cifar10-hours", "cifar10-quick", "cifar100", "imagenet128",
		"imagenet64", "scenes-quick"}
	for _, name := range want {
		if !slices.Contains(Presets(), name) {
			t.Errorf("no preset %s among %v", name, Presets())
		}
	}
	for _, name := range Presets() {
		s, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != name {
			t.Errorf("preset %s calls itself %s", name, s.Name)
		}
		d, err := s.Describe("")
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := d.Write(&out); err != nil || out.Len() == 0 {
			t.Errorf("%s: %v", name, err)
		}
		if d.Study == "imagenet128" {
			i := d.Inverters[0]
			if i.GParameters != 70_433_988 || i.DParameters != 87_982_370 {
				t.Errorf("imagenet128 has %d and %d parameters, published 70,433,988 and "+
					"87,982,370", i.GParameters, i.DParameters)
			}
			// reference/paper: about 1.0 PFLOP for a step of batch 2,048 with 2 discriminator steps
			if i.StepFLOPs < 0.5e15 || i.StepFLOPs > 2e15 {
				t.Errorf("a step takes %g FLOP, expected about 1e15", i.StepFLOPs)
			}
			if _, err := Run(nil, s, Options{Dir: t.TempDir()}); err == nil {
				t.Error("a study of paper scale was started")
			}
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, change := range map[string][2]string{
		"unknown field": {"title:", "tittle:"},
		"unknown arch": {"arch: resnet8, epochs: 1, batch: 16, lr: 0.05}",
			"arch: resnet9, epochs: 1, batch: 16, lr: 0.05}"},
		"unknown dataset":   {"dataset: scenes", "dataset: scene"},
		"inverter of none":  {"classifier: standard, condition", "classifier: other, condition"},
		"condition":         {"condition: label", "condition: labels"},
		"compare":           {"compare: [robust-logits,", "compare: [robust-features,"},
		"experiment":        {"[probe,", "[prob,"},
		"two inverters":     {"condition: label", "condition: logits"},
		"classifier's name": {"name: standard", "name: a-b"},
		"steps":             {"steps: 2, batch: 8", "steps: -2, batch: 8"},
	} {
		text := strings.Replace(tiny, change[0], change[1], 1)
		if text == tiny {
			t.Fatalf("%s: nothing replaced", name)
		}
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := Load("cifar"); err == nil || !strings.Contains(err.Error(), "scenes-quick") {
		t.Errorf("an unknown preset: %v", err)
	}
}

// The label control of an inverter is its own classifier's where there is one.
func TestControl(t *testing.T) {
	s := parse(t, tiny)
	for i, want := range []string{"", "robust-label", "robust-label"} {
		if got := s.control(s.Inverters[i]); got != want {
			t.Errorf("%s: control %q, want %q", s.Inverters[i].Name(), got, want)
		}
	}
	s.Inverters = append(s.Inverters, InverterSpec{Classifier: "standard", Condition: "label"})
	if got := s.control(s.Inverters[1]); got != "standard-label" {
		t.Errorf("control %q, want standard-label", got)
	}
}

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

// A description must say of a data set what opening it would: here without the files.
func TestKnownSets(t *testing.T) {
	known := knownSets()
	if len(known) != len(data.Names()) {
		t.Errorf("%d known sets, %d names", len(known), len(data.Names()))
	}
	total := map[string]int{"cifar-10": 50000, "cifar-100": 50000, "mnist": 60000,
		"fashion-mnist": 60000}
	for _, name := range data.Names() {
		k, ok := known[name]
		if n := total[name]; !ok || n > 0 && k.images != n-len(data.HeldOut(n)) {
			t.Errorf("%s: %+v", name, k)
		}
	}
	set, err := data.Open("scenes", "", data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	size, _, _ := set.Size()
	got := knownSet{set.Train.Len(), len(set.Classes()), size}
	if got != known["scenes"] {
		t.Errorf("scenes are %+v, known as %+v", got, known["scenes"])
	}
}

// MNIST's images are too small for the generators: Describe must say so as a training would.
func TestDescribeRefusesAnotherSize(t *testing.T) {
	s, err := Load("cifar10-quick")
	if err != nil {
		t.Fatal(err)
	}
	s.Dataset = "mnist"
	if _, err := s.Describe(""); err == nil || !strings.Contains(err.Error(), "of mnist have 28") {
		t.Errorf("got %v", err)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for _, c := range [][2]string{{thousands(70433988), "70,433,988"}, {thousands(12), "12"},
		{si(1.04e15, "FLOP"), "1.04 PFLOP"}} {
		if c[0] != c[1] {
			t.Errorf("got %q, want %q", c[0], c[1])
		}
	}
}

// A rehearsal is the same study with the same batches, and less of everything that takes time.
func TestRehearsal(t *testing.T) {
	for _, name := range Presets() {
		s, err := Load(name)
		if err != nil || s.DescribeOnly {
			continue
		}
		const images, steps = 45000, 8
		short := s.Rehearsal(images, steps)
		if err := short.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		whole := s.Steps(images)
		for stage, n := range short.Steps(images) {
			if n != steps || whole[stage] < 100*steps {
				t.Errorf("%s: %s has %d steps of %d", name, stage, n, whole[stage])
			}
		}
		for k, c := range short.Classifiers {
			if c.Batch != s.Classifiers[k].Batch {
				t.Errorf("%s: %s has another batch", name, c.Name)
			}
		}
		if s.Inverters[0].Steps < 100 || s.Evaluate.Images < 1000 {
			t.Errorf("%s: the rehearsal changed the study itself", name)
		}
	}
}
