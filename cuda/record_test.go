//go:build linux && amd64 && cgo

package cuda

import (
	"strings"
	"testing"

	"afterimage/tensor"
)

// TestRecord replays a step that reads a device tensor which changes in between, and wants the same
// bits as the step run call by call; temporaries of other work must not disturb it.
func TestRecord(t *testing.T) {
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	key := tensor.NewKey(3, "test")
	counter := tensor.FromSlice(s, []int32{0}, 1)
	eager, state := s.Zeros(tensor.F32, 1000), s.Zeros(tensor.F32, 1000)
	step := func(acc *tensor.Tensor) {
		in := s.Child()
		defer in.Close()
		noise, square := in.Like(acc), in.Like(acc)
		b.Random(tensor.Normal, key, noise, counter)
		b.Unary(tensor.Square, tensor.Attr{}, square, noise)
		b.Binary(tensor.Add, acc, acc, square)
	}
	at := func(i int32) { tensor.CopyFromHost(counter, []int32{i}) }
	for i := range int32(5) {
		at(i)
		step(eager)
	}
	at(0)
	g, err := b.Record(func() { step(state) })
	if err != nil {
		t.Fatal(err)
	}
	if g.Nodes() != 3 {
		t.Errorf("the graph holds %d launches, want 3", g.Nodes())
	}
	for i := int32(1); i < 5; i++ {
		at(i)
		g.Replay()
		s.Full(tensor.F32, 9, 1000).Free() // would be where the noise lies, if memory were shared
	}
	want, got := eager.Floats(), state.Floats()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("element %d: replayed %v, eager %v", i, got[i], want[i])
		}
	}
	before := b.Memory().Held
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if now := b.Memory().Held; now >= before {
		t.Errorf("the graph's memory was not given back: %d bytes held, %d before", now, before)
	}
}

// TestRecordRefuses wants a step that reads back, waits or uploads to be refused by name, and the
// device to go on.
func TestRecordRefuses(t *testing.T) {
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	x := s.Full(tensor.F32, 1, 4)
	for name, f := range map[string]func(){
		"Download": func() { x.Floats() },
		"Upload":   func() { x.SetFloats([]float64{1, 2, 3, 4}) },
		"Sync":     func() { b.Sync() },
		"Alloc":    func() { s.New(tensor.F32, 1<<40) },
	} {
		_, err := b.Record(func() {
			b.Unary(tensor.Neg, tensor.Attr{}, x, x)
			f()
		})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a step with %s: %v", name, err)
		}
		b.Fill(x, 7)
		if x.Floats()[3] != 7 || b.Sync() != nil {
			t.Fatalf("the device does not go on after %s", name)
		}
	}
}

// TestRecordWithout wants a driver that cannot capture to say so in one line. The step has run.
func TestRecordWithout(t *testing.T) {
	t.Setenv("AFTERIMAGE_LIBCUDA", fakes.Old)
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	x := s.Full(tensor.F32, 1, 4)
	_, err := b.Record(func() { b.Binary(tensor.Add, x, x, x) })
	if err == nil || !strings.Contains(err.Error(), "cuStreamBeginCapture") {
		t.Errorf("got %v", err)
	}
	if x.Floats()[0] != 2 {
		t.Error("the step has not run once")
	}
}
