package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"afterimage/tensor"
)

// An element is a number type as a file stores it, and how it becomes a tensor.DType.
type element struct {
	name  string       // "i16"
	size  int          // bytes in the file
	dtype tensor.DType // what it is read as
}

// elementNamed returns the element called name in this package's spelling. Types without a DType of
// their own widen to the next one that holds them: i8, i16, u16 to I32, u32 to I64; u64 to I64 when
// every value fits.
func elementNamed(name string) (element, bool) {
	all := [...]element{
		{"f64", 8, tensor.F64}, {"f32", 4, tensor.F32}, {"f16", 2, tensor.F16},
		{"bf16", 2, tensor.BF16}, {"i64", 8, tensor.I64}, {"i32", 4, tensor.I32},
		{"u8", 1, tensor.U8}, {"bool", 1, tensor.Bool},
		{"i8", 1, tensor.I32}, {"i16", 2, tensor.I32}, {"u16", 2, tensor.I32},
		{"u32", 4, tensor.I64}, {"u64", 8, tensor.I64},
	}
	for _, e := range all {
		if e.name == name {
			return e, true
		}
	}
	return element{}, false
}

// widen returns little-endian data of this element as e.dtype. Data is returned as it is when no
// conversion is needed. The caller has paid for the copy.
func (e element) widen(data []byte) ([]byte, error) {
	le := binary.LittleEndian
	n := len(data) / e.size
	switch e.name {
	case "i8":
		out := make([]byte, 0, 4*n)
		for _, b := range data {
			out = le.AppendUint32(out, uint32(int32(int8(b))))
		}
		return out, nil
	case "i16", "u16":
		out := make([]byte, 0, 4*n)
		for i := range n {
			v := uint32(le.Uint16(data[2*i:]))
			if e.name == "i16" {
				v = uint32(int32(int16(v)))
			}
			out = le.AppendUint32(out, v)
		}
		return out, nil
	case "u32":
		out := make([]byte, 0, 8*n)
		for i := range n {
			out = le.AppendUint64(out, uint64(le.Uint32(data[4*i:])))
		}
		return out, nil
	case "u64":
		for i := range n {
			if v := le.Uint64(data[8*i:]); v > math.MaxInt64 {
				return nil, fmt.Errorf("u64 element %d is %d, above the largest int64", i, v)
			}
		}
	}
	return data, nil
}

// swap returns a copy of big-endian data of this element in little-endian order.
func (e element) swap(data []byte) []byte {
	out := slices.Clone(data)
	for i := 0; i+e.size <= len(out); i += e.size {
		slices.Reverse(out[i : i+e.size])
	}
	return out
}

// maxExpansion bounds the memory that one file may ask for, as a multiple of its size: strided
// views that overlap, narrow integers and deflated members all grow. 32 is four times the widening
// of int8 and far above what compressed weights reach (below 2).
const maxExpansion = 32

// minBudget lets small files hold compressible members: 1 MiB.
const minBudget = 1 << 20

// A budget is the memory a reader may still take for copies.
type budget struct{ left int }

func newBudget(fileSize int) *budget {
	if fileSize > (math.MaxInt-minBudget)/maxExpansion {
		return &budget{left: math.MaxInt}
	}
	return &budget{left: minBudget + maxExpansion*fileSize}
}

// take accounts for n bytes and fails when the file asks for more than the budget.
func (b *budget) take(n int, key string) error {
	if n > b.left {
		return unsupported(key, "if the file is trusted, save it again without compression and "+
			"with contiguous tensors",
			"needs %d bytes of memory where %d are left to a file of this size (limit %d times "+
				"the file)", n, b.left, maxExpansion)
	}
	b.left -= n
	return nil
}

// A view is a strided view of an element type in bytes that may be shorter than it claims.
type view struct {
	elem   element
	data   []byte // from the view's first element on
	shape  []int
	stride []int // in elements
}

// array checks the view against its bytes and returns it contiguous, sharing memory when it can.
func (v view) array(key string, b *budget) (Array, error) {
	n, ok := byteSize(v.shape, v.elem.size)
	if !ok {
		return Array{}, bad(key, "shape %v overflows or has a negative extent", v.shape)
	}
	if n == 0 {
		return Array{DType: v.elem.dtype, Shape: v.shape, Data: []byte{}}, nil
	}
	need, ok := v.span()
	if !ok || need > len(v.data) {
		return Array{}, bad(key, "shape %v with strides %v of %s needs more than the %d bytes stored",
			v.shape, v.stride, v.elem.name, len(v.data))
	}
	data := v.data[:need:need]
	if !isRowMajor(v.shape, v.stride) || need != n {
		if err := b.take(n, key); err != nil {
			return Array{}, err
		}
		data = gather(data, v.elem.size, v.shape, v.stride)
	}
	if grow := v.elem.dtype.Size(); grow != v.elem.size {
		if err := b.take(n/v.elem.size*grow, key); err != nil {
			return Array{}, err
		}
	}
	data, err := v.elem.widen(data)
	if err != nil {
		return Array{}, unsupported(key, "store the array as int64", "%v", err)
	}
	return Array{DType: v.elem.dtype, Shape: v.shape, Data: data}, nil
}

// span returns how many bytes the view reaches over: (1 + Σ (shape-1)·stride)·size. No extent is 0.
func (v view) span() (int, bool) {
	last := 0
	for i, d := range v.shape {
		if v.stride[i] < 0 || (d > 1 && v.stride[i] > (math.MaxInt/16-last)/(d-1)) {
			return 0, false
		}
		last += (d - 1) * v.stride[i]
	}
	return (last + 1) * v.elem.size, last < math.MaxInt/16
}
