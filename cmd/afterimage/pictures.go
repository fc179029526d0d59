package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"afterimage/gan/metrics"
	"afterimage/nn/data"
	"afterimage/tensor"
)

// causeOf takes the path off an error of the os package: the message has it already.
func causeOf(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// makeFolder makes the folder that a flag names.
func makeFolder(flag, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return tensor.Refuse("--%s %s: the folder cannot be made: %w: give another one", flag, dir,
			causeOf(err))
	}
	return nil
}

// counting returns a number with the name of what it counts.
func counting(n int, name string) string {
	if n == 1 {
		return "1 " + name
	}
	return fmt.Sprintf("%d %ss", n, name)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// listPictures returns the images below dir by their path from there, without extension.
func listPictures(dir string) (map[string]string, error) {
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		ext := filepath.Ext(path)
		if d.IsDir() || !slices.Contains([]string{".png", ".jpg", ".jpeg"}, strings.ToLower(ext)) {
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimSuffix(rel, ext))
		if other, ok := out[name]; ok {
			return tensor.Refuse("compare: %s and %s have one name: rename or remove one", other, path)
		}
		out[name] = path
		return nil
	})
	if err == nil && len(out) == 0 {
		err = tensor.Refuse("compare: %s holds no PNG or JPEG image: check the folder", dir)
	}
	return out, err
}

func sortedNames(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// firstNames lists a few names and counts the rest.
func firstNames(names []string) string {
	const most = 3 // what a line has room for
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// readPicture reads a PNG or JPEG file as one RGB image with its own extents.
func readPicture(path string) (m metrics.Images, err error) {
	img, err := data.ReadPicture(path)
	if err != nil {
		return m, fmt.Errorf("compare: %w", err)
	}
	b := img.Bounds()
	pix := make([]float32, 0, 3*b.Dx()*b.Dy())
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, alpha := img.At(x, y).RGBA() // premultiplied, 16 bit
			for _, v := range []uint32{r, g, bl} {
				pix = append(pix, float32(v+0xffff-alpha)/0xffff)
			}
		}
	}
	return metrics.NewImages(1, b.Dy(), b.Dx(), 3, metrics.Unit, pix), nil
}
