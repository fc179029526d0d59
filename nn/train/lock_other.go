//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package train

import "io"

// lock does nothing: these systems have no flock, and nothing here keeps two processes from writing
// to one run.
func lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }
