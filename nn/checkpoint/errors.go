package checkpoint

import (
	"fmt"
	"strings"
)

// A FormatError says what is wrong with the content of a file and what to do about it.
type FormatError struct {
	Format string // "safetensors", "torch", "npy", "npz"; empty when the format was not recognised
	File   string // path, or the name given to Decode
	Key    string // the array, archive member or field concerned; empty when it is the whole file
	Reason string // what is wrong: expected and got
	Next   string // what the reader of the message can do
	Err    error  // cause, when there is one
}

// damaged is the next step for files that contradict themselves.
const damaged = "the file is damaged or cut short: download or copy it again"

// Error returns `checkpoint: read FILE (FORMAT): key "K": reason; next step`.
func (e *FormatError) Error() string {
	var b strings.Builder
	b.WriteString("checkpoint: read")
	if e.File != "" {
		b.WriteString(" " + e.File)
	}
	if e.Format != "" {
		fmt.Fprintf(&b, " (%s)", e.Format)
	}
	if e.Key != "" {
		fmt.Fprintf(&b, ": key %s", quote(e.Key))
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
func (e *FormatError) Unwrap() error { return e.Err }

// bad returns a FormatError with the usual next step. Format and File are filled in by the reader.
func bad(key, format string, args ...any) *FormatError {
	return &FormatError{Key: key, Reason: fmt.Sprintf(format, args...), Next: damaged}
}

// unsupported returns a FormatError for content that is well formed but outside this package.
func unsupported(key, next, format string, args ...any) *FormatError {
	return &FormatError{Key: key, Reason: fmt.Sprintf(format, args...), Next: next}
}

// quote quotes s for a message and cuts what a hostile file made too long to read.
func quote(s string) string {
	const longest = 120
	if len(s) > longest {
		s = s[:longest] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// inFile fills in where an error happened, keeping what a deeper reader already said.
func inFile(err error, format, file string) error {
	e, ok := err.(*FormatError)
	if !ok {
		return err
	}
	if e.Format == "" {
		e.Format = format
	}
	if e.File == "" {
		e.File = file
	}
	return e
}
