package checkpoint

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"afterimage/tensor"
)

func mustPanic(t *testing.T, name string, f func()) {
	t.Helper()
	defer func() {
		if _, ok := recover().(*tensor.Error); !ok {
			t.Errorf("%s: expected a panic with *tensor.Error", name)
		}
	}()
	f()
}

// Every binary16 is converted to binary32 by its definition, sign · 2^e · (1 + f/1024), and back.
func TestF16Exhaustive(t *testing.T) {
	for h := range 1 << 16 {
		got := f16ToF32(uint16(h))
		sign, exp, frac := 1.0, h>>10&31, float64(h&1023)
		if h>>15 == 1 {
			sign = -1
		}
		want := sign * math.Ldexp(1+frac/1024, exp-15)
		switch {
		case exp == 0:
			want = sign * math.Ldexp(frac, -24)
		case exp == 31 && frac == 0:
			want = math.Inf(int(sign))
		case exp == 31:
			want = math.NaN()
		}
		if math.IsNaN(want) {
			if got == got || f32ToF16(got)&0x7fff <= 0x7c00 {
				t.Fatalf("%04x: expected NaN there and back, got %v %04x", h, got, f32ToF16(got))
			}
			continue
		}
		if math.Float64bits(float64(got)) != math.Float64bits(want) {
			t.Fatalf("%04x: expected %v, got %v", h, want, got)
		}
		if back := f32ToF16(got); back != uint16(h) {
			t.Fatalf("%04x: came back as %04x", h, back)
		}
	}
}

// Between two neighbouring binary16 values, everything below the middle rounds down, everything
// above rounds up, and the middle goes to the even one.
func TestF16RoundsToNearestEven(t *testing.T) {
	for h := uint16(0); h < 0x7bff; h++ {
		lo, hi := f16ToF32(h), f16ToF32(h+1)
		mid := (lo + hi) / 2 // exact: one more bit than binary16 has
		even := h + h&1
		for _, c := range []struct {
			v    float32
			want uint16
		}{{mid, even}, {math.Nextafter32(mid, 0), h}, {math.Nextafter32(mid, 1e9), h + 1}} {
			if got := f32ToF16(c.v); got != c.want {
				t.Fatalf("%g: expected %04x, got %04x", c.v, c.want, got)
			}
		}
	}
	if got := f32ToF16(65519.996); got != 0x7bff {
		t.Errorf("65519.996: expected 65504, got %04x", got)
	}
	if got := f32ToF16(65520); got != 0x7c00 {
		t.Errorf("65520: expected infinity, got %04x", got)
	}
}

func TestConversions(t *testing.T) {
	bf := Array{tensor.BF16, []int{2}, []byte{0xc0, 0x3f, 0x80, 0xff}}
	i64 := FromInt64s([]int{3}, []int64{-5, 1<<53 + 1, 1<<24 + 1})
	for _, c := range []struct {
		a    Array
		want []float32
	}{
		{FromFloat32s(nil, []float32{1.25}), []float32{1.25}},
		{FromFloat64s([]int{2}, []float64{0.1, -2}), []float32{0.1, -2}},
		{FromInt32s([]int{1, 2}, []int32{-3, math.MaxInt32}), []float32{-3, 2147483648}},
		{FromUint8s([]int{2}, []uint8{0, 255}), []float32{0, 255}},
		{FromBools([]int{2}, []bool{true, false}), []float32{1, 0}},
		{Array{tensor.Bool, []int{1}, []byte{7}}, []float32{1}},
		{bf, []float32{1.5, float32(math.Inf(-1))}},
		{i64, []float32{-5, 1 << 53, 1 << 24}},
		{FromFloat32s([]int{0, 3}, nil), []float32{}},
	} {
		if got := c.a.Float32s(); !slices.Equal(got, c.want) {
			t.Errorf("%v %v: expected %v, got %v", c.a.DType, c.a.Shape, c.want, got)
		}
	}
	if got := i64.Int64s(); !slices.Equal(got, []int64{-5, 1<<53 + 1, 1<<24 + 1}) {
		t.Errorf("Int64s: got %v", got)
	}
	if got := bf.Float64s(); got[0] != 1.5 {
		t.Errorf("Float64s: got %v", got)
	}
	mustPanic(t, "Int64s of floats", func() { bf.Int64s() })
	mustPanic(t, "wrong shape", func() { FromFloat32s([]int{2}, []float32{1}) })
	mustPanic(t, "negative shape", func() { FromFloat32s([]int{-1, -1}, []float32{1}) })
	mustPanic(t, "short data", func() { Array{tensor.F32, []int{2}, make([]byte, 7)}.Float32s() })
	mustPanic(t, "no dtype", func() { Array{}.Float32s() })
}

// An int64 that float64 cannot hold must round once, not twice.
func TestInt64RoundsOnce(t *testing.T) {
	v := int64(1)<<60 + 1<<36 + 1 // just above the middle between two float32 values
	want := float32(1<<60 + 1<<37)
	if got := FromInt64s(nil, []int64{v}).Float32s()[0]; got != want {
		t.Errorf("expected %g, got %g", want, got)
	}
}

func TestTranspose(t *testing.T) {
	shape := []int{2, 3, 4, 5}
	v := make([]int32, 120)
	for i := range v {
		v[i] = int32(i)
	}
	a := FromInt32s(shape, v)
	b := a.Transpose(0, 2, 3, 1) // OIHW to OHWI
	if !slices.Equal(b.Shape, []int{2, 4, 5, 3}) {
		t.Fatalf("shape %v", b.Shape)
	}
	for o := range 2 {
		for i := range 3 {
			for h := range 4 {
				for w := range 5 {
					want := ((o*3+i)*4+h)*5 + w
					at := ((o*4+h)*5+w)*3 + i
					if got := int32(binary.LittleEndian.Uint32(b.Data[4*at:])); got != int32(want) {
						t.Fatalf("[%d %d %d %d]: expected %d, got %d", o, h, w, i, want, got)
					}
				}
			}
		}
	}
	if back := b.Transpose(0, 3, 1, 2); !slices.Equal(back.Data, a.Data) {
		t.Error("transposing back does not give the array")
	}
	if e := FromFloat32s([]int{0, 2}, nil).Transpose(1, 0); !slices.Equal(e.Shape, []int{2, 0}) {
		t.Errorf("empty: shape %v", e.Shape)
	}
	mustPanic(t, "short", func() { a.Transpose(0, 1) })
	mustPanic(t, "none", func() { a.Transpose() })
	mustPanic(t, "twice", func() { a.Transpose(0, 1, 1, 2) })
}

func TestByteSize(t *testing.T) {
	big := math.MaxInt / 2
	for _, c := range []struct {
		shape []int
		n     int
		ok    bool
	}{
		{nil, 4, true}, {[]int{2, 3}, 24, true}, {[]int{0, big, big}, 0, true},
		{[]int{big, big, 0}, 0, true}, {[]int{big, 2}, 0, false}, {[]int{-1}, 0, false},
		{[]int{0, -1}, 0, false}, {[]int{big, big}, 0, false},
	} {
		n, ok := byteSize(c.shape, 4)
		if ok != c.ok || ok && n != c.n {
			t.Errorf("%v: expected %d %v, got %d %v", c.shape, c.n, c.ok, n, ok)
		}
	}
}
