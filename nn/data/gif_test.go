package data

import (
	"bytes"
	"image"
	"image/color/palette"
	"image/gif"
	"strings"
	"testing"
)

// TestOtherFormats: another package's decoder does not make this one read what it does not promise.
func TestOtherFormats(t *testing.T) {
	var b bytes.Buffer
	picture := image.NewPaletted(image.Rect(0, 0, 4, 4), palette.Plan9)
	if err := gif.Encode(&b, picture, nil); err != nil {
		t.Fatal(err)
	}
	_, err := DecodePicture(b.Bytes())
	if err == nil || !strings.Contains(err.Error(), "not a PNG or JPEG image: it is GIF") {
		t.Errorf("a GIF: error %v", err)
	}
	for raw, kind := range map[string]string{"": "empty", "RIFF\x10\x00\x00\x00WEBPVP8 ": "WebP",
		"\x00\x00\x00\x18ftypheic": "HEIC", "\x00\x00\x00\x20ftypavif": "AVIF", "BM6": "BMP"} {
		if _, err := DecodePicture([]byte(raw)); err == nil ||
			!strings.Contains(err.Error(), "not a PNG or JPEG image: it is "+kind) {
			t.Errorf("%s: error %v", kind, err)
		}
	}
}
