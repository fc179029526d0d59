package tensor

import (
	"errors"
	"fmt"
)

// A Refusal is an error that whoever asked can mend: by another flag, another file, another
// setting. An error that is none, and has none in its chain, is the machine's, the network's or the
// program's own, unless its type says otherwise, as those of errors about files do, and *Error.
type Refusal struct{ err error }

// Refuse is fmt.Errorf for a Refusal. The message says what was expected, what was found and what
// to do. It may wrap errors with %w: a failure of the system stays one.
func Refuse(format string, args ...any) error { return &Refusal{fmt.Errorf(format, args...)} }

// IsRefusal reports whether err is a Refusal or wraps one.
func IsRefusal(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}

// Error returns the message.
func (r *Refusal) Error() string { return r.err.Error() }

// Unwrap returns the error without the mark, through which what it wraps is seen.
func (r *Refusal) Unwrap() error { return r.err }
