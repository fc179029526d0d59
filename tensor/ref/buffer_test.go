package ref_test

import (
	"math"
	"strings"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/ref"
)

func TestLimit(t *testing.T) {
	b := ref.New(ref.WithLimit(1000))
	first, err := b.Alloc(600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Alloc(401); err == nil || !strings.Contains(err.Error(), "free") {
		t.Errorf("Alloc beyond the limit: %v", err)
	}
	b.Free(first)
	if _, err := b.Alloc(1000); err != nil {
		t.Errorf("Alloc of all there is: %v", err)
	}
	if b.Outstanding() != 1000 {
		t.Errorf("Outstanding = %d", b.Outstanding())
	}
}

// TestPoison: fresh memory reads as NaN, and a slice held across Free does too.
func TestPoison(t *testing.T) {
	b := ref.New(ref.WithPoison())
	s := tensor.NewScope(b)
	x := s.New(tensor.F32, 3)
	held := tensor.Host[float32](x)
	if v := float64(held[2]); !math.IsNaN(v) {
		t.Errorf("fresh memory holds %v", v)
	}
	x.SetFloats([]float64{1, 2, 3})
	x.Free()
	if v := float64(held[0]); !math.IsNaN(v) {
		t.Errorf("freed memory holds %v", v)
	}
}

func TestFreeMisuse(t *testing.T) {
	b := ref.New()
	buf, err := b.Alloc(8)
	if err != nil {
		t.Fatal(err)
	}
	b.Free(buf)
	if tensor.Try(func() { b.Free(buf) }) == nil {
		t.Error("a second Free of one buffer went unnoticed")
	}
	if tensor.Try(func() { b.Free(foreign{}) }) == nil {
		t.Error("Free took another backend's buffer")
	}
}

type foreign struct{}

func (foreign) Bytes() int { return 0 }
