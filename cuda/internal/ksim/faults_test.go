package ksim_test

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"afterimage/cuda/internal/ksim"
	"afterimage/cuda/kernels"
)

// openFaults builds the emulator with the kernels of testdata/faults.cu.
var openFaults = sync.OnceValues(func() (*ksim.Sim, error) {
	text, err := os.ReadFile("testdata/faults.cu")
	if err != nil {
		return nil, err
	}
	return ksim.Open([]ksim.Unit{{Stem: "faults", Text: kernels.Inline(string(text))}})
})

// faults opens that emulator; a test skips where there can be none.
func faults(t *testing.T) *ksim.Sim {
	t.Helper()
	s, err := openFaults()
	if errors.Is(err, ksim.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// memory is a guarded float buffer.
type memory struct {
	addr uint64
	mem  []byte
}

func newMemory(t *testing.T, s *ksim.Sim, n int, values ...float32) memory {
	addr, mem, err := s.Alloc(4 * n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Free(mem) })
	for i, v := range values {
		binary.LittleEndian.PutUint32(mem[4*i:], math.Float32bits(v))
	}
	return memory{addr, mem}
}

func (m memory) floats() []float32 {
	out := make([]float32, len(m.mem)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(m.mem[4*i:]))
	}
	return out
}

type faultArgs struct {
	Dst, Src uint64
	N        int64
}

func launch(t *testing.T, entry string, threads int, a faultArgs, seed uint64) error {
	t.Helper()
	args := unsafe.Slice((*byte)(unsafe.Pointer(&a)), unsafe.Sizeof(a))
	return faults(t).Launch(kernels.Launch{Entry: entry, Grid: [3]uint32{1, 1, 1},
		Block: [3]uint32{uint32(threads), 1, 1}, Args: append([]byte(nil), args...)}, seed)
}

func ramp(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i)
	}
	return v
}

// TestFaultsAreReported launches kernels that misbehave in a way the emulator sees by itself: it
// must name the kernel and the fault, and the process lives on.
func TestFaultsAreReported(t *testing.T) {
	s := faults(t)
	for _, c := range []struct {
		entry string
		n     int // elements of dst and src
		want  string
	}{
		{"divergent_barrier", 64, "24 threads have returned; 40 threads wait at line"},
		{"two_barriers", 64, "divergent barrier"},
		{"early_return", 64, "14 threads have returned; 50 threads wait at line"},
		{"divergent_shuffle", 64, "(warp operation)"},
		{"write_past_end", 63, "wrote past the end of a block of 252 bytes"},
		{"write_past_end", 60, "0 bytes past the end of a block of 240 bytes"},
		{"write_before_start", 64, "wrote before the start of a block of 256 bytes"},
		{"read_past_end", 64, "0 bytes past the end of a block of 256 bytes"},
		{"wild_pointer", 64, "in no block"},
		{"misaligned_pack", 64, "misaligned access of 16 bytes"},
		{"shared_index", 64, "undefined behaviour"},
		{"async_copy_without_wait", 256, "asynchronous copies that nobody waited for"},
		{"async_copy_early_wait", 256, "asynchronous copies that nobody waited for"},
		{"no_such_kernel", 64, "no kernel is called no_such_kernel"},
	} {
		src, dst := newMemory(t, s, c.n, ramp(c.n)...), newMemory(t, s, c.n)
		err := launch(t, c.entry, 64, faultArgs{dst.addr, src.addr, int64(c.n)}, 1)
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), c.entry) {
			t.Errorf("%s on %d elements: got %v, want %q", c.entry, c.n, err, c.want)
		}
	}
	if err := s.Launch(kernels.Launch{Entry: "reverse", Grid: [3]uint32{1, 1, 1},
		Block: [3]uint32{64, 1, 1}, Args: make([]byte, 8)}, 1); err == nil ||
		!strings.Contains(err.Error(), "takes 24 bytes, got 8") {
		t.Errorf("wrong argument size: got %v", err)
	}
	if err := launch(t, "reverse", 2048, faultArgs{}, 1); err == nil ||
		!strings.Contains(err.Error(), "limits") {
		t.Errorf("2,048 threads: got %v", err)
	}
	src, dst := newMemory(t, s, 64, ramp(64)...), newMemory(t, s, 64)
	if err := launch(t, "reverse", 64, faultArgs{dst.addr, src.addr, 64}, 1); err != nil {
		t.Errorf("a good kernel after all that: %v", err)
	}
}

// TestSilentFaultsShow launches kernels whose mistake no single thread can see. Run under a few
// seeds, they give other results than they should or than under another seed, which is how the
// conformance suite finds them; the same kernels without the mistake never do.
func TestSilentFaultsShow(t *testing.T) {
	s := faults(t)
	reversed := func(i int) float32 { return float32(63 - i) }
	for _, c := range []struct {
		entry string
		want  func(i int) float32
		n     int // results
		good  bool
	}{
		{"reverse", reversed, 64, true},
		{"reverse_without_barrier", reversed, 64, false},
		{"async_copy", func(i int) float32 { return 4 * float32(63-i) }, 64, true},
		{"async_copy_overwrites", func(i int) float32 { return 4 * float32(63-i) }, 64, false},
		{"uninitialised_shared", func(int) float32 { return 64 }, 1, false},
		{"uninitialised_global", func(i int) float32 { return float32(i) }, 64, false},
	} {
		const seeds = 8
		wrong := 0
		for seed := range uint64(seeds) {
			src, dst := newMemory(t, s, 512, ramp(512)...), newMemory(t, s, c.n)
			if err := launch(t, c.entry, 64, faultArgs{dst.addr, src.addr, 64}, seed); err != nil {
				t.Fatalf("%s: %v", c.entry, err)
			}
			for i, v := range dst.floats() {
				if v != c.want(i) {
					wrong++
					break
				}
			}
		}
		if c.good && wrong > 0 || !c.good && wrong < seeds {
			t.Errorf("%s: %d of %d seeds gave a wrong result; good kernel: %v", c.entry, wrong, seeds,
				c.good)
		}
	}
}

// TestWarpOperations compares shuffles and votes with their definitions.
func TestWarpOperations(t *testing.T) {
	s := faults(t)
	src, dst := newMemory(t, s, 64, ramp(64)...), newMemory(t, s, 5*64)
	if err := launch(t, "warp_sum", 64, faultArgs{dst.addr, src.addr, 64}, 3); err != nil {
		t.Fatal(err)
	}
	got := dst.floats()
	for i := range 64 {
		first := i / 32 * 32
		sum := 32*first + 31*32/2
		want := []float32{float32(max(i-1, first)), float32(min(i+1, first+31)), float32(first),
			float32(sum), 0xAAAA}
		for k, w := range want {
			if got[5*i+k] != w {
				t.Errorf("thread %d, value %d: got %v, want %v", i, k, got[5*i+k], w)
			}
		}
	}
}

// TestLoadTurned loads four matrices and wants lane l to get rows 2t and 2t+1 of column g of each.
func TestLoadTurned(t *testing.T) {
	s := faults(t)
	src, dst := newMemory(t, s, 32*8/2), newMemory(t, s, 32*4)
	for i := range 32 * 8 {
		binary.LittleEndian.PutUint16(src.mem[2*i:], uint16(i))
	}
	if err := launch(t, "one_load_turned", 32, faultArgs{dst.addr, src.addr, 0}, 1); err != nil {
		t.Fatal(err)
	}
	for l := range 32 {
		for m := range 4 {
			got := binary.LittleEndian.Uint32(dst.mem[4*(4*l+m):])
			low := uint32((8*m+l%4*2)*8 + l/4)
			if want := low | (low+8)<<16; got != want {
				t.Errorf("lane %d, matrix %d: %#x, want %#x", l, m, got, want)
			}
		}
	}
}

// TestTensorCore multiplies a 16×16 by a 16×8 matrix of small integers, exact in bfloat16.
func TestTensorCore(t *testing.T) {
	s := faults(t)
	src, dst := newMemory(t, s, (256+128)/2), newMemory(t, s, 128)
	a := func(i, k int) float32 { return float32((3*i+5*k)%11 - 5) }
	b := func(k, j int) float32 { return float32((7*k+2*j)%13 - 6) }
	put := func(at int, v float32) {
		binary.LittleEndian.PutUint16(src.mem[2*at:], uint16(math.Float32bits(v)>>16))
	}
	for i := range 256 {
		put(i, a(i/16, i%16))
	}
	for i := range 128 {
		put(256+i, b(i/8, i%8))
	}
	if err := launch(t, "one_mma", 32, faultArgs{dst.addr, src.addr, 0}, 1); err != nil {
		t.Fatal(err)
	}
	for i, got := range dst.floats() {
		var want float32
		for k := range 16 {
			want += a(i/8, k) * b(k, i%8)
		}
		if got != want {
			t.Errorf("D[%d][%d] = %v, want %v", i/8, i%8, got, want)
		}
	}
}
