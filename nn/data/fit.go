package data

import (
	"image"

	"afterimage/tensor"

	"golang.org/x/image/draw"
)

// Fit says how images smaller or larger than the wanted size are brought to it.
type Fit string

// The two ways. Folders of images are always resized.
const (
	// FitAuto pads where the wanted size is larger by at most a quarter (MNIST's 28 to 32) and
	// resizes otherwise.
	FitAuto Fit = ""
	// FitPad centres the image on black; it needs a size no smaller than the image's.
	FitPad Fit = "pad"
	// FitResize scales the largest centred square with a triangle filter, widened when
	// shrinking (PIL's and torchvision's antialiased bilinear).
	FitResize Fit = "resize"
)

// refit returns m with images of size×size pixels (0: as they are) and channels channels
// (0: as they are). Grey to RGB repeats the channel; RGB to grey is ITU-R BT.601 luma.
func refit(m *Memory, size, channels int, fit Fit) (*Memory, error) {
	if channels != 0 && channels != 1 && channels != 3 {
		return nil, tensor.Refuse("data: Open %s: channels: expected 1 or 3, got %d", m.name, channels)
	}
	if channels != 0 && channels != m.c {
		m = m.mapImages(m.h, m.w, channels, func(dst, src []uint8) { recolour(dst, src, channels) })
	}
	if size == 0 || size == m.h && size == m.w {
		return m, nil
	}
	if size < 1 {
		return nil, tensor.Refuse("data: Open %s: size: expected at least 1, got %d", m.name, size)
	}
	larger := size >= m.h && size >= m.w
	switch {
	case fit == FitPad && !larger:
		return nil, tensor.Refuse("data: Open %s: cannot pad %dx%d images to %dx%d: use fit resize",
			m.name, m.h, m.w, size, size)
	case larger && Pads(min(m.h, m.w), size, fit):
		return m.mapImages(size, size, m.c, func(dst, src []uint8) {
			padTo(dst, src, size, m.h, m.w, m.c)
		}), nil
	case fit == FitAuto, fit == FitResize:
		return m.mapImages(size, size, m.c, func(dst, src []uint8) {
			resizeTo(dst, packed{src, m.h, m.w, m.c}.image(), size, m.c)
		}), nil
	}
	return nil, tensor.Refuse("data: Open %s: fit: expected pad or resize, got %q", m.name, fit)
}

// Pads reports whether images of side×side pixels are padded to size×size, instead of resized.
func Pads(side, size int, fit Fit) bool {
	return fit == FitPad || fit == FitAuto && size >= side && 4*size <= 5*side
}

// mapImages returns a dataset of h×w×c images made from m's one by one.
func (m *Memory) mapImages(h, w, c int, f func(dst, src []uint8)) *Memory {
	from, to := m.h*m.w*m.c, h*w*c
	out := &Memory{m.name, m.classes, h, w, c, make([]uint8, len(m.labels)*to), m.labels}
	for i := range m.labels {
		f(out.pix[i*to:(i+1)*to], m.pix[i*from:(i+1)*from])
	}
	return out
}

// recolour converts packed grey pixels to RGB or the other way round.
func recolour(dst, src []uint8, channels int) {
	if channels == 3 {
		for p, v := range src {
			dst[3*p], dst[3*p+1], dst[3*p+2] = v, v, v
		}
		return
	}
	for p := range dst {
		dst[p] = luma(src[3*p], src[3*p+1], src[3*p+2])
	}
}

// luma is 0.299 R + 0.587 G + 0.114 B, rounded (ITU-R BT.601).
func luma(r, g, b uint8) uint8 {
	return uint8((299*int(r) + 587*int(g) + 114*int(b) + 500) / 1000)
}

// padTo centres an h×w image in dst, size×size, on black.
func padTo(dst, src []uint8, size, h, w, c int) {
	clear(dst)
	top, left := (size-h)/2, (size-w)/2
	for y := range h {
		copy(dst[((top+y)*size+left)*c:], src[y*w*c:(y+1)*w*c])
	}
}

// packed is an HWC image of 1 or 3 channels.
type packed struct {
	pix     []uint8
	h, w, c int
}

// image returns p as an opaque image of the standard library.
func (p packed) image() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, p.w, p.h))
	for i := range p.h * p.w {
		for ch := range 3 {
			img.Pix[4*i+ch] = p.pix[i*p.c+ch%p.c]
		}
		img.Pix[4*i+3] = 255
	}
	return img
}

// resizeTo scales the largest centred square of src to size×size pixels of c channels. Pixels
// that are not opaque are laid over white.
func resizeTo(dst []uint8, src image.Image, size, c int) {
	b := src.Bounds()
	side := min(b.Dx(), b.Dy())
	x, y := b.Min.X+(b.Dx()-side)/2, b.Min.Y+(b.Dy()-side)/2
	img := image.NewRGBA(image.Rect(0, 0, size, size))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	if square := image.Rect(x, y, x+side, y+side); side == size {
		draw.Draw(img, img.Bounds(), src, square.Min, draw.Over)
	} else {
		draw.BiLinear.Scale(img, img.Bounds(), src, square, draw.Over, nil)
	}
	for i := range size * size {
		px := img.Pix[4*i : 4*i+3 : 4*i+3]
		if c == 1 {
			dst[i] = luma(px[0], px[1], px[2])
			continue
		}
		copy(dst[3*i:3*i+3], px)
	}
}
