package onnx

import (
	"encoding/binary"
	"math"
)

// The wire types of protocol buffers, and the deepest nesting of messages that is read. ONNX
// graphs nest through attributes of control flow, a few levels at most.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5

	maxDepth = 32
)

// A field is one key with its value. Varints and fixed numbers are in num, bytes in data, which
// shares memory with the file.
type field struct {
	tag, wire int
	num       uint64
	data      []byte
}

// A wireReader cuts a message into fields. It copies nothing.
type wireReader struct {
	buf   []byte
	depth int // how many messages may still be nested in this one
}

// varint reads a base-128 number of at most ten bytes.
func (r *wireReader) varint() (uint64, error) {
	v, n := binary.Uvarint(r.buf)
	if n <= 0 {
		return 0, bad("a number is cut short or longer than 64 bits, %d bytes before the end of "+
			"its message", len(r.buf))
	}
	r.buf = r.buf[n:]
	return v, nil
}

// take reads n bytes.
func (r *wireReader) take(n uint64) ([]byte, error) {
	if n > uint64(len(r.buf)) {
		return nil, bad("a field claims %d bytes where %d are left", n, len(r.buf))
	}
	out := r.buf[:n:n]
	r.buf = r.buf[n:]
	return out, nil
}

// next reads a field; ok is false at the end of the message.
func (r *wireReader) next() (f field, ok bool, err error) {
	if len(r.buf) == 0 {
		return f, false, nil
	}
	key, err := r.varint()
	if err != nil {
		return f, false, err
	}
	if key>>3 == 0 || key>>3 > 1<<29-1 {
		return f, false, bad("field number %d does not exist", key>>3)
	}
	f.tag, f.wire = int(key>>3), int(key&7)
	switch f.wire {
	case wireVarint:
		f.num, err = r.varint()
	case wireFixed64:
		if f.data, err = r.take(8); err == nil {
			f.num = binary.LittleEndian.Uint64(f.data)
		}
	case wireFixed32:
		if f.data, err = r.take(4); err == nil {
			f.num = uint64(binary.LittleEndian.Uint32(f.data))
		}
	case wireBytes:
		var n uint64
		if n, err = r.varint(); err == nil {
			f.data, err = r.take(n)
		}
	default:
		err = bad("field %d has wire type %d, which ONNX does not use", f.tag, f.wire)
	}
	return f, err == nil, err
}

// each calls visit for every field of a message. A visit that opens another message passes depth-1.
func each(buf []byte, depth int, visit func(f field) error) error {
	if depth <= 0 {
		return bad("messages are nested more than %d deep", maxDepth)
	}
	r := wireReader{buf, depth}
	for {
		f, ok, err := r.next()
		if err != nil || !ok {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
	}
}

// message returns the bytes of a nested message or string.
func (f field) bytes() ([]byte, error) {
	if f.wire != wireBytes {
		return nil, bad("field %d holds a number where bytes are expected", f.tag)
	}
	return f.data, nil
}

// text returns a string field.
func (f field) text() (string, error) {
	b, err := f.bytes()
	return string(b), err
}

// integer returns a varint field as int64.
func (f field) integer() (int64, error) {
	if f.wire != wireVarint {
		return 0, bad("field %d has wire type %d where an integer is expected", f.tag, f.wire)
	}
	return int64(f.num), nil
}

// float returns a float field.
func (f field) float() (float32, error) {
	if f.wire != wireFixed32 {
		return 0, bad("field %d has wire type %d where a float is expected", f.tag, f.wire)
	}
	return math.Float32frombits(uint32(f.num)), nil
}

// integers appends a repeated integer field, packed or not, to list: at most one element for each
// byte of the file.
func (f field) integers(list []int64) ([]int64, error) {
	if f.wire == wireVarint {
		return append(list, int64(f.num)), nil
	}
	b, err := f.bytes()
	if err != nil {
		return nil, err
	}
	r := wireReader{buf: b}
	for len(r.buf) > 0 {
		v, err := r.varint()
		if err != nil {
			return nil, err
		}
		list = append(list, int64(v))
	}
	return list, nil
}

// floats appends a repeated float field of the given width in bytes, packed or not, to list.
func (f field) floats(list []float64, width int) ([]float64, error) {
	fixed := map[int]int{4: wireFixed32, 8: wireFixed64}[width]
	b := f.data
	if f.wire != fixed && f.wire != wireBytes || len(b)%width != 0 {
		return nil, bad("field %d is not a list of %d-byte numbers", f.tag, width)
	}
	for ; len(b) > 0; b = b[width:] {
		if width == 4 {
			list = append(list, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
		} else {
			list = append(list, math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
	}
	return list, nil
}
