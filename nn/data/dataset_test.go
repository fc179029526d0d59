package data

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"afterimage/tensor"
)

// counting returns n images of h×w×c pixels; pixel p of image i is i + p mod 251.
func counting(t testing.TB, n, h, w, c int) *Memory {
	t.Helper()
	pix, labels := make([]uint8, n*h*w*c), make([]int32, n)
	for i := range labels {
		labels[i] = int32(i % 3)
		for p := range h * w * c {
			pix[i*h*w*c+p] = uint8((i + p) % 251)
		}
	}
	m, err := NewMemory(Images{Name: "counting", Classes: []string{"a", "b", "c"}, H: h, W: w, C: c,
		Pixels: pix, Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// wantMisuse returns the *tensor.Error f panics with.
func wantMisuse(t *testing.T, f func()) *tensor.Error {
	t.Helper()
	err := tensor.Try(f)
	var e *tensor.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a panic with *tensor.Error", err)
	}
	return e
}

func TestNewMemoryRefusesWhatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		name    string
		h, w, c int
		pix     int
		labels  []int32
		want    string
	}{
		{"channels", 2, 2, 2, 8, []int32{0}, "1 or 3 channels"},
		{"pixels", 2, 2, 3, 11, []int32{0}, "expected 1 images of 2x2x3 = 12 bytes, got 11"},
		{"label", 2, 2, 3, 12, []int32{2}, "label 2 of image 0"},
		{"negative", 2, 2, 3, 12, []int32{-2}, "label -2 of image 0"},
	} {
		_, err := NewMemory(Images{Name: "x", Classes: []string{"a", "b"}, H: c.h, W: c.w, C: c.c,
			Pixels: make([]uint8, c.pix), Labels: c.labels})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
	_, err := NewMemory(Images{Name: "x", H: 1, W: 1, C: 1, Pixels: []uint8{7},
		Labels: []int32{Unlabeled}})
	if err != nil {
		t.Errorf("unlabeled: %v", err)
	}
}

func TestReadOutsideIsMisuse(t *testing.T) {
	m := counting(t, 3, 2, 2, 1)
	scenes := NewScenes(NewPainter(), ScenesConfig{Seed: 1, N: 3, Size: 2, Channels: 1})
	for _, ds := range []Dataset{m, Subset(m, []int{2, 0, 1}), scenes} {
		wantMisuse(t, func() { ds.Read(3, make([]uint8, 4)) })
		wantMisuse(t, func() { ds.Read(-1, make([]uint8, 4)) })
		wantMisuse(t, func() { ds.Read(0, make([]uint8, 5)) })
	}
	wantMisuse(t, func() { Subset(m, []int{3}) })
}

func TestSubsetConcatMaterialize(t *testing.T) {
	m := counting(t, 5, 2, 2, 1)
	s := Subset(m, []int{4, 1})
	both := Materialize(&concat{s, First(m, 2)})
	var got []uint8
	pix := make([]uint8, 4)
	for i := range both.Len() {
		label := both.Read(i, pix)
		got = append(got, pix[0], uint8(label))
	}
	if want := []uint8{4, 1, 1, 1, 0, 0, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("first pixel and label of each image: got %v, want %v", got, want)
	}
	if _, ok := s.(Factored); ok {
		t.Error("a subset of a set without factors claims to have them")
	}
	scenes := NewScenes(NewPainter(), ScenesConfig{Seed: 1, N: 5, Size: 4, Channels: 3})
	f, ok := Subset(scenes, []int{3}).(Factored)
	if !ok || !slices.Equal(f.FactorVector(0), scenes.FactorVector(3)) {
		t.Error("a subset of scenes lost its factors")
	}
}

func TestHeldOutIsFixedAndDisjoint(t *testing.T) {
	cases := []struct{ n, want int }{{50000, 5000}, {60000, 5000}, {30000, 3000}, {9, 0}, {0, 0}}
	for _, c := range cases {
		held := HeldOut(c.n)
		if len(held) != c.want || !slices.IsSorted(held) ||
			len(slices.Compact(slices.Clone(held))) != c.want {
			t.Errorf("HeldOut(%d): %d indices, want %d different ones in order", c.n, len(held), c.want)
		}
	}
	// Every checkpoint ever chosen depends on this draw: it must not change.
	if got, want := HeldOut(50000)[:6], []int{10, 11, 23, 43, 44, 65}; !slices.Equal(got, want) {
		t.Errorf("HeldOut(50000) begins %v, want %v", got, want)
	}
	m := counting(t, 100, 1, 1, 1)
	set := newSet("x", m, m)
	seen := map[uint8]int{}
	pix := make([]uint8, 1)
	for _, ds := range []Dataset{set.Train, set.Val} {
		for i := range ds.Len() {
			ds.Read(i, pix)
			seen[pix[0]]++
		}
	}
	if set.Train.Len() != 90 || set.Val.Len() != 10 || len(seen) != 100 {
		t.Errorf("splits of 100 images: %d and %d, together %d different",
			set.Train.Len(), set.Val.Len(), len(seen))
	}
	if _, err := set.Split("dev"); err == nil {
		t.Error("Split accepted an unknown name")
	}
	if ds, err := set.Split("val"); err != nil || ds != set.Val {
		t.Errorf("Split(val): %v, %v", ds, err)
	}
}

func TestRefit(t *testing.T) {
	m := counting(t, 1, 4, 4, 1)
	rgb, err := refit(m, 0, 3, FitAuto)
	if err != nil {
		t.Fatal(err)
	}
	if got := rgb.pix[3:9]; !slices.Equal(got, []uint8{1, 1, 1, 2, 2, 2}) {
		t.Errorf("grey to RGB: %v", got)
	}
	grey, _ := refit(rgb, 0, 1, FitAuto)
	if !slices.Equal(grey.pix, m.pix) {
		t.Errorf("grey to RGB and back: %v, want %v", grey.pix, m.pix)
	}
	pad, err := refit(m, 5, 1, FitAuto) // a quarter larger: padded
	if err != nil || pad.pix[0] != 0 || pad.pix[1] != 1 || pad.pix[4] != 0 || pad.pix[24] != 0 {
		t.Errorf("pad 4 to 5: %v, %v", pad.pix, err)
	}
	half, err := refit(m, 2, 1, FitAuto)
	if err != nil || half.h != 2 {
		t.Fatal(err)
	}
	for p, want := range []int{3, 5, 10, 12} { // 2×2 blocks' means, drawn inwards by the triangle
		if d := int(half.pix[p]) - want; d < -1 || d > 1 {
			t.Errorf("resize 4 to 2: %v, pixel %d should be about %d", half.pix, p, want)
		}
	}
	_, err = refit(m, 3, 1, FitPad)
	if err == nil || !strings.Contains(err.Error(), "cannot pad 4x4 images to 3x3") {
		t.Errorf("pad to a smaller size: %v", err)
	}
	if _, err := refit(m, 3, 2, FitAuto); err == nil {
		t.Error("two channels accepted")
	}
	if _, err := refit(m, 3, 1, "stretch"); err == nil {
		t.Error("unknown fit accepted")
	}
}

func TestOpenUnknown(t *testing.T) {
	_, err := Open("cifar10", t.TempDir(), Options{})
	if err == nil || !strings.Contains(err.Error(),
		"expected cifar-10, cifar-100, mnist, fashion-mnist, scenes or folder:PATH") {
		t.Errorf("got %v", err)
	}
}
