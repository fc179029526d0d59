package onnx

import (
	"fmt"
	"slices"

	"afterimage/tensor"
)

// A Model is the content of an ONNX file. It is immutable; Import makes it runnable.
type Model struct {
	file  string
	data  []byte
	proto *modelProto
}

// An Input describes a value that a graph takes or gives.
type Input struct {
	Name  string
	Elem  Elem
	Shape tensor.Shape // −1 where the file leaves an extent open; nil when the rank is open
}

// Open reads an ONNX file, and what of it is stored in files beside it. The error, an *Error, names
// the file and what is wrong with it.
func Open(path string) (*Model, error) {
	data, err := tensor.ReadRegular(path)
	if err != nil {
		return nil, fmt.Errorf("onnx: Open: %w; check the path", err)
	}
	m, err := Decode(path, data)
	if err != nil || !m.proto.graph.external() {
		return m, err
	}
	if data, err = inlined(path, data); err != nil {
		return nil, inFile(err, path)
	}
	return Decode(path, data)
}

// Decode reads the bytes of an ONNX file; name stands for the file in errors. The Model keeps data,
// which must not be changed afterwards.
func Decode(name string, data []byte) (*Model, error) {
	m, err := parseModel(data)
	if err != nil {
		return nil, inFile(err, name)
	}
	if m.graph == nil {
		return nil, bad("no graph in it: it is not an ONNX model").at(name, "", "")
	}
	if len(m.opsets) == 0 {
		return nil, bad("it imports no operator set").at(name, "", "")
	}
	return &Model{file: name, data: data, proto: m}, nil
}

// ReadTensor reads a TensorProto, the form of ONNX's test data.
func ReadTensor(name string, data []byte) (*Array, error) {
	t, err := parseTensor(data, maxDepth)
	if err != nil {
		return nil, inFile(err, name)
	}
	a, err := t.array()
	if err != nil {
		return nil, inFile(err, name)
	}
	return a, nil
}

// inFile fills in the file of an *Error.
func inFile(err error, file string) error {
	if e, ok := err.(*Error); ok {
		return e.at(file, "", "")
	}
	return err
}

// File returns the path or name the model was read from.
func (m *Model) File() string { return m.file }

// Producer returns the name of the program that wrote the file.
func (m *Model) Producer() string { return m.proto.producer }

// Opset returns the version of a domain's operator set that the file imports; "" is ONNX's own, and
// 0 stands for a domain that is not imported.
func (m *Model) Opset(domain string) int { return int(m.proto.opsets[domain]) }

// Property returns an entry of the file's metadata, and whether there is one.
func (m *Model) Property(key string) (value string, ok bool) {
	for _, p := range m.proto.props {
		if p.key == key {
			value, ok = p.value, true // of several the last one, as in protocol buffers
		}
	}
	return value, ok
}

// Inputs returns what the graph takes, without initialisers that are listed as inputs too.
func (m *Model) Inputs() []Input {
	constant := map[string]bool{}
	for _, t := range m.proto.graph.initializers {
		constant[t.name] = true
	}
	return describe(slices.DeleteFunc(slices.Clone(m.proto.graph.inputs),
		func(v valueInfo) bool { return constant[v.name] }))
}

// Outputs returns what the graph gives.
func (m *Model) Outputs() []Input { return describe(m.proto.graph.outputs) }

func describe(list []valueInfo) []Input {
	out := make([]Input, len(list))
	for i, v := range list {
		out[i] = Input{v.name, v.elem, slices.Clone(v.shape)}
	}
	return out
}
