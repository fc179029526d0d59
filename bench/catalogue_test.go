package bench

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/cpu/gemm"
)

// TestRowsFileIsCurrent: bench/pytorch works from a copy of the list.
func TestRowsFileIsCurrent(t *testing.T) {
	want, err := NewCatalogue().JSON()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("pytorch/rows.json")
	if err != nil || string(got) != string(want) {
		t.Errorf("pytorch/rows.json is not what the networks ask for (%v): write it anew with "+
			"`afterimage bench rows > bench/pytorch/rows.json`", err)
	}
}

// TestCatalogue: keys are unique and plain, every row has work and a way to do it, and targets
// exist.
func TestCatalogue(t *testing.T) {
	c := NewCatalogue()
	seen, plain := map[string]bool{}, regexp.MustCompile(`^[a-zA-Z0-9/-]+$`)
	for _, s := range c.All() {
		if seen[s.Key] || !plain.MatchString(s.Key) {
			t.Errorf("key %q occurs twice or is not plain", s.Key)
		}
		seen[s.Key] = true
		if !(s.Work > 0) || s.Unit == "" || len(s.Groups) == 0 || s.Name == "" || s.Shape == "" {
			t.Errorf("%s is incomplete: %+v", s.Key, s)
		}
		if s.Target == "" && openerOf(s.Kind) == nil {
			t.Errorf("%s: nothing measures kind %q", s.Key, s.Kind)
		}
		if _, err := c.Find(s.Target); s.Target != "" && err != nil {
			t.Errorf("%s: %v", s.Key, err)
		}
	}
	if _, err := c.Find("no such row"); err == nil {
		t.Error("a row that does not exist was found")
	}
}

// TestStepWork holds the operations of the steps against a count made by hand from the networks'
// published multiply-adds (He et al. 2016; torchvision's table): 31.1, 213, 196, 176 GFLOP.
func TestStepWork(t *testing.T) {
	c := NewCatalogue()
	for key, want := range map[string]float64{"step/resnet20-cifar-n128h32": 31.1,
		"step/resnet18-cifar-n64h32": 213, "step/resnet50-n8h224": 196,
		"step/resnet20-cifar-n128h32-pgd7": 176, "inference/resnet50-n1": 8.18} {
		if s, err := c.Find(key); err != nil || math.Abs(s.Work-want) > 0.01*want {
			t.Errorf("%s: %g GFLOP, expected %g (%v)", key, s.Work, want, err)
		}
	}
}

// shrunk returns s on one or two images, or a narrow network: the same procedure, little work.
func shrunk(s Spec) Spec {
	s.Args, s.Lists = maps.Clone(s.Args), maps.Clone(s.Lists)
	for name, most := range map[string]int{"n": 2, "ch": 4, "bytes": 1 << 16, "m": 32, "images": 64,
		"batches": 2, "pgd": 2} {
		if v, ok := s.Args[name]; ok {
			s.Args[name] = min(v, most)
		}
	}
	for _, name := range []string{"sizes", "rows", "cols"} {
		for i, v := range s.Lists[name] {
			if i == 0 {
				s.Lists[name] = slices.Clone(s.Lists[name])
			}
			s.Lists[name][i] = min(v, 50)
		}
	}
	switch {
	case s.Arch == "resnet50":
		s.Args["h"] = 32 // the smallest it takes
	case s.Arch != "":
		s.Args["h"] = 8
	case strings.HasPrefix(s.Kind, "conv-"):
		s.Args["n"] = 1
	}
	return s
}

// TestEveryRowRuns does every row's procedure once, on little, and looks for figures that are not
// finite.
func TestEveryRowRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("short: all kinds of steps take some seconds")
	}
	b := cpu.Open(1)
	defer b.Close()
	for _, s := range NewCatalogue().All() {
		if s.Target != "" || s.Kind == "fma" {
			continue
		}
		if err := b.SetPrecision(tensor.F32); err != nil {
			t.Fatal(err)
		}
		j, err := open(b, shrunk(s))
		if s.Precision != "" && !gemm.HasBF16() {
			if !errors.Is(err, ErrUnsupported) {
				t.Errorf("%s: %v, expected that there is no way to do it", s.Key, err)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		took, err := j.times(1, 0, func() {})
		j.close()
		if err != nil {
			t.Errorf("%s: %v", s.Key, err)
			continue
		}
		for _, bound := range []Bound{{}, {Wall: 100, PerCPU: 100}} {
			if _, err := json.Marshal(took.row(s, bound, 2)); err != nil { // refuses NaN and Inf
				t.Errorf("%s: %v", s.Key, err)
			}
		}
	}
	if m := b.Memory(); m.InUse != 0 {
		t.Errorf("the rows left %d bytes of tensors", m.InUse)
	}
}

// TestZeroTimesGiveNoRate: a clock too coarse for a run must not make a rate of infinity.
func TestZeroTimesGiveNoRate(t *testing.T) {
	r := timing{seconds: []float64{0, 0, 0}}.row(Spec{Work: 1, Images: 3}, Bound{}, 2)
	if r.Rate != 0 || r.Fraction != 0 || r.CPUFraction != 0 || r.ImagesPerSecond != 0 {
		t.Errorf("got %+v, expected no figures", r)
	}
}
