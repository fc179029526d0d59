package onnx

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
)

// Every element type, from raw bytes and typed lists, with values at the ends of its range.
func TestReadTensor(t *testing.T) {
	le := binary.LittleEndian
	for _, tc := range []struct {
		elem  Elem
		raw   []byte
		want  []float64
		typed func(m *message)
	}{
		{Float, le.AppendUint32(nil, math.Float32bits(-1.5)), []float64{-1.5},
			func(m *message) { m.float(4, -1.5) }},
		{Double, le.AppendUint64(nil, math.Float64bits(1e300)), []float64{1e300},
			func(m *message) { m.bytes(10, le.AppendUint64(nil, math.Float64bits(1e300))) }},
		{Float16, []byte{0x00, 0xc0, 0x01, 0x00, 0xff, 0x7b}, []float64{-2, 0x1p-24, 65504},
			func(m *message) { m.integer(5, 0xc000); m.integer(5, 1); m.integer(5, 0x7bff) }},
		{BFloat16, []byte{0x80, 0x3f, 0x80, 0xff}, []float64{1, math.Inf(-1)},
			func(m *message) { m.integer(5, 0x3f80); m.integer(5, 0xff80) }},
		{Int64, le.AppendUint64(nil, uint64(math.MaxInt64-1)<<1), []float64{-4},
			func(m *message) { m.integer(7, -4) }},
		{Int32, []byte{0, 0, 0, 0x80}, []float64{math.MinInt32},
			func(m *message) { m.integer(5, math.MinInt32) }},
		{Int8, []byte{0x80, 0x7f}, []float64{-128, 127},
			func(m *message) { m.integer(5, -128); m.integer(5, 127) }},
		{Uint8, []byte{0x80}, []float64{128}, func(m *message) { m.integer(5, 128) }},
		{Uint16, []byte{0xff, 0xff}, []float64{65535}, func(m *message) { m.integer(5, 65535) }},
		{Uint32, []byte{0xff, 0xff, 0xff, 0xff}, []float64{1<<32 - 1},
			func(m *message) { m.integer(11, 1<<32-1) }},
		{Bool, []byte{2, 0}, []float64{1, 0},
			func(m *message) { m.integer(5, 1); m.integer(5, 0) }},
	} {
		var raw, typed message
		for _, m := range []*message{&raw, &typed} {
			m.integer(1, int64(len(tc.want)))
			m.integer(2, int64(tc.elem))
		}
		raw.bytes(9, tc.raw)
		tc.typed(&typed)
		for form, data := range map[string]message{"raw": raw, "typed": typed} {
			a, err := ReadTensor(form, data)
			if err != nil {
				t.Errorf("%v, %s: %v", tc.elem, form, err)
				continue
			}
			for i, w := range tc.want {
				if a.at(i) != w {
					t.Errorf("%v, %s, element %d: %g, expected %g", tc.elem, form, i, a.at(i), w)
				}
			}
		}
	}
}

// Damaged and foreign tensors and models are errors that say what is wrong.
func TestReadErrors(t *testing.T) {
	tensorOf := func(elem Elem, dims []int64, raw []byte, more func(m *message)) message {
		var m message
		for _, d := range dims {
			m.integer(1, d)
		}
		m.integer(2, int64(elem))
		if raw != nil {
			m.bytes(9, raw)
		}
		if more != nil {
			more(&m)
		}
		return m
	}
	for want, data := range map[string]message{
		"needs 8 bytes, got 4":    tensorOf(Float, []int64{2}, make([]byte, 4), nil),
		"needs 2 elements, got 0": tensorOf(Float, []int64{2}, nil, nil),
		"out of range":            tensorOf(Float, []int64{1 << 40, 1 << 40}, nil, nil),
		"elements of type 8":      tensorOf(8, []int64{1}, []byte{1}, nil),
		"another file": tensorOf(Float, []int64{1}, nil,
			func(m *message) { m.integer(14, 1) }),
		"above the largest": tensorOf(Uint64, []int64{1},
			[]byte("\xff\xff\xff\xff\xff\xff\xff\xff"), nil),
		"claims 100 bytes": {9<<3 | wireBytes, 100, 1},
		"longer than 64 bits": {8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			1},
		"wire type 3": {9<<3 | 3},
	} {
		if _, err := ReadTensor("t.pb", data); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "t.pb") {
			t.Errorf("got %v, expected %q", err, want)
		}
	}
	for want, data := range map[string][]byte{
		"not an ONNX model": {},
		"no operator set":   {7<<3 | wireBytes, 0},
	} {
		if _, err := Decode("m.onnx", data); err == nil {
			t.Errorf("%q: no error", want)
		}
	}
}

// Messages nested beyond the limit are refused before the stack suffers.
func TestNestingIsBounded(t *testing.T) {
	attr := message{}
	for range 4 * maxDepth { // sub-graphs in attributes are counted and not opened
		var a, n, g message
		a.text(1, "body")
		a.bytes(6, attr)
		n.bytes(5, a)
		n.text(4, "Loop")
		g.bytes(1, n)
		attr = g
	}
	var m, o message
	m.bytes(7, attr)
	o.integer(2, 17)
	m.bytes(8, o)
	model, err := Decode("deep", m)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(model.proto.graph.nodes); n != 1 {
		t.Errorf("%d nodes", n)
	}
	if err := each([]byte{8, 1}, 0, func(field) error { return nil }); err == nil {
		t.Error("a message below the limit was opened")
	}
}

// Rounding to 16 bits: ties to even, subnormals, overflow.
func TestRound16(t *testing.T) {
	for _, tc := range []struct {
		e       Elem
		v, want float64
	}{
		{Float16, 1 + 0x1p-11, 1}, {Float16, 1 + 3*0x1p-11, 1 + 0x1p-9}, {Float16, 0x1p-25, 0},
		{Float16, 3 * 0x1p-25, 0x1p-23}, {Float16, 65519, 65504}, {Float16, 65520, math.Inf(1)},
		{Float16, -1e9, math.Inf(-1)}, {BFloat16, 1 + 0x1p-8, 1},
		{BFloat16, 1 + 3*0x1p-8, 1 + 0x1p-6},
		{BFloat16, 0, 0}, {Float, 0.1, float64(float32(0.1))}, {Int64, 0.1, 0.1},
	} {
		if got := round(tc.e, tc.v); got != tc.want {
			t.Errorf("round(%v, %g) = %g, expected %g", tc.e, tc.v, got, tc.want)
		}
	}
}
