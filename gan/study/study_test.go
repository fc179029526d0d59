package study

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"afterimage/gan/explore"
	"afterimage/gan/report"
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

// small is less still: one classifier, one inverter, no title.
const small = `
name: small
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
		if _, _, err := run.Restore(train.LatestFile, train.FinalFile, nil); err != nil {
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
