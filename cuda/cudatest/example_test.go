//go:build linux && amd64 && cgo

package cudatest_test

import (
	"fmt"
	"os"

	"afterimage/cuda"
	"afterimage/cuda/cudatest"
	"afterimage/tensor"
)

// A test computes on a GPU that is none.
func ExampleBuild() {
	dir, err := os.MkdirTemp("", "cudatest")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	gpu, err := cudatest.Build(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	gpu.Setenv()
	b, err := cuda.Open("cuda:0", cuda.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	s := tensor.NewScope(b)
	x := s.Full(tensor.F32, 3, 4)
	b.Binary(tensor.Mul, x, x, x)
	fmt.Println(x.Floats(), b.Info().Name)
	// Output:
	// [9 9 9 9] Fake GPU (host emulation)
}
