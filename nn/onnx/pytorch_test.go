package onnx_test

import (
	"path/filepath"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/onnx"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// exportTol bounds the relative difference, in the Euclidean norm, of logits and input gradients
// from PyTorch's, both in single precision.
const exportTol = 5e-6

// Networks that PyTorch wrote as ONNX give PyTorch's logits and input gradients: residual,
// Inception-like, mobile, transformer (by both of PyTorch's exporters), mixer, and the operators of
// generators. testdata/pytorch.py made them.
func TestPyTorchExports(t *testing.T) {
	golden, err := checkpoint.Open(filepath.Join("testdata", "pytorch.npz"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join("testdata", "*.onnx"))
	if err != nil || len(files) < 7 {
		t.Fatalf("found %d exported networks, expected 7: %v", len(files), err)
	}
	for _, path := range files {
		file := filepath.Base(path)
		name := file[:len(file)-len(".onnx")]
		if name == "transformer-dynamo" {
			name = "transformer"
		}
		t.Run(file, func(t *testing.T) { checkExport(t, path, golden, name) })
	}
}

func checkExport(t *testing.T, path string, golden *checkpoint.File, name string) {
	get := func(key string) checkpoint.Array {
		a, ok := golden.Get(key)
		if !ok {
			t.Fatalf("no golden value %s", key)
		}
		return a
	}
	s := tensor.NewScope(ref.New())
	defer s.Close()
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := onnx.NewClassifier(s, m, onnx.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	x := get("x")
	g := autodiff.NewGraph(s.Backend())
	defer g.Close()
	in := g.Leaf(tensor.FromSlice(s, x.Float32s(), x.Shape...))
	y := c.Forward(nn.NewCtx(g, nn.Eval), in).Keep()
	dx := autodiff.Grad(autodiff.Sum(autodiff.Square(y)), []*autodiff.Value{in})[0]
	for what, pair := range map[string][2][]float64{
		"logits":   {y.Tensor().Floats(), get(name + ".y").Float64s()},
		"gradient": {dx.Tensor().Floats(), get(name + ".g").Float64s()},
	} {
		if d := distance(pair[0], pair[1]); !(d <= exportTol) {
			t.Errorf("%s: %g away, relative", what, d)
		}
	}
}
