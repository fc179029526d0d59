package data

import (
	"bytes"
	"image"
	"image/color/palette"
	"image/gif"
	"testing"
)

// TestOtherFormats: another package's decoder does not make this one read what it does not promise.
func TestOtherFormats(t *testing.T) {
	var b bytes.Buffer
	if err := gif.Encode(&b, image.NewPaletted(image.Rect(0, 0, 4, 4), palette.Plan9), nil); err != nil {
		t.Fatal(err)
	}
	_, err := DecodePicture(b.Bytes())
	wantFileError(t, err, "", "not a PNG or JPEG image: it is GIF")
}
