package kernels_test

import (
	"errors"
	"sync"
	"testing"

	"afterimage/cuda/internal/ksim"
	"afterimage/tensor"
	"afterimage/tensor/backendtest"
)

// openSim builds and opens the emulator once for all tests of this package; a test without one
// skips with the reason.
var openSim = sync.OnceValues(func() (*ksim.Sim, error) { return ksim.Open(ksim.Kernels()) })

func sim(t testing.TB) *ksim.Sim {
	t.Helper()
	s, err := openSim()
	if errors.Is(err, ksim.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestConformance runs the suite that every backend has to pass on the emulated kernels. "Threads"
// are seeds here: other orders of blocks and threads and another poison, the same bits.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("short: the whole contract under the emulator takes eleven seconds")
	}
	s := sim(t)
	open := func(threads int) tensor.Backend { return ksim.NewBackend(s, uint64(threads)*1000) }
	backendtest.Run(t, backendtest.Options{Open: open,
		PaddingMultiplied: "an implicit matrix product"})
}
