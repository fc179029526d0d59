//go:build linux && amd64 && cgo

package fakecuda_test

import (
	"fmt"
	"path/filepath"

	"afterimage/cuda/internal/fakecuda"
)

// A test builds the fakes, or finds them built, and points a program at them.
func ExampleBuild() {
	l, err := fakecuda.Build()
	fmt.Println(filepath.Base(l.Driver), filepath.Base(l.NVRTC), err)
	// Output:
	// libcuda.so.1 libnvrtc.so.13 <nil>
}
