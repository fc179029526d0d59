package data

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // registers the decoder
	_ "image/png"  // likewise
	"io"
	"path/filepath"
	"strings"

	"afterimage/tensor"
)

// Bounds on one image file, so that a few hostile bytes cannot ask for all memory.
const (
	imageFileMax  = 1 << 28 // bytes
	imagePixelMax = 1 << 26 // pixels: 8192×8192
	// imagePacking is the most pixels that a byte can hold: PNG's deflate expands a byte to at most
	// 1,032, of 8 pixels each; JPEG needs a bit for every block of 64 pixels. A header that
	// promises more lies, and is not to be believed before memory for it is asked for.
	imagePacking = 8 * 1032
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
// 3). Transparent pixels are laid over white. A photograph is turned upright, as its Exif
// orientation says. The error is a *FileError.
func ReadImage(file string, size, channels int) ([]uint8, error) {
	const op = "ReadImage"
	raw, err := readImageFile(op, file)
	if err != nil {
		return nil, err
	}
	pix, err := DecodeImage(raw, size, channels)
	if err != nil {
		return nil, fileErrorAt(err, op, file, "give an undamaged PNG or JPEG file")
	}
	return pix, nil
}

// readImageFile reads a file that is no longer than an image may be.
func readImageFile(op, file string) ([]byte, error) {
	f, err := tensor.OpenRegular(file)
	if err != nil {
		next := "check the name"
		if tensor.IsRefusal(err) {
			next = "give a PNG or JPEG file"
		}
		return nil, fileErrorAt(errors.Unwrap(err), op, file, next)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, imageFileMax+1))
	if err != nil {
		return nil, fileErrorAt(err, op, file, "give a PNG or JPEG file")
	}
	return raw, nil
}

// ReadPicture is DecodePicture for a file.
func ReadPicture(file string) (image.Image, error) {
	const op = "ReadPicture"
	raw, err := readImageFile(op, file)
	if err != nil {
		return nil, err
	}
	img, err := DecodePicture(raw)
	if err != nil {
		return nil, fileErrorAt(err, op, file, "give an undamaged PNG or JPEG file")
	}
	return img, nil
}

// DecodeImage is ReadImage for the bytes of a file.
func DecodeImage(raw []byte, size, channels int) ([]uint8, error) {
	if size < 1 || size > 1<<14 || channels != 1 && channels != 3 {
		return nil, tensor.Refuse(
			"data: DecodeImage: output %dx%dx%d: expected a size of 1 to 16384 and 1 or 3 channels",
			size, size, channels)
	}
	img, err := DecodePicture(raw)
	if err != nil {
		return nil, err
	}
	pix := make([]uint8, size*size*channels)
	resizeTo(pix, img, size, channels)
	return pix, nil
}

// otherImage names the format of an image of another kind, as cameras and browsers store them,
// perhaps under a name that ends in .jpg; "" if it is none of these.
func otherImage(raw []byte) string {
	head := string(raw[:min(len(raw), 12)])
	switch {
	case len(raw) == 0:
		return "empty"
	case strings.HasPrefix(head, "RIFF") && strings.HasSuffix(head, "WEBP"):
		return "WebP"
	case strings.HasSuffix(head, "ftypavif"):
		return "AVIF"
	case strings.HasSuffix(head, "ftypheic"), strings.HasSuffix(head, "ftypheix"),
		strings.HasSuffix(head, "ftypmif1"):
		return "HEIC"
	case strings.HasPrefix(head, "BM"):
		return "BMP"
	}
	return ""
}

// DecodePicture decodes the bytes of a PNG or JPEG file, and turns a photograph upright as its Exif
// orientation says. Memory is asked for only where the file is long enough to fill it. The error
// is a *FileError.
func DecodePicture(raw []byte) (image.Image, error) {
	const op = "DecodeImage"
	if len(raw) > imageFileMax {
		return nil, &FileError{Op: op, Problem: "too long",
			Want: fmt.Sprintf("at most %d bytes", imageFileMax), Got: "more"}
	}
	cfg, format, err := image.DecodeConfig(bytes.NewReader(raw))
	if err == nil && format != "png" && format != "jpeg" { // whose decoder another package brought
		err = fmt.Errorf("it is %s", strings.ToUpper(format))
	}
	if kind := otherImage(raw); err != nil && kind != "" {
		err = fmt.Errorf("it is %s", kind)
	}
	if err != nil {
		return nil, &FileError{Op: op, Problem: "not a PNG or JPEG image", Err: err}
	}
	if cfg.Width < 1 || cfg.Height < 1 || cfg.Width > imagePixelMax/cfg.Height {
		return nil, &FileError{Op: op, Problem: "image size",
			Want: fmt.Sprintf("1 to %d pixels", imagePixelMax),
			Got:  fmt.Sprintf("%dx%d", cfg.Width, cfg.Height)}
	}
	if cfg.Width*cfg.Height > imagePacking*len(raw) {
		return nil, &FileError{Op: op, Problem: "damaged " + format + " image",
			Want: fmt.Sprintf("at most %d pixels in %d bytes", imagePacking*len(raw), len(raw)),
			Got:  fmt.Sprintf("%dx%d", cfg.Width, cfg.Height)}
	}
	img, _, err := image.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, &FileError{Op: op, Problem: "damaged " + format + " image", Err: err}
	}
	return upright(img, orientation(raw)), nil
}
