package data

import (
	"image/color"
	"testing"
)

// TestEmptyClass: a subfolder without images is no class, and is named; one that is empty in the
// test images alone is left alone.
func TestEmptyClass(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/1.png", "b/1.png"} {
		write(t, dir, name, plainPNG(t, 4, 4, color.NRGBA{A: 255}))
	}
	write(t, dir, "notes/read.me", []byte("x"))
	_, err := Open("folder:"+dir, "", Options{})
	wantFileError(t, err, "notes", "a class without images", "move the folder elsewhere")

	dir = t.TempDir()
	for _, name := range []string{"train/a/1.png", "train/b/1.png", "test/a/1.png"} {
		write(t, dir, name, plainPNG(t, 4, 4, color.NRGBA{A: 255}))
	}
	write(t, dir, "test/b/.keep", nil)
	if _, err := Open("folder:"+dir, "", Options{}); err != nil {
		t.Error(err)
	}
}
