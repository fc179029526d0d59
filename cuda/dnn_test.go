//go:build linux && amd64 && cgo

package cuda

import (
	"slices"
	"strings"
	"testing"

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
	b.dnn.alone = true
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
		NoBF16: "our own kernels convolve BF16 tensors",
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

// TestEnginesThatServe wants, of engines that each say one thing of their numbers, those offered
// that keep to an arithmetic, and none that takes more workspace than there may be.
func TestEnginesThatServe(t *testing.T) {
	t.Setenv("FAKECUDNN_ALL", "1")
	b := openWithDNN(t, "")
	plain := []int64{1002, 1003} // then one on tensor cores, down-converting, …
	for _, c := range []struct {
		mode    arithmetic
		operand tensor.DType
		want    []int64
	}{
		{exact, tensor.F32, plain},
		{exact, tensor.F64, append(slices.Clone(plain), 1004)},
		{bf16, tensor.BF16, append(slices.Clone(plain), 1004)},
		{bf16, tensor.F32, plain},
		{tf32, tensor.F32, append(slices.Clone(plain), 1004, 1005, 1007)}, // as many as are looked at
		{tf32, tensor.F64, append(slices.Clone(plain), 1004)},
	} {
		b.mode = c.mode
		s := shaped(2, 8, 4, 4, 3, 1)
		s.operand, s.result = c.operand, c.operand
		var got []int64
		b.x.do(func() error {
			found, failed := b.listPlans(s, choice{}, false)
			for _, p := range found {
				got = append(got, p.choice.Engine)
				p.close(b.ctx)
			}
			return failed
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("%v operands%v: engines %v, want %v", c.operand, c.mode, got, c.want)
		}
	}
}
