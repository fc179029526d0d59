package onnx

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
)

// The attribute types of AttributeProto.
const (
	attrFloatType  = 1
	attrIntType    = 2
	attrStringType = 3
	attrTensorType = 4
	attrFloatsType = 6
	attrIntsType   = 7
)

// A message is a protocol buffer being written. Fields of value 0 are written, too: ONNX's checker
// asks for some of them.
type message []byte

func (m *message) key(tag, wire int) {
	*m = binary.AppendUvarint(*m, uint64(tag)<<3|uint64(wire))
}

func (m *message) integer(tag int, v int64) {
	m.key(tag, wireVarint)
	*m = binary.AppendUvarint(*m, uint64(v))
}

func (m *message) float(tag int, v float64) {
	m.key(tag, wireFixed32)
	*m = binary.LittleEndian.AppendUint32(*m, math.Float32bits(float32(v)))
}

func (m *message) bytes(tag int, b []byte) {
	m.key(tag, wireBytes)
	*m = binary.AppendUvarint(*m, uint64(len(b)))
	*m = append(*m, b...)
}

func (m *message) text(tag int, s string) { m.bytes(tag, []byte(s)) }

// encode writes the model as an ONNX file.
func (p *modelProto) encode() []byte {
	var m message
	m.integer(1, p.irVersion)
	m.text(2, p.producer)
	m.bytes(7, p.graph.encode())
	for _, domain := range slices.Sorted(maps.Keys(p.opsets)) {
		var o message
		o.text(1, domain)
		o.integer(2, p.opsets[domain])
		m.bytes(8, o)
	}
	for _, e := range p.props {
		m.bytes(tagProperty, e.encode())
	}
	return m
}

func (p property) encode() message {
	var m message
	m.text(1, p.key)
	m.text(2, p.value)
	return m
}

func (g *graphProto) encode() message {
	var m message
	for _, n := range g.nodes {
		m.bytes(1, n.encode())
	}
	m.text(2, "afterimage")
	for _, t := range g.initializers {
		m.bytes(5, t.encode())
	}
	for i, list := range [][]valueInfo{g.inputs, g.outputs, g.infos} {
		for _, v := range list {
			m.bytes(11+i, v.encode())
		}
	}
	return m
}

func (n *nodeProto) encode() message {
	var m message
	for _, s := range n.in {
		m.text(1, s)
	}
	for _, s := range n.out {
		m.text(2, s)
	}
	m.text(3, n.name)
	m.text(4, n.op)
	for _, a := range n.attrs {
		m.bytes(5, a.encode())
	}
	if n.domain != "" {
		m.text(7, n.domain)
	}
	return m
}

// encode writes the attribute under its kind.
func (a *attrProto) encode() message {
	var m message
	m.text(1, a.name)
	kind := a.known()
	switch kind {
	case attrTensorType:
		m.bytes(5, a.t.encode())
	case attrIntsType:
		for _, v := range a.ints {
			m.integer(8, v)
		}
	case attrFloatsType:
		for _, v := range a.floats {
			m.float(7, v)
		}
	case attrStringType:
		m.text(4, a.s)
	case attrFloatType:
		m.float(2, a.f)
	default:
		m.integer(3, a.i)
	}
	m.integer(20, kind)
	return m
}

// known returns the attribute's kind, that of which it has a value if none is set; an integer if
// nothing is.
func (a *attrProto) known() int64 {
	switch {
	case a.kind != 0:
		return a.kind
	case a.t != nil:
		return attrTensorType
	case a.ints != nil:
		return attrIntsType
	case a.floats != nil:
		return attrFloatsType
	case a.s != "":
		return attrStringType
	case a.f != 0:
		return attrFloatType
	}
	return attrIntType
}

// encode writes the tensor with raw data.
func (t *tensorProto) encode() message {
	var m message
	for _, d := range t.dims {
		m.integer(1, d)
	}
	m.integer(2, int64(t.elem))
	if t.name != "" {
		m.text(8, t.name)
	}
	m.bytes(9, t.raw)
	return m
}

// encode writes name and tensor type; an open extent is written as the symbol "N".
func (v *valueInfo) encode() message {
	var shape message
	for _, d := range v.shape {
		var dim message
		if d >= 0 {
			dim.integer(1, int64(d))
		} else {
			dim.text(2, "N")
		}
		shape.bytes(1, dim)
	}
	var tensorType, typ, m message
	tensorType.integer(1, int64(v.elem))
	if v.shape != nil {
		tensorType.bytes(2, shape)
	}
	typ.bytes(1, tensorType)
	m.text(1, v.name)
	m.bytes(2, typ)
	return m
}

// proto returns the array as a named TensorProto.
func (a *Array) proto(name string) *tensorProto {
	t := &tensorProto{name: name, elem: a.Elem, raw: a.raw(), hasRaw: true}
	for _, d := range a.Shape {
		t.dims = append(t.dims, int64(d))
	}
	return t
}
