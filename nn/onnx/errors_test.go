package onnx

import (
	"errors"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// Every error names the file, the node and what to do.
func TestImportErrors(t *testing.T) {
	type problem struct {
		name        string
		build       func(s *sketch) string // returns the output
		wants       []string
		unsupported bool
	}
	for _, tc := range []problem{
		{"unknown operator", func(s *sketch) string {
			s.node("GridSample", "warp", []string{"x0", "x0"})
			return "warp"
		}, []string{"test.onnx", `"warp"`, "GridSample", "onnxsim"}, true},
		{"control flow", func(s *sketch) string {
			s.node("Loop", "again", []string{"x0"})
			return "again"
		}, []string{"Loop", "control flow", "traced"}, true},
		{"undefined operand", func(s *sketch) string {
			s.node("Relu", "r", []string{"nowhere"})
			return "r"
		}, []string{"test.onnx", `"r"`, `"nowhere"`}, false},
		{"name given twice", func(s *sketch) string {
			s.node("Relu", "r", []string{"x0"}).node("Relu", "r", []string{"x0"})
			return "r"
		}, []string{`"r" exists`}, false},
		{"output of no node", func(s *sketch) string { return "z" }, []string{`output "z"`}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSketch(17, []int{2, 3})
			m := s.model(t, tc.build(s))
			_, err := Import(tensor.NewScope(ref.New()), m, Options{})
			if err == nil || IsUnsupported(err) != tc.unsupported {
				t.Fatalf("got %v, expected an error, unsupported %v", err, tc.unsupported)
			}
			for _, w := range tc.wants {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

// Errors while running are errors of Run, with the node's name; nothing panics.
func TestRunErrors(t *testing.T) {
	for _, tc := range []struct {
		op   string
		in   []string
		attr []attrProto
		want string
	}{
		{"Add", []string{"x0"}, nil, "operand 1 is missing"},
		{"Add", []string{"x0", "x1"}, nil, "do not broadcast"},
		{"Conv", []string{"x0", "x1"}, nil, "convolution"},
		{"Gemm", []string{"x0", "x1"}, nil, "inner extents differ"},
		{"Concat", []string{"x0", "x1"}, []attrProto{attrI("axis", 0)}, "differ outside axis"},
		{"Softmax", []string{"x0"}, []attrProto{attrI("axis", 5)}, "axis 5 does not exist"},
		{"Transpose", []string{"x0"}, []attrProto{ints("perm", 0, 0)}, "named twice"},
		{"Reshape", []string{"x0", "x1"}, nil, "expected integers"},
		{"Einsum", []string{"x0", "x1"}, []attrProto{attrS("equation", "ij,k->ik")},
			"does not fit rank"},
		{"MaxPool", []string{"x0"}, nil, "expected [N C …]"},
	} {
		s := newSketch(17, []int{2, 3}, []int{4, 5})
		s.node(tc.op, "culprit", tc.in, tc.attr...)
		g := importIn(t, s.model(t, "culprit"), Options{})
		ag := autodiff.NewGraph(ref.New())
		_, err := g.Run(ag, map[string]*Value{
			"x0": Of(ag.Zeros(tensor.F32, 2, 3)), "x1": Of(ag.Zeros(tensor.F32, 4, 5))})
		ag.Close()
		var e *Error
		if !errors.As(err, &e) || e.Op != tc.op || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, expected %q", tc.op, err, tc.want)
		}
	}
}

// Inputs that are missing or of another type or rank are refused.
func TestRunChecksInputs(t *testing.T) {
	s := newSketch(17, []int{2, 3})
	s.node("Relu", "y", []string{"x0"})
	g := importIn(t, s.model(t, "y"), Options{})
	ag := autodiff.NewGraph(ref.New())
	defer ag.Close()
	for name, in := range map[string]map[string]*Value{
		"missing": {},
		"integer": {"x0": Host(newArray(Int64, 2, 3))},
		"F64":     {"x0": Of(ag.Zeros(tensor.F64, 2, 3))},
		"rank":    {"x0": Of(ag.Zeros(tensor.F32, 6))},
	} {
		if _, err := g.Run(ag, in); err == nil || !strings.Contains(err.Error(), `"x0"`) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// No gradient is lost silently: an operator without a derivative refuses an operand that wants one,
// one whose derivative is zero does not.
func TestNoGradientIsDropped(t *testing.T) {
	for op, flat := range map[string]bool{"Det": false, "Floor": true, "Round": true} {
		s := newSketch(22, []int{2, 2})
		s.node(op, "y", []string{"x0"})
		g := importIn(t, s.model(t, "y"), Options{})
		ag := autodiff.NewGraph(ref.New())
		x := ag.Scope().Full(tensor.F32, 0.25, 2, 2)
		if _, err := g.Run(ag, map[string]*Value{"x0": Of(ag.Const(x))}); err != nil {
			t.Errorf("%s of a constant: %v", op, err)
		}
		_, err := g.Run(ag, map[string]*Value{"x0": Of(ag.Leaf(x))})
		if (err == nil) != flat || err != nil && !IsUnsupported(err) {
			t.Errorf("%s of a leaf: %v", op, err)
		}
		ag.Close()
	}
}

// A detour through doubles, which PyTorch's x.double() makes of a network in floats, keeps the
// gradient, and the digits of what is computed there.
func TestCastGradient(t *testing.T) {
	s := newSketch(17, []int{2})
	s.node("Cast", "wide", []string{"x0"}, attrI("to", int64(Double)))
	s.node("Mul", "tenth", []string{"wide", s.constant("k", &Array{Elem: Double,
		Shape: tensor.Shape{}, F: []float64{0.1}})})
	s.node("Cast", "y", []string{"tenth"}, attrI("to", int64(Float)))
	g := importIn(t, s.model(t, "y"), Options{})
	ag := autodiff.NewGraph(ref.New())
	defer ag.Close()
	x := ag.Leaf(tensor.FromSlice(ag.Scope(), []float32{3, -7}, 2))
	y := eval(t, g, ag, []*autodiff.Value{x}, "y").Float().Keep()
	dx := autodiff.Grad(autodiff.Sum(autodiff.Square(y)), []*autodiff.Value{x})[0].Tensor().Floats()
	three, seven := float32(3*0.1), float32(-7*0.1)
	for i, want := range []float64{float64(three), float64(seven)} {
		if got := y.Tensor().Floats()[i]; got != want {
			t.Errorf("element %d is %v, expected %v", i, got, want)
		}
		if want := float64(float32(0.2 * want)); dx[i] != want {
			t.Errorf("derivative %d is %v, expected %v", i, dx[i], want)
		}
	}
}

// What does not look like an image classifier is refused with the option that would help.
func TestClassifierErrors(t *testing.T) {
	for _, tc := range []struct {
		shape []int
		opts  ClassifierOptions
		want  string
	}{
		{[]int{1, 3}, ClassifierOptions{}, "expected one floating-point input"},
		{[]int{1, 3, 4, 5}, ClassifierOptions{}, "square"},
		{[]int{1, 3, -1, -1}, ClassifierOptions{}, "set InputSize"},
		{[]int{1, 32, 32, 3}, ClassifierOptions{}, "expected square images"},
		{[]int{1, 8, 8, 8}, ClassifierOptions{}, "ChannelsLast"},
		{[]int{1, 3, 4, 4}, ClassifierOptions{Mean: []float64{1}, Std: []float64{1}}, "3 channels"},
		{[]int{1, 3, 4, 4}, ClassifierOptions{Mean: []float64{1, 1, 1}, Std: []float64{1, 1, 0}},
			"positive"},
	} {
		s := newSketch(17, tc.shape)
		s.node("Flatten", "y", []string{"x0"})
		_, err := NewClassifier(tensor.NewScope(ref.New()), s.model(t, "y"), tc.opts)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v: got %v, expected %q", tc.shape, err, tc.want)
		}
	}
	bytes := newSketch(17, []int{1, 3, 4, 4})
	bytes.graph.inputs[0].elem = Uint8
	bytes.node("Cast", "c", []string{"x0"}, attrI("to", int64(Float)))
	bytes.node("Flatten", "y", []string{"c"})
	_, err := NewClassifier(tensor.NewScope(ref.New()), bytes.model(t, "y"), ClassifierOptions{})
	if err == nil || !strings.Contains(err.Error(), "expected floating-point images, got {x0 uint8") {
		t.Errorf("bytes for pixels: got %v", err)
	}
}
