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
}
