package tensor

import "fmt"

// DType names the element type of a tensor.
//
// F32, F64, BF16, I32 and U8 take part in computation: what each kernel takes, Backend says. I64,
// F16 and Bool exist only at file boundaries, where they are converted on the way in and out.
type DType uint8

// The element types. The zero value is invalid on purpose: an unset dtype is a bug.
const (
	Invalid DType = iota
	F32           // IEEE binary32
	F64           // IEEE binary64
	BF16          // bfloat16: the upper half of an F32
	I32           // two's complement, 32 bits
	U8            // 0..255
	I64           // file boundary only
	F16           // IEEE binary16, file boundary only
	Bool          // one byte, 0 or 1, file boundary only
)

var dtypes = [...]struct {
	name string
	size int
}{{"invalid", 0}, {"f32", 4}, {"f64", 8}, {"bf16", 2}, {"i32", 4}, {"u8", 1}, {"i64", 8},
	{"f16", 2}, {"bool", 1}}

// String returns the lower-case name: "f32", "bf16", ….
func (d DType) String() string {
	if int(d) < len(dtypes) {
		return dtypes[d].name
	}
	return fmt.Sprintf("dtype(%d)", uint8(d))
}

// Size returns the bytes one element takes; 0 for Invalid.
func (d DType) Size() int {
	if int(d) < len(dtypes) {
		return dtypes[d].size
	}
	return 0
}

// IsFloat reports whether d is one of the floating-point types.
func (d DType) IsFloat() bool { return d == F32 || d == F64 || d == BF16 || d == F16 }

// Elem is the set of Go types that hold tensor elements on the host.
type Elem interface {
	float32 | float64 | int32 | uint8
}

// Float is the set of Go types in which arithmetic runs on the host.
type Float interface{ float32 | float64 }

// DTypeOf returns the DType whose elements are stored as T.
func DTypeOf[T Elem]() DType {
	var z T
	switch any(z).(type) {
	case float32:
		return F32
	case float64:
		return F64
	case int32:
		return I32
	default:
		return U8
	}
}
