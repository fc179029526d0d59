package tensor_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// mustPanic returns the *tensor.Error that f panics with.
func mustPanic(t *testing.T, what string, f func()) *tensor.Error {
	t.Helper()
	err := tensor.Try(f)
	if err == nil {
		t.Fatalf("%s: no panic", what)
	}
	return err.(*tensor.Error)
}

func wantOutstanding(t *testing.T, b *ref.Backend, when string, bytes int) {
	t.Helper()
	if got := b.Outstanding(); got != bytes {
		t.Errorf("%s: %d bytes outstanding, want %d", when, got, bytes)
	}
}

func TestScopeOwnsMemory(t *testing.T) {
	b := ref.New()
	outer := tensor.NewScope(b)
	kept := outer.Zeros(tensor.F32, 10)
	inner := outer.Child()
	x, y := inner.Zeros(tensor.F64, 5), inner.Full(tensor.I32, 3, 7)
	wantOutstanding(t, b, "open", 40+40+28)
	inner.Keep(y, kept) // kept is not inner's: left alone
	if inner.Live() != 1 || outer.Live() != 2 {
		t.Errorf("after Keep: inner %d, outer %d live, want 1 and 2", inner.Live(), outer.Live())
	}
	inner.Close()
	inner.Close()
	if !x.Freed() || y.Freed() {
		t.Error("Close must free x and leave y, which was kept")
	}
	wantOutstanding(t, b, "inner closed", 40+28)
	y.Free()
	y.Free()
	wantOutstanding(t, b, "y freed", 40)
	if outer.Live() != 1 {
		t.Errorf("Live counts the freed: %d", outer.Live())
	}
	outer.Close()
	wantOutstanding(t, b, "closed", 0)
}

func TestKeepAll(t *testing.T) {
	b := ref.New()
	outer := tensor.NewScope(b)
	inner := outer.Child()
	x := inner.Zeros(tensor.F32, 4)
	inner.KeepAll()
	inner.Close()
	if x.Freed() {
		t.Error("KeepAll did not keep")
	}
	outer.Close()
	wantOutstanding(t, b, "closed", 0)
}

func TestKeepWithoutParent(t *testing.T) {
	b := ref.New()
	s := tensor.NewScope(b)
	x := s.Zeros(tensor.F32, 3)
	s.Keep(x)
	s.Close()
	if x.Freed() {
		t.Error("a tensor kept from a root scope was freed")
	}
	x.Free()
	wantOutstanding(t, b, "freed", 0)
}

func TestReshapeSharesElements(t *testing.T) {
	b := ref.New()
	s := tensor.NewScope(b)
	x := tensor.FromSlice(s, []float32{1, 2, 3, 4, 5, 6}, 2, 3)
	if !x.Exclusive() {
		t.Error("a fresh tensor is not exclusive")
	}
	y := s.Reshape(x, 3, 2)
	if x.Exclusive() || y.Exclusive() {
		t.Error("a reshaped pair counts as exclusive")
	}
	tensor.CopyFromHost(y, []float32{6, 5, 4, 3, 2, 1})
	if got := tensor.ToHost[float32](x); !slices.Equal(got, []float32{6, 5, 4, 3, 2, 1}) {
		t.Errorf("x = %v: elements are not shared", got)
	}
	x.Free()
	wantOutstanding(t, b, "one of two freed", 24)
	if !y.Exclusive() || y.Freed() {
		t.Error("the survivor must be alive and exclusive")
	}
	mustPanic(t, "Reshape of a freed tensor", func() { s.Reshape(x, 6) })
	mustPanic(t, "Reshape to another size", func() { s.Reshape(y, 5) })
	s.Close()
	wantOutstanding(t, b, "closed", 0)
}

func TestMisusePanics(t *testing.T) {
	s := tensor.NewScope(ref.New())
	x := s.Zeros(tensor.F32, 2, 3)
	dead := s.Zeros(tensor.F32, 2, 3)
	dead.Free()
	for what, f := range map[string]func(){
		"negative extent":      func() { s.New(tensor.F32, 2, -1) },
		"elements beyond int":  func() { s.New(tensor.F32, 1<<62, 4) },
		"bytes beyond int":     func() { s.New(tensor.F32, 1<<61, 2) },
		"reshape to negative":  func() { s.Reshape(x, -2, -3) },
		"reshape modulo 2⁶⁴":   func() { s.Reshape(x, 6, 7, 0x6DB6DB6DB6DB6DB7) },
		"read after free":      func() { dead.Floats() },
		"assign from freed":    func() { x.Assign(dead) },
		"kernel on freed":      func() { s.Backend().Unary(tensor.Neg, tensor.Attr{}, x, dead) },
		"item of many":         func() { x.Item() },
		"assign other shape":   func() { x.Assign(s.Zeros(tensor.F32, 3, 2)) },
		"assign other dtype":   func() { x.Assign(s.Zeros(tensor.F64, 2, 3)) },
		"host type":            func() { tensor.Host[float64](x) },
		"to host type":         func() { tensor.ToHost[int32](x) },
		"from host size":       func() { tensor.CopyFromHost(x, make([]float32, 5)) },
		"set floats size":      func() { x.SetFloats(make([]float64, 7)) },
		"floats of f16":        func() { s.New(tensor.F16, 2).Floats() },
		"slice of wrong shape": func() { tensor.FromSlice(s, []float32{1, 2}, 3) },
	} {
		mustPanic(t, what, f)
	}
	e := mustPanic(t, "use after free", func() { dead.Buffer() })
	if !strings.Contains(e.Error(), "freed") || !strings.Contains(e.Error(), "[2 3] f32") {
		t.Errorf("unhelpful message: %v", e)
	}
	s.Close()
	mustPanic(t, "allocation in a closed scope", func() { s.New(tensor.F32, 1) })
}

func TestTryLetsOtherPanicsPass(t *testing.T) {
	defer func() {
		if r := recover(); r != "other" {
			t.Errorf("recovered %v, want the original panic", r)
		}
	}()
	_ = tensor.Try(func() { panic("other") })
	t.Error("Try swallowed a foreign panic")
}

func TestOutOfMemoryNamesTheSizes(t *testing.T) {
	b := ref.New(ref.WithLimit(10_000_000))
	s := tensor.NewScope(b)
	s.New(tensor.U8, 4_000_000)
	e := mustPanic(t, "allocation over the limit", func() { s.New(tensor.U8, 7_000_000) })
	if want := "needs 7.0 MB, 6.0 MB of 10.0 MB free"; !strings.Contains(e.Error(), want) {
		t.Errorf("got %q, want it to say %q", e, want)
	}
	s.Close()
	wantOutstanding(t, b, "closed", 0)
}

func TestHostConversions(t *testing.T) {
	s := tensor.NewScope(ref.New())
	defer s.Close()
	for _, dt := range []tensor.DType{tensor.F32, tensor.F64, tensor.I32, tensor.U8} {
		x := s.New(dt, 2, 2)
		x.SetFloats([]float64{0, 1, 2, 200})
		if got := x.Floats(); !slices.Equal(got, []float64{0, 1, 2, 200}) {
			t.Errorf("%v: Floats = %v", dt, got)
		}
		if x.Bytes() != 4*dt.Size() || x.Rank() != 2 || x.Dim(-1) != 2 ||
			x.String() != dt.String()+" [2 2]" {
			t.Errorf("%v: wrong description %v", dt, x)
		}
	}
	x := tensor.FromSlice(s, []float32{1, 2, float32(math.Inf(1)), 4}, 4)
	if at := x.FirstNonFinite(); at != 2 {
		t.Errorf("FirstNonFinite = %d, want 2", at)
	}
	if at := s.Zeros(tensor.I32, 3).FirstNonFinite(); at != -1 {
		t.Errorf("FirstNonFinite of integers = %d, want -1", at)
	}
	empty := tensor.FromSlice(s, []float32{}, 0, 5)
	if len(empty.Floats()) != 0 || empty.FirstNonFinite() != -1 {
		t.Error("an empty tensor has elements")
	}
	y := s.Like(x)
	y.Assign(x)
	if !slices.Equal(y.Floats(), x.Floats()) {
		t.Error("Assign did not copy")
	}
	if v := s.Full(tensor.F64, 2.5).Item(); v != 2.5 {
		t.Errorf("Item = %v", v)
	}
}

func TestErrorText(t *testing.T) {
	s := tensor.NewScope(ref.New())
	defer s.Close()
	e := &tensor.Error{Op: "Conv2D", Reason: "channels differ",
		Operands: []tensor.Operand{tensor.Describe("x", s.Zeros(tensor.F32, 1, 2)),
			tensor.Describe("w", nil)}}
	if want := "Conv2D: channels differ: x [1 2] f32, w (nil) [] invalid"; e.Error() != want {
		t.Errorf("got %q, want %q", e.Error(), want)
	}
}

// TestOnClose: what was given is called once, the last first, while the tensors are still there.
func TestOnClose(t *testing.T) {
	s := tensor.NewScope(ref.New())
	x := s.Zeros(tensor.F32, 3)
	var order []int
	for k := range 2 {
		s.OnClose(func() {
			if order = append(order, k); x.Freed() {
				t.Error("the scope's tensors were freed before")
			}
		})
	}
	s.Close()
	s.Close()
	if !slices.Equal(order, []int{1, 0}) || !x.Freed() {
		t.Errorf("called %v, expected [1 0] and the tensor freed", order)
	}
}
