//go:build linux && amd64 && cgo

package cuda

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/tensor"
)

// convolveOnce opens the fake device, computes one convolution and returns its bytes and its
// choice. run is where a run keeps plans, "" for none.
func convolveOnce(t *testing.T, cache, run string) ([]float32, choice) {
	t.Helper()
	t.Setenv("AFTERIMAGE_CUDNN", fake.DNN)
	b := open(t, Options{Cache: cache})
	defer b.Close()
	b.dnn.alone = os.Getenv("FAKECUDNN_SLOW") != "9"
	if run != "" {
		if foreign, err := b.KeepPlans(run, nil); err != nil || foreign != "" {
			t.Fatalf("KeepPlans: %q, %v", foreign, err)
		}
	}
	s := tensor.NewScope(b)
	defer s.Close()
	x, w := s.New(tensor.F32, 1, 4, 4, 3), s.New(tensor.F32, 5, 3, 3, 3)
	step := s.Zeros(tensor.I32, 1)
	b.Random(tensor.Normal, tensor.NewKey(1, "x"), x, step)
	b.Random(tensor.Normal, tensor.NewKey(1, "w"), w, step)
	y := s.New(tensor.F32, 1, 2, 2, 5)
	b.Conv2D(y, x, w, tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1})
	out := tensor.ToHost[float32](y)
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	if len(b.book.all) != 1 {
		t.Fatalf("the book has %d choices for one convolution", len(b.book.all))
	}
	for _, c := range b.book.all {
		return out, c
	}
	panic("not reached")
}

// TestPlanChoice wants the faster of two engines that serve, once timed the same one again although
// it has become the slow one, and a run's choice before that of the cache.
func TestPlanChoice(t *testing.T) {
	t.Setenv("FAKECUDNN_DIGITS", "1") // the engines' results differ, so that the plan shows
	cache, fresh, run := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "plans.json")
	t.Setenv("FAKECUDNN_SLOW", "2")
	third, c := convolveOnce(t, cache, run)
	if c.Engine != 1003 || c.Place != 3 || c.Micros <= 0 {
		t.Errorf("with a slow engine 2: %+v", c)
	}
	t.Setenv("FAKECUDNN_SLOW", "3")
	if again, c := convolveOnce(t, cache, ""); c.Engine != 1003 || !same(again, third) {
		t.Errorf("the cache's choice was not taken: %+v", c)
	}
	second, c := convolveOnce(t, fresh, "")
	if c.Engine != 1002 || same(second, third) {
		t.Errorf("with a slow engine 3: %+v", c)
	}
	if again, c := convolveOnce(t, fresh, run); c.Engine != 1003 || !same(again, third) {
		t.Errorf("the run's choice was not taken before the cache's: %+v", c)
	}
}

// TestPlansShared wants a backend to take the choice that another made after both were opened.
func TestPlansShared(t *testing.T) {
	cache := t.TempDir()
	first, second := openPlanBook("card", cache), openPlanBook("card", cache)
	want := choice{Mode: heurModeA, Place: 3, Engine: 7, Micros: 2}
	first.put("x", want)
	if err := first.write(); err != nil {
		t.Fatal(err)
	}
	if c, ok := second.get("x"); !ok || c != want {
		t.Errorf("got %+v, %v", c, ok)
	}
	if c, ok := openPlanBook("other card", cache).get("x"); ok {
		t.Errorf("another card took %+v", c)
	}
}

// TestPlansWrittenOnce wants the choices of several shapes written together, and before anything
// that was computed by them can be read.
func TestPlansWrittenOnce(t *testing.T) {
	b := openWithDNN(t, "")
	run := filepath.Join(t.TempDir(), "plans.json")
	keepsAll(t, b, run)
	s := tensor.NewScope(b)
	defer s.Close()
	kept := func() int {
		p, err := readPlans(run)
		if err != nil {
			t.Fatal(err)
		}
		return len(p.Shapes)
	}
	var y *tensor.Tensor
	for c := range 3 {
		x, w := s.Full(tensor.F32, 1, 1, 3, 3, c+1), s.Full(tensor.F32, 1, 2, 3, 3, c+1)
		y = s.New(tensor.F32, 1, 1, 1, 2)
		b.Conv2D(y, x, w, tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1})
	}
	before := kept()
	if y.Floats(); before != 0 || kept() != 3 {
		t.Errorf("%d choices were written before anything was read, %d after", before, kept())
	}
}

// TestPlanOwn wants our own kernel where every plan is slower, and that kept, too.
func TestPlanOwn(t *testing.T) {
	if testing.Short() {
		t.Skip("short: TestPlanChoice keeps a choice, too")
	}
	cache := t.TempDir()
	t.Setenv("FAKECUDNN_SLOW", "9")
	if _, c := convolveOnce(t, cache, ""); !c.own() || c.Micros <= 0 {
		t.Errorf("with slow engines: %+v", c)
	}
	t.Setenv("FAKECUDNN_SLOW", "")
	if _, c := convolveOnce(t, cache, ""); !c.own() {
		t.Errorf("the cache's choice was not taken: %+v", c)
	}
}

func same(a, b []float32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// TestPlansGivenUp wants plans that are in use already to make room for those of a run that is
// opened later.
func TestPlansGivenUp(t *testing.T) {
	t.Setenv("FAKECUDNN_SLOW", "2")
	run := filepath.Join(t.TempDir(), "plans.json")
	convolveOnce(t, t.TempDir(), run)
	t.Setenv("FAKECUDNN_SLOW", "3")
	b := openWithDNN(t, "")
	s := tensor.NewScope(b)
	defer s.Close()
	x, w := s.Full(tensor.F32, 1, 1, 4, 4, 3), s.Full(tensor.F32, 1, 5, 3, 3, 3)
	y := s.New(tensor.F32, 1, 2, 2, 5)
	p := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
	used := func() (engine int64) {
		b.Conv2D(y, x, w, p)
		for _, plan := range b.dnn.plans {
			engine = plan.choice.Engine
		}
		return engine
	}
	before := used()
	if _, err := b.KeepPlans(run, nil); err != nil {
		t.Fatal(err)
	}
	if after := used(); before != 1002 || after != 1003 {
		t.Errorf("engine %d before, %d after; want 1002 and 1003", before, after)
	}
}

// TestPlansChanged wants a kept choice that names another engine than stands there now to be made
// anew, and one that none serves to stay so.
func TestPlansChanged(t *testing.T) {
	run := filepath.Join(t.TempDir(), "plans.json")
	want, _ := convolveOnce(t, t.TempDir(), run)
	edit := func(f func(*choice)) { editPlans(t, run, f) }
	edit(func(c *choice) { c.Engine = 77 })
	if got, c := convolveOnce(t, t.TempDir(), run); c.Engine == 77 || !same(got, want) {
		t.Errorf("an engine that is not there: %+v", c)
	}
	edit(func(c *choice) { *c = none() })
	if _, c := convolveOnce(t, t.TempDir(), run); c != none() {
		t.Errorf("our own kernel was not kept: %+v", c)
	}
	cache := t.TempDir()
	book := openPlanBook("card", cache)
	book.put("x", none())
	book.put("y", choice{Mode: heurModeA, Place: 1})
	slower := none()
	slower.Micros = 5
	book.put("z", slower)
	if err := book.write(); err != nil {
		t.Fatal(err)
	}
	if again := openPlanBook("card", cache).all; len(again) != 2 || again["z"] != slower {
		t.Errorf("the cache keeps %v: want what a plan serves, and our own kernel where it was faster",
			again)
	}
}

// editPlans changes the choices that a file keeps.
func editPlans(t *testing.T, path string, f func(*choice)) {
	t.Helper()
	p, err := readPlans(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range p.Shapes {
		f(&c)
		p.Shapes[name] = c
	}
	if err := writePlans(path, p); err != nil {
		t.Fatal(err)
	}
}

// keepsAll has b keep its choices in the run's file, if there is a run, and wants none made anew.
func keepsAll(t *testing.T, b *Backend, run string) {
	t.Helper()
	if run == "" {
		return
	}
	_, err := b.KeepPlans(run, func(shape string) { t.Errorf("%s is chosen anew", shape) })
	if err != nil {
		t.Fatal(err)
	}
}

// TestPlansFailed is TestProductFailed for cuDNN's plans.
func TestPlansFailed(t *testing.T) {
	cache, run := t.TempDir(), filepath.Join(t.TempDir(), "plans.json")
	kept := failing(t, "FAKECUDNN_FAIL", run, func(run string) (float64, error) {
		b := openWithDNN(t, cache)
		defer b.Close()
		keepsAll(t, b, run)
		s := tensor.NewScope(b)
		defer s.Close()
		x, w := s.Full(tensor.F32, 1, 1, 4, 4, 3), s.Full(tensor.F32, 1, 5, 3, 3, 3)
		y := s.New(tensor.F32, 1, 2, 2, 5)
		b.Conv2D(y, x, w, tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1})
		if err := b.Sync(); err != nil {
			return 0, err
		}
		return y.Floats()[0], nil
	})
	if len(kept) != 1 || kept[0].own() {
		t.Errorf("kept %+v", kept)
	}
}

// TestPlanFiles wants a damaged file refused by name, one of another card named, and a run without
// room for its plans to say so.
func TestPlanFiles(t *testing.T) {
	b := openWithDNN(t, "")
	path := filepath.Join(t.TempDir(), "plans.json")
	good := plans{b.book.card, map[string]choice{"x": {Mode: heurModeA, Place: 2}}}
	if err := writePlans(path, good); err != nil {
		t.Fatal(err)
	}
	raw, _ := os.ReadFile(path)
	for name, text := range map[string][]byte{"cut": raw[:len(raw)-5], "empty": nil,
		"changed": bytes.Replace(raw, []byte("place"), []byte("plaXe"), 1)} {
		os.WriteFile(path, text, 0o666)
		if _, err := b.KeepPlans(path, nil); err == nil || !strings.Contains(err.Error(), path) ||
			!strings.Contains(err.Error(), "checksum") {
			t.Errorf("%s: %v", name, err)
		}
	}
	good.Card = "another card"
	if err := writePlans(path, good); err != nil {
		t.Fatal(err)
	}
	foreign, err := b.KeepPlans(path, nil)
	p, rerr := readPlans(path)
	if err != nil || rerr != nil || foreign != "another card" || p.Card != b.book.card ||
		!maps.Equal(p.Shapes, b.book.all) {
		t.Errorf("%q, %v, %v: %+v", foreign, err, rerr, p)
	}
	if _, err := b.KeepPlans("/nowhere/plans.json", nil); err == nil {
		t.Error("a folder that is not there was written to")
	}
}

// FuzzPlans feeds the reader of plan files hostile bytes, with and without a fitting checksum.
func FuzzPlans(f *testing.F) {
	path := filepath.Join(f.TempDir(), "p")
	if err := writePlans(path, plans{"card", map[string]choice{"x": none()}}); err != nil {
		f.Fatal(err)
	}
	raw, _ := os.ReadFile(path)
	f.Add(raw, false)
	f.Add([]byte(`{"shapes":{"x":{"mode":3,"place":99}}}`), true)
	f.Fuzz(func(t *testing.T, raw []byte, seal bool) {
		if seal {
			raw = sealed(raw)
		}
		p, err := parsePlans(raw)
		if err != nil {
			return
		}
		for name, c := range p.Shapes {
			if c.Place < 0 || c.Place >= mostConfigs {
				t.Errorf("%q: %+v was accepted", name, c)
			}
		}
	})
}
