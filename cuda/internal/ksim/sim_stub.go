//go:build !(linux && amd64 && cgo)

package ksim

import (
	"fmt"

	"afterimage/cuda/kernels"
)

var errHere = fmt.Errorf("ksim: Open: %w", ErrUnavailable)

// A Sim cannot be opened on this platform.
type Sim struct{}

// Open says why there is no emulator here.
func Open([]Unit) (*Sim, error) { return nil, errHere }

// Launch returns the reason that Open gave.
func (*Sim) Launch(kernels.Launch, uint64) error { return errHere }

// Alloc returns the reason that Open gave.
func (*Sim) Alloc(int) (uint64, []byte, error) { return 0, nil, errHere }

// Free does nothing.
func (*Sim) Free([]byte) {}

// ArgsSize returns 0.
func (*Sim) ArgsSize(string) int { return 0 }

// Names returns nothing.
func (*Sim) Names() []string { return nil }
