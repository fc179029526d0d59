package onnx

import (
	"fmt"
	"io"
)

// What written files declare: operator set 17 is read by every runtime of the last years, and
// version 8 of the file format goes with it.
const (
	exportOpset     = 17
	exportIRVersion = 8
)

// A Writer puts an ONNX file together, node by node in topological order: operator set 17, floats
// unless a constant says otherwise. Make one with NewWriter. Every method that adds a value returns
// its name, to be the operand of later nodes.
type Writer struct {
	graph *graphProto
	props []property
	known map[string]bool
	err   error // the first mistake, which Write returns
}

// NewWriter returns an empty file.
func NewWriter() *Writer { return &Writer{graph: &graphProto{}, known: map[string]bool{}} }

// An Attr is an attribute of a node.
type Attr struct{ proto attrProto }

// IntAttr returns an integer attribute.
func IntAttr(name string, v int) Attr {
	return Attr{attrProto{name: name, i: int64(v), kind: attrIntType}}
}

// IntsAttr returns an attribute that is a list of integers.
func IntsAttr(name string, v ...int) Attr {
	a := attrProto{name: name, ints: []int64{}, kind: attrIntsType}
	for _, x := range v {
		a.ints = append(a.ints, int64(x))
	}
	return Attr{a}
}

// FloatAttr returns a floating-point attribute, which ONNX keeps in single precision.
func FloatAttr(name string, v float64) Attr {
	return Attr{attrProto{name: name, f: v, kind: attrFloatType}}
}

// TextAttr returns a string attribute.
func TextAttr(name, v string) Attr {
	return Attr{attrProto{name: name, s: v, kind: attrStringType}}
}

// define notes that a value exists, and a name given twice as a mistake.
func (w *Writer) define(name string) string {
	if name == "" || w.known[name] {
		w.wrong("the name %s is given twice, or is none", quote(name))
	}
	w.known[name] = true
	return name
}

func (w *Writer) wrong(format string, args ...any) {
	if w.err == nil {
		w.err = &Error{Op: "Write", Reason: fmt.Sprintf(format, args...)}
	}
}

// Input declares a floating-point input; −1 in shape leaves the extent open.
func (w *Writer) Input(name string, shape ...int) string {
	w.graph.inputs = append(w.graph.inputs, valueInfo{name: name, elem: Float, shape: shape})
	return w.define(name)
}

// Output declares that the value called name is an output; −1 in shape leaves the extent open.
func (w *Writer) Output(name string, shape ...int) {
	if !w.known[name] {
		w.wrong("output %s is given by no node", quote(name))
	}
	w.graph.outputs = append(w.graph.outputs, valueInfo{name: name, elem: Float, shape: shape})
}

// Constant adds a constant tensor.
func (w *Writer) Constant(name string, a *Array) string {
	return w.initializer(a.proto(name))
}

func (w *Writer) initializer(t *tensorProto) string {
	w.graph.initializers = append(w.graph.initializers, t)
	return w.define(t.name)
}

// Longs adds a vector of integers, such as the target of a Reshape.
func (w *Writer) Longs(name string, v ...int) string {
	a := &Array{Elem: Int64, Shape: []int{len(v)}}
	for _, x := range v {
		a.I = append(a.I, int64(x))
	}
	return w.Constant(name, a)
}

// Floats adds a tensor of single precision.
func (w *Writer) Floats(name string, shape []int, v ...float64) string {
	return w.Constant(name, &Array{Elem: Float, Shape: shape, F: v})
}

// Node appends a node whose one result has the node's name.
func (w *Writer) Node(op, name string, in []string, attrs ...Attr) string {
	n := &nodeProto{name: name, op: op, in: in, out: []string{name}}
	for _, a := range attrs {
		n.attrs = append(n.attrs, a.proto)
	}
	for _, x := range in {
		if x != "" && !w.known[x] {
			w.wrong("node %s: operand %s is given by no earlier node", quote(name), quote(x))
		}
	}
	w.graph.nodes = append(w.graph.nodes, n)
	return w.define(name)
}

// Property adds an entry to the file's metadata.
func (w *Writer) Property(key, value string) {
	w.props = append(w.props, property{key, value})
}

// Write writes the file. It returns an error for a name that was given twice or never, and what out
// returns.
func (w *Writer) Write(out io.Writer) error {
	if w.err != nil {
		return w.err
	}
	p := modelProto{irVersion: exportIRVersion, producer: "afterimage", graph: w.graph,
		opsets: map[string]int64{"": exportOpset}, props: w.props}
	_, err := out.Write(p.encode())
	return err
}
