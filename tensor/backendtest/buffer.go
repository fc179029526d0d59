package backendtest

import (
	"bytes"
	"math"
	"testing"
	"unsafe"

	"afterimage/tensor"
)

// bufferFamily tests memory: sizes, alignment, transfers, recycling.
func bufferFamily(f *family) {
	for _, g := range []*guarded{f.s.one, f.s.many} {
		b := g.Backend // bare: what Alloc itself promises
		f.t.Run("transfer", func(t *testing.T) { testTransfer(t, b) })
		f.t.Run("independence", func(t *testing.T) { testIndependence(t, b) })
		f.t.Run("toolarge", func(t *testing.T) { testTooLarge(t, b) })
	}
	f.check("fill", func(e *env) {
		for _, n := range sizes {
			for _, v := range []float64{0, -1.5, math.Inf(1), math.NaN()} {
				y := e.out(n)
				e.Fill(y, v)
				e.want("Fill", y, exactly())
			}
			for _, dt := range []tensor.DType{tensor.I32, tensor.U8} {
				y := e.scope.New(dt, n)
				e.Fill(y, 7)
				e.want("Fill "+dt.String(), y, exactly())
			}
		}
	})
}

func testTransfer(t *testing.T, b tensor.Backend) {
	for _, n := range []int{0, 1, 3, 63, 64, 65, 4097, 1 << 20} {
		buf, err := b.Alloc(n)
		if err != nil {
			t.Fatal(err)
		}
		if buf.Bytes() != n {
			t.Errorf("Alloc(%d).Bytes() = %d", n, buf.Bytes())
		}
		if h, ok := buf.(tensor.HostBuffer); ok {
			testHostBuffer(t, h, n)
		}
		src, dst := make([]byte, n), make([]byte, n)
		for i := range src {
			src[i] = byte(i*7 + i>>8)
		}
		b.Upload(buf, src)
		b.Download(dst, buf)
		if !bytes.Equal(src, dst) {
			t.Errorf("%d bytes did not survive Upload and Download", n)
		}
		b.Free(buf)
	}
	if err := b.Sync(); err != nil {
		t.Errorf("Sync: %v", err)
	}
}

func testHostBuffer(t *testing.T, h tensor.HostBuffer, n int) {
	mem := h.HostBytes()
	if len(mem) != n {
		t.Errorf("HostBytes has %d bytes, asked for %d", len(mem), n)
	}
	if at := uintptr(unsafe.Pointer(unsafe.SliceData(mem))); n > 0 && at%64 != 0 {
		t.Errorf("a buffer of %d bytes is not 64-byte aligned: %#x", n, at)
	}
}

// testIndependence allocates and frees in an odd order and checks that live buffers never overlap.
func testIndependence(t *testing.T, b tensor.Backend) {
	type block struct {
		buf tensor.Buffer
		tag byte
	}
	var live []block
	r := tensor.NewRNG(tensor.NewKey(2, "backendtest/alloc"), 0)
	for i := range 300 {
		if len(live) > 20 || len(live) > 0 && r.IntN(3) == 0 {
			k := r.IntN(len(live))
			got := make([]byte, live[k].buf.Bytes())
			b.Download(got, live[k].buf)
			for at, v := range got {
				if v != live[k].tag {
					t.Fatalf("byte %d of a live buffer changed from %d to %d", at, live[k].tag, v)
				}
			}
			b.Free(live[k].buf)
			live[k] = live[len(live)-1]
			live = live[:len(live)-1]
			continue
		}
		buf, err := b.Alloc(r.IntN(5000))
		if err != nil {
			t.Fatal(err)
		}
		b.Upload(buf, bytes.Repeat([]byte{byte(i)}, buf.Bytes()))
		live = append(live, block{buf, byte(i)})
	}
	for _, l := range live {
		b.Free(l.buf)
	}
}

// testTooLarge asks for more than any machine has; a backend with a limit must refuse, not crash.
// A backend in host memory without a limit cannot tell, and is not asked.
func testTooLarge(t *testing.T, b tensor.Backend) {
	probe, err := b.Alloc(1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Free(probe)
	if _, host := probe.(tensor.HostBuffer); host {
		t.Skip("host memory: without a limit the runtime decides")
	}
	if buf, err := b.Alloc(1 << 50); err == nil {
		b.Free(buf)
		t.Error("Alloc of a pebibyte succeeded")
	}
}
