package onnx

import (
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/tensor"
)

// An opCase is one operator with inputs of given shapes, and perhaps constants, for a check of its
// first and second derivatives.
type opCase struct {
	name, op string
	opset    int64
	shapes   [][]int
	extra    func(s *sketch) []string // operands behind the inputs; "" is absent
	attrs    []attrProto
	positive bool // inputs uniform in (½, 2) instead of normal
}

func opCases() []opCase {
	return slices.Concat(convCases(), poolCases(), productCases(), shapeCases(), pointCases())
}

func convCases() []opCase {
	image := []int{2, 3, 5, 4}
	return []opCase{
		{name: "conv, 1 axis", op: "Conv", shapes: [][]int{{2, 4, 7}, {6, 2, 3}, {6}},
			attrs: []attrProto{attrI("group", 2), ints("strides", 2), ints("pads", 2, 1)}},
		{name: "conv, 2 axes", op: "Conv", shapes: [][]int{image, {2, 3, 3, 2}},
			attrs: []attrProto{attrS("auto_pad", "SAME_LOWER"), ints("strides", 2, 1),
				ints("dilations", 1, 2)}},
		{name: "conv, 3 axes", op: "Conv", shapes: [][]int{{1, 2, 4, 4, 3}, {2, 2, 3, 2, 2}, {2}},
			attrs: []attrProto{ints("pads", 1, 0, 1, 2, 1, 0), ints("strides", 2, 1, 1)}},
		{name: "transposed conv", op: "ConvTranspose", shapes: [][]int{{1, 2, 3, 3}, {2, 2, 3, 3}},
			attrs: []attrProto{ints("strides", 2, 2), ints("pads", 1, 0, 0, 1), attrI("group", 2),
				ints("output_padding", 1, 1)}},
		{name: "transposed conv, wider than its reach", op: "ConvTranspose",
			shapes: [][]int{{1, 2, 3, 3}, {2, 1, 2, 2}, {1}},
			attrs:  []attrProto{ints("strides", 2, 2), ints("output_shape", 9, 8)}},
		{name: "transposed conv, 3 axes", op: "ConvTranspose",
			shapes: [][]int{{1, 2, 2, 2, 3}, {2, 2, 2, 2, 2}},
			attrs:  []attrProto{ints("strides", 2, 1, 2), ints("pads", 1, 0, 0, 0, 0, 1)}},
		{name: "deformable conv", op: "DeformConv", opset: 19,
			shapes: [][]int{{1, 2, 4, 4}, {2, 1, 2, 2}, {1, 8, 3, 3}, {2}, {1, 4, 3, 3}},
			attrs:  []attrProto{attrI("group", 2)}},
	}
}

func poolCases() []opCase {
	image := []int{2, 3, 5, 4}
	return []opCase{
		{name: "max pool by taps", op: "MaxPool", shapes: [][]int{image},
			attrs: []attrProto{ints("kernel_shape", 2, 2), ints("dilations", 2, 1)}},
		{name: "average pool by taps", op: "AveragePool", opset: 19, shapes: [][]int{image},
			attrs: []attrProto{ints("kernel_shape", 2, 2), ints("dilations", 2, 1),
				ints("pads", 1, 1, 1, 1)}},
		{name: "average pool", op: "AveragePool", shapes: [][]int{image},
			attrs: []attrProto{ints("kernel_shape", 3, 3), ints("pads", 1, 1, 0, 0),
				ints("strides", 2, 2), attrI("ceil_mode", 1)}},
		{name: "lp pool", op: "LpPool", shapes: [][]int{{1, 2, 5}}, positive: true,
			attrs: []attrProto{ints("kernel_shape", 2), attrI("p", 3)}},
		{name: "batch norm", op: "BatchNormalization", positive: true,
			shapes: [][]int{image, {3}, {3}, {3}, {3}}},
		{name: "layer norm", op: "LayerNormalization", shapes: [][]int{{2, 3, 4}, {3, 4}, {3, 4}},
			attrs: []attrProto{attrI("axis", 1)}},
		{name: "group norm", op: "GroupNormalization", opset: 21,
			shapes: [][]int{{2, 4, 3}, {4}, {4}},
			attrs:  []attrProto{attrI("num_groups", 2)}},
		{name: "instance norm", op: "InstanceNormalization", shapes: [][]int{{2, 2, 4}, {2}, {2}}},
		{name: "rms norm", op: "RMSNormalization", opset: 23, shapes: [][]int{{2, 3, 4}, {4}},
			positive: true},
		{name: "lrn", op: "LRN", shapes: [][]int{{1, 5, 2, 2}},
			attrs: []attrProto{attrI("size", 3)}},
		{name: "l2 norm", op: "LpNormalization", shapes: [][]int{{3, 4}}},
		{name: "log softmax", op: "LogSoftmax", shapes: [][]int{{2, 3, 4}},
			attrs: []attrProto{attrI("axis", 1)}},
	}
}

func productCases() []opCase {
	return []opCase{
		{name: "gemm", op: "Gemm", shapes: [][]int{{3, 2}, {4, 3}, {4}},
			attrs: []attrProto{attrI("transA", 1), attrI("transB", 1), attrF("alpha", 0.5),
				attrF("beta", 2)}},
		{name: "matmul, broadcast", op: "MatMul", shapes: [][]int{{2, 1, 3, 2}, {3, 2, 4}}},
		{name: "einsum", op: "Einsum", shapes: [][]int{{2, 3, 2}, {3, 4}, {4, 2}},
			attrs: []attrProto{attrS("equation", "aba,bc,cd->da")}},
		{name: "einsum, ellipsis", op: "Einsum", shapes: [][]int{{2, 3, 4}, {4, 2}},
			attrs: []attrProto{attrS("equation", "...ij,jk->...ki")}},
		{name: "attention", op: "Attention", opset: 24,
			shapes: [][]int{{1, 4, 3, 2}, {1, 2, 5, 2}, {1, 2, 5, 3}, {3, 5}},
			attrs:  []attrProto{attrI("is_causal", 1), attrF("softcap", 2)}},
		{name: "rotary embedding", op: "RotaryEmbedding", opset: 23,
			shapes: [][]int{{1, 2, 3, 6}, {1, 3, 2}, {1, 3, 2}},
			attrs:  []attrProto{attrI("interleaved", 1), attrI("rotary_embedding_dim", 4)}},
	}
}

func shapeCases() []opCase {
	longs := func(v ...int64) func(s *sketch) []string {
		return func(s *sketch) []string { return []string{s.longs("k", v...)} }
	}
	return []opCase{
		{name: "resize, cubic", op: "Resize", shapes: [][]int{{1, 1, 4, 3}},
			extra: func(s *sketch) []string {
				return []string{"", s.floats("scales", []int{4}, 1, 1, 0.7, 2)}
			}, attrs: []attrProto{attrS("mode", "cubic"), attrI("exclude_outside", 1)}},
		{name: "resize, nearest", op: "Resize", shapes: [][]int{{1, 2, 3, 3}},
			extra: func(s *sketch) []string {
				return []string{"", "", s.longs("sizes", 1, 2, 5, 2)}
			}},
		{name: "product", op: "ReduceProd", shapes: [][]int{{2, 3, 5}},
			attrs: []attrProto{ints("axes", 0, 2)}},
		{name: "log sum exp", op: "ReduceLogSumExp", shapes: [][]int{{3, 4}},
			attrs: []attrProto{ints("axes", -1)}},
		{name: "l1 of no axes", op: "ReduceL1", opset: 18, shapes: [][]int{{3, 4}},
			attrs: []attrProto{attrI("noop_with_empty_axes", 1)}},
		{name: "l2", op: "ReduceL2", shapes: [][]int{{3, 4}}, attrs: []attrProto{ints("axes", 0)}},
		{name: "cumulative sum", op: "CumSum", shapes: [][]int{{2, 4, 3}}, extra: longs(1),
			attrs: []attrProto{attrI("exclusive", 1), attrI("reverse", 1)}},
		{name: "gather", op: "Gather", shapes: [][]int{{2, 3, 4}}, extra: longs(-1, 0, 0),
			attrs: []attrProto{attrI("axis", 1)}},
		{name: "scatter, last wins", op: "ScatterElements", shapes: [][]int{{4}, {3}},
			extra: nil, attrs: nil},
		{name: "pad, reflect", op: "Pad", shapes: [][]int{{2, 4}}, extra: longs(0, 2, 1, 3),
			attrs: []attrProto{attrS("mode", "reflect")}},
		{name: "tile", op: "Tile", shapes: [][]int{{2, 3}}, extra: longs(2, 2)},
		{name: "expand", op: "Expand", shapes: [][]int{{2, 1}}, extra: longs(3, 1, 4)},
		{name: "slice, backwards", op: "Slice", shapes: [][]int{{5, 4}},
			extra: func(s *sketch) []string {
				return []string{s.longs("a", -1, 1), s.longs("b", -100, 100), s.longs("c", 0, 1),
					s.longs("d", -2, 2)}
			}},
		{name: "top k", op: "TopK", shapes: [][]int{{3, 5}}, extra: longs(2)},
	}
}

func pointCases() []opCase {
	return []opCase{
		{name: "elu", op: "Elu", shapes: [][]int{{3, 4}}, attrs: []attrProto{attrF("alpha", 1.5)}},
		{name: "celu", op: "Celu", shapes: [][]int{{3, 4}},
			attrs: []attrProto{attrF("alpha", 0.7)}},
		{name: "prelu", op: "PRelu", shapes: [][]int{{2, 3, 4}, {3, 1}}},
		{name: "gelu, tanh", op: "Gelu", opset: 20, shapes: [][]int{{3, 4}},
			attrs: []attrProto{attrS("approximate", "tanh")}},
		{name: "mish", op: "Mish", opset: 18, shapes: [][]int{{3, 4}}},
		{name: "shrink", op: "Shrink", shapes: [][]int{{3, 4}},
			attrs: []attrProto{attrF("bias", 0.3)}},
		{name: "power of a base and an exponent", op: "Pow", shapes: [][]int{{3, 4}, {4}},
			positive: true},
		{name: "power, distinct exponents", op: "Pow", shapes: [][]int{{2, 3}},
			extra: func(s *sketch) []string { return []string{s.floats("e", []int{3}, 1, 2, 3)} }},
		{name: "sine", op: "Sin", shapes: [][]int{{3, 4}}},
		{name: "inverse hyperbolic sine", op: "Asinh", shapes: [][]int{{3, 4}}},
		{name: "mean", op: "Mean", shapes: [][]int{{2, 3}, {3}, {2, 1}}},
		{name: "space to depth", op: "SpaceToDepth", shapes: [][]int{{1, 2, 4, 4}},
			attrs: []attrProto{attrI("blocksize", 2)}},
		{name: "cross-entropy", op: "SoftmaxCrossEntropyLoss", shapes: [][]int{{2, 3, 2}},
			extra: func(s *sketch) []string {
				return []string{s.constant("t", &Array{Elem: Int64, Shape: tensor.Shape{2, 2},
					I: []int64{0, 2, -1, 1}}), s.floats("w", []int{3}, 0.5, 1, 2)}
			}, attrs: []attrProto{attrI("ignore_index", -1)}},
	}
}

// Derivatives of order 1 and 2, with respect to every floating-point operand, of the operators that
// are composed here, compared with finite differences.
func TestOperatorDerivatives(t *testing.T) {
	for i, tc := range opCases() {
		t.Run(tc.name, func(t *testing.T) { checkOperator(t, tc, uint32(10*i)) })
	}
}

func checkOperator(t *testing.T, tc opCase, seed uint32) {
	opset := tc.opset
	if opset == 0 {
		opset = 17
	}
	s := newSketch(opset, tc.shapes...)
	var in []string
	var point []gradcheck.Input
	for i, shape := range tc.shapes {
		in = append(in, input(i))
		if tc.positive {
			point = append(point, gradcheck.Range(seed+uint32(i), 0.5, 2, shape...))
		} else {
			point = append(point, gradcheck.Normal(seed+uint32(i), shape...))
		}
	}
	if tc.op == "ScatterElements" {
		in = []string{in[0], s.longs("k", 3, 0, 3), in[1]}
	}
	if tc.extra != nil {
		in = append(in, tc.extra(s)...)
	}
	s.node(tc.op, "y", in, tc.attrs...)
	if tc.op == "TopK" {
		s.graph.nodes[0].out = []string{"y", "positions"}
	}
	g := importIn(t, s.model(t, "y"), Options{DType: tensor.F64})
	gradcheck.Check(t, func(ag *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
		return eval(t, g, ag, in, "y").Float()
	}, point)
}
