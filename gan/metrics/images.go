package metrics

import (
	"fmt"

	"afterimage/tensor"
)

// A Range says which interval the pixels of a batch lie in. The zero value is no range, so that
// a batch made without a constructor is caught.
type Range uint8

// The two ranges in use: files and reports have Unit, networks have Signed.
const (
	Unit   Range = iota + 1 // [0, 1]
	Signed                  // [-1, 1]
)

// RangeSlack is how far outside its range a pixel may lie. Averaging float32 values that touch
// the bound overshoots it by a few units in the last place (6e-8 each); an image in the wrong
// range overshoots by tenths.
const RangeSlack = 1e-5

// String returns "[0, 1]" or "[-1, 1]".
func (r Range) String() string {
	switch r {
	case Unit:
		return "[0, 1]"
	case Signed:
		return "[-1, 1]"
	}
	return fmt.Sprintf("range(%d)", uint8(r))
}

// Peak returns the width of the range, the R of PSNR and SSIM: 1 or 2.
func (r Range) Peak() float64 {
	if r == Signed {
		return 2
	}
	return 1
}

// affine returns a and b such that a·x + b maps r to [0, 1].
func (r Range) affine() (a, b float64) {
	if r == Signed {
		return 0.5, 0.5
	}
	return 1, 0
}

// Images is a batch of N images of H×W pixels with C channels, NHWC, whose range is part of its
// type's value. Make one with NewImages or FromBytes, which check the pixels; treat Pix as
// read-only afterwards.
type Images struct {
	N, H, W, C int
	Range      Range
	Pix        []float32 // N·H·W·C values
}

// NewImages wraps pix (not copied) as a batch of n images [h w c] in range r.
// It panics if len(pix) is not n·h·w·c, if h, w or c is not positive, or if a pixel is NaN or lies
// outside r by more than RangeSlack.
func NewImages(n, h, w, c int, r Range, pix []float32) Images {
	const op = "metrics.NewImages"
	if r != Unit && r != Signed {
		fail(op, "unknown range %v: expected Unit or Signed", r)
	}
	if n < 0 || h <= 0 || w <= 0 || c <= 0 || len(pix) != n*h*w*c {
		fail(op, "%d pixels do not make %d images of [%d %d %d]", len(pix), n, h, w, c)
	}
	lo, hi := float32(-RangeSlack), float32(1+RangeSlack)
	if r == Signed {
		lo = -1 - RangeSlack
	}
	for i, v := range pix {
		if !(v >= lo && v <= hi) { // written so that NaN fails
			fail(op, "pixel %d of image %d is %v, outside %v", i%(h*w*c), i/(h*w*c), v, r)
		}
	}
	return Images{n, h, w, c, r, pix}
}

// FromBytes returns the batch [n h w c] of 8-bit pixels as Unit images, v/255.
// It panics as NewImages does.
func FromBytes(n, h, w, c int, b []uint8) Images {
	pix := make([]float32, len(b))
	for i, v := range b {
		pix[i] = float32(v) / 255
	}
	return NewImages(n, h, w, c, Unit, pix)
}

// Size returns the values in one image, H·W·C.
func (m Images) Size() int { return m.H * m.W * m.C }

// At returns the pixels of image i [H W C], in the batch's own range; a view, not a copy.
func (m Images) At(i int) []float32 { return m.Pix[i*m.Size() : (i+1)*m.Size()] }

// Slice returns images lo..hi−1; a view, not a copy.
func (m Images) Slice(lo, hi int) Images {
	m.Pix = m.Pix[lo*m.Size() : hi*m.Size()]
	m.N = hi - lo
	return m
}

// Select returns a copy of the images with the given indices, in that order.
func (m Images) Select(idx []int) Images {
	pix := make([]float32, 0, len(idx)*m.Size())
	for _, i := range idx {
		pix = append(pix, m.At(i)...)
	}
	m.N, m.Pix = len(idx), pix
	return m
}

// In returns the batch in range r: itself if it has that range already, else a converted copy.
func (m Images) In(r Range) Images {
	m.check("metrics.In")
	if m.Range == r {
		return m
	}
	a, b := float32(2), float32(-1) // Unit → Signed
	if r == Unit {
		a, b = 0.5, 0.5
	}
	pix := make([]float32, len(m.Pix))
	for i, v := range m.Pix {
		pix[i] = a*v + b
	}
	return NewImages(m.N, m.H, m.W, m.C, r, pix)
}

// MeanImages returns the average picture of several draws: pixel by pixel, image by image.
// It panics if there is no draw or their shapes or ranges differ.
func MeanImages(draws ...Images) Images {
	const op = "metrics.MeanImages"
	if len(draws) == 0 {
		fail(op, "expected at least one draw")
	}
	first := draws[0]
	pix := make([]float32, len(first.Pix))
	for _, d := range draws {
		sameShape(op, first, d)
		if d.Range != first.Range {
			fail(op, "draws in different ranges: %v and %v", first.Range, d.Range)
		}
	}
	for i := range pix {
		sum := 0.0
		for _, d := range draws {
			sum += float64(d.Pix[i])
		}
		pix[i] = float32(sum / float64(len(draws)))
	}
	return NewImages(first.N, first.H, first.W, first.C, first.Range, pix)
}

// unit writes image i, mapped to [0, 1], into dst.
func (m Images) unit(i int, dst []float64) {
	a, b := m.Range.affine()
	for j, v := range m.At(i) {
		dst[j] = a*float64(v) + b
	}
}

// check panics if m was not made by a constructor.
func (m Images) check(op string) {
	if m.Range != Unit && m.Range != Signed || len(m.Pix) != m.N*m.Size() {
		fail(op, "batch [%d %d %d %d] with %d pixels and %v: make it with NewImages or FromBytes",
			m.N, m.H, m.W, m.C, len(m.Pix), m.Range)
	}
}

// sameShape panics unless a and b are valid and have one shape.
func sameShape(op string, a, b Images) {
	a.check(op)
	b.check(op)
	if a.N != b.N || a.H != b.H || a.W != b.W || a.C != b.C {
		fail(op, "shapes differ: [%d %d %d %d] and [%d %d %d %d]",
			a.N, a.H, a.W, a.C, b.N, b.H, b.W, b.C)
	}
}

// fail panics with the error type of misuse.
func fail(op, format string, args ...any) {
	panic(&tensor.Error{Op: op, Reason: fmt.Sprintf(format, args...)})
}
