package backendtest_test

import (
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/backendtest"
	"afterimage/tensor/ref"
)

// A backend's package holds one such test; here the backend is the oracle itself.
func Example() {
	testConformance := func(t *testing.T) {
		backendtest.Run(t, backendtest.Options{
			Open: func(threads int) tensor.Backend { return ref.New() },
		})
	}
	_ = testConformance // go test calls it when it is named TestConformance
}
