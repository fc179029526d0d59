package ksim_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"unsafe"

	"afterimage/cuda/kernels"
)

// A layout is one of the PTX ISA's canonical layouts of a matrix of 128 rows and 16 steps of k in
// shared memory, in bfloat16s: rows (8, b, c) and steps (8, 2) with these strides, where the first
// axis has 8 elements, then swizzled over so many bits. lead and stride are what the manual's
// table says that a descriptor holds for it, in bytes.
type layout struct {
	name         string
	rowsFast     bool
	row, step    [3]int // strides of r%8, r/8%b, r/8/b; of k%8, k/8
	b            int
	bits, mode   int
	lead, stride int
}

var layouts = []layout{
	// ((8,m),(T,2k)):((1T,SBO),(1,LBO)) with SBO 64 and LBO 1024 elements
	{"k, no swizzling", false, [3]int{8, 0, 64}, [3]int{1, 1024}, 1, 0, 0, 2048, 128},
	// ((8,m),(T,2k)):((2T,SBO),(1,T)) and so on
	{"k, 32 bytes", false, [3]int{16, 0, 128}, [3]int{1, 8}, 1, 1, 3, 16, 256},
	{"k, 64 bytes", false, [3]int{32, 0, 256}, [3]int{1, 8}, 1, 2, 2, 16, 512},
	{"k, 128 bytes", false, [3]int{64, 0, 512}, [3]int{1, 8}, 1, 3, 1, 16, 1024},
	// ((T,1,m),(8,k)):((1,T,SBO),(1T,LBO))
	{"rows, no swizzling", true, [3]int{1, 0, 64}, [3]int{8, 1024}, 1, 0, 0, 2048, 128},
	// ((T,2,m),(8,k)):((1,T,LBO),(2T,SBO)) with LBO 256 and SBO 128 elements, and so on
	{"rows, 32 bytes", true, [3]int{1, 8, 256}, [3]int{16, 128}, 2, 1, 3, 512, 256},
	{"rows, 64 bytes", true, [3]int{1, 8, 512}, [3]int{32, 256}, 4, 2, 2, 1024, 512},
	{"rows, 128 bytes", true, [3]int{1, 8, 1024}, [3]int{64, 512}, 8, 3, 1, 2048, 1024},
}

// layoutBytes is the most that a matrix takes, 16 groups of 1,024 bytes; the next begins there.
const layoutBytes = 16384

// fill writes the matrix of v into shared memory's image.
func (l layout) fill(image []byte, v func(r, k int) float32) {
	for r := range 128 {
		for k := range 16 {
			at := 2 * (r%8*l.row[0] + r/8%l.b*l.row[1] + r/8/l.b*l.row[2] + k%8*l.step[0] + k/8*l.step[1])
			at ^= at >> 7 & (1<<l.bits - 1) << 4
			binary.LittleEndian.PutUint16(image[at:], uint16(math.Float32bits(v(r, k))>>16))
		}
	}
}

// descriptor describes the matrix that begins at a multiple of 1,024.
func (l layout) descriptor(at int) uint64 {
	return uint64(at/16) | uint64(l.lead/16)<<16 | uint64(l.stride/16)<<32 | uint64(l.mode)<<62
}

type wgmmaArgs struct {
	Dst, Image, Left, Right uint64
	Bytes, Mode, Fault, Pad int32
}

// wgmma multiplies on the emulator and returns D and the fault.
func wgmma(t *testing.T, left, right layout, fault int32) ([]float32, error) {
	t.Helper()
	s := faults(t)
	image, dst := newMemory(t, s, 2*layoutBytes/4), newMemory(t, s, 64*128)
	left.fill(image.mem, wgmmaA)
	right.fill(image.mem[layoutBytes:], wgmmaB)
	a := wgmmaArgs{dst.addr, image.addr, left.descriptor(0), right.descriptor(layoutBytes),
		2 * layoutBytes, 0, fault, 0}
	if left.rowsFast {
		a.Mode++
	}
	if right.rowsFast {
		a.Mode += 2
	}
	args := unsafe.Slice((*byte)(unsafe.Pointer(&a)), unsafe.Sizeof(a))
	err := s.Launch(kernels.Launch{Entry: "one_wgmma", Grid: [3]uint32{1, 1, 1},
		Block: [3]uint32{128, 1, 1}, Shared: 2*layoutBytes + 1024,
		Args: append([]byte(nil), args...)}, 1)
	return dst.floats(), err
}

// Small whole numbers, whose sums are exact.
func wgmmaA(r, k int) float32 { return float32((r*7+k*3)%11 - 5) }
func wgmmaB(r, k int) float32 { return float32((r*5+k*k)%13 - 6) }

// TestWgmma multiplies matrices that lie in every layout of the PTX ISA.
func TestWgmma(t *testing.T) {
	want := make([]float32, 64*128)
	for i := range want {
		for k := range 16 {
			want[i] += wgmmaA(i/128, k) * wgmmaB(i%128, k)
		}
	}
	for _, left := range layouts {
		for _, right := range layouts {
			name := fmt.Sprintf("A along %s, B along %s", left.name, right.name)
			got, err := wgmma(t, left, right, 0)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("%s: D[%d][%d] = %v, want %v", name, i/128, i%128, got[i], want[i])
					break
				}
			}
		}
	}
}

// TestWgmmaFaults leaves out what the instruction needs, and describes what is not there.
func TestWgmmaFaults(t *testing.T) {
	k := layouts[3]
	outside := k
	outside.stride = 8 * layoutBytes
	for _, c := range []struct {
		left  layout
		fault int32
		want  string
	}{
		{k, 1, "without fence.proxy.async"},
		{k, 2, "before wgmma.fence"},
		{k, 3, "nobody waited for"},
		{outside, 0, "outside"},
	} {
		if _, err := wgmma(t, c.left, k, c.fault); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("fault %d: %v, want %q", c.fault, err, c.want)
		}
	}
}
