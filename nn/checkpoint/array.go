package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"afterimage/tensor"
)

// An Array is a tensor on the host: little-endian, row-major, contiguous bytes.
//
// len(Data) = (product of Shape) · DType.Size(); a scalar has an empty Shape. Arrays that came from
// one file may share memory with each other and with the file's bytes: read Data, do not write to
// it.
type Array struct {
	DType tensor.DType
	Shape []int
	Data  []byte
}

// Len returns the number of elements, the product of Shape; 1 for a scalar.
func (a Array) Len() int {
	n := 1
	for _, d := range a.Shape {
		n *= d
	}
	return n
}

// Check returns an error unless the dtype is valid, no extent is negative, and Data has the length
// that dtype and shape ask for.
func (a Array) Check() error {
	if a.DType.Size() == 0 {
		return fmt.Errorf("checkpoint: Array: dtype is %v: expected one of f64 f32 f16 bf16 i64 i32 "+
			"u8 bool; set DType", a.DType)
	}
	n, ok := byteSize(a.Shape, a.DType.Size())
	if !ok || n != len(a.Data) {
		return fmt.Errorf("checkpoint: Array: %v %v needs %d bytes, got %d; make Shape and Data agree",
			a.DType, a.Shape, n, len(a.Data))
	}
	return nil
}

// byteSize returns product(shape)·size; ok is false for a negative extent or an overflow.
func byteSize(shape []int, size int) (n int, ok bool) {
	n = size
	overflow := false
	for _, d := range shape {
		if d < 0 {
			return 0, false
		}
		if d == 0 {
			return 0, !slices.ContainsFunc(shape, func(d int) bool { return d < 0 })
		}
		if n > math.MaxInt/d {
			overflow, n = true, 1 // a later zero still makes the array empty
			continue
		}
		n *= d
	}
	return n, !overflow
}

// FromFloat32s returns an F32 Array holding data in the given shape (nil or empty: a scalar). The
// bytes are copied. It panics with *tensor.Error when the shape does not hold len(data) elements.
func FromFloat32s(shape []int, data []float32) Array {
	b := make([]byte, 0, 4*len(data))
	for _, v := range data {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return newArray("FromFloat32s", tensor.F32, shape, b)
}

// FromFloat64s is FromFloat32s for F64.
func FromFloat64s(shape []int, data []float64) Array {
	b := make([]byte, 0, 8*len(data))
	for _, v := range data {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return newArray("FromFloat64s", tensor.F64, shape, b)
}

// FromInt32s is FromFloat32s for I32.
func FromInt32s(shape []int, data []int32) Array {
	b := make([]byte, 0, 4*len(data))
	for _, v := range data {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return newArray("FromInt32s", tensor.I32, shape, b)
}

// FromInt64s is FromFloat32s for I64.
func FromInt64s(shape []int, data []int64) Array {
	b := make([]byte, 0, 8*len(data))
	for _, v := range data {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return newArray("FromInt64s", tensor.I64, shape, b)
}

// FromUint8s is FromFloat32s for U8.
func FromUint8s(shape []int, data []uint8) Array {
	return newArray("FromUint8s", tensor.U8, shape, slices.Clone(data))
}

// FromBools is FromFloat32s for Bool: one byte an element, 0 or 1.
func FromBools(shape []int, data []bool) Array {
	b := make([]byte, len(data))
	for i, v := range data {
		if v {
			b[i] = 1
		}
	}
	return newArray("FromBools", tensor.Bool, shape, b)
}

// newArray checks the shape against the bytes; op names the constructor in the panic.
func newArray(op string, d tensor.DType, shape []int, data []byte) Array {
	if n, ok := byteSize(shape, d.Size()); !ok || n != len(data) {
		panic(&tensor.Error{
			Op: "checkpoint." + op,
			Reason: fmt.Sprintf("shape %v does not hold %d elements of %v",
				shape, len(data)/d.Size(), d),
		})
	}
	return Array{DType: d, Shape: slices.Clone(shape), Data: data}
}

// Transpose returns a copy with axes permuted: axis i of the result is axis perm[i] of a, as
// NumPy's transpose. Example: a PyTorch convolution weight OIHW becomes OHWI with Transpose(0, 2,
// 3, 1). It panics with *tensor.Error unless perm is a permutation of 0 … len(Shape)-1.
func (a Array) Transpose(perm ...int) Array {
	sorted := slices.Sorted(slices.Values(perm))
	valid := len(perm) == len(a.Shape)
	for i, p := range sorted {
		valid = valid && p == i
	}
	if !valid {
		panic(&tensor.Error{Op: "checkpoint.Transpose",
			Reason: fmt.Sprintf("expected a permutation of the axes of %v, got %v", a.Shape, perm)})
	}
	from := rowMajor(a.Shape)
	shape, stride := make([]int, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		shape[i], stride[i] = a.Shape[p], from[p]
	}
	return Array{DType: a.DType, Shape: shape, Data: gather(a.Data, a.DType.Size(), shape, stride)}
}

// rowMajor returns the element strides of a contiguous row-major array.
func rowMajor(shape []int) []int {
	stride := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		stride[i] = n
		n *= max(shape[i], 1)
	}
	return stride
}

// columnMajor returns the element strides of a contiguous Fortran-order array.
func columnMajor(shape []int) []int {
	stride := make([]int, len(shape))
	n := 1
	for i, d := range shape {
		stride[i] = n
		n *= max(d, 1)
	}
	return stride
}

// isRowMajor reports whether stride describes a contiguous row-major array; the stride of an extent
// of 1 is never used and may be anything.
func isRowMajor(shape, stride []int) bool {
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		if shape[i] != 1 && stride[i] != n {
			return false
		}
		n *= shape[i]
	}
	return true
}

// gather copies a strided view of src, with strides in elements of size bytes, to contiguous
// row-major order. The caller has checked that the view lies in src and that the copy may be made.
func gather(src []byte, size int, shape, stride []int) []byte {
	n, _ := byteSize(shape, size)
	dst := make([]byte, 0, n)
	if n == 0 {
		return dst
	}
	if len(shape) == 0 {
		return append(dst, src[:size]...)
	}
	last := len(shape) - 1
	index := make([]int, last) // the odometer over all axes but the last
	for offset := 0; ; {
		if stride[last] == 1 {
			dst = append(dst, src[offset*size:(offset+shape[last])*size]...)
		} else {
			for i := range shape[last] {
				at := (offset + i*stride[last]) * size
				dst = append(dst, src[at:at+size]...)
			}
		}
		axis := last - 1
		for ; axis >= 0; axis-- {
			index[axis]++
			offset += stride[axis]
			if index[axis] < shape[axis] {
				break
			}
			offset -= index[axis] * stride[axis]
			index[axis] = 0
		}
		if axis < 0 {
			return dst
		}
	}
}
