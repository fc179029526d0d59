//go:build linux && amd64 && cgo

package cuda

import (
	"strings"
	"testing"

	"afterimage/tensor"
)

// TestTrace wants each kernel of a recording that is replayed, and nothing of what was done before.
func TestTrace(t *testing.T) {
	b, err := Open("cuda:0", Options{Trace: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	x, y := s.Full(tensor.F32, 1, 1000), s.New(tensor.F32, 1000)
	double := func() { b.Binary(tensor.Add, y, x, x) }
	double()
	r, err := b.Record(func() { double(); double() })
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := b.Trace(func() { r.Replay(); double() })
	if err != nil || got.Kernels != 3 || got.KernelTime <= 0 || got.Wall < got.Span {
		t.Errorf("two kernels replayed and one called: %+v, %v", got, err)
	}
	if says, err := b.Profiler(); err != nil || !strings.HasPrefix(says, "CUPTI 130000 (") {
		t.Errorf("the profiler is %q, %v", says, err)
	}
	plain, err := Open("cuda:0", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if _, err := plain.Trace(double); err == nil || !strings.Contains(err.Error(), "Options.Trace") {
		t.Errorf("without: %v", err)
	}
}

// TestNothingAlive wants whatever a backend and a recording create given back by Close.
func TestNothingAlive(t *testing.T) {
	for _, own := range []bool{true, false} {
		t.Setenv("AFTERIMAGE_CUBLASLT", fake.Lt)
		t.Setenv("AFTERIMAGE_CUDNN", fake.DNN)
		b, err := Open("cuda:0", Options{Own: own, Cache: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		free, total, err := b.DeviceMemory()
		if err != nil || free <= 0 || free > total {
			t.Errorf("%d of %d bytes are free, %v", free, total, err)
		}
		s := tensor.NewScope(b)
		x, y := s.Full(tensor.F32, 1, 64, 64), s.New(tensor.F32, 64, 64)
		b.MatMul(y, x, x, tensor.MatMulParams{})
		image, filter := s.Full(tensor.F32, 1, 1, 8, 8, 4), s.Full(tensor.F32, 1, 8, 3, 3, 4)
		b.Conv2D(s.New(tensor.F32, 1, 8, 8, 8), image, filter, tensor.ConvParams{StrideH: 1,
			StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilH: 1, DilW: 1, Groups: 1})
		if _, err := b.Stage(1 << 10); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Record(func() { b.MatMul(y, x, x, tensor.MatMulParams{}) }); err != nil {
			t.Fatal(err)
		}
		y.Floats()
		if err := b.Sync(); err != nil {
			t.Fatal(err)
		}
		if got := b.Alive(); got.Contexts != 1 || got.Modules == 0 || got.Blocks == 0 ||
			got.Execs != 1 || (got.Handles > 0) == own {
			t.Errorf("own kernels %v: in use: %+v", own, got)
		}
		s.Close()
		b.Close()
		if got := b.Alive(); got != (Alive{}) {
			t.Errorf("own kernels %v: after Close %+v is left", own, got)
		}
	}
}
