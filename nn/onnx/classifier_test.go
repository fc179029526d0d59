package onnx

import (
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// Normalisation, scale and channel order act on the image before the graph, in this order; a last
// Softmax is left out.
func TestClassifierOptions(t *testing.T) {
	s := newSketch(17, []int{1, 2, 1, 1})
	s.node("Flatten", "z", []string{"x0"}).node("Softmax", "p", []string{"z"})
	m := s.model(t, "p")
	scope := tensor.NewScope(ref.New())
	defer scope.Close()
	for _, tc := range []struct {
		opts ClassifierOptions
		want [2]float64
	}{
		{ClassifierOptions{}, [2]float64{0.25, 0.75}},
		{ClassifierOptions{Scale: 4}, [2]float64{1, 3}},
		{ClassifierOptions{BGR: true}, [2]float64{0.75, 0.25}},
		{ClassifierOptions{Mean: []float64{0.25, 0.5}, Std: []float64{1, 0.5}, Scale: 2, BGR: true},
			[2]float64{1, 0}},
	} {
		c, err := NewClassifier(scope, m, tc.opts)
		if err != nil {
			t.Fatal(err)
		}
		g := autodiff.NewGraph(ref.New())
		x := tensor.FromSlice(g.Scope(), []float32{0.25, 0.75}, 1, 1, 1, 2)
		z := c.Forward(nn.NewCtx(g, false), g.Const(x)).Tensor().Floats()
		if len(z) != 2 || z[0] != tc.want[0] || z[1] != tc.want[1] {
			t.Errorf("%+v: logits %v, expected %v", tc.opts, z, tc.want)
		}
		g.Close()
	}
}

// A graph with the batch written into a Reshape still serves batches, image by image, with the
// gradient of each.
func TestClassifierOfSingleImages(t *testing.T) {
	s := newSketch(17, []int{1, 1, 2, 2})
	s.node("Reshape", "flat", []string{"x0", s.longs("shape", 1, 4)})
	s.node("Gemm", "y", []string{"flat", s.floats("w", []int{4, 3}, normals("w", 12)...)})
	scope := tensor.NewScope(ref.New())
	defer scope.Close()
	c, err := NewClassifier(scope, s.model(t, "y"), ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !c.single || len(c.Notes()) != 3 {
		t.Errorf("single %v, notes %q", c.single, c.Notes())
	}
	g := autodiff.NewGraph(ref.New())
	defer g.Close()
	x := g.Leaf(g.Scope().Full(tensor.F32, 1, 3, 2, 2, 1))
	z := c.Forward(nn.NewCtx(g, false), x)
	dx := autodiff.Grad(autodiff.Sum(z), []*autodiff.Value{x})[0]
	if !z.Shape().Equal(tensor.Shape{3, 3}) {
		t.Fatalf("logits are %v", z.Shape())
	}
	d := dx.Tensor().Floats()
	for i := range 4 {
		if d[i] == 0 || d[i] != d[4+i] || d[i] != d[8+i] {
			t.Errorf("gradients differ between equal images: %v", d)
		}
	}
}
