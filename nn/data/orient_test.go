package data

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"slices"
	"testing"
)

// TestUpright: the eight ways a camera may be held, of a picture of two rows.
func TestUpright(t *testing.T) {
	src := image.NewGray(image.Rect(7, 5, 10, 7)) // images need not begin at 0
	copy(src.Pix, "abcdef")
	for i, want := range []string{"abc/def", "cba/fed", "fed/cba", "def/abc", "ad/be/cf", "da/eb/fc",
		"fc/eb/da", "cf/be/ad"} {
		got := ""
		img := upright(src, i+1)
		b := img.Bounds()
		for y := b.Min.Y; y < b.Max.Y; y++ {
			if y > b.Min.Y {
				got += "/"
			}
			for x := b.Min.X; x < b.Max.X; x++ {
				got += string(color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y)
			}
		}
		if got != want {
			t.Errorf("orientation %d: %s, expected %s", i+1, got, want)
		}
	}
}

// A taken is how a photograph was stored: its file's format, the byte order of its Exif data and
// their first bytes.
type taken struct {
	format string
	order  binary.AppendByteOrder
	mark   string
}

// ways lists those that there are.
func ways() []taken {
	little, big := binary.LittleEndian, binary.BigEndian
	return []taken{{"jpeg", little, "II*\x00"}, {"jpeg", big, "MM\x00*"}, {"png", little, "II*\x00"},
		{"png", big, "MM\x00*"}, {"png, late", big, "MM\x00*"}, {"png, headed", little, "II*\x00"}}
}

// photo returns a file of 16×8 pixels in four quarters, of 0, 80, 160 and 240 in reading order,
// with Exif data of that orientation.
func (w taken) photo(t testing.TB, orientation uint16) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 16, 8))
	for i := range img.Pix {
		img.Pix[i] = uint8(i%16/8*80 + i/64*160)
	}
	exif := w.order.AppendUint32([]byte(w.mark), 8) // the directory begins behind the header
	exif = w.order.AppendUint16(exif, 2)
	for _, e := range [][2]uint16{{0x0100, 16}, {tagOrientation, orientation}} {
		exif = w.order.AppendUint16(w.order.AppendUint16(exif, e[0]), typeShort)
		exif = w.order.AppendUint16(w.order.AppendUint16(w.order.AppendUint32(exif, 1), e[1]), 0)
	}
	var buf bytes.Buffer
	if w.format == "jpeg" {
		if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 100}); err != nil {
			t.Fatal(err)
		}
		exif = append([]byte(exifHeader), exif...)
		out := binary.BigEndian.AppendUint16([]byte{0xff, jpegStart, 0xff, jpegApp1},
			uint16(len(exif)+2))
		return append(append(out, exif...), buf.Bytes()[2:]...)
	}
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	if w.format == "png, headed" { // as some programs write it, against the standard
		exif = append([]byte(exifHeader), exif...)
	}
	const header = len(pngStart) + pngFrame + 13
	at := header
	if w.format == "png, late" {
		at = buf.Len() - pngFrame // before the end's chunk
	}
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(exif)))
	chunk = append(append(chunk, pngExif...), exif...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	return slices.Concat(buf.Bytes()[:at], chunk, buf.Bytes()[at:])
}

// TestPhotographsAreUpright: however a camera was held and whoever wrote the file, each quarter of
// the picture comes where it belongs. A picture whose Exif data are damaged is taken as it lies.
func TestPhotographsAreUpright(t *testing.T) {
	asStored := [4]int{0, 80, 160, 240}
	for o, want := range [][4]int{asStored, asStored, {80, 0, 240, 160}, {240, 160, 80, 0},
		{160, 240, 0, 80}, {0, 160, 80, 240}, {160, 0, 240, 80}, {240, 80, 160, 0},
		{80, 240, 0, 160}, asStored} { // 0 and 9 are no orientations
		for _, w := range ways() {
			checkQuarters(t, w, o, w.photo(t, uint16(o)), want)
		}
	}
	for _, format := range []string{"jpeg", "png"} {
		w := taken{format, binary.BigEndian, "XX\x00*"}
		checkQuarters(t, w, 8, w.photo(t, 8), asStored)
	}
}

// checkQuarters compares the middle of each quarter of a picture.
func checkQuarters(t *testing.T, w taken, orientation int, raw []byte, want [4]int) {
	t.Helper()
	img, err := DecodePicture(raw)
	if err != nil {
		t.Fatalf("%v, orientation %d: %v", w, orientation, err)
	}
	b, got := img.Bounds(), [4]int{}
	for i := range got {
		x, y := b.Min.X+b.Dx()*(1+i%2*2)/4, b.Min.Y+b.Dy()*(1+i/2*2)/4
		got[i] = int(color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y)
		if got[i] < want[i]-8 || got[i] > want[i]+8 { // JPEG rounds
			t.Errorf("%v, orientation %d: quarter %d is %d, expected about %d", w, orientation, i, got[i],
				want[i])
		}
	}
	turned := max(want[0], want[1])-min(want[0], want[1]) == 160 // what was below is beside
	if turned != (b.Dy() == 16) {
		t.Errorf("%v, orientation %d: %d×%d pixels", w, orientation, b.Dx(), b.Dy())
	}
}

// FuzzOrientation: whatever the bytes, there is an answer.
func FuzzOrientation(f *testing.F) {
	for _, w := range ways() {
		raw := w.photo(f, 6)
		f.Add(raw)
		f.Add(raw[:40])
	}
	f.Add([]byte(pngStart + "\xff\xff\xff\xffeXIfMM\x00*"))
	f.Add([]byte{0xff, jpegStart, 0xff, 0xff, 0xff, jpegApp1, 0, 2})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if o := orientation(raw); o < 1 || o > mostOrientation {
			t.Errorf("orientation %d", o)
		}
		tiffOrientation(raw)
	})
}
