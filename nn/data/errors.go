package data

import (
	"fmt"
	"strings"

	"afterimage/tensor"
)

// misuse panics with a *tensor.Error of the operation data.op.
func misuse(op, format string, args ...any) {
	panic(&tensor.Error{Op: "data." + op, Reason: fmt.Sprintf(format, args...)})
}

// A FileError says that a file, or its absence, is not what a dataset needs: bad input, in
// contrast to a full disk or a broken network.
type FileError struct {
	Op      string // "Open cifar-10"
	File    string // the file or folder
	Problem string // what is wrong: "wrong size"
	Want    string // what was expected, may be empty
	Got     string // what was found, may be empty
	Next    string // what to do about it
	Err     error  // the cause, may be nil
}

// Error returns "data: Op: File: Problem: expected Want, got Got: cause: Next".
func (e *FileError) Error() string {
	parts := []string{"data: " + e.Op, e.File, e.Problem}
	switch {
	case e.Want != "" && e.Got != "":
		parts = append(parts, "expected "+e.Want+", got "+e.Got)
	case e.Want != "":
		parts = append(parts, "expected "+e.Want)
	case e.Got != "":
		parts = append(parts, "got "+e.Got)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if e.Next != "" {
		parts = append(parts, e.Next)
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }
