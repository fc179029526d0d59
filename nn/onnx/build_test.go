package onnx

import (
	"testing"

	"afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A sketch is a small model under construction.
type sketch struct {
	graph graphProto
	opset int64
}

// newSketch starts a model with Float inputs of the given shapes, called x0, x1, ….
func newSketch(opset int64, shapes ...[]int) *sketch {
	s := &sketch{opset: opset}
	for i, sh := range shapes {
		v := valueInfo{name: input(i), elem: Float, shape: sh, kind: 1}
		s.graph.inputs = append(s.graph.inputs, v)
	}
	return s
}

func input(i int) string { return "x" + string(rune('0'+i)) }

// constant adds an initialiser and returns its name.
func (s *sketch) constant(name string, a *Array) string {
	s.graph.initializers = append(s.graph.initializers, a.proto(name))
	return name
}

// longs adds an int64 vector.
func (s *sketch) longs(name string, v ...int64) string {
	return s.constant(name, &Array{Elem: Int64, Shape: tensor.Shape{len(v)}, I: v})
}

// floats adds a float tensor.
func (s *sketch) floats(name string, shape []int, v ...float64) string {
	return s.constant(name, &Array{Elem: Float, Shape: shape, F: v})
}

// node adds a node with one result of the node's name.
func (s *sketch) node(op, name string, in []string, attrs ...attrProto) *sketch {
	s.graph.nodes = append(s.graph.nodes, &nodeProto{name: name, op: op, in: in,
		out: []string{name}, attrs: attrs})
	return s
}

// bytes returns the file with the given outputs.
func (s *sketch) bytes(outputs ...string) []byte {
	g := s.graph
	for _, o := range outputs {
		g.outputs = append(g.outputs, valueInfo{name: o, elem: Float, kind: 1})
	}
	p := modelProto{irVersion: 8, producer: "test", graph: &g,
		opsets: map[string]int64{"": s.opset}}
	return p.encode()
}

// model decodes the file again: what is tested went through bytes.
func (s *sketch) model(t testing.TB, outputs ...string) *Model {
	t.Helper()
	m, err := Decode("test.onnx", s.bytes(outputs...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// importIn imports a model on the reference backend.
func importIn(t testing.TB, m *Model, o Options) *Graph {
	t.Helper()
	s := tensor.NewScope(ref.New())
	t.Cleanup(s.Close)
	g, err := Import(s, m, o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// eval runs a graph on values called x0, x1, … and returns one output.
func eval(t testing.TB, g *Graph, ag *autodiff.Graph, in []*autodiff.Value, out string) *Value {
	t.Helper()
	values := map[string]*Value{}
	for i, v := range in {
		values[input(i)] = Of(v)
	}
	res, err := g.Run(ag, values)
	if err != nil {
		t.Fatal(err)
	}
	return res[out]
}

func attrI(name string, v int64) attrProto   { return attrProto{name: name, i: v} }
func attrF(name string, v float64) attrProto { return attrProto{name: name, f: v} }
func attrS(name, v string) attrProto         { return attrProto{name: name, s: v} }

func ints(name string, v ...int) attrProto { return IntsAttr(name, v...).proto }
