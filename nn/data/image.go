package data

import (
	"bytes"
	"fmt"
	"image"
	_ "image/jpeg" // registers the decoder
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Bounds on one image file, so that a few hostile bytes cannot ask for all memory.
const (
	imageFileMax  = 1 << 28 // bytes
	imagePixelMax = 1 << 26 // pixels: 8192×8192
)

// isImage reports whether a file's name is that of an image this package reads.
func isImage(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".png", ".jpg", ".jpeg":
		return true
	}
	return false
}

// ReadImage reads a PNG or JPEG file, scales its largest centred square to size×size with an
// antialiased triangle filter and returns size·size·channels bytes in HWC order (channels 1 or
// 3). Transparent pixels are laid over white. EXIF orientation is not followed.
// The error is a *FileError.
func ReadImage(file string, size, channels int) ([]uint8, error) {
	const op = "ReadImage"
	f, err := os.Open(file)
	if err != nil {
		return nil, fileErrorAt(err.(*os.PathError).Err, op, file, "check the name")
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, imageFileMax+1))
	if err != nil {
		return nil, fileErrorAt(err, op, file, "give a PNG or JPEG file")
	}
	pix, err := DecodeImage(raw, size, channels)
	if err != nil {
		return nil, fileErrorAt(err, op, file, "give an undamaged PNG or JPEG file")
	}
	return pix, nil
}

// DecodeImage is ReadImage for the bytes of a file.
func DecodeImage(raw []byte, size, channels int) ([]uint8, error) {
	if size < 1 || size > 1<<14 || channels != 1 && channels != 3 {
		return nil, fmt.Errorf(
			"data: DecodeImage: output %dx%dx%d: expected a size of 1 to 16384 and 1 or 3 channels",
			size, size, channels)
	}
	if len(raw) > imageFileMax {
		return nil, &FileError{Op: "DecodeImage", Problem: "too long",
			Want: fmt.Sprintf("at most %d bytes", imageFileMax), Got: "more"}
	}
	cfg, format, err := image.DecodeConfig(bytes.NewReader(raw))
	if err != nil {
		return nil, &FileError{Op: "DecodeImage", Problem: "not a PNG or JPEG image", Err: err}
	}
	if cfg.Width < 1 || cfg.Height < 1 || cfg.Width > imagePixelMax/cfg.Height {
		return nil, &FileError{Op: "DecodeImage", Problem: "image size",
			Want: fmt.Sprintf("1 to %d pixels", imagePixelMax),
			Got:  fmt.Sprintf("%dx%d", cfg.Width, cfg.Height)}
	}
	img, _, err := image.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, &FileError{Op: "DecodeImage", Problem: "damaged " + format + " image", Err: err}
	}
	pix := make([]uint8, size*size*channels)
	resizeTo(pix, img, size, channels)
	return pix, nil
}

// WritePNG writes an h×w image of c channels (1 or 3) in HWC order as PNG to out.
func WritePNG(out io.Writer, pix []uint8, h, w, c int) error {
	if h < 1 || w < 1 || c != 1 && c != 3 || len(pix) != h*w*c {
		return fmt.Errorf("data: WritePNG: expected %dx%dx%d pixels with 1 or 3 channels, got %d bytes",
			h, w, c, len(pix))
	}
	if err := png.Encode(out, packed{pix, h, w, c}.image()); err != nil {
		return fmt.Errorf("data: WritePNG: %w", err)
	}
	return nil
}
