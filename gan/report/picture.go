package report

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math"

	"afterimage/gan/metrics"
	"afterimage/tensor/atomicfile"
)

// Picture returns image i of a batch as an opaque picture, each value rounded to the nearest of 256
// levels. It panics unless the batch has one channel (shown grey) or three (R, G, B).
func Picture(m metrics.Images, i int) *image.RGBA {
	if m.C != 1 && m.C != 3 {
		fail("report.Picture", "%d channels: expected 1 or 3", m.C)
	}
	scale, offset := 1.0, 0.0
	if m.Range == metrics.Signed {
		scale, offset = 0.5, 0.5
	}
	out := image.NewRGBA(image.Rect(0, 0, m.W, m.H))
	src := m.At(i)
	for p := range m.W * m.H {
		for c := range 3 {
			v := src[p*m.C+min(c, m.C-1)]
			u := 255 * (scale*float64(v) + offset)
			out.Pix[4*p+c] = uint8(math.Round(min(max(u, 0), 255)))
		}
		out.Pix[4*p+3] = 255
	}
	return out
}

// Pictures returns every image of a batch as Picture does.
func Pictures(m metrics.Images) []image.Image {
	out := make([]image.Image, m.N)
	for i := range out {
		out[i] = Picture(m, i)
	}
	return out
}

// EncodePNG returns the PNG file of a picture, losslessly compressed.
func EncodePNG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.DefaultCompression}
	if err := e.Encode(&b, img); err != nil {
		return nil, fmt.Errorf("report: EncodePNG: %v picture: %w", img.Bounds(), err)
	}
	return b.Bytes(), nil
}

// WritePNG writes a picture to path; a crash leaves the old file or the new one, never half.
func WritePNG(path string, img image.Image) error {
	b, err := EncodePNG(img)
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, b)
}
