package tensor

import (
	"fmt"
	"strings"
)

// An Error is a caller's mistake in building an operation: operands whose shapes, dtypes or
// attributes do not fit. Operations panic with *Error; a public boundary turns exactly this type
// into an error with Try. Files, devices and memory never panic: they return errors.
type Error struct {
	Op       string    // the operation, "Conv2D"
	Operands []Operand // what it was given
	Reason   string    // what is wrong: expected and got
	Err      error     // what the backend said where an allocation failed, nil elsewhere
}

// Unwrap returns what the backend said.
func (e *Error) Unwrap() error { return e.Err }

// An Operand describes one argument in an Error.
type Operand struct {
	Name  string // the argument's name in the doc comment: "x", "w"
	Shape Shape
	DType DType
}

// Error returns "Op: reason: x [16 64 64 3] f32, w [64 3 3 4] f32".
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Op, e.Reason)
	for i, o := range e.Operands {
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%s%s %v %v", sep, o.Name, o.Shape, o.DType)
	}
	return b.String()
}

// Describe returns the Operand that stands for t in an error, under the given name.
func Describe(name string, t *Tensor) Operand {
	if t == nil {
		return Operand{Name: name + " (nil)"}
	}
	return Operand{name, t.shape, t.dtype}
}

// Try runs f and turns a panic with *Error into its error result. Any other panic goes on.
// It belongs at the boundary of a program or a request, not around single operations.
func Try(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			err = e
		}
	}()
	f()
	return nil
}
