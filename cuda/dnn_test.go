//go:build linux && amd64 && cgo

package cuda

import (
	"os"
	"strings"
	"testing"

	"afterimage/cuda/driver"
	"afterimage/tensor"
	"afterimage/tensor/backendtest"
)

// openWithDNN opens the fake device with the fake cuDNN; cache is the folder of plans, "" a new
// one.
func openWithDNN(t *testing.T, cache string) *Backend {
	t.Helper()
	t.Setenv("AFTERIMAGE_CUDNN", fake.DNN)
	b := open(t, Options{Cache: cache})
	if b.dnn == nil || !strings.Contains(b.Kernels(), "cuDNN 9.13.0") {
		t.Fatalf("cuDNN was not taken: %s", b.Kernels())
	}
	return b
}

// TestConvolutions holds convolutions through cuDNN's graph interface to the reference: layouts,
// strides, paddings, dilations, groups, three directions. The library behind it is a fake that does
// what the documentation says.
func TestConvolutions(t *testing.T) {
	if testing.Short() {
		t.Skip("short: six seconds of emulated convolutions")
	}
	taken, cache := 0, t.TempDir() // a shape is timed once
	backendtest.Run(t, backendtest.Options{Families: []string{"conv"},
		Open: func(int) tensor.Backend {
			b := openWithDNN(t, cache)
			t.Cleanup(func() {
				for s, p := range b.dnn.plans {
					if p == nil {
						t.Errorf("no plan for %+v", s)
					}
					taken++
				}
				if taken == 0 {
					t.Error("no convolution went through cuDNN")
				}
			})
			return b
		}})
}

// TestConvolutionPlans wants a shape planned once and recorded steps to replay through cuDNN.
func TestConvolutionPlans(t *testing.T) {
	b := openWithDNN(t, "")
	s := tensor.NewScope(b)
	defer s.Close()
	x, w := s.Full(tensor.F32, 1, 1, 4, 4, 3), s.Full(tensor.F32, 2, 5, 3, 3, 3)
	y := s.New(tensor.F32, 1, 4, 4, 5)
	p := tensor.ConvParams{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1,
		DilH: 1, DilW: 1, Groups: 1}
	b.Conv2D(y, x, w, p) // chooses the plan
	g, err := b.Record(func() { b.Conv2D(y, x, w, p) })
	if err != nil {
		t.Fatal(err)
	}
	b.Fill(x, 10)
	g.Replay()
	if got := y.Floats()[5*5]; got != 2*10*27 {
		t.Errorf("replayed %v, want 540", got)
	}
	if len(b.dnn.plans) != 1 {
		t.Errorf("%d plans for one shape", len(b.dnn.plans))
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// TestDescriptors finalizes the descriptions of convolutions with the real cuDNN, whose file
// AFTERIMAGE_REAL_CUDNN names. Everything up to the operations works without a GPU.
func TestDescriptors(t *testing.T) {
	path := os.Getenv("AFTERIMAGE_REAL_CUDNN")
	if path == "" {
		t.Skip("AFTERIMAGE_REAL_CUDNN is not set: descriptors are finalized by the fake cuDNN alone")
	}
	t.Setenv("AFTERIMAGE_CUDNN", path)
	b := open(t, Options{}) // cudnnCreate fails without a GPU, so the backend goes on without
	if err := b.ctx.API().Load(driver.CuDNN); err != nil {
		t.Fatal(err)
	}
	p := tensor.ConvParams{StrideH: 2, StrideW: 1, PadTop: 2, PadBottom: 1, PadRight: 3, DilH: 1,
		DilW: 2, Groups: 2}
	for _, dir := range []direction{forward, inputGrad, weightGrad} {
		for _, dt := range [][2]tensor.DType{{tensor.F32, tensor.F32}, {tensor.F64, tensor.F64},
			{tensor.BF16, tensor.F32}} {
			s := convSpec{dir, dt[0], dt[1], [4]int{2, 9, 10, 6}, [4]int{8, 3, 3, 3}, [4]int{}, p}
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
