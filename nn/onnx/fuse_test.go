package onnx

import (
	"testing"

	"afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// What follows a convolution becomes part of it where nobody else reads what lies between, and
// neither values nor gradients of first and second order change: a residual, the sum of two
// convolutions, a term that is spread, a result that others read, or that is an output.
func TestFuse(t *testing.T) {
	s := newSketch(17, []int{-1, 3, 6, 6})
	conv := func(name, in string) {
		s.node("Conv", name, []string{in, s.floats(name+".w", []int{3, 3, 3, 3}, normals(name, 81)...),
			s.floats(name+".b", []int{3}, 0.1, -0.2, 0.3)}, ints("pads", 1, 1, 1, 1))
	}
	conv("a", "x0")
	s.node("Relu", "ra", []string{"a"})
	conv("b", "ra")
	s.node("Add", "residual", []string{"ra", "b"})
	s.node("Relu", "rb", []string{"residual"})
	conv("c", "rb")
	conv("d", "ra")
	s.node("Add", "two", []string{"d", "c"})
	conv("e", "two")
	s.node("Add", "spread", []string{"e", s.floats("row", []int{1, 1, 6}, normals("row", 6)...)})
	s.node("Relu", "re", []string{"spread"})
	conv("f", "re")
	s.node("Relu", "rf", []string{"f"})
	s.node("Add", "g", []string{"f", "rf"})
	conv("out", "g")
	s.node("Relu", "y", []string{"out"})
	m := s.model(t, "y", "out")
	count := sameJoined(t, m, 2, 3, 6, 6)
	// f, which two read, and out, an output, keep their ReLUs, and f its sum.
	if count["Relu"] != 2 || count["Add"] != 1 || count["Conv"] != 7 {
		t.Errorf("left are %v", count)
	}
}

// sameJoined runs a graph of input x0 with and without what joins kernels, compares output y with
// its gradients of first and second order, and returns what the joined one runs.
func sameJoined(t *testing.T, m *Model, shape ...int) (count map[string]int) {
	t.Helper()
	x := normals("image", tensor.Shape(shape).Size())
	run := func(o Options) (y, dx, ddx []float64, count map[string]int) {
		o.DType = tensor.F64
		g := importIn(t, m, o)
		ag := autodiff.NewGraph(ref.New())
		defer ag.Close()
		in := ag.Leaf(tensor.FromSlice(ag.Scope(), x, shape...))
		out, err := g.Run(ag, map[string]*Value{"x0": Of(in)})
		if err != nil {
			t.Fatal(err)
		}
		v := out["y"].Float().Keep()
		leaf := []*autodiff.Value{in}
		d := autodiff.Grad(autodiff.Sum(autodiff.Square(v)), leaf, autodiff.CreateGraph())[0].Keep()
		dd := autodiff.Grad(autodiff.Sum(autodiff.Square(d)), leaf)[0]
		return v.Tensor().Floats(), d.Tensor().Floats(), dd.Tensor().Floats(), g.Count()
	}
	y0, dx0, ddx0, _ := run(Options{Plain: true})
	y1, dx1, ddx1, count := run(Options{})
	for name, pair := range map[string][2][]float64{"y": {y1, y0}, "dx": {dx1, dx0},
		"ddx": {ddx1, ddx0}} {
		if d := apart(pair[0], pair[1]); !(d <= layoutTol) {
			t.Errorf("%s is %g away", name, d)
		}
	}
	return count
}

// Products with a constant matrix become linear layers, with bias, residual and ReLU inside, and
// compute what they did: of vectors, of matrices and of stacks, by either order of the matrix, with
// a factor, with a bias that is spread, and two by one matrix.
func TestLinears(t *testing.T) {
	s := newSketch(17, []int{-1, 4, 5})
	w := func(name string, shape ...int) string {
		return s.floats(name, shape, normals(name, tensor.Shape(shape).Size())...)
	}
	square := w("square", 5, 5)
	s.node("MatMul", "a", []string{"x0", square})
	s.node("Add", "biased", []string{w("bias", 5), "a"})
	s.node("MatMul", "b", []string{"biased", square})
	s.node("Add", "sum", []string{"b", "x0"})
	s.node("Relu", "r", []string{"sum"})
	s.node("Reshape", "rows", []string{"r", s.longs("flat", -1, 5)})
	s.node("Gemm", "c", []string{"rows", w("c.w", 3, 5), w("c.b", 3)}, attrI("transB", 1))
	s.node("Relu", "rc", []string{"c"})
	s.node("Gemm", "d", []string{"rc", w("d.w", 3, 4), w("d.b", 4)})
	s.node("Gemm", "scaled", []string{"d", w("e.w", 4, 2), w("e.b", 2)}, attrF("alpha", 0.5))
	s.node("Gemm", "spread", []string{"scaled", w("f.w", 2, 2), w("f.b", 1, 2)})
	s.node("Gemm", "turned", []string{"spread", w("g.w", 2, 2)})
	s.node("Gather", "first", []string{"turned", s.constant("zero", &Array{Elem: Int64,
		I: []int64{0}})})
	s.node("MatMul", "vector", []string{"first", w("h.w", 2, 3)})
	s.node("MatMul", "y", []string{w("left", 1, 3), "vector"})
	count := sameJoined(t, s.model(t, "y"), 2, 4, 5)
	if count["Linear"] != 6 || count["Gemm"] != 2 || count["MatMul"] != 1 || count["Relu"] != 0 ||
		count["Add"] != 0 {
		t.Errorf("left are %v", count)
	}
}

// x·sigmoid(x), in either order, is one node; a sigmoid of something else, one that is read twice
// and one that is an output stay.
func TestSwishes(t *testing.T) {
	s := newSketch(17, []int{-1, 3, 4, 4})
	gate := func(x, name string) string {
		s.node("Sigmoid", name+".s", []string{x})
		return name + ".s"
	}
	s.node("Mul", "a", []string{"x0", gate("x0", "a")})
	s.node("Mul", "b", []string{gate("a", "b"), "a"})
	s.node("Mul", "c", []string{gate("a", "c"), "b"})
	s.node("Mul", "d", []string{gate("c", "d"), "c"})
	s.node("Add", "twice", []string{"d", "d.s"})
	s.node("Mul", "e", []string{gate("twice", "e"), "twice"})
	s.node("Mul", "y", []string{"e", s.floats("two", nil, 2)})
	count := sameJoined(t, s.model(t, "y", "e.s"), 2, 3, 4, 4)
	if count["Swish"] != 2 || count["Sigmoid"] != 3 || count["Mul"] != 4 {
		t.Errorf("left are %v", count)
	}
}

// Batch normalisation with constant statistics becomes one scaling, with a residual and a ReLU
// behind it; a term that is spread is added apart.
func TestScaleShifts(t *testing.T) {
	s := newSketch(17, []int{-1, 3, 4, 4})
	norm := func(name, in string) {
		s.node("BatchNormalization", name, []string{in,
			s.floats(name+".g", []int{3}, normals(name+".g", 3)...),
			s.floats(name+".b", []int{3}, normals(name+".b", 3)...),
			s.floats(name+".m", []int{3}, normals(name+".m", 3)...),
			s.floats(name+".v", []int{3}, 0.5, 1, 2)}, attrF("epsilon", 0.1))
	}
	norm("a", "x0")
	s.node("Relu", "ra", []string{"a"})
	norm("b", "ra")
	s.node("Add", "residual", []string{"ra", "b"})
	s.node("Relu", "rb", []string{"residual"})
	norm("c", "rb")
	s.node("Add", "spread", []string{"c", s.floats("row", []int{1, 1, 4}, normals("row", 4)...)})
	s.node("Relu", "rc", []string{"spread"})
	norm("y", "rc")
	count := sameJoined(t, s.model(t, "y"), 2, 3, 4, 4)
	if count["ScaleShift"] != 4 || count["Relu"] != 0 || count["Add"] != 0 {
		t.Errorf("left are %v", count)
	}
}
