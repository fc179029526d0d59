package data

import (
	"fmt"
	"strings"
)

// CIFAR's binary version: a record is one label byte (CIFAR-10) or a coarse and a fine label
// byte (CIFAR-100), then 1024 bytes each of red, green and blue, row by row.
// Source: https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version".
const (
	cifarSide   = 32
	cifarPlane  = cifarSide * cifarSide
	cifarPixels = 3 * cifarPlane
)

// A cifarLayout describes one of the two sets.
type cifarLayout struct {
	name       string
	folder     string // what the archive unpacks to
	archive    string
	train      []string
	test       []string
	meta       string   // file of class names
	classes    []string // used where the file of names is missing
	labelBytes int      // the last label byte is the class
}

// cifarLayouts returns the layouts of CIFAR-10 and CIFAR-100.
func cifarLayouts() map[string]*cifarLayout {
	return map[string]*cifarLayout{
		"cifar-10": {
			name: "cifar-10", folder: "cifar-10-batches-bin", archive: "cifar-10-binary.tar.gz",
			train: []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
				"data_batch_4.bin", "data_batch_5.bin"},
			test: []string{"test_batch.bin"}, meta: "batches.meta.txt", labelBytes: 1,
			classes: strings.Fields("airplane automobile bird cat deer dog frog horse ship truck"),
		},
		"cifar-100": {
			name: "cifar-100", folder: "cifar-100-binary", archive: "cifar-100-binary.tar.gz",
			train: []string{"train.bin"}, test: []string{"test.bin"},
			meta: "fine_label_names.txt", labelBytes: 2, classes: numbered(100),
		},
	}
}

// numbered returns the names "class 0", "class 1", ….
func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("class %d", i)
	}
	return names
}

// openCIFAR reads the training and test images of one CIFAR set from dir; with testOnly there are
// no training images.
func openCIFAR(l *cifarLayout, dir string, testOnly bool) (train, test *Memory, err error) {
	op := "Open " + l.name
	wanted := append(append([]string{l.meta}, l.train...), l.test...)
	files, err := findFiles(op, l.name, dir, l.folder, l.archive, wanted)
	if err != nil {
		return nil, nil, err
	}
	classes := l.classes
	if raw, err := files.read(l.meta, 1<<16, nil); err == nil {
		lines := strings.ReplaceAll(strings.TrimSpace(string(raw)), "\r", "")
		if names := strings.Split(lines, "\n"); len(names) == len(classes) {
			classes = names
		}
	}
	trainFiles := l.train
	if testOnly {
		trainFiles = nil
	}
	if train, err = readCIFARFiles(op, files, l, classes, trainFiles); err != nil {
		return nil, nil, err
	}
	test, err = readCIFARFiles(op, files, l, classes, l.test)
	return train, test, err
}

// cifarFileMax bounds one file: ten times the official training file of CIFAR-100.
const cifarFileMax = 10 * 50000 * (2 + cifarPixels)

// readCIFARFiles reads the records of several files into one dataset.
func readCIFARFiles(
	op string, files *fileSource, l *cifarLayout, classes, names []string,
) (*Memory, error) {
	m := &Memory{name: l.name, classes: classes, h: cifarSide, w: cifarSide, c: 3}
	var raw []byte
	for _, name := range names {
		var err error
		if raw, err = files.read(name, cifarFileMax, raw); err != nil {
			return nil, err
		}
		if m.pix == nil { // the files of one set are equally long
			m.pix = make([]uint8, 0, len(names)*len(raw))
		}
		m.pix, m.labels, err = parseCIFAR(m.pix, m.labels, raw, l.labelBytes, len(classes))
		if err != nil {
			e := err.(*FileError)
			e.Op, e.File, e.Next = op, files.where(name), downloadAgain(l.name)
			return nil, e
		}
		files.forget(name)
	}
	return m, nil
}

// parseCIFAR appends the images (HWC) and labels of the records in raw to pix and labels. Any
// number of records is accepted, at least one; the error is a *FileError without Op and File.
func parseCIFAR(
	pix []uint8, labels []int32, raw []byte, labelBytes, classes int,
) ([]uint8, []int32, error) {
	record := labelBytes + cifarPixels
	if len(raw) == 0 || len(raw)%record != 0 {
		return nil, nil, &FileError{Problem: "wrong size",
			Want: fmt.Sprintf("a multiple of %d bytes (one record)", record),
			Got:  fmt.Sprintf("%d", len(raw))}
	}
	n := len(raw) / record
	at := len(pix)
	pix = append(pix, make([]uint8, n*cifarPixels)...)
	for i := range n {
		rec := raw[i*record : (i+1)*record]
		label := int(rec[labelBytes-1])
		if label >= classes {
			return nil, nil, &FileError{Problem: fmt.Sprintf("label of record %d", i),
				Want: fmt.Sprintf("0 to %d", classes-1), Got: fmt.Sprintf("%d", label)}
		}
		labels = append(labels, int32(label))
		interleave(pix[at+i*cifarPixels:at+(i+1)*cifarPixels], rec[labelBytes:])
	}
	return pix, labels, nil
}

// interleave turns three planes of 1024 bytes into HWC pixels.
func interleave(hwc, planes []uint8) {
	r, g, b := planes[:cifarPlane], planes[cifarPlane:2*cifarPlane], planes[2*cifarPlane:3*cifarPlane]
	for p := range cifarPlane {
		hwc[3*p], hwc[3*p+1], hwc[3*p+2] = r[p], g[p], b[p]
	}
}
