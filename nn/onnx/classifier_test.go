package onnx

import (
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
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
		z := c.Forward(nn.NewCtx(g, nn.Eval), g.Const(x)).Tensor().Floats()
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
	if c.batch != 1 || len(c.Notes()) != 1 {
		t.Errorf("batch %d, notes %q", c.batch, c.Notes())
	}
	g := autodiff.NewGraph(ref.New())
	defer g.Close()
	x := g.Leaf(g.Scope().Full(tensor.F32, 1, 3, 2, 2, 1))
	z := c.Forward(nn.NewCtx(g, nn.Eval), x)
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

// The features are what the last linear layer reads, however it is written down; where no such
// layer makes the logits there are none.
func TestClassifierFeatures(t *testing.T) {
	pooled := func(s *sketch) *sketch { return s.node("GlobalAveragePool", "p", []string{"x0"}) }
	for _, tc := range []struct {
		name  string
		build func(s *sketch) string
		want  int
		read  int // what the file says without a run
	}{
		{"Gemm", func(s *sketch) string {
			pooled(s).node("Flatten", "f", []string{"p"})
			s.node("Gemm", "y", []string{"f", s.floats("w", []int{5, 3}, normals("w", 15)...)},
				attrI("transB", 1))
			return "y"
		}, 3, 3},
		{"MatMul of a permuted weight and a bias", func(s *sketch) string {
			pooled(s).node("Flatten", "f", []string{"p"})
			s.node("Transpose", "t", []string{s.floats("w", []int{5, 3}, normals("w", 15)...)})
			s.node("MatMul", "m", []string{"f", "t"})
			s.node("Add", "y", []string{s.floats("b", []int{5}, 1, 2, 3, 4, 5), "m"})
			return "y"
		}, 3, 0},
		{"a convolution of one pixel", func(s *sketch) string {
			pooled(s).node("Conv", "c", []string{"p", s.floats("w", []int{5, 3, 1, 1},
				normals("w", 15)...)})
			s.node("Flatten", "y", []string{"c"})
			return "y"
		}, 3, 3},
		{"a convolution of the image", func(s *sketch) string {
			s.node("Conv", "c", []string{"x0", s.floats("w", []int{5, 3, 4, 4},
				normals("w", 240)...)})
			s.node("Flatten", "y", []string{"c"})
			return "y"
		}, 0, 0},
		{"a mean behind the last layer", func(s *sketch) string {
			s.node("Conv", "c", []string{"x0", s.floats("w", []int{5, 3, 1, 1},
				normals("w", 15)...)})
			s.node("GlobalAveragePool", "q", []string{"c"}).node("Flatten", "y", []string{"q"})
			return "y"
		}, 0, 0},
		{"a product of two activations", func(s *sketch) string {
			pooled(s).node("Flatten", "f", []string{"p"})
			s.node("Mul", "y", []string{"f", "f"})
			return "y"
		}, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSketch(17, []int{-1, 3, 4, 4})
			m := s.model(t, tc.build(s))
			if n := m.FeatureDim(); n != tc.read {
				t.Errorf("the file says %d features, expected %d", n, tc.read)
			}
			checkFeatures(t, m, tc.want)
		})
	}
}

// checkFeatures compares a classifier's features with the image's mean, which they are by
// construction.
func checkFeatures(t *testing.T, m *Model, want int) {
	scope := tensor.NewScope(ref.New())
	defer scope.Close()
	c, err := NewClassifier(scope, m, ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c.FeatureDim() != want {
		t.Fatalf("%d features, expected %d", c.FeatureDim(), want)
	}
	g := autodiff.NewGraph(ref.New())
	defer g.Close()
	x := g.Scope().New(tensor.F32, 2, 4, 4, 3)
	x.SetFloats(normals("x", 2*4*4*3))
	f, z := c.Features(nn.NewCtx(g, nn.Eval), g.Const(x))
	if want == 0 {
		if f != nil {
			t.Errorf("features %v, expected none", f.Shape())
		}
		return
	}
	mean := autodiff.GlobalAvgPool(g.Const(x)).Tensor().Floats()
	got := f.Tensor().Floats()
	if !f.Shape().Equal(tensor.Shape{2, want}) || !z.Shape().Equal(tensor.Shape{2, c.Classes()}) {
		t.Fatalf("features %v, logits %v", f.Shape(), z.Shape())
	}
	for i := range mean {
		if d := got[i] - mean[i]; d > 1e-6 || d < -1e-6 {
			t.Errorf("feature %d: %g, expected the mean %g", i, got[i], mean[i])
		}
	}
}

// A classifier is saved as the file it came from with the options inside, once; it comes back with
// the same answers and no options given.
func TestClassifierSavesItsOptions(t *testing.T) {
	s := newSketch(17, []int{1, 2, -1, -1})
	s.node("GlobalAveragePool", "p", []string{"x0"}).node("Flatten", "z", []string{"p"})
	m := s.model(t, "z")
	scope := tensor.NewScope(ref.New())
	defer scope.Close()
	o := ClassifierOptions{Name: "mine", Mean: []float64{0.25, 0.5}, Std: []float64{1, 0.5},
		Scale: 2, BGR: true, InputSize: 3}
	for _, name := range []string{"first", "second"} {
		c, err := NewClassifier(scope, m, o)
		if err != nil {
			t.Fatal(err)
		}
		path, err := c.Save(filepath.Join(t.TempDir(), name), tensor.F32)
		if err != nil || filepath.Ext(path) != Ext {
			t.Fatalf("%s: %v", path, err)
		}
		if m, err = Open(path); err != nil {
			t.Fatal(err)
		}
		back, ok, err := m.StoredOptions()
		if err != nil || !ok || !reflect.DeepEqual(back, o) {
			t.Errorf("%s: options %+v %v %v, expected %+v", name, back, ok, err, o)
		}
		if len(m.proto.props) != 1 {
			t.Errorf("%s: %d entries of metadata, expected 1", name, len(m.proto.props))
		}
		o = back
	}
}

// A network that makes what is not finite is found when it is opened, and the error says of which
// constant it is known: weights and factors of the graph alike, but not the infinity of a mask.
func TestClassifierNotFinite(t *testing.T) {
	for _, tc := range []struct {
		weight, factor float64
		says           string
	}{
		{math.NaN(), 1, `the constant "w`}, {1, math.NaN(), `the constant "k" holds a NaN`},
		{1, math.Inf(-1), "the graph makes it, none of its constants is a NaN"},
	} {
		s := newSketch(17, []int{-1, 1, 1, 1})
		s.node("Flatten", "f", []string{"x0"})
		s.node("Gemm", "g", []string{"f", s.floats("w", []int{1, 2}, 1, tc.weight)})
		s.node("Mul", "y", []string{"g", s.floats("k", nil, tc.factor)})
		scope := tensor.NewScope(ref.New())
		_, err := NewClassifier(scope, s.model(t, "y"), ClassifierOptions{})
		scope.Close()
		if err == nil || !strings.Contains(err.Error(), "not finite") ||
			!strings.Contains(err.Error(), tc.says) {
			t.Errorf("weight %g, factor %g: got %v", tc.weight, tc.factor, err)
		}
	}
}

// A graph for four images at a time that repeats a single one to four is given four.
func TestClassifierOfFixedBatches(t *testing.T) {
	s := newSketch(17, []int{4, 1, 2, 2})
	s.node("Flatten", "flat", []string{"x0"})
	s.node("Expand", "four", []string{"flat", s.longs("shape", 4, 4)})
	s.node("Gemm", "z", []string{"four", s.floats("w", []int{4, 3}, normals("w", 12)...)})
	s.node("LogSoftmax", "y", []string{"z"})
	scope := tensor.NewScope(ref.New())
	defer scope.Close()
	c, err := NewClassifier(scope, s.model(t, "y"), ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c.batch != 4 || c.Classes() != 3 || c.FeatureDim() != 4 || len(c.Notes()) != 2 ||
		!strings.Contains(c.Notes()[0], "the last LogSoftmax is left out") {
		t.Errorf("batch %d, %d classes, %d features, notes %q", c.batch, c.Classes(), c.FeatureDim(),
			c.Notes())
	}
	g := autodiff.NewGraph(ref.New())
	defer g.Close()
	x := g.Const(g.Scope().Full(tensor.F32, 1, 6, 2, 2, 1))
	if z := c.Forward(nn.NewCtx(g, nn.Eval), x); !z.Shape().Equal(tensor.Shape{6, 3}) {
		t.Errorf("logits are %v", z.Shape())
	}
}

// A graph that begins with arithmetic on the image brings its own normalisation.
func TestNormalises(t *testing.T) {
	plain, own := newSketch(17, []int{1, 1, 2, 2}), newSketch(17, []int{1, 1, 2, 2})
	plain.node("Flatten", "y", []string{"x0"})
	own.node("Sub", "c", []string{"x0", own.floats("mean", []int{1}, 0.5)})
	own.node("Flatten", "y", []string{"c"})
	if plain.model(t, "y").Normalises() || !own.model(t, "y").Normalises() {
		t.Error("took one for the other")
	}

	// Who asks for the shape does not read a pixel; a cast or a permutation changes none.
	around := newSketch(17, []int{-1, 2, 2, 1})
	around.node("Shape", "s", []string{"x0"}).node("Identity", "i", []string{"x0"})
	around.node("Transpose", "t", []string{"i"}, ints("perm", 0, 3, 1, 2))
	around.node("Div", "c", []string{"t", around.floats("std", []int{1}, 255)})
	around.node("Reshape", "y", []string{"c", "s"})
	if !around.model(t, "y").Normalises() {
		t.Error("looked at the shape, or not behind the permutation")
	}
	around.node("Flatten", "z", []string{"t"})
	if around.model(t, "y", "z").Normalises() {
		t.Error("another node reads the permuted pixels as they are")
	}
}

// The logits are the output that is named, the one called "logits", or the first.
func TestClassifierOutput(t *testing.T) {
	scope := tensor.NewScope(ref.New())
	defer scope.Close()
	s := newSketch(17, []int{-1, 2, 1, 1})
	s.node("Flatten", "features", []string{"x0"})
	s.node("Gemm", "logits", []string{"features", s.floats("w", []int{2, 3}, normals("w", 6)...)})
	for _, tc := range []struct {
		name    string
		outs    []string
		classes int
	}{{"", []string{"features", "logits"}, 3}, {"features", []string{"features", "logits"}, 2},
		{"", []string{"features"}, 2}} {
		c, err := NewClassifier(scope, s.model(t, tc.outs...), ClassifierOptions{Output: tc.name})
		if err != nil {
			t.Fatal(err)
		}
		if c.Classes() != tc.classes {
			t.Errorf("output %q of %q: %d classes, expected %d", tc.name, tc.outs, c.Classes(), tc.classes)
		}
	}
	two, err := NewClassifier(scope, s.model(t, "features", "logits"), ClassifierOptions{})
	if err != nil || !slices.Equal(two.Outputs(), []string{"features", "logits"}) {
		t.Errorf("outputs %q, %v", two.Outputs(), err)
	}
	_, err = NewClassifier(scope, s.model(t, "logits"), ClassifierOptions{Output: "logit"})
	if err == nil || !strings.Contains(err.Error(), `it has "logits"`) {
		t.Errorf("a name that does not exist: %v", err)
	}
}

// A graph that takes images of 16 bits is computed in 32, as its weights are.
func TestClassifierOfHalves(t *testing.T) {
	scope := tensor.NewScope(ref.New())
	defer scope.Close()
	s := newSketch(17, []int{-1, 2, 1, 1})
	s.graph.inputs[0].elem = Float16
	s.node("Flatten", "flat", []string{"x0"})
	s.node("Cast", "h", []string{s.floats("w", []int{2, 2}, 1, 2, 3, 4)}, attrI("to", int64(Float16)))
	s.node("Gemm", "y", []string{"flat", "h"})
	c, err := NewClassifier(scope, s.model(t, "y"), ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g := autodiff.NewGraph(ref.New())
	defer g.Close()
	x := tensor.FromSlice(g.Scope(), []float32{1, 0.5}, 1, 1, 1, 2)
	z := c.Forward(nn.NewCtx(g, nn.Eval), g.Const(x)).Tensor().Floats()
	if len(z) != 2 || z[0] != 2.5 || z[1] != 4 {
		t.Errorf("logits %v, expected [2.5 4]", z)
	}
}

// A graph with a larger batch written into it serves batches of any size: with the logits and the
// gradient that each image has by itself.
func TestClassifierOfFixedBatch(t *testing.T) {
	s := newSketch(17, []int{3, 1, 2, 2})
	s.node("Reshape", "flat", []string{"x0", s.longs("shape", 3, 4)})
	s.node("Gemm", "z", []string{"flat", s.floats("w", []int{4, 3}, normals("w", 12)...)})
	s.node("Tanh", "y", []string{"z"})
	scope := tensor.NewScope(ref.New())
	defer scope.Close()
	c, err := NewClassifier(scope, s.model(t, "y"), ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c.batch != 3 || c.Classes() != 3 || len(c.Notes()) != 1 {
		t.Errorf("batch %d, %d classes, notes %q", c.batch, c.Classes(), c.Notes())
	}
	run := func(images ...int) (z, dx []float64) {
		g := autodiff.NewGraph(ref.New())
		defer g.Close()
		var data []float32
		for _, i := range images {
			for k := range 4 {
				data = append(data, float32(4*i+k)/40)
			}
		}
		x := g.Leaf(tensor.FromSlice(g.Scope(), data, len(images), 2, 2, 1))
		y := c.Forward(nn.NewCtx(g, nn.Eval), x).Keep()
		d := autodiff.Grad(autodiff.Sum(autodiff.Square(y)), []*autodiff.Value{x})[0]
		return y.Tensor().Floats(), d.Tensor().Floats()
	}
	z, dx := run(0, 1, 2, 3, 4, 5, 6)
	for i := range 7 {
		zi, di := run(i)
		if !slices.Equal(z[3*i:3*i+3], zi) || !slices.Equal(dx[4*i:4*i+4], di) {
			t.Errorf("image %d: logits and gradient %v %v, alone %v %v", i, z[3*i:3*i+3],
				dx[4*i:4*i+4], zi, di)
		}
	}
}

// What the backend keeps of the weights for an Inference, and what that keeps of the pass, change
// no bit, in it or beside it, whatever images and however many of them come one after the other.
func TestClassifierInference(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	scope := tensor.NewScope(b)
	defer scope.Close()
	s := newSketch(17, []int{-1, 3, 8, 8})
	s.node("Conv", "a", []string{"x0", s.floats("w", []int{16, 3, 3, 3}, normals("w", 432)...)})
	s.node("Conv", "d", []string{"a", s.floats("v", []int{16, 1, 3, 3}, normals("v", 144)...)},
		attrI("group", 16))
	s.node("GlobalAveragePool", "p", []string{"d"})
	s.node("Flatten", "y", []string{"p"})
	c, err := NewClassifier(scope, s.model(t, "y"), ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	i := c.Inference(b)
	defer i.Close()
	inUse := 0
	for pass, batch := range []int{2, 3, 2, 2, 3, 3, 2} {
		x := scope.New(tensor.F32, batch, 8, 8, 3)
		x.SetFloats(normals(fmt.Sprint("image", pass), x.Size()))
		plain := func() []float64 {
			g := autodiff.NewGraph(b)
			defer g.Close()
			return c.Forward(nn.NewCtx(g, nn.Eval), g.Const(x)).Tensor().Floats()
		}
		want := plain()
		var got []float64
		i.Pass(func(ctx *nn.Ctx) { got = c.Forward(ctx, ctx.Graph.Const(x)).Tensor().Floats() })
		if !slices.Equal(got, want) || !slices.Equal(plain(), want) {
			t.Fatalf("pass %d: logits %v, expected %v", pass, got, want)
		}
		x.Free()
		if n := b.Memory().InUse; pass < 2 {
			inUse = n
		} else if n != inUse {
			t.Errorf("pass %d: %d bytes in use, %d before", pass, n, inUse)
		}
	}
}
