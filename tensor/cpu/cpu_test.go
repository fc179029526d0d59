package cpu

import (
	"runtime"
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

// TestClosedBackendsStayReadable: the memory of a closed backend is there as long as a tensor, and
// goes afterwards, however many backends there have been.
func TestClosedBackendsStayReadable(t *testing.T) {
	const n = 1 << 20
	var kept []*tensor.Tensor
	for i := range 40 {
		b := Open(1 + i%2)
		kept = append(kept, tensor.NewScope(b).Full(tensor.F32, float64(i), n))
		b.Close()
		runtime.GC()
	}
	for i, x := range kept {
		if v := x.Floats(); v[0] != float64(i) || v[n-1] != float64(i) {
			t.Fatalf("tensor %d reads %g and %g", i, v[0], v[n-1])
		}
	}
}
