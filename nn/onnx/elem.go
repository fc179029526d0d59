package onnx

import (
	"encoding/binary"
	"fmt"
	"math"

	"afterimage/tensor"
)

// Elem is an element type of ONNX, with the numbers of TensorProto.DataType.
type Elem int32

// The element types that can be read. Strings, complex and sub-byte types cannot.
const (
	Float    Elem = 1
	Uint8    Elem = 2
	Int8     Elem = 3
	Uint16   Elem = 4
	Int16    Elem = 5
	Int32    Elem = 6
	Int64    Elem = 7
	Bool     Elem = 9
	Float16  Elem = 10
	Double   Elem = 11
	Uint32   Elem = 12
	Uint64   Elem = 13
	BFloat16 Elem = 16
)

// String returns ONNX's name in lower case: "float", "int64".
func (e Elem) String() string {
	switch e {
	case Float:
		return "float"
	case Uint8:
		return "uint8"
	case Int8:
		return "int8"
	case Uint16:
		return "uint16"
	case Int16:
		return "int16"
	case Int32:
		return "int32"
	case Int64:
		return "int64"
	case Bool:
		return "bool"
	case Float16:
		return "float16"
	case Double:
		return "double"
	case Uint32:
		return "uint32"
	case Uint64:
		return "uint64"
	case BFloat16:
		return "bfloat16"
	}
	return fmt.Sprintf("type %d", int32(e))
}

// IsFloat reports whether e is one of the floating-point types.
func (e Elem) IsFloat() bool { return e == Float || e == Double || e == Float16 || e == BFloat16 }

// size returns the bytes of an element in raw data; 0 for a type that cannot be read.
func (e Elem) size() int {
	switch e {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16, Float16, BFloat16:
		return 2
	case Float, Int32, Uint32:
		return 4
	case Double, Int64, Uint64:
		return 8
	}
	return 0
}

// wrap reduces v to the width of e, two's complement, as arithmetic in e would.
func (e Elem) wrap(v int64) int64 {
	switch e {
	case Uint8:
		return int64(uint8(v))
	case Int8:
		return int64(int8(v))
	case Uint16:
		return int64(uint16(v))
	case Int16:
		return int64(int16(v))
	case Int32:
		return int64(int32(v))
	case Uint32:
		return int64(uint32(v))
	case Bool:
		return int64(btoi(v != 0))
	}
	return v
}

// lowest returns the least number of an integer type.
func (e Elem) lowest() float64 {
	switch e {
	case Int8, Int16, Int32, Int64:
		return -math.Ldexp(1, 8*e.size()-1)
	}
	return 0
}

func btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// An Array holds the elements of an ONNX tensor on the host, row-major: floating-point elements in
// F, all others in I (booleans as 0 and 1). len(F) or len(I) is the product of Shape.
type Array struct {
	Elem  Elem
	Shape tensor.Shape
	I     []int64
	F     []float64
}

// newArray returns an array of zeros.
func newArray(e Elem, shape ...int) *Array {
	a := &Array{Elem: e, Shape: tensor.Shape(shape).Clone()}
	n, ok := a.Shape.CheckedSize()
	if !ok || n > maxHost {
		panic(unsupported("", "a host array of shape %v is larger than any shape arithmetic needs",
			a.Shape))
	}
	if e.IsFloat() {
		a.F = make([]float64, n)
	} else {
		a.I = make([]int64, n)
	}
	return a
}

// maxHost bounds what a few bytes of a file (an Expand, a ConstantOfShape) may ask of memory: 2²⁷
// elements, 1 GiB.
const maxHost = 1 << 27

// at returns element i as float64.
func (a *Array) at(i int) float64 {
	if a.F != nil {
		return a.F[i]
	}
	return float64(a.I[i])
}

// floats returns the elements as float64, without copying those that are.
func (a *Array) floats() []float64 {
	if a.Elem.IsFloat() {
		return a.F
	}
	out := make([]float64, len(a.I))
	for i, v := range a.I {
		out[i] = float64(v)
	}
	return out
}

// extents returns the checked shape of t and its number of elements.
func (t *tensorProto) extents() (tensor.Shape, int, error) {
	shape := make(tensor.Shape, len(t.dims))
	n := 1
	for i, d := range t.dims {
		if d < 0 || d > math.MaxInt32 || (d > 0 && n > math.MaxInt32/int(d)) {
			return nil, 0, bad("tensor %s: shape %v is out of range", quote(t.name), t.dims)
		}
		shape[i] = int(d)
		n *= int(d)
	}
	return shape, n, nil
}

// array decodes the elements. Its memory is at most eight times the tensor's bytes in the file.
func (t *tensorProto) array() (*Array, error) {
	shape, n, err := t.extents()
	if err != nil {
		return nil, err
	}
	switch {
	case t.external:
		return nil, unsupported("open it by its path, or export one file", "tensor %s is stored in "+
			"another file", quote(t.name))
	case t.strings > 0 || t.elem.size() == 0:
		return nil, unsupported("remove it from the graph, or convert it to a numeric type",
			"tensor %s has elements of %v", quote(t.name), t.elem)
	case !t.hasRaw || (len(t.raw) == 0 && n > 0):
		return t.typed(shape, n)
	case len(t.raw) != n*t.elem.size():
		return nil, bad("tensor %s: %v %v needs %d bytes, got %d", quote(t.name), t.elem, shape,
			n*t.elem.size(), len(t.raw))
	}
	a := newArray(t.elem, shape...)
	size := t.elem.size()
	for i := range n {
		b := t.raw[i*size : (i+1)*size]
		var bits uint64
		for k, x := range b {
			bits |= uint64(x) << (8 * k)
		}
		if a.F != nil {
			a.F[i] = floatOf(t.elem, bits)
		} else if a.I[i] = t.elem.wrap(int64(bits)); t.elem == Uint64 && a.I[i] < 0 {
			return nil, unsupported("store it as int64", "tensor %s holds %d, above the largest "+
				"int64", quote(t.name), bits)
		}
	}
	return a, nil
}

// floatOf decodes the bits of a floating-point element.
func floatOf(e Elem, bits uint64) float64 {
	switch e {
	case Double:
		return math.Float64frombits(bits)
	case Float16:
		return f16(uint16(bits))
	case BFloat16:
		return float64(math.Float32frombits(uint32(bits) << 16))
	}
	return float64(math.Float32frombits(uint32(bits)))
}

// f16 decodes IEEE binary16: sign, 5 bits of exponent with bias 15, 10 bits of fraction.
func f16(h uint16) float64 {
	exp, frac := int(h>>10&31), float64(h&0x3ff)
	v := 0.0
	switch {
	case exp == 31 && frac != 0:
		v = math.NaN()
	case exp == 31:
		v = math.Inf(1)
	case exp == 0:
		v = math.Ldexp(frac, -24)
	default:
		v = math.Ldexp(1024+frac, exp-25)
	}
	if h>>15 == 1 {
		return -v
	}
	return v
}

// typed decodes elements from the typed lists: 16-bit floats are stored as their bits in int32.
func (t *tensorProto) typed(shape tensor.Shape, n int) (*Array, error) {
	got, float := len(t.ints), []float64(nil)
	switch t.elem {
	case Float:
		got, float = len(t.floats), t.floats
	case Double:
		got, float = len(t.doubles), t.doubles
	}
	if got != n {
		return nil, bad("tensor %s: %v %v needs %d elements, got %d", quote(t.name), t.elem, shape,
			n, got)
	}
	a := newArray(t.elem, shape...)
	switch t.elem {
	case Float, Double:
		copy(a.F, float)
	case Float16, BFloat16:
		for i, v := range t.ints {
			a.F[i] = floatOf(t.elem, uint64(uint16(v)))
		}
	default:
		for i, v := range t.ints {
			a.I[i] = t.elem.wrap(v)
		}
	}
	return a, nil
}

// raw encodes the elements little-endian, as raw_data holds them. Float16 and BFloat16 are not
// written by this package.
func (a *Array) raw() []byte {
	out := make([]byte, 0, len(a.I)*a.Elem.size()+len(a.F)*a.Elem.size())
	le := binary.LittleEndian
	for _, v := range a.F {
		if a.Elem == Double {
			out = le.AppendUint64(out, math.Float64bits(v))
		} else {
			out = le.AppendUint32(out, math.Float32bits(float32(v)))
		}
	}
	for _, v := range a.I {
		var b [8]byte
		le.PutUint64(b[:], uint64(v))
		out = append(out, b[:a.Elem.size()]...)
	}
	return out
}
