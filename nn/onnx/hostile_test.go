package onnx

import (
	"errors"
	"math"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// Numbers in a file that ask for more than there is, or that an int holds modulo 2⁶⁴ only, are
// errors of Run before memory is asked for: a failed allocation would end the process.
func TestHostileNumbers(t *testing.T) {
	const huge = 1 << 62
	const seventh = 0x6DB6DB6DB6DB6DB7 // 7·seventh = 1 modulo 2⁶⁴
	attrs := func(a ...attrProto) []attrProto { return a }
	for _, tc := range []struct {
		op   string
		more []int64   // operand 1, integers; nil for none
		real []float64 // operand 2
		attr []attrProto
		want string
	}{
		{"Reshape", []int64{48, 7, seventh}, nil, nil, "cannot become"},
		{"Expand", []int64{huge, 3, 4, 4}, nil, nil, "too large"},
		{"Expand", []int64{1 << 40, 3, 4, 4}, nil, nil, "too large"},
		{"Tile", []int64{1, 1, huge, 1}, nil, nil, "too large"},
		{"Tile", []int64{1, 1, 1 << 24, 1}, nil, nil, "too"},
		{"Pad", []int64{0, 0, huge, huge, 0, 0, huge, huge}, nil, nil, "too large"},
		{"Pad", []int64{0, 0, 1 << 20, 1 << 20, 0, 0, 0, 0}, nil, nil, "too large"},
		{"Resize", nil, []float64{1, 1, 1e18, 1e18}, nil, "scale"},
		{"Resize", nil, []float64{1, 1, math.Inf(1), 1}, nil, "scale"},
		{"Resize", nil, []float64{1, 1, 1e8, 1}, attrs(attrS("mode", "linear")), "too large"},
		{"DepthToSpace", nil, nil, attrs(attrI("blocksize", 1<<32)), "block"},
		{"MaxPool", nil, nil, attrs(ints("kernel_shape", 2, 2), ints("dilations", huge, huge)),
			"out of range"},
		{"MaxPool", nil, nil, attrs(ints("kernel_shape", 1<<20, 1<<20), ints("dilations", 2, 2)),
			"too large"},
		{"AveragePool", nil, nil, attrs(ints("kernel_shape", 2, 2),
			ints("pads", 1<<30, 1<<30, 1<<30, 1<<30)), "too large"},
		{"AveragePool", nil, nil, attrs(ints("kernel_shape", 2, 2), ints("pads", huge, 0, huge, 0)),
			"out of range"},
		{"Split", nil, nil, attrs(attrI("num_outputs", 1<<40)), "num_outputs"},
		{"ConstantOfShape", []int64{1 << 32, 1 << 32}, nil, nil, "too large"},
	} {
		s := newSketch(17, []int{1, 3, 4, 4})
		in := []string{"x0"}
		switch {
		case tc.op == "ConstantOfShape":
			in = []string{s.longs("k", tc.more...)}
		case tc.more != nil:
			in = append(in, s.longs("k", tc.more...))
		case tc.real != nil:
			in = append(in, "", s.floats("r", []int{len(tc.real)}, tc.real...))
		}
		s.node(tc.op, "culprit", in, tc.attr...)
		err := runOnZeros(s.model(t, "culprit"))
		var e *Error
		if !errors.As(err, &e) || e.Op != tc.op || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s %v %v: got %v, expected %q", tc.op, tc.more, tc.real, err, tc.want)
		}
	}
}

// runOnZeros imports a graph and runs it on an image of zeros.
func runOnZeros(m *Model) error {
	g, err := Import(tensor.NewScope(ref.New()), m, Options{})
	if err != nil { // of constants alone: folded on import
		return err
	}
	ag := autodiff.NewGraph(ref.New())
	defer ag.Close()
	_, err = g.Run(ag, map[string]*Value{"x0": Of(ag.Zeros(tensor.F32, 1, 3, 4, 4))})
	return err
}

// A matrix of an axis with itself, which sums along the axis are made with, is bounded likewise.
func TestHostileAxis(t *testing.T) {
	s := newSketch(18, []int{1 << 18})
	zero := s.constant("axis", &Array{Elem: Int64, Shape: tensor.Shape{}, I: []int64{0}})
	s.node("CumSum", "culprit", []string{"x0", zero})
	g := importIn(t, s.model(t, "culprit"), Options{})
	ag := autodiff.NewGraph(ref.New())
	defer ag.Close()
	_, err := g.Run(ag, map[string]*Value{"x0": Of(ag.Zeros(tensor.F32, 1<<18))})
	if err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
}

// A convolution's numbers likewise.
func TestHostileConvolution(t *testing.T) {
	const huge = 1 << 62
	for _, op := range []string{"Conv", "ConvTranspose"} {
		for _, a := range []attrProto{ints("dilations", huge, huge), ints("pads", huge, 0, huge, 0),
			ints("strides", huge, huge), ints("pads", 1<<31, 0, 0, 0), ints("output_padding", huge, huge)} {
			if op == "Conv" && a.name == "output_padding" {
				continue
			}
			s := newSketch(17, []int{1, 3, 4, 4})
			w := s.floats("w", []int{3, 3, 3, 3}, make([]float64, 81)...)
			s.node(op, "culprit", []string{"x0", w}, a)
			g := importIn(t, s.model(t, "culprit"), Options{})
			ag := autodiff.NewGraph(ref.New())
			_, err := g.Run(ag, map[string]*Value{"x0": Of(ag.Zeros(tensor.F32, 1, 3, 4, 4))})
			ag.Close()
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), "out of range") {
				t.Errorf("%s with %s %v: got %v", op, a.name, a.ints, err)
			}
		}
	}
}

// A normalisation that is no number would make every answer one.
func TestHostileNormalisation(t *testing.T) {
	s := newSketch(17, []int{1, 2, 4, 4})
	s.node("GlobalAveragePool", "p", []string{"x0"}).node("Flatten", "z", []string{"p"})
	m := s.model(t, "z")
	scope := tensor.NewScope(ref.New())
	defer scope.Close()
	for want, o := range map[string]ClassifierOptions{
		"the means":               {Mean: []float64{math.NaN(), 0}, Std: []float64{1, 1}},
		"the standard deviations": {Mean: []float64{0, 0}, Std: []float64{1, math.NaN()}},
	} {
		if _, err := NewClassifier(scope, m, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

// TestNodesWithoutInputs: a constant that is an output stays a node without inputs, which the
// passes over a graph must bear, as they must an operator whose file forgot them.
func TestNodesWithoutInputs(t *testing.T) {
	s := newSketch(17, []int{1, 3, 4, 4})
	s.node("Constant", "k", nil, attrProto{name: "value_float", f: 3})
	s.node("Mul", "y", []string{"x0", "k"})
	g, err := Import(tensor.NewScope(ref.New()), s.model(t, "y", "k"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	ag := autodiff.NewGraph(ref.New())
	defer ag.Close()
	if _, err := g.Run(ag, map[string]*Value{"x0": Of(ag.Zeros(tensor.F32, 1, 3, 4, 4))}); err != nil {
		t.Error(err)
	}
	for _, op := range []string{"Split", "ReduceMean", "Relu", "Add", "Conv", "Concat", "Transpose"} {
		s := newSketch(17, []int{1, 3, 4, 4})
		s.node(op, "culprit", nil)
		ag := autodiff.NewGraph(ref.New())
		g, err := Import(tensor.NewScope(ref.New()), s.model(t, "culprit"), Options{})
		if err == nil {
			_, err = g.Run(ag, map[string]*Value{"x0": Of(ag.Zeros(tensor.F32, 1, 3, 4, 4))})
		}
		ag.Close()
		var e *Error
		if !errors.As(err, &e) || e.Op != op {
			t.Errorf("%s without inputs: got %v, expected an error that names it", op, err)
		}
	}
}
