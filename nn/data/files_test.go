package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// cifarRecords returns n records with the given number of label bytes; image i is filled with
// red i, green i+1, blue i+2 and has label i mod 10.
func cifarRecords(n, labelBytes int) []byte {
	var out []byte
	for i := range n {
		rec := make([]byte, labelBytes+cifarPixels)
		rec[0], rec[labelBytes-1] = 19, byte(i%10)
		for ch := range 3 {
			for p := range cifarPlane {
				rec[labelBytes+ch*cifarPlane+p] = byte(i + ch)
			}
		}
		out = append(out, rec...)
	}
	return out
}

// write creates dir/name with the given bytes.
func write(t testing.TB, dir, name string, raw []byte) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, raw, 0o666); err != nil {
		t.Fatal(err)
	}
	return p
}

type member struct {
	name string
	raw  []byte
	kind byte
}

// tarGz packs members; kind 0 is a regular file.
func tarGz(t testing.TB, members ...member) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.raw)), Typeflag: tar.TypeReg}
		if m.kind != 0 {
			h.Typeflag, h.Linkname = m.kind, "/etc/passwd"
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(m.raw); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func smallCIFAR() []member {
	members := []member{{name: "cifar-10-batches-bin/batches.meta.txt",
		raw: []byte("p0\np1\np2\np3\np4\np5\np6\np7\np8\np9\n\n")}}
	for _, n := range []string{"1", "2", "3", "4", "5"} {
		members = append(members, member{name: "cifar-10-batches-bin/data_batch_" + n + ".bin",
			raw: cifarRecords(4, 1)})
	}
	return append(members, member{name: "cifar-10-batches-bin/test_batch.bin", raw: cifarRecords(3,
		1)})
}

func TestCIFARFromFolderAndArchive(t *testing.T) {
	folder, bare, packed := t.TempDir(), t.TempDir(), t.TempDir()
	for _, m := range smallCIFAR() {
		write(t, folder, m.name, m.raw)
		write(t, bare, filepath.Base(m.name), m.raw)
	}
	archive := write(t, packed, "cifar-10-binary.tar.gz", tarGz(t, smallCIFAR()...))
	for _, dir := range []string{folder, bare, packed, archive} {
		set, err := Open("cifar-10", dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if set.TrainVal.Len() != 20 || set.Val.Len() != 2 || set.Test.Len() != 3 ||
			set.Classes()[7] != "p7" {
			t.Errorf("%s: %d training, %d held out, %d test images, class 7 %q",
				dir, set.TrainVal.Len(), set.Val.Len(), set.Test.Len(), set.Classes()[7])
		}
		pix := make([]uint8, cifarPixels)
		if label := set.Test.Read(2, pix); label != 2 || !slices.Equal(pix[3069:], []uint8{2, 3, 4}) {
			t.Errorf("test image 2: label %d, last pixel %v", label, pix[3069:])
		}
	}
}

// TestTestOnly: the training images are neither read nor missed, and the test images are the same.
func TestTestOnly(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "test_batch.bin", cifarRecords(3, 1))
	set, err := Open("cifar-10", dir, Options{TestOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	h, w, c := set.Size()
	pix := make([]uint8, cifarPixels)
	if label := set.Test.Read(2, pix); label != 2 || set.Test.Len() != 3 || set.TrainVal.Len() != 0 ||
		set.Train.Len() != 0 || set.Val.Len() != 0 || len(set.Classes()) != 10 || h*w*c != cifarPixels {
		t.Errorf("label %d of %d test images, %d others of %d×%d×%d, %d classes", label, set.Test.Len(),
			set.TrainVal.Len(), h, w, c, len(set.Classes()))
	}
	_, err = Open("cifar-10", dir, Options{})
	wantFileError(t, err, "data_batch_1.bin", "cannot read")
}

func TestCIFAR100TakesFineLabels(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "cifar-100-binary/train.bin", cifarRecords(10, 2))
	write(t, dir, "cifar-100-binary/test.bin", cifarRecords(5, 2))
	set, err := Open("cifar-100", dir, Options{Test: 3})
	if err != nil {
		t.Fatal(err)
	}
	pix := make([]uint8, cifarPixels)
	if label := set.Test.Read(2, pix); label != 2 || set.Test.Len() != 3 || len(set.Classes()) != 100 {
		t.Errorf("label %d of %d images, %d classes", label, set.Test.Len(), len(set.Classes()))
	}
}

// wantFileError checks that err is a *FileError about file whose text has every part.
func wantFileError(t *testing.T, err error, file string, parts ...string) {
	t.Helper()
	var e *FileError
	if !errors.As(err, &e) {
		t.Errorf("got %v, want a *FileError", err)
		return
	}
	for _, p := range append(parts, file) {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("got %q, want it to contain %q", err, p)
		}
	}
	if strings.Contains(err.Error(), "\n") || e.Next == "" {
		t.Errorf("got %q, want one line with a next step", err)
	}
}

func TestCIFARErrorsNameFileSizeAndNextStep(t *testing.T) {
	dir := t.TempDir()
	for _, m := range smallCIFAR() {
		write(t, dir, m.name, m.raw)
	}
	file := filepath.Join(dir, "cifar-10-batches-bin", "data_batch_3.bin")
	open := func() error { _, err := Open("cifar-10", dir, Options{}); return err }

	write(t, dir, "cifar-10-batches-bin/data_batch_3.bin", cifarRecords(2, 1)[:5000])
	wantFileError(t, open(), file, "multiple of 3073 bytes", "got 5000", "data get cifar-10")
	write(t, dir, "cifar-10-batches-bin/data_batch_3.bin", nil)
	wantFileError(t, open(), file, "got 0")
	bad := cifarRecords(2, 1)
	bad[3073] = 10
	write(t, dir, "cifar-10-batches-bin/data_batch_3.bin", bad)
	wantFileError(t, open(), file, "label of record 1", "0 to 9", "got 10")
	os.Remove(file)
	wantFileError(t, open(), file, "no such file")

	_, err := Open("cifar-10", t.TempDir(), Options{})
	wantFileError(t, err, "cifar-10-binary.tar.gz", "dataset not found", "data get cifar-10")
	_, err = Open("cifar-10", filepath.Join(dir, "nowhere"), Options{})
	wantFileError(t, err, "nowhere", "dataset not found")

	whole := tarGz(t, smallCIFAR()...)
	cut := write(t, t.TempDir(), "cifar-10-binary.tar.gz", whole[:len(whole)/2])
	_, err = Open("cifar-10", cut, Options{})
	wantFileError(t, err, cut, "damaged or truncated")
	text := write(t, t.TempDir(), "cifar-10-binary.tar.gz", []byte("<html>"))
	_, err = Open("cifar-10", text, Options{})
	wantFileError(t, err, text, "not a .tar.gz archive")
	few := write(t, t.TempDir(), "cifar-10-binary.tar.gz", tarGz(t, smallCIFAR()[:3]...))
	_, err = Open("cifar-10", few, Options{})
	wantFileError(t, err, few, "data_batch_3.bin", "missing from the archive")
}

// idx returns an idx file.
func idx(magic uint32, dims []uint32, body []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, magic)
	for _, d := range dims {
		out = binary.BigEndian.AppendUint32(out, d)
	}
	return append(out, body...)
}

func gzipped(t testing.TB, raw []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	if _, err := zw.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestMNIST(t *testing.T) {
	dir := t.TempDir()
	pixels := make([]byte, 20*28*28)
	for i := range pixels {
		pixels[i] = byte(i / (28 * 28) * 10)
	}
	labels := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}
	write(t, dir, "mnist/train-images-idx3-ubyte.gz", gzipped(t, idx(idxImages, []uint32{20, 28, 28},
		pixels)))
	write(t, dir, "mnist/train-labels-idx1-ubyte", idx(idxLabels, []uint32{20}, labels))
	write(t, dir, "mnist/t10k-images.idx3-ubyte", idx(idxImages, []uint32{2, 28, 28},
		pixels[28*28:3*28*28]))
	write(t, dir, "mnist/t10k-labels.idx1-ubyte", idx(idxLabels, []uint32{2}, labels[1:3]))
	set, err := Open("mnist", dir, Options{Size: 32})
	if err != nil {
		t.Fatal(err)
	}
	pix := make([]uint8, 32*32*3)
	label := set.Test.Read(1, pix)
	at := func(y, x int) uint8 { return pix[(y*32+x)*3+2] }
	if label != 2 || at(1, 16) != 0 || at(2, 2) != 20 || at(29, 29) != 20 || at(30, 16) != 0 {
		t.Errorf("label %d, padding and corners %d %d %d %d", label, at(1, 16), at(2, 2), at(29, 29),
			at(30, 16))
	}
	grey, err := Open("mnist", filepath.Join(dir, "mnist"), Options{Channels: 1})
	if err != nil {
		t.Fatal(err)
	}
	if h, w, c := grey.Size(); h != 28 || w != 28 || c != 1 {
		t.Errorf("grey MNIST is %dx%dx%d", h, w, c)
	}

	_, err = Open("fashion-mnist", t.TempDir(), Options{})
	wantFileError(t, err, "train-images-idx3-ubyte", "data get fashion-mnist")
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"short": {idx(idxLabels, []uint32{20}, labels[:19]),
			"expected 20 bytes of data for dimensions [20], got 19"},
		"long": {idx(idxLabels, []uint32{19}, labels),
			"expected 19 bytes of data for dimensions [19], got more"},
		"other": {idx(idxImages, []uint32{20}, labels),
			"expected magic number 0x00000801, got 0x00000803"},
		"header": {[]byte{0, 0, 8}, "truncated header: expected 8 bytes, got 3"},
		"huge":   {idx(idxLabels, []uint32{1 << 31, 0}, nil)[:8], "wrong size"},
		"fewer": {idx(idxLabels, []uint32{19}, labels[:19]),
			"expected 20 labels for 20 images of 28x28, got 19"},
		"label 10": {idx(idxLabels, []uint32{20}, bytes.Repeat([]byte{10}, 20)),
			"label of image 0: expected 0 to 9, got 10"},
	} {
		file := write(t, dir, "mnist/train-labels-idx1-ubyte", c.raw)
		_, err := Open("mnist", dir, Options{})
		t.Run(name, func(t *testing.T) { wantFileError(t, err, file, c.want) })
	}
}

// plainPNG is an image of one colour; alpha 0 leaves the white it is laid over.
func plainPNG(t testing.TB, w, h int, c color.NRGBA) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.SetNRGBA(i%w, i/w, c)
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestDecodeImageCropsTheCentre(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 40, 10)) // red, green 10 pixels wide in the middle, red
	for i := range 400 {
		c := color.NRGBA{R: 255, A: 255}
		if x := i % 40; x >= 15 && x < 25 {
			c = color.NRGBA{G: 255, A: 255}
		}
		img.SetNRGBA(i%40, i/40, c)
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 4, 10, 16} {
		pix, err := DecodeImage(buf.Bytes(), size, 3)
		if err != nil {
			t.Fatal(err)
		}
		for p := 0; p < len(pix); p += 3 {
			if pix[p] != 0 || pix[p+1] != 255 || pix[p+2] != 0 {
				t.Fatalf("size %d, pixel %d: %v, want pure green: the crop is not centred", size, p/3,
					pix[p:p+3])
			}
		}
	}
	white, err := DecodeImage(plainPNG(t, 3, 3, color.NRGBA{R: 9}), 2, 1)
	if err != nil || !slices.Equal(white, []uint8{255, 255, 255, 255}) {
		t.Errorf("transparent image: %v, %v, want white", white, err)
	}
	for name, raw := range map[string][]byte{"empty": nil, "text": []byte("GIF89a"),
		"cut": buf.Bytes()[:60]} {
		var e *FileError
		if _, err := DecodeImage(raw, 8, 3); !errors.As(err, &e) {
			t.Errorf("%s: got %v, want a *FileError", name, err)
		}
	}
	if _, err := DecodeImage(buf.Bytes(), 0, 3); err == nil {
		t.Error("size 0 accepted")
	}
}

func TestFolders(t *testing.T) {
	red, blue := color.NRGBA{R: 200, A: 255}, color.NRGBA{B: 200, A: 255}
	dir := t.TempDir()
	for _, n := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		write(t, dir, "birds/"+n+".png", plainPNG(t, 9, 7, red))
		write(t, dir, "cats/"+n+".PNG", plainPNG(t, 5, 5, blue))
	}
	write(t, dir, "cats/.hidden.png", []byte("x"))
	write(t, dir, "cats/notes.txt", []byte("x"))
	set, err := Open("folder:"+dir, "", Options{Size: 6})
	if err != nil {
		t.Fatal(err)
	}
	if set.Train.Len() != 17 || set.Val.Len() != 1 || set.Test.Len() != 2 ||
		!slices.Equal(set.Classes(), []string{"birds", "cats"}) {
		t.Errorf("splits %d %d %d, classes %v", set.Train.Len(), set.Val.Len(), set.Test.Len(),
			set.Classes())
	}
	again, err := Open("folder:"+dir, "", Options{Size: 6})
	if err != nil || set.Fingerprint() == "" || again.Fingerprint() != set.Fingerprint() {
		t.Errorf("fingerprints %q and %q, %v", set.Fingerprint(), again.Fingerprint(), err)
	}
	pix := make([]uint8, 6*6*3)
	for i := range set.Train.Len() {
		if label := set.Train.Read(i, pix); pix[2*label] != 200 {
			t.Errorf("image %d: label %d, pixel %v", i, label, pix[:3])
		}
	}
	flat, err := OpenFolder(filepath.Join(dir, "birds"), 4, 1)
	if err != nil || flat.Len() != 10 || flat.Read(0, make([]uint8, 16)) != Unlabeled {
		t.Errorf("flat folder: %v, %v", flat, err)
	}
	broken := write(t, dir, "birds/k.jpg", []byte("not a picture"))
	_, err = Open("folder:"+dir, "", Options{})
	wantFileError(t, err, broken, "not a PNG or JPEG image")
	_, err = Open("folder:"+t.TempDir(), "", Options{})
	wantFileError(t, err, "", "no images")
	_, err = Open("folder:"+dir+"/nowhere", "", Options{})
	wantFileError(t, err, "nowhere", "no such file")
}

func TestFolderWithSplits(t *testing.T) {
	dir, c := t.TempDir(), color.NRGBA{G: 1, A: 255}
	for _, part := range []string{"train", "val", "test"} {
		write(t, dir, part+"/x/1.png", plainPNG(t, 4, 4, c))
		write(t, dir, part+"/y/1.png", plainPNG(t, 4, 4, c))
	}
	write(t, dir, "train/x/2.png", plainPNG(t, 4, 4, c))
	set, err := Open("folder:"+dir, "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if set.Train.Len() != 3 || set.Val.Len() != 2 || set.Test.Len() != 2 || set.TrainVal.Len() != 5 {
		t.Errorf("splits %d %d %d, together %d", set.Train.Len(), set.Val.Len(), set.Test.Len(),
			set.TrainVal.Len())
	}
	write(t, dir, "test/z/1.png", plainPNG(t, 4, 4, c))
	_, err = Open("folder:"+dir, "", Options{})
	wantFileError(t, err, "test", "other classes than in train", "x y z")
}
