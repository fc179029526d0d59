package tensor_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"afterimage/tensor"
)

func TestShape(t *testing.T) {
	s := tensor.Shape{2, 3, 4}
	if got := s.Strides(); !slices.Equal(got, []int{12, 4, 1}) {
		t.Errorf("Strides = %v", got)
	}
	if s.Size() != 24 || (tensor.Shape{}).Size() != 1 || (tensor.Shape{5, 0}).Size() != 0 {
		t.Error("Size is not the product of the extents")
	}
	if r := s.Reduced([]int{0, 2}); !r.Equal(tensor.Shape{1, 3, 1}) || s[0] != 2 {
		t.Errorf("Reduced = %v, leaving %v", r, s)
	}
	c := s.Clone()
	c[0] = 9
	if s[0] != 2 {
		t.Error("Clone shares memory")
	}
	for want, sh := range map[string]tensor.Shape{"[]": {}, "[7]": {7},
		"[16 32 32 3]": {16, 32, 32, 3}} {
		if sh.String() != want {
			t.Errorf("String = %q, want %q", sh.String(), want)
		}
	}
}

// TestCheckedSize: products that only seem to be right, modulo 2⁶⁴, are refused, and so are those
// of negative extents.
func TestCheckedSize(t *testing.T) {
	const seventh = 0x6DB6DB6DB6DB6DB7 // 7·seventh = 1 modulo 2⁶⁴
	for _, s := range []tensor.Shape{{-1}, {-2, -3}, {0, -1}, {6, 7, seventh}, {1 << 62, 4},
		{1 << 40, 0, 1 << 40}} {
		if n, ok := s.CheckedSize(); ok {
			t.Errorf("%v counts as %d elements", s, n)
		}
	}
	for want, s := range map[int]tensor.Shape{1: {}, 0: {3, 0, 1 << 40}, 24: {2, 3, 4}} {
		if n, ok := s.CheckedSize(); n != want || !ok {
			t.Errorf("%v: %d, %v: expected %d elements", s, n, ok, want)
		}
	}
}

func TestDType(t *testing.T) {
	sizes := map[tensor.DType]int{tensor.F32: 4, tensor.F64: 8, tensor.BF16: 2, tensor.I32: 4,
		tensor.U8:  1,
		tensor.I64: 8, tensor.F16: 2, tensor.Bool: 1, tensor.Invalid: 0, tensor.DType(99): 0}
	for d, n := range sizes {
		if d.Size() != n {
			t.Errorf("%v.Size() = %d, want %d", d, d.Size(), n)
		}
	}
	if tensor.BF16.String() != "bf16" || tensor.DType(99).String() != "dtype(99)" {
		t.Error("wrong dtype names")
	}
	if tensor.DTypeOf[float32]() != tensor.F32 || tensor.DTypeOf[float64]() != tensor.F64 ||
		tensor.DTypeOf[int32]() != tensor.I32 || tensor.DTypeOf[uint8]() != tensor.U8 {
		t.Error("DTypeOf does not match its type")
	}
	if !tensor.F16.IsFloat() || tensor.I32.IsFloat() || tensor.Invalid.IsFloat() {
		t.Error("IsFloat is wrong")
	}
}

func TestBroadcastRefuses(t *testing.T) {
	for _, c := range [][2]tensor.Shape{{{2}, {3}}, {{2, 3}, {2}}, {{4, 1, 3}, {2, 2}},
		{{0}, {2}}} {
		if out, ok := tensor.Broadcast(c[0], c[1]); ok {
			t.Errorf("Broadcast(%v, %v) = %v", c[0], c[1], out)
		}
	}
}

// TestBroadcast checks the laws of NumPy's rule on shapes made to fit: take any shape, set some
// axes to 1 and drop leading ones; both such shapes broadcast to the axis-wise larger extents.
func TestBroadcast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		full := tensor.Shape(rapid.SliceOfN(rapid.IntRange(0, 5), 0, 5).Draw(t, "full"))
		shrink := func(label string) tensor.Shape {
			s := full.Clone()
			for i := range s {
				if rapid.Bool().Draw(t, label+" shrinks") {
					s[i] = 1
				}
			}
			return s[rapid.IntRange(0, len(s)).Draw(t, label+" drops"):]
		}
		a, b := shrink("a"), shrink("b")
		ab, ok := tensor.Broadcast(a, b)
		ba, ok2 := tensor.Broadcast(b, a)
		if !ok || !ok2 || !ab.Equal(ba) {
			t.Fatalf("Broadcast(%v, %v) = %v %v, swapped %v %v", a, b, ab, ok, ba, ok2)
		}
		for i := range ab { // aligned at the last axis
			at := func(s tensor.Shape) int {
				if k := i - len(ab) + len(s); k >= 0 {
					return s[k]
				}
				return 1
			}
			want := at(a)
			if want == 1 {
				want = at(b)
			}
			if ab[i] != want {
				t.Fatalf("Broadcast(%v, %v) = %v: axis %d, want %d", a, b, ab, i, want)
			}
		}
		if again, ok := tensor.Broadcast(ab, a); !ok || !again.Equal(ab) {
			t.Fatalf("Broadcast(%v, %v) = %v %v: not absorbed", ab, a, again, ok)
		}
	})
}

func TestConvOut(t *testing.T) {
	p := tensor.ConvParams{StrideH: 2, StrideW: 1, PadTop: 1, PadLeft: 0, PadBottom: 1, PadRight: 2,
		DilH: 1, DilW: 2, Groups: 1}
	if h, w := p.Out(9, 8, 3, 3); h != 5 || w != 6 {
		t.Errorf("Out = %d %d, want 5 6", h, w)
	}
	if h, w := p.Out(1, 1, 7, 7); h != 0 || w != 0 {
		t.Errorf("an image smaller than the kernel gives %d %d, want 0 0", h, w)
	}
}

// TestPoolOut holds known extents of PyTorch's pooling, floor and ceil.
func TestPoolOut(t *testing.T) {
	for _, c := range []struct {
		n, k, s, p  int
		floor, ceil int
	}{{8, 2, 2, 0, 4, 4}, {7, 2, 2, 0, 3, 4}, {7, 3, 2, 0, 3, 3}, {8, 3, 2, 0, 3, 4},
		{8, 3, 2, 1, 4, 5},
		{5, 2, 3, 0, 2, 2}, {1, 2, 2, 0, 0, 1}, {1, 2, 1, 0, 0, 0},
		{4, 2, 3, 1, 2, 2}, {112, 3, 2, 1, 56, 57}} {
		p := tensor.PoolParams{KH: c.k, KW: c.k, StrideH: c.s, StrideW: c.s, PadTop: c.p,
			PadLeft: c.p, PadBottom: c.p, PadRight: c.p}
		if h, w := p.Out(c.n, c.n); h != c.floor || w != c.floor {
			t.Errorf("%+v: floor %d %d", c, h, w)
		}
		p.CeilMode = true
		if h, w := p.Out(c.n, c.n); h != c.ceil || w != c.ceil {
			t.Errorf("%+v: ceil %d %d", c, h, w)
		}
	}
}
