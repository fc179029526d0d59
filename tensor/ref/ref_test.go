package ref_test

import (
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/backendtest"
	"afterimage/tensor/ref"
)

// TestConformance holds ref in F32 and F64 to itself in F64, and tests the suite's own machinery.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("short: the same loops are what package tensor/cpu is held to")
	}
	backendtest.Run(t,
		backendtest.Options{Open: func(int) tensor.Backend { return ref.New(ref.WithPoison()) }})
}
