//go:build linux && amd64 && cgo

package cuda

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"afterimage/cuda/driver"
	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// realLibraries points the libraries' variables at the real ones of the virtual environment that
// AFTERIMAGE_CUDA_VENV names (cuda/driver/requirements-abi.txt).
func realLibraries(t *testing.T) {
	venv := os.Getenv("AFTERIMAGE_CUDA_VENV")
	if venv == "" {
		t.Skip("AFTERIMAGE_CUDA_VENV names no virtual environment with NVIDIA's libraries: see " +
			"cuda/driver/requirements-abi.txt")
	}
	for variable, name := range map[string]string{"AFTERIMAGE_CUDNN": "libcudnn.so.9",
		"AFTERIMAGE_NVRTC": "libnvrtc.so.13", "AFTERIMAGE_CUBLASLT": "libcublasLt.so.13"} {
		found, _ := filepath.Glob(filepath.Join(venv, "lib/python3*/site-packages/nvidia/*/lib", name))
		if len(found) == 0 {
			t.Fatalf("%s holds no %s", venv, name)
		}
		t.Setenv(variable, found[0])
	}
}

// TestLibraries opens the real libraries and wants every function of the tables there, and a kernel
// file compiled for Hopper to machine code. None of it needs a GPU.
func TestLibraries(t *testing.T) {
	realLibraries(t)
	api, err := driver.Open()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []driver.Library{driver.NVRTC, driver.CuDNN, driver.CuBLASLt} {
		f := api.Found(l)
		if f.Err != nil || len(f.Missing) > 0 {
			t.Errorf("%v", f)
		}
		t.Log(f)
	}
	image, err := api.Compile(kernels.Text("resample"), "resample.cu",
		[]string{"--gpu-architecture=" + architecture(9, 0), "--std=c++17"}, false)
	if err != nil || !bytes.HasPrefix(image, []byte("\x7fELF")) {
		t.Errorf("%d bytes, %v", len(image), err)
	}
}

// realDNN opens the fake device with the real cuDNN. cudnnCreate fails without a GPU, so that the
// backend goes on without; descriptors can be made all the same. Engines that compile at run time
// look for the driver and NVRTC by their names, do not find the fakes and are not offered.
func realDNN(t *testing.T) *Backend {
	realLibraries(t)
	t.Setenv("AFTERIMAGE_NVRTC", fake.NVRTC) // the kernels are the emulator's
	t.Setenv("AFTERIMAGE_CUBLASLT", "none")
	b := open(t, Options{})
	if err := b.ctx.API().Load(driver.CuDNN); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDescriptors finalizes the descriptions of convolutions with the real cuDNN.
func TestDescriptors(t *testing.T) {
	b := realDNN(t)
	p := tensor.ConvParams{StrideH: 2, StrideW: 1, PadTop: 2, PadBottom: 1, PadRight: 3, DilH: 1,
		DilW: 2, Groups: 2}
	for _, dir := range []direction{forward, inputGrad, weightGrad} {
		for _, dt := range []tensor.DType{tensor.F32, tensor.F64, tensor.BF16} {
			s := convSpec{dir, dt, dt, [4]int{2, 9, 10, 6}, [4]int{8, 3, 3, 3}, [4]int{}, p}
			oh, ow := p.Out(9, 10, 3, 3)
			s.y = [4]int{2, oh, ow, 8}
			g := &describing{ctx: b.ctx}
			if g.operation(s); g.err != nil {
				t.Errorf("%v, %v: %v", dir, dt, g.err)
			}
			s.y[1]++ // does not fit: the library must notice, or it has not looked
			if g.operation(s); g.err == nil {
				t.Errorf("%v, %v: a wrong shape was accepted", dir, dt)
			}
			g.close()
		}
	}
}

// hopper is an H100 as cuDNN wants to be told of it, by the names in its own messages; numbers of
// NVIDIA's data sheets and of the table of compute capability 9.0.
var hopper = map[string]any{"cudaDeviceId": 0, "deviceVer": 900, "driverVer": 13000,
	"deviceName": "NVIDIA H100 80GB HBM3", "totalGlobalMem": 85017624576,
	"maxGridSize": []int{1<<31 - 1, 65535, 65535}, "maxBlockSize": []int{1024, 1024, 64},
	"regsPerBlock": 65536, "multiProcessorCount": 132, "smClockRateKHz": 1980000,
	"memClockRateKHz": 2619000, "l2CacheSize": 50 << 20, "warpSize": 32,
	"maxSharedMemoryPerBlock": 48 << 10, "maxSharedMemoryPerBlockOptin": 227 << 10,
	"reservedSharedMemoryPerBlock": 1 << 10, "oversizedSharedMemoryPerBlock": 0,
	"maxRegistersPerSM": 65536, "maxCtasPerSM": 32, "maxThreadsPerBlock": 1024,
	"maxThreadsPerSM": 2048, "isTccDriver": 0, "supportCoopLaunch": 1, "pciDeviceId": 0}

// TestOffers asks the real cuDNN, told of a card that is not here, for plans of the convolutions of
// ResNet-50 and BigGAN, and wants one at least that serves for each direction and arithmetic, none
// beyond the workspace that there may be, and none for bfloat16 operands with F32 results: if there
// were, results need not be rounded.
func TestOffers(t *testing.T) {
	const (
		descProperties = 38   // CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR
		attrJSON       = 2702 // CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION
		typeChar       = 24   // CUDNN_TYPE_CHAR
	)
	b := realDNN(t)
	text, err := json.Marshal(hopper)
	if err != nil {
		t.Fatal(err)
	}
	card := &describing{ctx: b.ctx}
	defer card.close()
	d := card.make(descProperties)
	err = b.ctx.SetAttribute(d, attrJSON, typeChar, len(text), unsafe.Pointer(&text[0]))
	if err != nil {
		t.Fatal(err)
	}
	if card.finish(d); card.err != nil {
		t.Fatal(card.err)
	}
	b.dnn = &convolutions{on: target{properties: d}}
	defer func() { b.dnn = nil }()
	for _, s := range offersShapes {
		for _, dir := range []direction{forward, inputGrad, weightGrad} {
			for _, mode := range []arithmetic{bf16, tf32, exact} {
				b.mode = mode
				spec := s
				spec.dir, spec.operand, spec.result = dir, tensor.F32, tensor.F32
				if mode == bf16 {
					spec.operand, spec.result = tensor.BF16, tensor.BF16
				}
				found, _ := b.listPlans(spec, choice{}, false)
				if len(found) == 0 {
					t.Errorf("%v%v: no plan", spec, mode)
				}
				for _, p := range found {
					if p.workspace > convWorkspace {
						t.Errorf("%v%v: engine %d takes %.1f MB", spec, mode, p.choice.Engine,
							mb(p.workspace))
					}
					t.Logf("%v%v: engine %d at %d of mode %d, %.1f MB", spec, mode, p.choice.Engine,
						p.choice.Place, p.choice.Mode, mb(p.workspace))
					p.close(b.ctx)
				}
				spec.result = tensor.F32
				if found, _ := b.listPlans(spec, choice{}, false); mode == bf16 && found != nil {
					t.Errorf("%v: there is a plan now", spec)
				}
			}
		}
	}
}

// offersShapes are a stem, a 3×3 of either stride, a projection, and BigGAN's widest and last.
var offersShapes = []convSpec{
	shaped(64, 224, 3, 64, 7, 2), shaped(64, 56, 64, 64, 3, 1), shaped(64, 28, 256, 256, 3, 2),
	shaped(64, 56, 256, 512, 1, 2), shaped(64, 7, 512, 512, 3, 1), shaped(32, 16, 1536, 768, 3, 1),
	shaped(32, 128, 96, 3, 3, 1), shaped(64, 56, 64, 256, 1, 1),
}

// shaped is a convolution of n square images with o square filters of k pixels, padded so that
// stride 1 keeps the size.
func shaped(n, size, c, o, k, stride int) convSpec {
	p := tensor.ConvParams{StrideH: stride, StrideW: stride, PadTop: k / 2, PadLeft: k / 2,
		PadBottom: k / 2, PadRight: k / 2, DilH: 1, DilW: 1, Groups: 1}
	oh, ow := p.Out(size, size, k, k)
	return convSpec{x: [4]int{n, size, size, c}, w: [4]int{o, k, k, c}, y: [4]int{n, oh, ow, o}, p: p}
}
