package onnx

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// An edgeCase is one operator where implementations are known to part: x0 holds 1, 2, 3, … unless x
// says otherwise. The values are those of PyTorch 2.15 or ONNX Runtime 1.32 where they agree with
// ONNX's text.
type edgeCase struct {
	name, op string
	opset    int64
	shape    []int
	x        []float64
	extra    func(s *sketch) []string // operands behind x0; "" is absent
	attrs    []attrProto
	out      []int
	want     []float64
}

// edgeTol bounds the rounding of a logarithm or a root in single precision.
const edgeTol = 1e-6

func scaled(scale float64) func(s *sketch) []string {
	return func(s *sketch) []string {
		return []string{"", s.floats("scales", []int{4}, 1, 1, 1, scale)}
	}
}

func operands(lists ...[]int64) func(s *sketch) []string {
	return func(s *sketch) []string {
		var names []string
		for i, v := range lists {
			names = append(names, s.longs("k"+string(rune('0'+i)), v...))
		}
		return names
	}
}

// A scale is a float and 1/0.2 in 64 bits of it is less than 5; align_corners has the last pixels
// meet, whatever the scale.
func resizeEdges() []edgeCase {
	var list []edgeCase
	nearest := []attrProto{attrS("coordinate_transformation_mode", "asymmetric"),
		attrS("nearest_mode", "floor")}
	for scale, want := range map[float64][]float64{0.2: {1, 6}, 0.4: {1, 3, 6, 8},
		0.8: {1, 2, 3, 4, 6, 7, 8, 9},
		1.6: {1, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 7, 8, 9, 9, 10}} {
		list = append(list, edgeCase{name: "nearest, a float scale", op: "Resize",
			shape: []int{1, 1, 1, 10}, extra: scaled(scale), attrs: nearest,
			out: []int{1, 1, 1, len(want)}, want: want})
	}
	corners := attrS("coordinate_transformation_mode", "align_corners")
	for mode, want := range map[string][]float64{"linear": {1, 1.75, 3, 3.75, 3},
		"cubic": {1, 1.5625, 3.1875, 3.984375, 3}} {
		list = append(list, edgeCase{name: "align_corners, " + mode, op: "Resize",
			shape: []int{1, 1, 1, 4}, x: []float64{1, 2, 4, 3}, extra: scaled(1.3),
			attrs: []attrProto{corners, attrS("mode", mode)}, out: []int{1, 1, 1, 5}, want: want})
	}
	for mode, want := range map[string][]float64{"floor": {1, 1, 2, 3, 4, 5},
		"round_prefer_floor": {1, 2, 3, 3, 4, 5}} {
		list = append(list, edgeCase{name: "align_corners, nearest " + mode, op: "Resize",
			shape: []int{1, 1, 1, 5}, extra: scaled(1.3),
			attrs: []attrProto{corners, attrS("nearest_mode", mode)}, out: []int{1, 1, 1, 6},
			want: want})
	}
	return list
}

// The only window may hang over; windows start at pixel 0 where the stride exceeds the kernel.
func windowEdges() []edgeCase {
	ceil := attrI("ceil_mode", 1)
	kernel := func(v ...int) attrProto { return ints("kernel_shape", v...) }
	one := func(s *sketch) []string { return []string{s.floats("w", []int{1, 1, 1}, 1)} }
	var list []edgeCase
	for op, want := range map[string]float64{"MaxPool": 2, "AveragePool": 1.5, "LpPool": 3} {
		list = append(list, edgeCase{name: "hangs over", op: op, opset: 18, shape: []int{1, 1, 2},
			attrs: []attrProto{kernel(3), ints("strides", 2), ceil, attrI("p", 1)},
			out:   []int{1, 1, 1}, want: []float64{want}})
	}
	for op, want := range map[string]float64{"MaxPool": 7, "AveragePool": 4} {
		list = append(list, edgeCase{name: "hangs over, 3 axes", op: op, shape: []int{1, 1, 2, 2, 2},
			attrs: []attrProto{kernel(3, 2, 1), ints("strides", 3, 2, 2), ceil},
			out:   []int{1, 1, 1, 1, 1}, want: []float64{want}})
	}
	list = append(list, edgeCase{name: "hangs over, dilated", op: "MaxPool", shape: []int{1, 1, 2, 2},
		attrs: []attrProto{kernel(2, 2), ints("strides", 2, 2), ints("dilations", 2, 2), ceil},
		out:   []int{1, 1, 1, 1}, want: []float64{1}})
	for _, mode := range []string{"SAME_UPPER", "SAME_LOWER"} {
		auto := []attrProto{attrS("auto_pad", mode), ints("strides", 5), kernel(1)}
		list = append(list, edgeCase{name: mode, op: "Conv", shape: []int{1, 1, 5}, extra: one,
			attrs: auto, out: []int{1, 1, 1}, want: []float64{1}},
			edgeCase{name: mode, op: "MaxPool", shape: []int{1, 1, 13}, attrs: auto,
				out: []int{1, 1, 3}, want: []float64{1, 6, 11}})
	}
	return list
}

// A negative padding crops before the other side repeats; a slice backwards from before the first
// element takes that one; a product of no rows has none.
func shapeEdges() []edgeCase {
	var list []edgeCase
	pad := func(mode string, before, after int64, want ...float64) {
		list = append(list, edgeCase{name: "pad, " + mode, op: "Pad", opset: 19, shape: []int{5},
			extra: operands([]int64{before, after}), attrs: []attrProto{attrS("mode", mode)},
			out: []int{len(want)}, want: want})
	}
	pad("wrap", -3, 3, 4, 5, 4, 5, 4)
	pad("wrap", 4, -3, 1, 2, 1, 2, 1, 2)
	pad("wrap", -4, 2, 5, 5, 5)
	pad("wrap", -2, -1, 3, 4)
	pad("reflect", 2, -2, 3, 2, 1, 2, 3)
	pad("reflect", -3, 1, 4, 5, 4)
	pad("edge", -3, 3, 4, 5, 5, 5, 5)
	pad("edge", 1, -4, 1, 1)
	pad("constant", -3, 1, 4, 5, 0)
	pad("constant", -6, 2, 0)
	slice := func(start, stop, step int64, want ...float64) {
		list = append(list, edgeCase{name: "slice", op: "Slice", shape: []int{4},
			extra: operands([]int64{start}, []int64{stop}, []int64{0}, []int64{step}),
			out:   []int{len(want)}, want: want})
	}
	slice(-100, -200, -1, 1)
	slice(-100, -200, -2, 1)
	slice(2, -100, -2, 3, 1)
	slice(100, -100, -1, 4, 3, 2, 1)
	slice(-100, 100, 1, 1, 2, 3, 4)
	return append(list, edgeCase{name: "no rows", op: "MatMul", shape: []int{2, 0, 3},
		extra: func(s *sketch) []string { return []string{s.floats("w", []int{3, 2}, 1, 2, 3, 4, 5, 6)} },
		out:   []int{2, 0, 2}})
}

// An empty list of axes with noop_with_empty_axes leaves what a reduction does to each element;
// before opset 13 Hardmax took all axes from one on, 1 by default, as one.
func reduceEdges() []edgeCase {
	noop := attrI("noop_with_empty_axes", 1)
	var list []edgeCase
	for op, want := range map[string][]float64{"ReduceL1": {2, 0.5, 3}, "ReduceL2": {2, 0.5, 3},
		"ReduceSumSquare": {4, 0.25, 9}, "ReduceLogSumExp": {-2, 0.5, 3}, "ReduceMean": {-2, 0.5, 3},
		"ReduceSum": {-2, 0.5, 3}, "ReduceProd": {-2, 0.5, 3}, "ReduceMax": {-2, 0.5, 3}} {
		list = append(list, edgeCase{name: "no axes", op: op, opset: 18, shape: []int{3},
			x: []float64{-2, 0.5, 3}, attrs: []attrProto{noop, attrI("keepdims", 0)}, out: []int{3},
			want: want})
	}
	list = append(list, edgeCase{name: "no axes", op: "ReduceLogSum", opset: 18, shape: []int{3},
		x: []float64{1, 0.5, 3}, attrs: []attrProto{noop}, out: []int{3},
		want: []float64{0, -0.6931472, 1.0986123}})
	hard := func(opset int64, want []float64, attrs ...attrProto) {
		list = append(list, edgeCase{name: "hardmax", op: "Hardmax", opset: opset,
			shape: []int{2, 2, 2}, x: []float64{1, 3, 2, 5, 4, 9, 8, 7}, attrs: attrs,
			out: []int{2, 2, 2}, want: want})
	}
	hard(11, []float64{0, 0, 0, 1, 0, 1, 0, 0})
	hard(11, []float64{0, 1, 0, 1, 0, 1, 1, 0}, attrI("axis", 2))
	hard(11, []float64{0, 0, 0, 0, 0, 1, 0, 0}, attrI("axis", 0))
	hard(13, []float64{0, 1, 0, 1, 0, 1, 1, 0})
	return list
}

// Operators at the edges of their definitions compute what the programs networks come from do.
func TestOperatorEdges(t *testing.T) {
	for _, tc := range slices.Concat(resizeEdges(), windowEdges(), shapeEdges(), reduceEdges()) {
		opset := tc.opset
		if opset == 0 {
			opset = 17
		}
		s := newSketch(opset, tc.shape)
		in := []string{"x0"}
		if tc.extra != nil {
			in = append(in, tc.extra(s)...)
		}
		s.node(tc.op, "y", in, tc.attrs...)
		x := newArray(Float, tc.shape...)
		for i := range x.F {
			x.F[i] = float64(i + 1)
		}
		copy(x.F, tc.x)
		ag := autodiff.NewGraph(ref.New())
		out, err := importIn(t, s.model(t, "y"), Options{}).Run(ag, map[string]*Value{"x0": Host(x)})
		if err != nil {
			t.Errorf("%s, %s: %v", tc.op, tc.name, err)
			continue
		}
		y := out["y"].Array()
		near := func(a, b float64) bool { return a-b <= edgeTol && b-a <= edgeTol }
		if !y.Shape.Equal(tensor.Shape(tc.out)) || !slices.EqualFunc(y.F, tc.want, near) {
			t.Errorf("%s, %s: got %v %v, want %v %v", tc.op, tc.name, y.Shape, y.F, tc.out, tc.want)
		}
		ag.Close()
	}
}

// No axis vanishes where no window fits, as in PyTorch: the node says so.
func TestWindowsFit(t *testing.T) {
	for _, tc := range []struct {
		op    string
		shape []int
		attrs []attrProto
	}{
		{"MaxPool", []int{1, 1, 2}, []attrProto{ints("kernel_shape", 4), ints("strides", 2),
			attrI("ceil_mode", 1)}},
		{"AveragePool", []int{1, 1, 2}, []attrProto{ints("kernel_shape", 3)}},
		{"LpPool", []int{1, 1, 3, 1}, []attrProto{ints("kernel_shape", 2, 2)}},
		{"MaxPool", []int{1, 1, 2, 2}, []attrProto{ints("kernel_shape", 3, 3)}},
		{"MaxPool", []int{1, 1, 2, 0, 2}, []attrProto{ints("kernel_shape", 1, 1, 1)}},
		{"Conv", []int{1, 1, 2}, nil},
		{"Conv", []int{1, 1, 2, 9}, nil},
		{"Conv", []int{1, 1, 2, 9, 9}, nil},
		{"ConvTranspose", []int{1, 1, 2}, []attrProto{ints("pads", 2, 2)}},
		{"ConvTranspose", []int{1, 1, 2, 2, 2}, []attrProto{ints("pads", 2, 0, 0, 2, 0, 0)}},
	} {
		s := newSketch(18, tc.shape)
		in := []string{"x0"}
		if strings.HasPrefix(tc.op, "Conv") {
			kernel := slices.Concat([]int{1, 1}, slices.Repeat([]int{3}, len(tc.shape)-2))
			in = append(in, s.constant("w", newArray(Float, kernel...)))
		}
		g := importIn(t, s.node(tc.op, "y", in, tc.attrs...).model(t, "y"), Options{})
		ag := autodiff.NewGraph(ref.New())
		_, err := g.Run(ag, map[string]*Value{"x0": Of(ag.Zeros(tensor.F32, tc.shape...))})
		ag.Close()
		var e *Error
		if !errors.As(err, &e) || e.Op != tc.op || !strings.Contains(err.Error(), "fit") {
			t.Errorf("%s of %v: got %v", tc.op, tc.shape, err)
		}
	}
}
