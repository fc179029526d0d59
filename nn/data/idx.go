package data

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"afterimage/tensor"
)

// The idx format: two zero bytes, a type byte (8: unsigned bytes), the number of dimensions, the
// dimensions as big-endian 32-bit numbers, the data. Source: LeCun, "The MNIST database".
const (
	idxLabels = 0x00000801
	idxImages = 0x00000803
	// idxMax bounds the data a header may announce, so that a damaged header cannot ask for
	// all memory: MNIST's 60,000 training images have 47 million bytes.
	idxMax = 1 << 31
)

// mnistClasses returns the class names of an idx set.
func mnistClasses(name string) []string {
	if name == "fashion-mnist" {
		return []string{"T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt",
			"sneaker", "bag", "ankle boot"}
	}
	return strings.Fields("0 1 2 3 4 5 6 7 8 9")
}

// openMNIST reads MNIST or Fashion-MNIST from dir/NAME or dir.
func openMNIST(name, dir string) (train, test *Memory, err error) {
	if train, err = openIDX(name, dir, "train"); err != nil {
		return nil, nil, err
	}
	if test, err = openIDX(name, dir, "t10k"); err != nil {
		return nil, nil, err
	}
	if train.h != test.h || train.w != test.w {
		return nil, nil, &FileError{Op: "Open " + name, File: dir,
			Problem: "training and test images differ in size",
			Want:    fmt.Sprintf("%dx%d", train.h, train.w), Got: fmt.Sprintf("%dx%d", test.h, test.w),
			Next: downloadAgain(name)}
	}
	return train, test, nil
}

// openIDX reads one part ("train" or "t10k") of an idx set.
func openIDX(name, dir, part string) (*Memory, error) {
	op, m := "Open "+name, &Memory{name: name, classes: mnistClasses(name), c: 1}
	imagePath, err := findIDX(op, name, dir, part+"-images", "idx3-ubyte")
	if err != nil {
		return nil, err
	}
	labelPath, err := findIDX(op, name, dir, part+"-labels", "idx1-ubyte")
	if err != nil {
		return nil, err
	}
	dims, pix, err := readIDX(imagePath, idxImages)
	if err != nil {
		return nil, fileErrorAt(err, op, imagePath, downloadAgain(name))
	}
	_, labels, err := readIDX(labelPath, idxLabels)
	if err != nil {
		return nil, fileErrorAt(err, op, labelPath, downloadAgain(name))
	}
	if dims[0] != len(labels) || dims[1] < 1 || dims[2] < 1 {
		return nil, &FileError{Op: op, File: labelPath, Problem: "labels do not fit the images",
			Want: fmt.Sprintf("%d labels for %d images of %dx%d", dims[0], dims[0], dims[1], dims[2]),
			Got:  fmt.Sprintf("%d", len(labels)), Next: downloadAgain(name)}
	}
	m.h, m.w, m.pix, m.labels = dims[1], dims[2], pix, make([]int32, len(labels))
	for i, l := range labels {
		if int(l) >= len(m.classes) {
			return nil, &FileError{Op: op, File: labelPath, Problem: fmt.Sprintf("label of image %d", i),
				Want: fmt.Sprintf("0 to %d", len(m.classes)-1), Got: fmt.Sprintf("%d", l),
				Next: downloadAgain(name)}
		}
		m.labels[i] = int32(l)
	}
	return m, nil
}

// findIDX returns the path of an idx file, plain or gzipped, in dir/NAME or dir. Both spellings
// in use are tried: train-images-idx3-ubyte and train-images.idx3-ubyte.
func findIDX(op, dataset, dir, stem, suffix string) (string, error) {
	for _, folder := range []string{filepath.Join(dir, dataset), dir} {
		for _, name := range []string{stem + "-" + suffix + ".gz", stem + "-" + suffix,
			stem + "." + suffix + ".gz", stem + "." + suffix} {
			if p := filepath.Join(folder, name); isFile(p) {
				return p, nil
			}
		}
	}
	return "", &FileError{Op: op, File: dir, Problem: "dataset not found",
		Want: fmt.Sprintf("%s-%s or %[1]s-%s.gz in it or in its folder %s", stem, suffix, dataset),
		Next: getOrPoint(dataset, dir)}
}

// fileErrorAt fills in where a *FileError happened; other errors become its cause.
func fileErrorAt(err error, op, file, next string) error {
	var e *FileError
	if !errors.As(err, &e) {
		e = &FileError{Problem: "cannot read", Err: err}
	}
	e.Op, e.File, e.Next = op, file, next
	return e
}

// readIDX reads one idx file, gzipped if its name ends in .gz.
func readIDX(file string, magic uint32) (dims []int, body []byte, err error) {
	f, err := tensor.OpenRegular(file)
	if err != nil {
		return nil, nil, errors.Unwrap(err)
	}
	defer f.Close()
	if !strings.HasSuffix(file, ".gz") {
		return parseIDX(f, magic)
	}
	zr, err := gzip.NewReader(f)
	if err != nil {
		return nil, nil, &FileError{Problem: "not a gzip file", Err: err}
	}
	return parseIDX(zr, magic)
}

// parseIDX reads the header and exactly the data it announces. It allocates as the data comes
// in, never on the header's word. The error is a *FileError without Op and File.
func parseIDX(r io.Reader, magic uint32) (dims []int, body []byte, err error) {
	rank := int(magic & 0xff)
	head := make([]byte, 4+4*rank)
	if n, err := io.ReadFull(r, head); err != nil {
		return nil, nil, &FileError{Problem: "truncated header",
			Want: fmt.Sprintf("%d bytes", len(head)), Got: fmt.Sprintf("%d", n), Err: err}
	}
	if got := binary.BigEndian.Uint32(head); got != magic {
		return nil, nil, &FileError{Problem: "not an idx file of this kind",
			Want: fmt.Sprintf("magic number %#08x", magic), Got: fmt.Sprintf("%#08x", got)}
	}
	total := uint64(1)
	for d := range rank {
		n := binary.BigEndian.Uint32(head[4+4*d:])
		dims = append(dims, int(n))
		if total *= uint64(n); total > idxMax {
			return nil, nil, &FileError{Problem: "header announces too much data",
				Want: fmt.Sprintf("at most %d bytes", idxMax), Got: fmt.Sprintf("dimensions %v…", dims)}
		}
	}
	var buf bytes.Buffer
	got, err := io.Copy(&buf, io.LimitReader(r, int64(total)+1))
	if err != nil || uint64(got) != total {
		size := fmt.Sprintf("%d", got)
		if uint64(got) > total {
			size = "more"
		}
		return nil, nil, &FileError{Problem: "wrong size", Err: err,
			Want: fmt.Sprintf("%d bytes of data for dimensions %v", total, dims), Got: size}
	}
	return dims, buf.Bytes(), nil
}
