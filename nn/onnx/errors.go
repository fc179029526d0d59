package onnx

import (
	"errors"
	"fmt"
	"strings"

	"afterimage/tensor"
)

// An Error says what is wrong with an ONNX file, or what of it cannot run here, and what to do.
type Error struct {
	File   string // path, or the name given to Decode
	Node   string // the node concerned, empty when it is the whole file
	Op     string // the node's operator
	Reason string // what is wrong: expected and got
	Next   string // what the reader of the message can do
	// Option is the field of ClassifierOptions that Next speaks of, "InputSize", if it does of one:
	// for callers whose users set it under another name.
	Option string
	// Unsupported says that the content is well formed but outside this package.
	Unsupported bool
	Err         error // cause, when there is one
}

// damaged is the next step for files that contradict themselves.
const damaged = "the file is damaged or was written by a faulty exporter: export or copy it again"

// Error returns `onnx: FILE: node "N" (Op): reason; next step`.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("onnx")
	if e.File != "" {
		b.WriteString(": " + e.File)
	}
	switch {
	case e.Node != "":
		fmt.Fprintf(&b, ": node %s (%s)", quote(e.Node), e.Op)
	case e.Op != "":
		b.WriteString(": " + e.Op)
	}
	b.WriteString(": " + e.Reason)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Next != "" {
		b.WriteString("; " + e.Next)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// IsUnsupported reports whether err says that something well formed is outside this package.
func IsUnsupported(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Unsupported
}

// bad returns an Error with the usual next step. File and node are filled in further up.
func bad(format string, args ...any) *Error {
	return &Error{Reason: fmt.Sprintf(format, args...), Next: damaged}
}

// unsupported returns an Error for content outside this package.
func unsupported(next, format string, args ...any) *Error {
	return &Error{Reason: fmt.Sprintf(format, args...), Next: next, Unsupported: true}
}

// quote quotes s for a message and cuts what a hostile file made too long to read.
func quote(s string) string {
	const longest = 120
	if len(s) > longest {
		s = s[:longest] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// catch runs f and turns a panic with *Error or *tensor.Error into an error; any other goes on.
func catch(f func()) (err *Error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *Error:
			err = e
		case *tensor.Error:
			err = &Error{Reason: "the operands do not fit", Err: e}
		default:
			panic(e)
		}
	}()
	f()
	return nil
}

// at fills in where an error happened, keeping what was already said.
func (e *Error) at(file, node, op string) *Error {
	if e.File == "" {
		e.File = file
	}
	if e.Node == "" {
		e.Node, e.Op = node, op
	}
	return e
}
