package data

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
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

// photo returns a JPEG file of 16×8 pixels, black on the left and white on the right, with Exif
// data of that orientation.
func photo(t testing.TB, order binary.AppendByteOrder, mark string, orientation uint16) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 16, 8))
	for i := range img.Pix {
		img.Pix[i] = uint8(i%16/8) * 255
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, nil); err != nil {
		t.Fatal(err)
	}
	exif := order.AppendUint32([]byte(exifHeader+mark), 8) // the directory begins behind the header
	exif = order.AppendUint16(exif, 2)
	for tag, v := range map[uint16]uint16{0x0100: 16, tagOrientation: orientation} {
		exif = order.AppendUint16(order.AppendUint16(exif, tag), typeShort)
		exif = order.AppendUint16(order.AppendUint16(order.AppendUint32(exif, 1), v), 0)
	}
	out := binary.BigEndian.AppendUint16([]byte{0xff, jpegStart, 0xff, jpegApp1},
		uint16(len(exif)+2))
	return append(append(out, exif...), buf.Bytes()[2:]...)
}

func TestPhotographsAreUpright(t *testing.T) {
	little, big := binary.LittleEndian, binary.BigEndian
	for _, c := range []struct {
		raw           []byte
		first, height int // of the first pixel, and rows
	}{
		{photo(t, little, "II*\x00", 1), 0, 8},
		{photo(t, little, "II*\x00", 3), 255, 8},
		{photo(t, little, "II*\x00", 6), 0, 16},
		{photo(t, big, "MM\x00*", 8), 255, 16},
		{photo(t, big, "MM\x00*", 9), 0, 8}, // no orientation there is
		{photo(t, big, "XX\x00*", 8), 0, 8},
	} {
		img, err := DecodePicture(c.raw)
		if err != nil {
			t.Fatal(err)
		}
		b := img.Bounds()
		first := color.GrayModel.Convert(img.At(b.Min.X, b.Min.Y)).(color.Gray).Y
		if b.Dy() != c.height || max(int(first), c.first)-min(int(first), c.first) > 8 {
			t.Errorf("%d rows, first pixel %d: expected %d and about %d", b.Dy(), first, c.height, c.first)
		}
	}
}

// FuzzOrientation: whatever the bytes, there is an answer.
func FuzzOrientation(f *testing.F) {
	f.Add(photo(f, binary.LittleEndian, "II*\x00", 6))
	f.Add(photo(f, binary.BigEndian, "MM\x00*", 8)[:40])
	f.Add([]byte{0xff, jpegStart, 0xff, 0xff, 0xff, jpegApp1, 0, 2})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if o := orientation(raw); o < 1 || o > mostOrientation {
			t.Errorf("orientation %d", o)
		}
		tiffOrientation(raw)
	})
}
