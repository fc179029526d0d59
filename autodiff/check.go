package autodiff

import (
	"fmt"
	"strings"

	"afterimage/tensor"
)

// misuse panics with a *tensor.Error that describes vs; names, separated by blanks, are theirs.
func misuse(op, reason, names string, vs ...*Value) {
	e := &tensor.Error{Op: op, Reason: reason}
	for i, name := range strings.Fields(names) {
		e.Operands = append(e.Operands, tensor.Describe(name, vs[i].t))
	}
	panic(e)
}

// floats panics unless all vs have one and the same floating-point type.
func floats(op, names string, vs ...*Value) {
	for _, v := range vs {
		if !v.DType().IsFloat() || v.DType() != vs[0].DType() {
			misuse(op, "operands must share one floating-point dtype", names, vs...)
		}
	}
}

// rank panics unless v has r axes.
func rank(op, name string, v *Value, r int) {
	if v.Rank() != r {
		misuse(op, fmt.Sprintf("expected %d axes, got %d", r, v.Rank()), name, v)
	}
}

// index32 wraps an index tensor and panics unless it is I32 of rank 1.
func index32(g *Graph, op string, idx *tensor.Tensor) *Value {
	v := g.Const(idx)
	if v.DType() != tensor.I32 {
		misuse(op, "indices must be i32", "idx", v)
	}
	rank(op, "idx", v, 1)
	return v
}

// normAxes returns axes counted from the front, all of them if none is given, and panics on an axis
// out of range or named twice.
func normAxes(op string, x *Value, axes []int) []int {
	r := x.Rank()
	if len(axes) == 0 {
		out := make([]int, r)
		for i := range out {
			out[i] = i
		}
		return out
	}
	seen := make([]bool, r)
	for _, a := range axes {
		if a < 0 {
			a += r
		}
		if a < 0 || a >= r || seen[a] {
			misuse(op, fmt.Sprintf("axes %v are not distinct axes of x", axes), "x", x)
		}
		seen[a] = true
	}
	out := make([]int, 0, len(axes))
	for a, s := range seen {
		if s {
			out = append(out, a)
		}
	}
	return out
}
