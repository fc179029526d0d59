package onnx

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/attack"
	"afterimage/nn/models"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// roundTripTol bounds |got − want| relative to the largest logit: the exported graph folds batch
// normalisation and adds in another order, in single precision through up to 50 layers.
const roundTripTol = 1e-5

// Every kind of architecture, exported and imported again, gives its logits.
func TestExportRoundTrip(t *testing.T) {
	norm := models.Options{Mean: []float64{.5, .4, .3}, Std: []float64{.2, .3, .4}}
	small := models.Options{Classes: 7, InputSize: 32}
	for _, tc := range []struct {
		arch string
		opts models.Options
		slow bool
	}{
		{arch: "lenet5"}, {arch: "convnet-mnist"}, {arch: "resnet2b", opts: norm},
		{arch: "resnet8", opts: norm}, {arch: "resnet20-cifar"},
		{arch: "squeezenet1_1", opts: small},
		{arch: "resnet50", opts: small, slow: true},
		{arch: "resnet18-cifar", slow: true}, {arch: "preactresnet18", slow: true},
		{arch: "preactresnet18-bn", slow: true},
	} {
		if tc.slow && testing.Short() {
			continue
		}
		t.Run(tc.arch, func(t *testing.T) { roundTrip(t, tc.arch, tc.opts) })
	}
}

func roundTrip(t *testing.T, arch string, o models.Options) {
	s := tensor.NewScope(cpu.Open(1))
	defer s.Close()
	m, err := models.New(arch, o)
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, m, 3)
	unsettle(m)
	var file bytes.Buffer
	if err := Export(m, &file); err != nil {
		t.Fatal(err)
	}
	model, err := Decode(arch+".onnx", file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	back, err := NewClassifier(s, model, ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := m.InputSize()
	x := s.New(tensor.F32, 2, n, n, m.Channels())
	v := make([]float64, x.Size())
	for i := range v {
		v[i] = tensor.Uniform01(tensor.NewKey(1, "export").Word(0, uint64(i)))
	}
	x.SetFloats(v)
	got, want := logitsOf(s, back, x), logitsOf(s, m, x)
	if len(got) != len(want) || len(want) != 2*m.Classes() {
		t.Fatalf("%d logits, expected %d", len(got), len(want))
	}
	scale, worst := 0.0, 0.0
	for i, w := range want {
		scale, worst = max(scale, math.Abs(w)), max(worst, math.Abs(got[i]-w))
	}
	if !(worst <= roundTripTol*scale) {
		t.Errorf("logits are %g apart at most, the largest is %g", worst, scale)
	}
}

// unsettle gives gains, biases and running statistics values that differ from channel to channel,
// so that a mixed-up or forgotten one shows.
func unsettle(m *models.Classifier) {
	for name, p := range m.Params() {
		if len(p.Shape) != 1 || strings.HasSuffix(name, "_u") {
			continue
		}
		key := tensor.NewKey(5, name)
		v := p.T.Floats()
		for i := range v {
			v[i] += 0.5 * tensor.Uniform01(key.Word(0, uint64(i)))
		}
		p.T.SetFloats(v)
	}
}

func logitsOf(s *tensor.Scope, m attack.Model, x *tensor.Tensor) []float64 {
	g := autodiff.NewGraph(s.Backend())
	defer g.Close()
	return m.Forward(nn.NewCtx(g, nn.Eval), g.Const(x)).Tensor().Floats()
}

// A classifier without weights is not exported.
func TestExportNeedsWeights(t *testing.T) {
	m, err := models.New("resnet8", models.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := Export(m, &file); err == nil || file.Len() > 0 {
		t.Errorf("got %v and %d bytes, expected an error and nothing written", err, file.Len())
	}
}
