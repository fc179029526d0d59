package cpu

import (
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/backendtest"
)

// TestConformance holds the backend to tensor/ref, with one thread, several, and more than cores.
func TestConformance(t *testing.T) {
	backendtest.Run(t, backendtest.Options{Open: func(threads int) tensor.Backend {
		b := Open(threads)
		t.Cleanup(b.Close)
		return b
	}})
}
