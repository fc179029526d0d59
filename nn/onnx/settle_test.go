package onnx

import (
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// What follows from constants alone is computed once: on the host, on the device, and what mixes
// them. An output, what is far larger than all constants, and what an input decides stay nodes, and
// results are the same bits.
func TestSettle(t *testing.T) {
	s := newSketch(17, []int{-1, 4})
	a := s.longs("a", 1, 2, 3, 4)
	s.node("Equal", "same", []string{a, s.longs("b", 1, 0, 3, 0)})
	s.node("Where", "mask", []string{"same", s.floats("low", nil, -100), s.floats("zero", nil, 0)})
	s.node("Exp", "grown", []string{s.floats("c", []int{4}, 0.1, 0.2, 0.3, 0.4)})
	s.node("Add", "table", []string{"grown", "mask"})
	s.node("Expand", "large", []string{"table", s.longs("shape", 9000, 4)})
	s.node("ReduceMax", "top", []string{"large"}, ints("axes", 0), attrI("keepdims", 0))
	s.node("Neg", "out", []string{"table"})
	s.node("Shape", "extents", []string{"x0"})
	s.node("ConstantOfShape", "zeros", []string{"extents"})
	s.node("Add", "x", []string{"x0", "table"})
	s.node("Add", "y0", []string{"x", "top"})
	s.node("Add", "y", []string{"y0", "zeros"})
	m := s.model(t, "y", "out")
	scope := tensor.NewScope(ref.New())
	defer scope.Close()
	g, err := Import(scope, m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	run := func() [][]float64 {
		ag := autodiff.NewGraph(ref.New())
		defer ag.Close()
		x := ag.Leaf(tensor.FromSlice(ag.Scope(), []float32{1, 2, 3, 4, 5, 6, 7, 8}, 2, 4))
		out, err := g.Run(ag, map[string]*Value{"x0": Of(x)})
		if err != nil {
			t.Fatal(err)
		}
		dx := autodiff.Grad(autodiff.Sum(autodiff.Square(out["y"].Float().Keep())),
			[]*autodiff.Value{x})[0]
		return [][]float64{out["y"].Array().F, out["out"].Array().F, dx.Tensor().Floats()}
	}
	before := run()
	g.settle(scope)
	for range 2 {
		for i, v := range run() {
			if !slices.Equal(v, before[i]) {
				t.Errorf("result %d is %v, was %v", i, v, before[i])
			}
		}
	}
	count := g.Count()
	if count["Equal"]+count["Where"]+count["Exp"] > 0 || count["Expand"] != 1 || count["Neg"] != 1 ||
		count["ReduceMax"] != 1 || count["Add"] != 3 || count["ConstantOfShape"] != 1 {
		t.Errorf("left are %v", count)
	}
	for name := range g.consts {
		if slices.Contains([]string{"a", "b", "same", "mask", "grown", "c"}, name) {
			t.Errorf("constant %s is left, which nobody reads", name)
		}
	}
}
