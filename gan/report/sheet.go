package report

import (
	"image"
	"image/color"
	"image/draw"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// A Sheet is a contact sheet: pictures in named rows (original, reconstruction, …) over columns
// that belong together (test image 0, 1, …). All pictures have one size; nil leaves a gap.
type Sheet struct {
	Columns []string // caption of each column, or none at all
	Rows    []SheetRow
	Lead    bool // the first row holds the originals: the page sets it off from the rest
	Wrap    int  // columns per band; what follows starts a new band below. 0: no wrapping
	Scale   int  // enlargement by whole pixels; 0: the one that makes pictures about 96 pixels wide
	// Width is how wide the first band's pictures are together on the page, in pixels, so that two
	// sheets of it can be as wide as each other; 0: as Scale makes them. Draw does not ask for it.
	Width int
}

// A SheetRow is one line of pictures.
type SheetRow struct {
	Caption string
	Images  []image.Image
}

const (
	gap        = 1  // between pictures, in picture pixels: it is enlarged with them
	fontSize   = 13 // of captions, in pixels of the drawn sheet
	margin     = 16 // round the drawn sheet
	captionGap = 10 // between a caption and its pictures
	targetSide = 96 // pixels that a picture is enlarged to at most, unless Scale says otherwise
)

var (
	paper = color.RGBA{0xfc, 0xfb, 0xf9, 0xff}
	ink   = color.RGBA{0x33, 0x31, 0x2e, 0xff}
)

// check panics unless rows have equal lengths, pictures one size, captions one per column.
func (s *Sheet) check() {
	const op = "report.Sheet"
	n, size := s.columns(), s.tile()
	if n == 0 || size == (image.Point{}) {
		fail(op, "the sheet has no picture")
	}
	if len(s.Columns) != 0 && len(s.Columns) != n {
		fail(op, "%d column captions for %d columns", len(s.Columns), n)
	}
	for _, r := range s.Rows {
		if len(r.Images) != n {
			fail(op, "row %q has %d pictures, the first row %d", r.Caption, len(r.Images), n)
		}
		for i, img := range r.Images {
			if img != nil && img.Bounds().Size() != size {
				fail(op, "row %q, picture %d is %v, the first %v", r.Caption, i,
					img.Bounds().Size(), size)
			}
		}
	}
}

// columns returns the number of pictures in a row.
func (s *Sheet) columns() int {
	if len(s.Rows) == 0 {
		return 0
	}
	return len(s.Rows[0].Images)
}

// tile returns the size of a picture.
func (s *Sheet) tile() image.Point {
	for _, r := range s.Rows {
		for _, img := range r.Images {
			if img != nil {
				return img.Bounds().Size()
			}
		}
	}
	return image.Point{}
}

// scale returns the enlargement in use.
func (s *Sheet) scale() int {
	if s.Scale > 0 {
		return s.Scale
	}
	return max(1, targetSide/s.tile().X)
}

// PageWidth returns how wide the pictures of the first band are together on the page.
func (s *Sheet) PageWidth() int {
	if s.Width > 0 {
		return s.Width
	}
	b := s.bands()[0]
	return ((b[1]-b[0])*(s.tile().X+gap) - gap) * s.scale()
}

// bands returns the column ranges [lo, hi) of the sheet's bands.
func (s *Sheet) bands() [][2]int {
	n, w := s.columns(), s.Wrap
	if w <= 0 {
		w = n
	}
	var out [][2]int
	for lo := 0; lo < n; lo += w {
		out = append(out, [2]int{lo, min(lo+w, n)})
	}
	return out
}

// strip returns pictures lo..hi−1 of a row side by side at their own size, transparent between.
func (s *Sheet) strip(r SheetRow, lo, hi int) *image.RGBA {
	t := s.tile()
	out := image.NewRGBA(image.Rect(0, 0, (hi-lo)*(t.X+gap)-gap, t.Y))
	for i, img := range r.Images[lo:hi] {
		if img != nil {
			at := image.Pt(i*(t.X+gap), 0)
			draw.Draw(out, image.Rectangle{at, at.Add(t)}, img, img.Bounds().Min, draw.Src)
		}
	}
	return out
}

// Draw returns the whole sheet as one picture with its captions, on a light ground, for a PNG
// file. It panics if rows or sizes do not fit together.
func (s *Sheet) Draw() *image.RGBA {
	s.check()
	face := captionFace()
	defer face.Close()
	left := 0
	for _, r := range s.Rows {
		left = max(left, textWidth(face, r.Caption))
	}
	if left > 0 {
		left += captionGap
	}
	head := 0
	if len(s.Columns) > 0 {
		head = fontSize + captionGap
	}
	k, t, bands := s.scale(), s.tile(), s.bands()
	rowH := (t.Y + gap) * k
	bandH := head + len(s.Rows)*rowH - gap*k
	w := left + ((bands[0][1]-bands[0][0])*(t.X+gap)-gap)*k
	h := len(bands)*(bandH+margin) - margin
	out := image.NewRGBA(image.Rect(0, 0, w+2*margin, h+2*margin))
	draw.Draw(out, out.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	for b, lim := range bands {
		top := margin + b*(bandH+margin)
		for c := lim[0]; c < lim[1] && head > 0; c++ {
			mid := margin + left + (c-lim[0])*(t.X+gap)*k + t.X*k/2
			text(out, face, s.Columns[c], mid-textWidth(face, s.Columns[c])/2, top+fontSize)
		}
		for i, r := range s.Rows {
			y := top + head + i*rowH
			text(out, face, r.Caption, margin, y+(t.Y*k+fontSize)/2-2)
			enlarge(out, image.Pt(margin+left, y), s.strip(r, lim[0], lim[1]), k)
		}
	}
	return out
}

// enlarge draws src k times larger at the point p, one pixel to a k×k square.
func enlarge(dst *image.RGBA, p image.Point, src *image.RGBA, k int) {
	b := src.Bounds()
	for y := range b.Dy() * k {
		for x := range b.Dx() * k {
			if v := src.RGBAAt(x/k, y/k); v.A != 0 {
				dst.SetRGBA(p.X+x, p.Y+y, v)
			}
		}
	}
}

func captionFace() font.Face {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		fail("report.Sheet", "the built-in font does not parse: %v", err)
	}
	face, err := opentype.NewFace(f, &opentype.FaceOptions{
		Size: fontSize, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		fail("report.Sheet", "the built-in font has no face: %v", err)
	}
	return face
}

func textWidth(f font.Face, s string) int { return font.MeasureString(f, s).Ceil() }

// text writes s with its baseline starting at (x, y).
func text(dst draw.Image, f font.Face, s string, x, y int) {
	d := font.Drawer{Dst: dst, Src: image.NewUniform(ink), Face: f, Dot: fixed.P(x, y)}
	d.DrawString(s)
}
