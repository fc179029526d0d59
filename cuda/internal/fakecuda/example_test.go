//go:build linux && amd64 && cgo

package fakecuda_test

import (
	"fmt"
	"os"
	"path/filepath"

	"afterimage/cuda/internal/fakecuda"
)

// A test builds the fakes into a folder of its own and points a program at them.
func ExampleBuild() {
	dir, err := os.MkdirTemp("", "fakecuda")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	l, err := fakecuda.Build(dir)
	fmt.Println(filepath.Base(l.Driver), filepath.Base(l.NVRTC), err)
	// Output:
	// libcuda.so.1 libnvrtc.so.13 <nil>
}
