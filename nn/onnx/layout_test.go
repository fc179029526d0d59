package onnx

import (
	"math"
	"runtime"
	"testing"

	"afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// layoutTol bounds what the order of summation in convolution and averages may change, in double
// precision.
const layoutTol = 1e-12

// normals returns n fixed standard normal numbers of a stream.
func normals(stream string, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = tensor.StdNormal(tensor.NewKey(1, stream).Word(0, uint64(i)))
	}
	return v
}

// A network with every way in which permutes meet: convolutions in a row, a residual sum, constants
// for channels and for single elements, also as nodes, parts and concatenation, reductions,
// pooling, normalisation, an output in the middle, a permute of the user's, and a branch that only
// one side can run channels last.
func layoutSketch() *sketch {
	s := newSketch(17, []int{-1, 3, 8, 8})
	w := func(name string, shape ...int) string {
		return s.floats(name, shape, normals(name, tensor.Shape(shape).Size())...)
	}
	positive := s.floats("var", []int{4}, 0.5, 1, 2, 3)
	s.node("Conv", "c1", []string{"x0", w("w1", 4, 3, 3, 3), w("b1", 4)}, ints("pads", 1, 1, 1, 1))
	s.node("BatchNormalization", "n1",
		[]string{"c1", w("gamma", 4), w("beta", 4), w("mean", 4), positive})
	s.node("Relu", "r1", []string{"n1"})
	s.node("Conv", "c2", []string{"r1", w("w2", 4, 4, 3, 3)}, ints("pads", 1, 1, 1, 1))
	s.node("Mul", "m", []string{"c2", w("perchannel", 4, 1, 1)})
	s.node("Add", "a", []string{"m", w("perpixel", 8, 8)})
	s.node("Sub", "d", []string{s.floats("half", nil, 0.5), "a"})
	s.graph.nodes = append(s.graph.nodes, &nodeProto{name: "cut", op: "Split",
		in: []string{"r1", s.longs("parts", 3, 1)}, out: []string{"front", "back"},
		attrs: []attrProto{attrI("axis", 1)}})
	s.node("Concat", "turned", []string{"back", "front"}, attrI("axis", -3))
	s.node("Add", "sum", []string{"d", "turned"})
	s.node("Concat", "cat", []string{"sum", "c1"}, attrI("axis", 1))
	s.node("MaxPool", "p", []string{"cat"}, ints("kernel_shape", 2, 2), ints("strides", 2, 2))
	s.node("ReduceMean", "rm", []string{"p"}, ints("axes", 1))
	s.node("ReduceMax", "se", []string{"p"}, ints("axes", -1, 2))
	s.node("Mul", "gated", []string{"p", "se"})
	s.node("Mul", "scaled", []string{"gated", "rm"})
	s.node("ConvTranspose", "up", []string{"scaled", w("w3", 8, 2, 2, 2)}, ints("strides", 2, 2))
	s.node("Constant", "lo", nil, attrProto{name: "value_float", f: -3})
	s.node("Identity", "hi", []string{s.floats("three", nil, 3)})
	s.node("Clip", "clip", []string{"up", "lo", "hi"})
	s.node("Transpose", "t", []string{"clip"}, ints("perm", 0, 2, 3, 1))
	s.node("Transpose", "tt", []string{"t"}, ints("perm", 0, 3, 1, 2))
	s.node("AveragePool", "ap", []string{"tt"}, ints("kernel_shape", 2, 2))
	s.node("ReduceSum", "flat", []string{"ap", s.longs("pixels", 2, 3)}, attrI("keepdims", 0))
	s.node("Gemm", "y", []string{"flat", w("w4", 2, 5)})
	return s
}

// The pass that cancels permutes changes neither values nor gradients, leaves fewer permutes, and
// works on images in either order.
func TestCancelledPermutesChangeNothing(t *testing.T) {
	m := layoutSketch().model(t, "y", "sum", "t")
	x := normals("image", 2*8*8*3)
	type result struct{ y, sum, t, dx []float64 }
	run := func(o Options) (r result, permutes int) {
		o.DType = tensor.F64
		g := importIn(t, m, o)
		ag := autodiff.NewGraph(ref.New())
		defer ag.Close()
		in := ag.Leaf(tensor.FromSlice(ag.Scope(), x, 2, 8, 8, 3))
		fed := in
		if !o.ChannelsLast {
			fed = autodiff.Permute(in, 0, 3, 1, 2)
		}
		out, err := g.Run(ag, map[string]*Value{"x0": Of(fed)})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range out {
			v.Float().Keep()
		}
		loss := autodiff.Sum(autodiff.Square(out["y"].Float()))
		dx := autodiff.Grad(loss, []*autodiff.Value{in})
		return result{out["y"].Array().F, out["sum"].Array().F, out["t"].Array().F,
			dx[0].Tensor().Floats()}, g.Count()["Transpose"]
	}
	want, many := run(Options{Plain: true})
	for _, o := range []Options{{}, {ChannelsLast: true},
		{ChannelsLast: true, Plain: true}} {
		got, n := run(o)
		for name, pair := range map[string][2][]float64{"y": {got.y, want.y},
			"sum": {got.sum, want.sum}, "t": {got.t, want.t}, "dx": {got.dx, want.dx}} {
			if d := apart(pair[0], pair[1]); !(d <= layoutTol) {
				t.Errorf("%+v: %s is %g away", o, name, d)
			}
		}
		if !o.Plain && n > many/2 {
			t.Errorf("%+v: %d permutes are left of %d", o, n, many)
		}
	}
}

// apart returns max |a − b| / max |b|.
func apart(a, b []float64) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	d, n := 0.0, 0.0
	for i := range b {
		d, n = max(d, math.Abs(a[i]-b[i])), max(n, math.Abs(b[i]))
	}
	return d / n
}

// A chain of convolutions and elementwise operators needs one permute at each end, and none where
// images come channels last.
func TestChainNeedsNoPermutesInside(t *testing.T) {
	s := newSketch(17, []int{1, 3, 4, 4})
	s.node("Conv", "a", []string{"x0", s.floats("w", []int{3, 3, 1, 1}, normals("w", 9)...)})
	s.node("Relu", "b", []string{"a"})
	s.node("Conv", "c", []string{"b", "w"})
	s.node("Add", "d", []string{"c", "a"})
	s.node("GlobalAveragePool", "e", []string{"d"})
	s.node("Sigmoid", "y", []string{"e"})
	for last, want := range map[bool]int{false: 2, true: 1} {
		g := importIn(t, s.model(t, "y"), Options{ChannelsLast: last})
		if n := g.Count()["Transpose"]; n != want {
			t.Errorf("ChannelsLast %v: %d permutes, expected %d", last, n, want)
		}
	}
}

// Running a graph frees what nobody needs: memory does not grow with its depth.
func TestRunFreesIntermediates(t *testing.T) {
	const depth, size = 30, 1 << 14
	s := newSketch(17, []int{size})
	prev := "x0"
	for i := range depth {
		name := "v" + string(rune('a'+i))
		s.node([]string{"Mish", "Identity", "Elu"}[i%3], name, []string{prev})
		prev = name
	}
	g := importIn(t, s.model(t, prev), Options{})
	ag := autodiff.NewGraph(ref.New())
	defer ag.Close()
	x := ag.Const(ag.Scope().Full(tensor.F32, 1, size))
	if _, err := g.Run(ag, map[string]*Value{"x0": Of(x)}); err != nil {
		t.Fatal(err)
	}
	if n := ag.Scope().Live(); n > 2 { // the input and the output
		t.Errorf("%d tensors are alive after Run, expected 2", n)
	}
}

// A scale weighs the heap whenever a tensor is allocated.
type scale struct {
	*ref.Backend
	most uint64
}

func (s *scale) Alloc(bytes int) (tensor.Buffer, error) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.most = max(s.most, m.HeapAlloc)
	return s.Backend.Alloc(bytes)
}

// Weights are decoded, turned and uploaded one by one: beside the file and the tensors there are
// never those of all layers in float64.
func TestImportHoldsOneWeightAtATime(t *testing.T) {
	const layers, width = 12, 96
	s := newSketch(17, []int{1, width, 4, 4})
	prev := "x0"
	for i := range layers {
		name := "v" + string(rune('a'+i))
		w := s.floats("w"+name, []int{width, width, 3, 3}, make([]float64, width*width*9)...)
		s.node("Conv", name, []string{prev, w}, ints("pads", 1, 1, 1, 1))
		prev = name
	}
	m, b := s.model(t, prev), &scale{Backend: ref.New()}
	s.graph.initializers = nil
	b.Alloc(0)
	before := b.most
	in := tensor.NewScope(b)
	defer in.Close()
	if _, err := Import(in, m, Options{ChannelsLast: true}); err != nil {
		t.Fatal(err)
	}
	const weights, one = 4 * layers * width * width * 9, 4 * width * width * 9
	// the tensors, and one weight in float64, as it is and turned, with the order of its elements
	if more := b.most - before; more > weights+7*one {
		t.Errorf("%d bytes more on the heap for %d bytes of weights in %d layers", more, weights, layers)
	}
	runtime.KeepAlive(m)
}
