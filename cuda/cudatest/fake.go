package cudatest

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"afterimage/cuda/internal/fakecuda"
	"afterimage/cuda/internal/ksim"
)

// ErrPlatform says that the emulator does not run here: it needs Linux on x86-64.
var ErrPlatform = errors.New("cudatest: the emulator of the kernels needs Linux on x86-64")

// A Fake is a GPU for tests.
type Fake struct {
	Driver string   // the fake driver's file
	Old    string   // the same without optional functions
	NVRTC  string   // the fake compiler's file
	Lt     string   // the fake cuBLASLt's
	DNN    string   // the fake cuDNN's
	CUPTI  string   // the fake profiler's
	Env    []string // NAME=value, what makes a program use them
}

// Build compiles the fakes, with gcc and g++, unless they lie in the cache, and gives the kernels a
// cache in dir. Env turns cuBLASLt and cuDNN off: a test that wants their fakes sets
// AFTERIMAGE_CUBLASLT and AFTERIMAGE_CUDNN to the files. cuda/internal/fakecuda lists the variables
// that make the fake GPU fail.
func Build(dir string) (Fake, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return Fake{}, ErrPlatform
	}
	l, err := fakecuda.Build()
	if err != nil {
		return Fake{}, err
	}
	emulator, err := ksim.Build(ksim.Kernels())
	if err != nil {
		return Fake{}, err
	}
	return Fake{l.Driver, l.Old, l.NVRTC, l.Lt, l.DNN, l.CUPTI, []string{
		"AFTERIMAGE_LIBCUDA=" + l.Driver, "AFTERIMAGE_NVRTC=" + l.NVRTC, "AFTERIMAGE_CUDNN=none",
		"AFTERIMAGE_CUBLASLT=none", "AFTERIMAGE_CUPTI=" + l.CUPTI, "FAKECUDA_KSIM=" + emulator,
		"XDG_CACHE_HOME=" + filepath.Join(dir, "cache")}}, nil
}

// Setenv sets the variables in this process.
func (f Fake) Setenv() {
	for _, v := range f.Env {
		name, value, _ := strings.Cut(v, "=")
		os.Setenv(name, value)
	}
}
