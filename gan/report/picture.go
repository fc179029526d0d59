package report

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"

	"afterimage/gan/metrics"
)

// Picture returns image i of a batch as an opaque picture, each value rounded to the nearest of 256
// levels. It panics unless the batch has one channel (shown grey) or three (R, G, B).
func Picture(m metrics.Images, i int) *image.RGBA {
	if m.C != 1 && m.C != 3 {
		fail("report.Picture", "%d channels: expected 1 or 3", m.C)
	}
	scale, offset := 1.0, 0.0
	if m.Range == metrics.Symmetric {
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
	return writeFile(path, b)
}

// writeFile replaces path by way of a synced temporary file in the same directory.
func writeFile(path string, b []byte) (err error) {
	defer func() {
		var p *fs.PathError
		if errors.As(err, &p) { // it names the temporary file
			err = &fs.PathError{Op: p.Op, Path: path, Err: p.Err}
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = fmt.Errorf("%w: make the folder first", err)
		case errors.Is(err, syscall.ENOSPC):
			err = fmt.Errorf("%w: free space and try again", err)
		}
		if err != nil {
			err = fmt.Errorf("report: %w", err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(b); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil { // CreateTemp makes it private to the user
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
