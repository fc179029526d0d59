//go:build linux && amd64 && cgo

package cuda

import (
	"errors"
	"strings"
	"testing"

	"afterimage/cuda/driver"
	"afterimage/tensor"
)

// TestAfterClose wants whatever is asked of a closed backend answered in words.
func TestAfterClose(t *testing.T) {
	b := open(t, Options{Trace: true})
	s := tensor.NewScope(b)
	x := s.Full(tensor.F32, 1, 100)
	x.Floats()
	b.Close()
	for name, f := range map[string]func() error{
		"Sync":       b.Sync,
		"Record":     func() error { _, err := b.Record(func() {}); return err },
		"Trace":      func() error { _, err := b.Trace(func() {}); return err },
		"Stage":      func() error { _, err := b.Stage(10); return err },
		"CompileAll": b.CompileAll,
		"Download":   func() error { return tensor.Try(func() { x.Floats() }) },
		"Alloc":      func() error { return tensor.Try(func() { s.New(tensor.F32, 1) }) },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), errClosed.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	x.SetFloats(make([]float64, 100))
	for range 2 * batchCommands {
		b.Fill(x, 1)
	}
	s.Close()
	b.Close()
}

// TestOpenFails wants a backend that cannot be opened to leave nothing running behind.
func TestOpenFails(t *testing.T) {
	t.Setenv("FAKECUDA_CONTEXT", "0")
	if _, err := Open("cuda:0", Options{Trace: true, Cache: t.TempDir()}); err == nil {
		t.Fatal("opened without a context")
	}
	t.Setenv("FAKECUDA_CONTEXT", "1")
	t.Setenv("AFTERIMAGE_CUDNN", fake.DNN)
	t.Setenv("FAKECUDNN_FAIL", "2")
	b := open(t, Options{})
	if h := b.Alive().Handles; b.dnn != nil || h != 0 {
		t.Errorf("%d handles are left of a cuDNN that takes no stream", h)
	}
	api := b.ctx.API()
	if err := api.Load(driver.CUPTI); err != nil {
		t.Fatal(err)
	}
	if _, err := api.CutTrace(); err != nil { // what others left
		t.Fatal(err)
	}
	s := tensor.NewScope(b)
	defer s.Close()
	s.Full(tensor.F32, 1, 100).Floats()
	if noted, err := api.CutTrace(); err != nil || noted.Kernels != 0 {
		t.Errorf("%d kernels were traced for nobody, %v", noted.Kernels, err)
	}
}

// TestNoRoomToCompete wants a contest that finds no memory for the contestants to fail alone: work
// that waits is done, and what the library offered is given back.
func TestNoRoomToCompete(t *testing.T) {
	b := openWithDNN(t, "")
	b.dnn.alone = false
	s := tensor.NewScope(b)
	defer s.Close()
	x, dy := s.New(tensor.F32, 1, 64, 64, 128), s.New(tensor.F32, 1, 64, 64, 128)
	dw, before := s.New(tensor.F32, 128, 3, 3, 128), b.Alive()
	room := s.Full(tensor.F32, 7, 10) // waits in the batch
	b.mem.limit = b.mem.held          // no room for the parts of our own sum
	err := tensor.Try(func() {
		b.Conv2DWeightGrad(dw, x, dy, tensor.ConvParams{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1,
			PadBottom: 1, PadRight: 1, DilH: 1, DilW: 1, Groups: 1})
	})
	var misuse *tensor.Error
	if !errors.As(err, &misuse) || misuse.Op != "Alloc" {
		t.Fatalf("got %v", err)
	}
	b.mem.limit = 0
	if got := room.Floats()[9]; got != 7 {
		t.Errorf("work that waited was lost: %v", got)
	}
	after := b.Alive()
	if after.Descriptors != before.Descriptors || len(b.dnn.plans) != 0 {
		t.Errorf("%d descriptors before, %d after; %d plans", before.Descriptors, after.Descriptors,
			len(b.dnn.plans))
	}
	if err := b.Sync(); err != nil {
		t.Error(err)
	}
}
