//go:build linux && amd64 && cgo

package cuda

import (
	"bytes"
	"strings"
	"testing"

	"afterimage/tensor"
)

// TestRing uploads more than the ring holds without waiting in between: a block that were filled
// again too soon would show, since the fake device copies late.
func TestRing(t *testing.T) {
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	const n, size = 50, 3 << 20
	var all []*tensor.Tensor
	buf := make([]byte, size)
	for i := range n {
		x := s.New(tensor.U8, size)
		for j := range buf {
			buf[j] = byte(i + j>>12)
		}
		b.Upload(x.Buffer(), buf)
		all = append(all, x)
	}
	clear(buf) // the caller's again
	got := make([]byte, size)
	for i, x := range all {
		b.Download(got, x.Buffer())
		for _, j := range []int{0, 1, size / 2, size - 1} {
			if got[j] != byte(i+j>>12) {
				t.Fatalf("tensor %d, byte %d: %d, want %d", i, j, got[j], byte(i+j>>12))
			}
		}
	}
}

// TestLargeTransfer moves more than a block holds.
func TestLargeTransfer(t *testing.T) {
	b := open(t, Options{})
	src := make([]byte, 2*stageBytes+12345)
	for i := range src {
		src[i] = byte(i * 31 >> 3)
	}
	buf, err := b.Alloc(len(src))
	if err != nil {
		t.Fatal(err)
	}
	b.Upload(buf, src)
	dst := make([]byte, len(src))
	b.Download(dst, buf)
	if !bytes.Equal(src, dst) {
		t.Error("bytes changed on the way")
	}
	b.Free(buf)
}

// TestStage lets a loader fill pinned memory again and again, each time after a read has shown the
// copy to be done.
func TestStage(t *testing.T) {
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	const n = stageBytes + 12 // more than the ring's blocks hold
	st, err := b.Stage(n)
	if err != nil {
		t.Fatal(err)
	}
	x := s.New(tensor.U8, n)
	for i := range 4 {
		mem := st.Bytes()
		mem[0], mem[n-1] = byte(i), byte(i+1)
		st.Send(x.Buffer())
		if got := tensor.ToHost[uint8](x); got[0] != byte(i) || got[n-1] != byte(i+1) {
			t.Fatalf("round %d: %d %d", i, got[0], got[n-1])
		}
	}
	if f := tensor.StagedFloats(st); len(f) != n/4 {
		t.Errorf("%d floats in %d bytes", len(f), n)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	if _, err := b.Record(func() { st.Send(x.Buffer()) }); err == nil ||
		!strings.Contains(err.Error(), "Send") {
		t.Errorf("a copy from staged memory was recorded: %v", err)
	}
}

// TestStart lets two staged batches take turns as a loader does, each begun while the step before
// is at work, recorded steps in between, and wants the same bytes as without: also when a batch is
// filled and begun anew before it was sent.
func TestStart(t *testing.T) {
	const n, steps = 5000, 7
	run := func(start bool) (seen []float32) {
		b := open(t, Options{})
		defer b.Close()
		s := tensor.NewScope(b)
		x, sum := s.Zeros(tensor.F32, n), s.Zeros(tensor.F32, n)
		step := func() {
			b.Binary(tensor.Add, sum, sum, x)
			b.Unary(tensor.Affine, tensor.Attr{A: 0.5}, sum, sum)
		}
		step()
		g, err := b.Record(step)
		if err != nil {
			t.Fatal(err)
		}
		var homes [2]tensor.Staged
		for i := range homes {
			if homes[i], err = b.Stage(4 * n); err != nil {
				t.Fatal(err)
			}
		}
		fill := func(i int) {
			for _, try := range []int{-1, i} { // −1: drawn for another step than is asked for
				for k, m := 0, tensor.StagedFloats(homes[i%2]); k < n; k++ {
					m[k] = float32(try*n + k)
				}
				if start {
					homes[i%2].Start()
				}
			}
		}
		fill(0)
		for i := range steps {
			homes[i%2].Send(x.Buffer())
			g.Replay()
			fill(i + 1) // while the step runs
			seen = append(seen, tensor.ToHost[float32](sum)...)
		}
		for _, h := range homes {
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
		return seen
	}
	with, without := run(true), run(false)
	if !same(with, without) || with[len(with)-1] == 0 {
		t.Error("what was fetched beside the steps differs")
	}
}

// TestStartAgain wants the bytes of the last Start sent, which a fill without one does not change:
// every fill needs its Start, or none.
func TestStartAgain(t *testing.T) {
	b := open(t, Options{})
	s := tensor.NewScope(b)
	x := s.Zeros(tensor.U8, 100)
	home, err := b.Stage(100)
	if err != nil {
		t.Fatal(err)
	}
	fill := func(v byte, start bool) {
		home.Bytes()[99] = v
		if start {
			home.Start()
			if err := b.ctx.SyncStream(b.copies); err != nil { // the fake copies when it is waited for
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		what  string
		fill  func()
		wants byte
	}{
		{"two fills, each with its Start", func() { fill(1, true); fill(2, true) }, 2},
		{"none with a Start", func() { fill(3, false); fill(4, false) }, 4},
		{"a fill after the last Start", func() { fill(5, true); fill(6, false) }, 5},
		{"none with a Start, again", func() { fill(7, false) }, 7},
	} {
		c.fill()
		home.Send(x.Buffer())
		if got := tensor.ToHost[uint8](x)[99]; got != c.wants {
			t.Errorf("%s: got %d, want %d", c.what, got, c.wants)
		}
	}
	s.Close()
	b.Close()
	home.Start()
	if home.(*staged).started {
		t.Error("a closed backend began to fetch")
	}
}

// TestStartRecording begins a copy while another thread records, which neither disturbs.
func TestStartRecording(t *testing.T) {
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	x, y := s.Zeros(tensor.F32, 100), s.Full(tensor.F32, 1, 100)
	b.Unary(tensor.Neg, tensor.Attr{}, y, y)
	home, err := b.Stage(400)
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	tensor.StagedFloats(home)[99] = 7
	g, err := b.Record(func() {
		b.Unary(tensor.Neg, tensor.Attr{}, y, y)
		begun := make(chan struct{})
		go func() {
			home.Start()
			close(begun)
		}()
		<-begun
		b.Unary(tensor.Neg, tensor.Attr{}, y, y)
	})
	if err != nil {
		t.Fatal(err)
	}
	home.Send(x.Buffer())
	g.Replay()
	if got := x.Floats()[99]; got != 7 {
		t.Errorf("got %v", got)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// TestStageFull wants a batch for which the device has no second place copied all the same.
func TestStageFull(t *testing.T) {
	b := open(t, Options{Memory: 33 << 20}) // room for an arena and little more
	s := tensor.NewScope(b)
	defer s.Close()
	const n = 1 << 20
	x := s.New(tensor.U8, n)
	home, err := b.Stage(n + 1)
	if err != nil {
		t.Fatal(err)
	}
	if home.(*staged).slot != 0 {
		t.Fatal("there was room after all")
	}
	home.Close()
	if home, err = b.Stage(n); err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	home.(*staged).slot = 0
	home.Bytes()[n-1] = 3
	home.Start()
	home.Send(x.Buffer())
	if got := tensor.ToHost[uint8](x)[n-1]; got != 3 {
		t.Errorf("got %d", got)
	}
}
