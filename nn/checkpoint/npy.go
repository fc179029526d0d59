package checkpoint

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"

	"afterimage/tensor"
)

// npyMagic starts every .npy file. Source for the format: NumPy's numpy/lib/format.py.
const npyMagic = "\x93NUMPY"

// ReadNPY reads a .npy file from memory: versions 1 to 3, C and Fortran order, little and big
// endian, booleans, integers and floats. The one array is called Single. Fortran order becomes
// row-major; i8, i16 and u16 widen to I32, u32 to I64, u64 to I64 when every value fits and an
// error otherwise. Object, structured, complex and string arrays are errors. The Array may share
// memory with data.
func ReadNPY(data []byte) (*File, error) {
	f := NewFile()
	f.Format = "npy"
	a, err := parseNPY(data, Single, newBudget(len(data)))
	if err != nil {
		return nil, inFile(err, "npy", "")
	}
	f.Set(Single, a)
	return f, nil
}

// ReadNPZ reads a .npz file, a zip of .npy files, stored or deflated, from memory. Names are the
// members' without ".npy", in the archive's order.
func ReadNPZ(data []byte) (*File, error) {
	a, err := openArchive(data)
	if err != nil {
		return nil, inFile(err, "npz", "")
	}
	f, err := readNPZ(a)
	return f, inFile(err, "npz", "")
}

func readNPZ(a *archive) (*File, error) {
	f := NewFile()
	f.Format = "npz"
	for _, m := range a.members {
		name, ok := strings.CutSuffix(m.Name, ".npy")
		if !ok {
			return nil, unsupported(m.Name, "expected only .npy members, as numpy.savez writes",
				"a member that is no .npy file")
		}
		data, err := a.bytes(m)
		if err != nil {
			return nil, err
		}
		array, err := parseNPY(data, name, a.budget)
		if err != nil {
			return nil, err
		}
		f.Set(name, array)
	}
	return f, nil
}

func parseNPY(data []byte, key string, b *budget) (Array, error) {
	if len(data) < 10 || string(data[:6]) != npyMagic {
		return Array{}, bad(key, "does not start with NumPy's magic %q", npyMagic)
	}
	size, at := int(binary.LittleEndian.Uint16(data[8:])), 10
	if major := data[6]; major == 2 || major == 3 {
		if len(data) < 12 {
			return Array{}, bad(key, "ends within its header")
		}
		size, at = int(binary.LittleEndian.Uint32(data[8:])), 12
	} else if major != 1 {
		return Array{}, unsupported(key, "save it again with numpy.save", "npy version %d: "+
			"expected 1, 2 or 3", major)
	}
	if size < 0 || size > len(data)-at {
		return Array{}, bad(key, "a header of %d bytes where %d are left", size, len(data)-at)
	}
	h, err := parseNPYHeader(string(data[at : at+size]))
	if err != nil {
		return Array{}, &FormatError{Key: key, Reason: "header", Next: damaged, Err: err}
	}
	elem, big, ok := numpyElement(h.descr)
	if !ok {
		return Array{}, unsupported(key, "in Python, save array.astype('float32')",
			"element type %s: expected f2 f4 f8, i1 to i8, u1 to u8 or b1", quote(h.descr))
	}
	data = data[at+size:]
	if n, ok := byteSize(h.shape, elem.size); !ok || n != len(data) {
		return Array{}, bad(key, "%v of %s: expected %d bytes, got %d", h.shape, elem.name, n,
			len(data))
	}
	if big {
		if err := b.take(len(data), key); err != nil {
			return Array{}, err
		}
		data = elem.swap(data)
	}
	stride := rowMajor(h.shape)
	if h.fortran {
		stride = columnMajor(h.shape)
	}
	return view{elem: elem, data: data, shape: h.shape, stride: stride}.array(key, b)
}

// numpyElement parses a type such as "<f4", "|u1", ">i8" or, as pickles have it, "f8".
func numpyElement(descr string) (e element, big, ok bool) {
	kind := strings.TrimLeft(descr, "<>|=")
	if len(descr)-len(kind) > 1 {
		return element{}, false, false
	}
	names := [...][2]string{
		{"f8", "f64"}, {"f4", "f32"}, {"f2", "f16"}, {"i8", "i64"}, {"i4", "i32"}, {"i2", "i16"},
		{"i1", "i8"}, {"u8", "u64"}, {"u4", "u32"}, {"u2", "u16"}, {"u1", "u8"}, {"b1", "bool"},
	}
	for _, n := range names {
		if n[0] == kind {
			e, ok = elementNamed(n[1])
			return e, strings.HasPrefix(descr, ">"), ok
		}
	}
	return element{}, false, false
}

// WriteNPY writes a as a .npy file of version 1.0 in C order. BF16 has no NumPy type and is an
// error, as is an Array that fails Check.
func WriteNPY(w io.Writer, a Array) error {
	if err := a.Check(); err != nil {
		return err
	}
	descr, ok := numpyDescr(a.DType)
	if !ok {
		return fmt.Errorf("checkpoint: WriteNPY: NumPy has no %v: expected f64 f32 f16 i64 i32 u8 or "+
			"bool; convert it to f32 first", a.DType)
	}
	var shape strings.Builder
	for _, d := range a.Shape {
		fmt.Fprintf(&shape, "%d, ", d)
	}
	tuple := strings.TrimSuffix(shape.String(), " ") // "(3,)" is Python's tuple of one
	if len(a.Shape) > 1 {
		tuple = strings.TrimSuffix(tuple, ",")
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, tuple)
	const align = 64 // the data starts at a multiple of it
	pad := align - (10+len(header)+1)%align
	header += strings.Repeat(" ", pad%align) + "\n"
	out := append([]byte(npyMagic), 1, 0)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(header)))
	if _, err := w.Write(slices.Concat(out, []byte(header))); err != nil {
		return fmt.Errorf("checkpoint: WriteNPY: %w", err)
	}
	if _, err := w.Write(a.Data); err != nil {
		return fmt.Errorf("checkpoint: WriteNPY: %w", err)
	}
	return nil
}

func numpyDescr(d tensor.DType) (string, bool) {
	switch d {
	case tensor.F64:
		return "<f8", true
	case tensor.F32:
		return "<f4", true
	case tensor.F16:
		return "<f2", true
	case tensor.I64:
		return "<i8", true
	case tensor.I32:
		return "<i4", true
	case tensor.U8:
		return "|u1", true
	case tensor.Bool:
		return "|b1", true
	}
	return "", false
}
