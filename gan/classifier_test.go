package gan_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/models"
	"afterimage/nn/onnx"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// answerTol bounds the relative difference of answers of one network from its two forms, in single
// precision and in other orders of summation.
const answerTol = 1e-5

// twoForms returns an untrained network of the given architecture for 32-pixel images, and the same
// as an ONNX file.
func twoForms(t *testing.T, s *tensor.Scope, arch string) (own *models.Classifier, file string) {
	t.Helper()
	own, err := models.New(arch, models.Options{Classes: 10, InputSize: 32, Channels: 3,
		Mean: []float64{.5, .4, .3}, Std: []float64{.2, .3, .4}})
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, own, 3)
	var raw bytes.Buffer
	if err := onnx.Export(own, &raw); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "net.onnx")
	if err := os.WriteFile(file, raw.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return own, file
}

// An imported graph and the network it was made of are the same classifier to an inverter.
func TestImportedClassifierIsTheSame(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	own, file := twoForms(t, s, "convnet-mnist")
	imported, err := gan.OpenClassifier(s, file)
	if err != nil {
		t.Fatal(err)
	}
	if imported.Classes() != 10 || imported.InputSize() != 32 || imported.Channels() != 3 ||
		imported.FeatureDim() != own.FeatureDim() || imported.Arch() != "convnet-mnist" {
		t.Errorf("%s: %d classes, %d pixels, %d channels, %d features", imported.Arch(),
			imported.Classes(), imported.InputSize(), imported.Channels(), imported.FeatureDim())
	}
	x := s.New(tensor.F32, 3, 32, 32, 3)
	v := make([]float64, x.Size())
	for i := range v {
		v[i] = tensor.Uniform01(tensor.NewKey(1, "test/images").Word(0, uint64(i)))
	}
	x.SetFloats(v)
	for _, kind := range []gan.Condition{gan.Label, gan.Logits, gan.Features} {
		got, want := condition(t, s, imported, kind, x), condition(t, s, own, kind, x)
		if len(got) != len(want) || len(want) == 0 {
			t.Fatalf("%s: %d numbers, expected %d", kind, len(got), len(want))
		}
		scale, worst := 0.0, 0.0
		for i, w := range want {
			scale, worst = max(scale, math.Abs(w)), max(worst, math.Abs(got[i]-w))
		}
		if !(worst <= answerTol*scale) {
			t.Errorf("%s: %g apart, the largest is %g", kind, worst, scale)
		}
	}
}

func condition(
	t *testing.T, s *tensor.Scope, m gan.Classifier, kind gan.Condition, x *tensor.Tensor,
) []float64 {
	t.Helper()
	c, err := gan.NewConditioner(m, kind)
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, c.State(), 1)
	want := c.Ask(s, x).Cond.Floats()
	i := m.Inference(s.Backend())
	defer i.Close()
	for range 2 {
		if !slices.Equal(c.AskWith(i, s, x).Cond.Floats(), want) {
			t.Errorf("%s of %s: an Inference answers otherwise", kind, m.Arch())
		}
	}
	return want
}

// A run with an imported classifier keeps it: it is resumed exactly and painted from when the file
// it was given is gone.
func TestRunKeepsImportedClassifier(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains, resumes and compares")
	}
	b := cpu.Open(2)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	_, file := twoForms(t, s, "convnet-mnist")
	c, dir := tinyInverter(), t.TempDir()
	start := func(run, file string, stop int) {
		t.Helper()
		m, err := gan.OpenClassifier(s, file)
		if err != nil {
			t.Fatal(err)
		}
		g, err := gan.NewTrainer(b, m, c)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		err = goOn(t, g, run, func(step int) bool { return step == stop })
		if (err != nil) != (stop > 0) {
			t.Fatal(err)
		}
	}
	whole, parts := filepath.Join(dir, "whole"), filepath.Join(dir, "parts")
	start(whole, file, 0)
	start(parts, file, 3)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	start(parts, gan.ClassifierFile(filepath.Join(parts, train.CheckpointDir)), 0)
	diff, err := train.Diff(whole, parts)
	if err != nil || len(diff) > 0 {
		t.Errorf("%v, %d differences, such as %v", err, len(diff), diff[:min(len(diff), 3)])
	}
	v, err := gan.OpenInverter(s, whole)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Conditioner.Model.(*onnx.Classifier); !ok {
		t.Errorf("the inverter's classifier is a %T", v.Conditioner.Model)
	}
	moved := t.TempDir() // a folder that held another format
	if err := os.WriteFile(filepath.Join(moved, gan.InverterClassifier), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := v.Save(moved, tensor.F16, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := gan.OpenInverter(s, moved); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(moved, gan.InverterClassifier)); err == nil {
		t.Error("two classifiers lie beside the inverter")
	}
}

// Features are asked only of a network that has them.
func TestConditionNeedsFeatures(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	_, file := twoForms(t, s, "squeezenet1_1") // its last layer stands in front of a mean
	m, err := gan.OpenClassifier(s, file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = gan.NewConditioner(m, gan.Features)
	if err == nil || !strings.Contains(err.Error(), "no features") {
		t.Errorf("got %v", err)
	}
	c, err := gan.NewConditioner(m, gan.Logits)
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, c.State(), 1)
	if a := c.Ask(s, s.Full(tensor.F32, 0.5, 2, 32, 32, 3)); a.Features != nil ||
		!a.Cond.Shape().Equal(tensor.Shape{2, 10}) {
		t.Errorf("answer %v with features %v", a.Cond.Shape(), a.Features)
	}
}
