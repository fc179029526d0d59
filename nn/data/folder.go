package data

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"afterimage/tensor"
)

// folderMax bounds the memory a folder of images may take, 16 GiB.
const folderMax = 16 << 30

// defaultFolderSize is the image size of folders opened without one: CIFAR's.
const defaultFolderSize = 32

// OpenFolder reads the PNG and JPEG files of a folder, each brought to size×size pixels as by
// ReadImage (size 0: 32; channels 0: 3). Subfolders are classes, in the order of their names;
// images within a class are in the order of theirs. A folder without subfolders holds unlabeled
// images. Hidden files and files of other kinds are passed over. The error is a *FileError naming
// the first file that cannot be read.
func OpenFolder(path string, size, channels int) (*Memory, error) {
	op := "Open folder"
	if size == 0 {
		size = defaultFolderSize
	}
	if channels == 0 {
		channels = 3
	}
	if size < 1 || channels != 1 && channels != 3 {
		return nil, tensor.Refuse(
			"data: %s: %s: image size %dx%dx%d: expected at least 1 pixel and 1 or 3 channels",
			op, path, size, size, channels)
	}
	files, labels, classes, err := listImages(op, path)
	if err != nil {
		return nil, err
	}
	bytes := size * size * channels
	if int64(len(files))*int64(bytes) > folderMax {
		return nil, &FileError{Op: op, File: path, Problem: "too many images for memory",
			Want: fmt.Sprintf("at most %d bytes", int64(folderMax)),
			Got:  fmt.Sprintf("%d images of %d bytes", len(files), bytes),
			Next: "choose a smaller size or fewer images"}
	}
	m := &Memory{folderPrefix + path, classes, size, size, channels, make([]uint8, len(files)*bytes),
		labels}
	return m, m.decodeAll(op, files)
}

// decodeAll reads every file into its own place, on all processors.
func (m *Memory) decodeAll(op string, files []string) error {
	size := m.h * m.w * m.c
	workers := min(runtime.GOMAXPROCS(0), len(files))
	failed := make([]error, len(files))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(files); i += workers {
				pix, err := ReadImage(files[i], m.h, m.c)
				if err != nil {
					failed[i] = fileErrorAt(err, op, files[i], "repair or remove the file")
					return
				}
				copy(m.pix[i*size:(i+1)*size], pix)
			}
		})
	}
	wg.Wait()
	for _, err := range failed { // the first by name, whichever worker met it
		if err != nil {
			return err
		}
	}
	return nil
}

// listImages lists the image files below path with their labels and the class names.
func listImages(op, path string) (files []string, labels []int32, classes []string, err error) {
	flat, folders, err := listFolder(op, path)
	if err != nil {
		return nil, nil, nil, err
	}
	for label, folder := range folders {
		in, _, err := listFolder(op, folder)
		if err != nil {
			return nil, nil, nil, err
		}
		classes = append(classes, filepath.Base(folder))
		for _, f := range in {
			files, labels = append(files, f), append(labels, int32(label))
		}
	}
	if len(files) > 0 {
		return files, labels, classes, nil
	}
	for range flat {
		labels = append(labels, Unlabeled)
	}
	if len(flat) == 0 {
		return nil, nil, nil, &FileError{Op: op, File: path, Problem: "no images",
			Want: "PNG or JPEG files in it (unlabeled) or in its subfolders (one per class)",
			Next: "check the folder"}
	}
	return flat, labels, nil, nil
}

// listFolder returns the image files and the folders directly in path, in the order of their names.
func listFolder(op, path string) (images, folders []string, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return nil, nil, fileErrorAt(err, op, path, "give an existing folder: folder:PATH")
	}
	for _, e := range entries {
		full := filepath.Join(path, e.Name())
		info, err := os.Stat(full) // follows links, which ReadDir does not
		switch {
		case strings.HasPrefix(e.Name(), ".") || err != nil:
		case info.IsDir():
			folders = append(folders, full)
		case isImage(e.Name()):
			images = append(images, full)
		}
	}
	return images, folders, nil
}

// noEmptyClass returns an error if a class has no image to learn it from: what looks like a class
// is a folder of something else, or its images are of a kind that is not read.
func (m *Memory) noEmptyClass(path string) error {
	for label, n := range ClassCounts(m) {
		if n == 0 {
			return &FileError{Op: "Open folder", File: filepath.Join(path, m.classes[label]),
				Problem: "a class without images", Want: "PNG or JPEG files in every subfolder",
				Got: "none", Next: "put its images there, or move the folder elsewhere"}
		}
	}
	return nil
}

// openFolderSet opens folder:PATH. PATH may hold train, test and val folders with the same
// classes; without them a tenth of the images becomes Test and the rest is split by HeldOut.
func openFolderSet(path string, size, channels int) (*Set, error) {
	name := folderPrefix + path
	sub := func(part string) (*Memory, error) {
		m, err := OpenFolder(filepath.Join(path, part), size, channels)
		if m != nil {
			m.name = name
		}
		return m, err
	}
	isDir := func(part string) bool {
		info, err := os.Stat(filepath.Join(path, part))
		return err == nil && info.IsDir()
	}
	if !isDir("train") || !isDir("test") && !isDir("val") {
		all, err := sub("")
		if err == nil {
			err = all.noEmptyClass(path)
		}
		if err != nil {
			return nil, err
		}
		return newFolderSet(name, all), nil
	}
	parts := map[string]*Memory{}
	for _, part := range []string{"train", "val", "test"} {
		if !isDir(part) {
			continue
		}
		m, err := sub(part)
		if err == nil && part == "train" {
			err = m.noEmptyClass(filepath.Join(path, part))
		}
		if err != nil {
			return nil, err
		}
		if parts[part] = m; strings.Join(m.classes, "/") != strings.Join(parts["train"].classes, "/") {
			return nil, &FileError{Op: "Open folder", File: filepath.Join(path, part),
				Problem: "other classes than in train",
				Want:    strings.Join(parts["train"].classes, " "), Got: strings.Join(m.classes, " "),
				Next: "give every split the same subfolders"}
		}
	}
	train, val, test := parts["train"], parts["val"], parts["test"]
	switch {
	case test == nil: // ImageNet's layout: val is what is reported on
		return newSet(name, train, val), nil
	case val == nil:
		return newSet(name, train, test), nil
	}
	return &Set{name, train, val, test, &concat{train, val}}, nil
}
