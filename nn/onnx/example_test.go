package onnx_test

import (
	"bytes"
	"fmt"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/models"
	"afterimage/nn/onnx"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A classifier goes out as an ONNX file and comes back as a frozen one.
func Example() {
	s := tensor.NewScope(ref.New())
	defer s.Close()
	m, err := models.New("resnet8", models.Options{Classes: 4, InputSize: 8})
	if err != nil {
		panic(err)
	}
	nn.Init(s, m, 1)
	var file bytes.Buffer
	if err := onnx.Export(m, &file); err != nil {
		panic(err)
	}

	model, err := onnx.Decode("resnet8.onnx", file.Bytes())
	if err != nil {
		panic(err)
	}
	frozen, err := onnx.NewClassifier(s, model, onnx.ClassifierOptions{})
	if err != nil {
		panic(err)
	}
	g := autodiff.NewGraph(ref.New())
	defer g.Close()
	x := g.Leaf(s.Full(tensor.F32, 0.5, 2, 8, 8, 3))
	logits := frozen.Forward(nn.NewCtx(g, nn.Eval), x)
	dx := autodiff.Grad(autodiff.Sum(logits), []*autodiff.Value{x})
	fmt.Println(frozen.Classes(), logits.Shape(), dx[0].Shape())
	// Output: 4 [2 4] [2 8 8 3]
}
