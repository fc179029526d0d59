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
