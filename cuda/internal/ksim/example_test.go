package ksim_test

import (
	"fmt"

	"afterimage/cuda/internal/ksim"
	"afterimage/tensor"
)

// A backend of emulated kernels computes like any other, slowly. (Not run: it compiles all
// kernels.)
func ExampleBackend() {
	sim, err := ksim.Open(ksim.Kernels())
	if err != nil {
		fmt.Println(err) // no g++, or another platform
		return
	}
	s := tensor.NewScope(ksim.NewBackend(sim, 1))
	defer s.Close()
	x := s.Full(tensor.F32, 2, 3)
	s.Backend().Unary(tensor.Square, tensor.Attr{}, x, x)
	fmt.Println(x.Floats())
}
