package tensor_test

import (
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// wantShadow wants t's shadow to hold t's elements, rounded.
func wantShadow(t *testing.T, when string, x *tensor.Tensor) {
	t.Helper()
	half := x.Shadow()
	if half == nil || half.DType() != tensor.BF16 || !half.Shape().Equal(x.Shape()) {
		t.Fatalf("%s: the shadow of %v is %v", when, x, half)
	}
	got := half.Floats()
	for i, v := range x.Floats() {
		if want := float64(tensor.FromBF16(tensor.ToBF16(float32(v)))); got[i] != want {
			t.Errorf("%s: element %d is %g, want %g", when, i, got[i], want)
		}
	}
}

// TestShadow writes to a tensor in every way that there is and wants its shadow to follow, to be
// freed with the elements, and to be there only where it can be kept.
func TestShadow(t *testing.T) {
	b := ref.New(ref.WithPoison())
	s := tensor.NewScope(b)
	x := tensor.FromSlice(s, []float32{1, 1.001, -3.3, 0.1, 7, 8}, 2, 3)
	if x.Shadow() != nil {
		t.Error("a shadow that nobody asked for")
	}
	x.KeepShadow()
	x.KeepShadow()
	wantOutstanding(t, b, "with a shadow", 6*4+6*2)
	wantShadow(t, "kept", x)
	x.SetFloats([]float64{0.3, 0.7, 1.3, 9.9, -1.1, 2.2})
	wantShadow(t, "SetFloats", x)
	tensor.CopyFromHost(x, []float32{5.1, 0.7, 1.3, 9.9, -1.1, 2.2})
	wantShadow(t, "CopyFromHost", x)
	x.Assign(s.Full(tensor.F32, 0.3, 2, 3))
	wantShadow(t, "Assign", x)
	view := s.Reshape(x, 6)
	view.SetFloats([]float64{0.9, 0.8, 0.7, 0.6, 0.5, 0.4})
	wantShadow(t, "written through a view", x)
	wantShadow(t, "of the view", view)
	x.Free()
	wantShadow(t, "of a view alone", view)
	s.Close()
	wantOutstanding(t, b, "closed", 0)

	for what, none := range map[string]*tensor.Tensor{
		"on a backend that writes none": tensor.NewScope(struct{ tensor.Backend }{b}).New(tensor.F32, 1),
		"of F64":                        tensor.NewScope(b).New(tensor.F64, 1),
	} {
		if none.KeepShadow(); none.Shadow() != nil {
			t.Errorf("a shadow %s", what)
		}
	}
}
