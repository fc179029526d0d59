package study

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"afterimage/nn/data"
)

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
