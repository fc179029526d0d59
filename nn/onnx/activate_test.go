package onnx

import (
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// An activation becomes part of the convolution or linear layer before it where nobody else reads
// what lies between, and neither values, to the bit, nor gradients change: a residual, a term that
// is spread, a result that others read, an activation that there is no Activation of, one behind a
// ReLU, and a bound that follows from constants.
func TestActivate(t *testing.T) {
	m := activated().model(t, "y")
	b := cpu.Open(1)
	defer b.Close()
	scope := tensor.NewScope(b)
	defer scope.Close()
	g, err := Import(scope, m, Options{ChannelsLast: true})
	if err != nil {
		t.Fatal(err)
	}
	image := scope.New(tensor.F32, 2, 6, 6, 3)
	image.SetFloats(normals("image", 2*3*6*6))
	run := func(x func(ag *autodiff.Graph) *autodiff.Value) (y, dx []float64) {
		ag := autodiff.NewGraph(b)
		defer ag.Close()
		in := x(ag)
		out, err := g.Run(ag, map[string]*Value{"x0": Of(in)})
		if err != nil {
			t.Fatal(err)
		}
		v := out["y"].Float().Keep()
		y = v.Tensor().Floats()
		if in.NeedsGrad() {
			dx = autodiff.Grad(autodiff.Sum(autodiff.Square(v)),
				[]*autodiff.Value{in})[0].Tensor().Floats()
		}
		return y, dx
	}
	leaf := func(ag *autodiff.Graph) *autodiff.Value { return ag.Leaf(image) }
	fixed := func(ag *autodiff.Graph) *autodiff.Value { return ag.Const(image) }
	y, dx := run(leaf)
	g.settle(scope)
	g.activate()
	for range 2 {
		once, _ := run(fixed)
		recorded, grad := run(leaf)
		if !slices.Equal(once, y) || !slices.Equal(recorded, y) || !slices.Equal(grad, dx) {
			t.Error("values or gradients changed")
		}
	}
	count := g.Count()
	if count["Clip"] != 1 || count["HardSwish"]+count["Gelu"]+count["Swish"] > 0 ||
		count["HardSigmoid"] != 0 || count["Sigmoid"] != 1 || count["Linear"] != 1 ||
		count["Tanh"] != 1 || count["Relu"] != 0 || count["Conv"] != 8 {
		t.Errorf("left are %v", count)
	}
}

// activated is eight convolutions and a linear layer with an activation behind each.
func activated() *sketch {
	s := newSketch(20, []int{-1, 3, 6, 6})
	conv := func(name, in string) {
		s.node("Conv", name, []string{in, s.floats(name+".w", []int{3, 3, 3, 3}, normals(name, 81)...),
			s.floats(name+".b", []int{3}, 0.1, -0.2, 0.3)}, ints("pads", 1, 1, 1, 1))
	}
	conv("a", "x0")
	s.node("Clip", "clip", []string{"a", s.floats("low", nil, -1), s.floats("six", nil, 6)})
	conv("b", "clip")
	s.node("Add", "residual", []string{"clip", "b"})
	s.node("HardSwish", "hard", []string{"residual"})
	conv("c", "hard")
	s.node("Add", "spread", []string{"c", s.floats("row", []int{1, 1, 6}, normals("row", 6)...)})
	s.node("Gelu", "gelu", []string{"spread"})
	conv("d", "gelu")
	s.node("Sigmoid", "d.s", []string{"d"})
	s.node("Mul", "swish", []string{"d", "d.s"})
	conv("e", "swish")
	s.node("HardSigmoid", "gate", []string{"e"}, attrF("alpha", 0.3))
	conv("f", "gate")
	s.node("Sigmoid", "f.s", []string{"f"})
	s.node("Add", "both", []string{"f", "f.s"})
	conv("g", "both")
	s.node("Tanh", "tanh", []string{"g"})
	conv("h", "tanh")
	s.node("Relu", "relu", []string{"h"})
	s.node("Clip", "clipped", []string{"relu", "", s.floats("half", nil, 0.5)})
	s.node("Reshape", "rows", []string{"clipped", s.longs("flat", 0, -1)})
	s.node("Gemm", "linear", []string{"rows", s.floats("i.w", []int{4, 108}, normals("i.w", 432)...)},
		attrI("transB", 1))
	s.node("Neg", "none", []string{s.floats("zero", nil, 0)})
	s.node("Clip", "y", []string{"linear", "none"})
	return s
}
