package tensor_test

import (
	"math"
	"slices"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// TestBF16 rounds to nearest, ties to even, keeps what is no number, and stores it so.
func TestBF16(t *testing.T) {
	inf := math.Inf(1)
	given := []float64{0, 1, 1 + 0x1p-8, 1 + 0x1p-8 + 0x1p-20, 1 + 3*0x1p-8, -1 - 0x1p-8, inf, -inf,
		3.3963e38, 0x1p-133}
	want := []float64{0, 1, 1, 1 + 0x1p-7, 1 + 0x1p-6, -1, inf, -inf, inf, 0x1p-133}
	x := tensor.NewScope(ref.New()).New(tensor.BF16, len(given))
	x.SetFloats(given)
	if got := x.Floats(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// A NaN whose payload lies in the half that is dropped must not become an infinity.
	if v := tensor.FromBF16(tensor.ToBF16(math.Float32frombits(0x7F800001))); v == v {
		t.Errorf("a NaN became %v", v)
	}
	for bits := range 1 << 16 { // every bfloat16 is itself
		v := tensor.FromBF16(uint16(bits))
		if got := tensor.ToBF16(v); v == v && got != uint16(bits) {
			t.Fatalf("%#x became %#x", bits, got)
		}
	}
}
