//go:build linux && amd64 && cgo

package cuda

import (
	"flag"
	"os"
	"strings"
	"testing"

	"afterimage/cuda/cudatest"
	"afterimage/tensor"
	"afterimage/tensor/backendtest"
)

// fake is built once for all tests of the package.
var fake cudatest.Fake

func TestMain(m *testing.M) {
	flag.Parse()
	fuzzing := flag.Lookup("test.fuzz").Value.String() != "" // the reader of plans, without a GPU
	if os.Getenv(inside) != "" || fuzzing {                  // or a test of ours started us
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "cudatest")
	if err == nil {
		fake, err = cudatest.Build(dir)
	}
	if err != nil {
		panic(err)
	}
	fake.Setenv()
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// open opens the fake device.
func open(t *testing.T, o Options) *Backend {
	t.Helper()
	if o.Cache == "" {
		o.Cache = t.TempDir()
	}
	b, err := Open("cuda:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// paddingMultiplied is what our weight gradient does where a NaN meets the padding.
const paddingMultiplied = "the weight gradient is an implicit GEMM over zeros"

// TestConformance holds the whole path, from a method to a kernel's result, to the reference.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("short: the whole contract on emulated kernels takes twelve seconds")
	}
	backendtest.Run(t, backendtest.Options{PaddingMultiplied: paddingMultiplied,
		NoF64: "the F64 kernels take the same path; cuda/kernels tests them",
		Open:  func(int) tensor.Backend { return open(t, Options{}) }})
}

// TestOpenErrors wants one line for whatever stands in the way.
func TestOpenErrors(t *testing.T) {
	for _, c := range []struct {
		name, device, variable, value string
		want                          []string
	}{
		{"no driver", "cuda:0", "AFTERIMAGE_LIBCUDA", "/nowhere/libcuda.so.1",
			[]string{"cuda:0", "/nowhere/libcuda.so.1"}},
		{"old driver", "cuda:0", "FAKECUDA_VERSION", "11080", []string{"CUDA 11.8", "too old"}},
		{"no GPU", "cuda:0", "FAKECUDA_DEVICES", "0", []string{"CUDA_ERROR_NO_DEVICE"}},
		{"no such GPU", "cuda:3", "FAKECUDA_DEVICES", "2", []string{"cuda:3", "has 2"}},
		{"no name", "gpu", "X", "", []string{"\"gpu\"", "cuda:0"}},
		{"signed", "cuda:+1", "X", "", []string{"names no GPU"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(c.variable, c.value)
			_, err := Open(c.device, Options{})
			if err == nil {
				t.Fatal("opened")
			}
			for _, w := range append(c.want, "") {
				if !strings.Contains(err.Error(), w) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%q: want one line with %q", err, w)
				}
			}
		})
	}
}

// TestFind wants the device and all libraries in the report.
func TestFind(t *testing.T) {
	r := Find()
	if r.Problem != "" || len(r.Devices) != 1 || r.Devices[0].Major != 9 ||
		len(r.Libraries) != 4 || !strings.Contains(r.Libraries[2], "AFTERIMAGE_CUDNN=none") {
		t.Errorf("%+v", r)
	}
	t.Setenv("FAKECUDA_DEVICES", "2")
	t.Setenv("FAKECUDA_OLD", "0")
	if r := Find(); r.Problem != "" || r.First != "cuda:1" || len(r.Devices) != 2 {
		t.Errorf("an old card beside a good one: %+v", r)
	}
	t.Setenv("FAKECUDA_DEVICES", "1")
	if r := Find(); r.First != "" || !strings.Contains(r.Problem, "8.0 or newer") {
		t.Errorf("an old card: %+v", r)
	}
	t.Setenv("FAKECUDA_OLD", "")
	t.Setenv("AFTERIMAGE_NVRTC", "none")
	if r := Find(); r.Problem != "" || !strings.Contains(r.Libraries[1], "this program's PTX") {
		t.Errorf("without a compiler: %+v", r)
	}
}
