package tensor

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Shape holds the extents of a tensor, outermost axis first. The empty shape is a scalar.
// Shapes are values: no function of this package changes the shape it is given.
type Shape []int

// String returns "[16 32 32 3]"; a scalar is "[]".
func (s Shape) String() string {
	return "[" + strings.Trim(fmt.Sprint([]int(s)), "[]") + "]"
}

// Size returns the number of elements, 1 for a scalar.
func (s Shape) Size() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// CheckedSize is Size for extents that nobody has looked at yet. ok is false where one is negative,
// and where the product of those that are not 0 exceeds an int: Size would return what is left of
// it modulo 2⁶⁴, which may be any number.
func (s Shape) CheckedSize() (n int, ok bool) {
	product, empty := 1, false
	for _, d := range s {
		switch {
		case d == 0:
			empty = true
		case d < 0 || product > math.MaxInt/d:
			return 0, false
		default:
			product *= d
		}
	}
	if empty {
		return 0, true
	}
	return product, true
}

// Equal reports whether both shapes have the same extents.
func (s Shape) Equal(t Shape) bool { return slices.Equal(s, t) }

// Clone returns a copy that shares nothing with s.
func (s Shape) Clone() Shape { return slices.Clone(s) }

// Strides returns the element strides of the contiguous row-major layout.
func (s Shape) Strides() []int {
	st := make([]int, len(s))
	n := 1
	for i := len(s) - 1; i >= 0; i-- {
		st[i] = n
		n *= s[i]
	}
	return st
}

// Broadcast returns the shape two operands have together under NumPy's rule: shapes are aligned
// at their last axis, and an extent of 1 stretches. ok is false when they do not fit.
func Broadcast(a, b Shape) (out Shape, ok bool) {
	if len(a) < len(b) {
		a, b = b, a
	}
	out = a.Clone()
	off := len(a) - len(b)
	for i, d := range b {
		switch e := out[off+i]; {
		case e == d || d == 1:
		case e == 1:
			out[off+i] = d
		default:
			return nil, false
		}
	}
	return out, true
}

// Reduced returns s with every axis in axes set to 1.
func (s Shape) Reduced(axes []int) Shape {
	r := s.Clone()
	for _, a := range axes {
		r[a] = 1
	}
	return r
}
