package onnx

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/ref"
)

// Bounds on what reading and importing may allocate in total, kept or not, for n bytes of hostile
// input.
const (
	// fuzzFactor: a node of some ten bytes becomes a struct of some two hundred and a map, and each
	// of four passes may copy it; a byte of a packed list becomes an int64 in a slice that doubles
	// as it grows, then an element of an Array, copies by the folds that the budget allows, and a
	// device tensor.
	fuzzFactor = 512
	// fuzzSlack: the table of operators, and what the fuzzing worker itself allocates.
	fuzzSlack = 8 << 20
)

// seeds are models that reach every part of the reader.
func seeds() [][]byte {
	s := newSketch(17, []int{1, 3, 4, 4})
	s.longs("k", 0, -1)
	s.constant("b", &Array{Elem: Bool, Shape: tensor.Shape{2}, I: []int64{0, 1}})
	s.node("Conv", "c", []string{"x0", s.floats("w", []int{2, 3, 1, 1}, 1, 2, 3, 4, 5, 6)},
		ints("strides", 1, 1), attrS("auto_pad", "VALID"))
	s.node("Transpose", "t", []string{"w"}, ints("perm", 3, 2, 1, 0))
	s.node("Constant", "v", nil, attrProto{name: "value", t: (&Array{Elem: Double,
		Shape: tensor.Shape{1}, F: []float64{2}}).proto("")})
	s.node("LeakyRelu", "l", []string{"c"}, attrF("alpha", 0.1))
	s.node("Reshape", "y", []string{"l", "k"})
	return [][]byte{s.bytes("y"), layoutSketch().bytes("y"), newSketch(6, nil).bytes("x0")}
}

// FuzzDecode reads and imports arbitrary bytes: no panic, no allocation beyond a small multiple of
// them.
func FuzzDecode(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	for _, name := range []string{"inception", "mobile", "decoder"} {
		data, err := os.ReadFile(filepath.Join("testdata", name+".onnx"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Decode("fuzz", data)
		if err == nil {
			s := tensor.NewScope(ref.New())
			_, err = Import(s, m, Options{ChannelsLast: true})
			s.Close()
			describeFuzzed(t, m)
		}
		runtime.ReadMemStats(&after)
		if err != nil && err.Error() == "" {
			t.Fatal("an error without a message")
		}
		limit := uint64(fuzzFactor*len(data) + fuzzSlack)
		if got := after.TotalAlloc - before.TotalAlloc; got > limit {
			t.Fatalf("%d bytes of input: allocated %d bytes", len(data), got)
		}
	})
}

// describeFuzzed asks a model what a classifier's import asks, and writes it with other options.
func describeFuzzed(t *testing.T, m *Model) {
	m.Normalises()
	if _, _, err := m.StoredOptions(); err != nil && err.Error() == "" {
		t.Fatal("an error without a message")
	}
	c := &Classifier{model: m, file: m.file, opts: ClassifierOptions{Scale: 1}}
	if err := c.describeInput(m); err == nil {
		_, _ = c.head(m)
	}
	var out bytes.Buffer
	if err := c.Write(&out); err != nil {
		t.Fatalf("what was read cannot be written: %v", err)
	}
	again, err := Decode("again", out.Bytes())
	if err != nil {
		t.Fatalf("what was written cannot be read: %v", err)
	}
	if _, ok, err := again.StoredOptions(); !ok || err != nil ||
		len(again.proto.graph.nodes) != len(m.proto.graph.nodes) {
		t.Fatalf("written and read again: options %v %v, %d nodes of %d", ok, err,
			len(again.proto.graph.nodes), len(m.proto.graph.nodes))
	}
}

// fuzzMemory bounds what a graph may ask of the device while it is tried on an image.
const fuzzMemory = 32 << 20

// FuzzClassifier imports arbitrary bytes as a classifier and runs it on a small image, with its
// gradient: an error or a result, no panic, and no memory beyond the device's limit.
func FuzzClassifier(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	small := newSketch(17, []int{-1, 1, 4, 4})
	small.node("Conv", "c", []string{"x0", small.floats("w", []int{2, 1, 3, 3}, normals("w", 18)...)})
	small.node("Relu", "r", []string{"c"}).node("GlobalAveragePool", "p", []string{"r"})
	small.node("Flatten", "z", []string{"p"}).node("Softmax", "y", []string{"z"})
	f.Add(small.bytes("y"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode("fuzz", data)
		if err != nil {
			return
		}
		if ins := m.Inputs(); len(ins) != 1 || len(ins[0].Shape) != 4 || ins[0].Shape.Size() > 1<<10 {
			return // slow
		}
		b := cpu.Open(1)
		defer b.Close()
		b.SetMemoryLimit(fuzzMemory)
		s := tensor.NewScope(b)
		defer s.Close()
		c, err := NewClassifier(s, m, ClassifierOptions{InputSize: 4})
		if err != nil {
			return
		}
		_ = tensor.Try(func() { // a graph may fail on the third image
			g := autodiff.NewGraph(b)
			defer g.Close()
			x := g.Leaf(g.Scope().Full(tensor.F32, 0.5, 3, c.size, c.size, c.channels))
			autodiff.Grad(autodiff.Sum(c.Forward(nn.NewCtx(g, nn.Eval), x)), []*autodiff.Value{x})
		})
	})
}

// FuzzTensor reads an arbitrary TensorProto; what can be read is written and read again alike.
func FuzzTensor(f *testing.F) {
	for _, e := range []Elem{Float, Double, Int64, Int32, Int8, Uint8, Bool} {
		a := newArray(e, 1, 2)
		f.Add([]byte((a.proto("a")).encode()))
	}
	var typed message
	typed.bytes(1, []byte{2})
	typed.integer(2, int64(Float16))
	typed.bytes(5, []byte{1, 0x80, 0x78})
	f.Add([]byte(typed))
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		a, err := ReadTensor("fuzz", data)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > uint64(fuzzFactor*len(data)+fuzzSlack) {
			t.Fatalf("%d bytes of input: allocated %d bytes", len(data), got)
		}
		if err != nil {
			return
		}
		if len(a.I)+len(a.F) != a.Shape.Size() {
			t.Fatalf("%v holds %d and %d elements", a.Shape, len(a.I), len(a.F))
		}
		if a.Elem == Float16 || a.Elem == BFloat16 {
			return // not written here
		}
		b, err := ReadTensor("again", a.proto("a").encode())
		if err != nil || b.Elem != a.Elem || !b.Shape.Equal(a.Shape) {
			t.Fatalf("read again: %v", err)
		}
		for i := range a.I {
			if a.I[i] != b.I[i] {
				t.Fatalf("element %d: %d became %d", i, a.I[i], b.I[i])
			}
		}
		for i, v := range a.F {
			if w := b.F[i]; v != w && (v == v || w == w) {
				t.Fatalf("element %d: %g became %g", i, v, w)
			}
		}
	})
}
