package tensor

import (
	"fmt"
	"math"
	"unsafe"
)

// A Tensor is a dense, contiguous, row-major array on one backend. It is immutable once the
// operation that made it has returned; the only writers in place are Assign, SetFloats and
// CopyFromHost, the optimizers and the running-average updates, which own the tensors they write.
//
// A Tensor lives until its Scope closes or Free is called, whichever is first. Reading a freed
// tensor panics.
type Tensor struct {
	shape   Shape
	dtype   DType
	store   *storage // shared by reshaped views
	backend Backend
}

// storage counts the tensors that share one buffer.
type storage struct {
	buf    Buffer
	refs   int
	shadow *Tensor // see KeepShadow; nil: none
}

// Shape returns the extents. Callers must not change the slice.
func (t *Tensor) Shape() Shape { return t.shape }

// Dim returns extent i; a negative i counts from the end.
func (t *Tensor) Dim(i int) int {
	if i < 0 {
		i += len(t.shape)
	}
	return t.shape[i]
}

// Rank returns the number of axes.
func (t *Tensor) Rank() int { return len(t.shape) }

// Size returns the number of elements.
func (t *Tensor) Size() int { return t.shape.Size() }

// DType returns the element type.
func (t *Tensor) DType() DType { return t.dtype }

// Bytes returns the bytes the elements take.
func (t *Tensor) Bytes() int { return t.Size() * t.dtype.Size() }

// Backend returns the backend that holds the elements.
func (t *Tensor) Backend() Backend { return t.backend }

// Freed reports whether the elements have been given back.
func (t *Tensor) Freed() bool { return t.store == nil }

// Exclusive reports whether no other live tensor shares t's elements.
func (t *Tensor) Exclusive() bool { return t.store != nil && t.store.refs == 1 }

// Buffer returns the backend's handle of the elements. Panics if t was freed.
func (t *Tensor) Buffer() Buffer {
	if t.store == nil {
		panic(&Error{Op: "Tensor", Operands: []Operand{Describe("t", t)},
			Reason: "used after it was freed"})
	}
	return t.store.buf
}

// Free gives the elements back at once instead of at the end of the scope. Freeing twice is
// harmless. Elements shared with a reshaped tensor stay until the last of them is freed.
func (t *Tensor) Free() {
	if t.store == nil {
		return
	}
	if t.store.refs--; t.store.refs == 0 {
		t.backend.Free(t.store.buf)
		if t.store.shadow != nil {
			t.store.shadow.Free()
		}
	}
	t.store = nil
}

// String describes the tensor without its elements: "f32 [2 3]".
func (t *Tensor) String() string { return fmt.Sprintf("%v %v", t.dtype, t.shape) }

// Assign copies the elements of x, which must have t's shape and dtype, into t in place.
func (t *Tensor) Assign(x *Tensor) {
	if !t.shape.Equal(x.shape) || t.dtype != x.dtype {
		panic(&Error{Op: "Assign", Operands: []Operand{Describe("t", t), Describe("x", x)},
			Reason: "shape or dtype differ"})
	}
	t.backend.Cast(t, x)
	t.written()
}

// SetFloats writes host values, converted to t's dtype, into t in place.
func (t *Tensor) SetFloats(v []float64) {
	if len(v) != t.Size() {
		panic(&Error{Op: "SetFloats", Operands: []Operand{Describe("t", t)},
			Reason: fmt.Sprintf("got %d values", len(v))})
	}
	switch t.dtype {
	case F32:
		upload(t, convert[float32](v))
	case F64:
		upload(t, v)
	case I32:
		upload(t, convert[int32](v))
	case U8:
		upload(t, convert[uint8](v))
	case BF16:
		t.backend.Upload(t.Buffer(), bf16Bytes(v))
	default:
		panic(&Error{Op: "SetFloats", Operands: []Operand{Describe("t", t)},
			Reason: "dtype not supported"})
	}
	t.written()
}

// Floats returns a host copy of the elements as float64, whatever the dtype.
func (t *Tensor) Floats() []float64 {
	switch t.dtype {
	case F32:
		return convert[float64](ToHost[float32](t))
	case F64:
		return ToHost[float64](t)
	case I32:
		return convert[float64](ToHost[int32](t))
	case U8:
		return convert[float64](ToHost[uint8](t))
	case BF16:
		return fromBF16(t)
	}
	panic(&Error{Op: "Floats", Operands: []Operand{Describe("t", t)},
		Reason: "dtype not supported"})
}

// Item returns the single element of t as float64. Panics if t has more than one.
func (t *Tensor) Item() float64 {
	if t.Size() != 1 {
		panic(&Error{Op: "Item", Operands: []Operand{Describe("t", t)},
			Reason: "expected one element"})
	}
	return t.Floats()[0]
}

func convert[D, S Elem](src []S) []D {
	dst := make([]D, len(src))
	for i, v := range src {
		dst[i] = D(v)
	}
	return dst
}

// ToHost returns a copy of t's elements; T must match the dtype. It waits for the device.
func ToHost[T Elem](t *Tensor) []T {
	out := make([]T, t.Size())
	CopyToHost(out, t)
	return out
}

// CopyToHost copies t's elements into dst, which must have t's size and type.
func CopyToHost[T Elem](dst []T, t *Tensor) {
	if DTypeOf[T]() != t.dtype || len(dst) != t.Size() {
		panic(&Error{Op: "CopyToHost", Operands: []Operand{Describe("t", t)},
			Reason: fmt.Sprintf("destination holds %d × %v", len(dst), DTypeOf[T]())})
	}
	t.backend.Download(asBytes(dst), t.Buffer())
}

// CopyFromHost writes src, which must have t's size and type, into t in place.
func CopyFromHost[T Elem](t *Tensor, src []T) {
	if DTypeOf[T]() != t.dtype || len(src) != t.Size() {
		panic(&Error{Op: "CopyFromHost", Operands: []Operand{Describe("t", t)},
			Reason: fmt.Sprintf("source holds %d × %v", len(src), DTypeOf[T]())})
	}
	upload(t, src)
	t.written()
}

func upload[T Elem](t *Tensor, src []T) { t.backend.Upload(t.Buffer(), asBytes(src)) }

func asBytes[T Elem | uint16](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(s[0])))
}

// A HostBuffer is a Buffer whose elements the CPU can address. Backends in host memory return
// one from Alloc; kernels reach the elements through Host.
type HostBuffer interface {
	Buffer
	HostBytes() []byte // 64-byte aligned, exactly as long as was asked for
}

// Host returns t's elements as a slice that shares memory with t, for kernels of backends in
// host memory. The slice outlives neither the freeing of t nor, since the memory need not be Go's,
// the last reference to t: hold on to t (runtime.KeepAlive) as long as it is used. Panics if t is
// on a device or T is not its element type.
func Host[T Elem](t *Tensor) []T {
	b, ok := t.Buffer().(HostBuffer)
	if !ok || DTypeOf[T]() != t.dtype {
		panic(&Error{Op: "Host", Operands: []Operand{Describe("t", t)},
			Reason: "not host elements of this type"})
	}
	n := t.Size()
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b.HostBytes()[0])), n)
}

// FirstNonFinite returns the flat index of the first NaN or infinity in t, or −1; integers have
// none. It waits for the device. Panics as Floats does for types that are not computed with.
func (t *Tensor) FirstNonFinite() int {
	if !t.dtype.IsFloat() {
		return -1
	}
	for i, v := range t.Floats() {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return i
		}
	}
	return -1
}
