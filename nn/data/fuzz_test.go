package data

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// fuzzSlack is what the fuzzing worker itself, an inflater's tables and a decoder's may allocate.
const fuzzSlack = 8 << 20

// allocated fails if f allocates more than factor bytes for each of n bytes of input.
func allocated(t *testing.T, factor, n int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > uint64(factor*n+fuzzSlack) {
		t.Fatalf("%d bytes of input: allocated %d bytes", n, got)
	}
}

func FuzzCIFAR(f *testing.F) {
	f.Add(cifarRecords(1, 1), true)
	f.Add(cifarRecords(2, 2), false)
	f.Add([]byte{1, 2, 3}, true)
	f.Fuzz(func(t *testing.T, raw []byte, ten bool) {
		labelBytes, classes := 2, 100
		if ten {
			labelBytes, classes = 1, 10
		}
		var pix []uint8
		var labels []int32
		var err error
		allocated(t, 4, len(raw), func() { // the pixels, and a copy while they are appended
			pix, labels, err = parseCIFAR(nil, nil, raw, labelBytes, classes)
		})
		if err != nil {
			return
		}
		if len(labels) == 0 || len(pix) != len(labels)*cifarPixels ||
			len(labels)*(labelBytes+cifarPixels) != len(raw) {
			t.Fatalf("%d bytes gave %d labels and %d pixels", len(raw), len(labels), len(pix))
		}
		for _, l := range labels {
			if l < 0 || int(l) >= classes {
				t.Fatalf("label %d", l)
			}
		}
	})
}

// FuzzIDX reads arbitrary bytes as an idx file, plain and as the content of a gzip stream.
func FuzzIDX(f *testing.F) {
	f.Add(idx(idxImages, []uint32{1, 2, 2}, []byte{1, 2, 3, 4}), true)
	f.Add(idx(idxLabels, []uint32{2}, []byte{1, 2}), false)
	f.Add(idx(idxImages, []uint32{1 << 31, 1 << 31, 1 << 31}, nil), true)
	f.Add(gzipped(f, idx(idxLabels, []uint32{2}, []byte{1, 2})), false)
	f.Fuzz(func(t *testing.T, raw []byte, images bool) {
		magic := uint32(idxLabels)
		if images {
			magic = idxImages
		}
		var dims []int
		var body []byte
		var err error
		allocated(t, 8, len(raw), func() { // a buffer that doubles as it grows
			dims, body, err = parseIDX(bytes.NewReader(raw), magic)
		})
		const inflate = 1032 // deflate's largest expansion
		allocated(t, 8*inflate, len(raw), func() {
			if zr, err := gzip.NewReader(bytes.NewReader(raw)); err == nil {
				_, _, _ = parseIDX(zr, magic)
			}
		})
		if err != nil {
			return
		}
		total := 1
		for _, d := range dims {
			total *= d
		}
		if len(dims) != int(magic&0xff) || total != len(body) || len(raw) != 4+4*len(dims)+total {
			t.Fatalf("%d bytes gave dimensions %v and %d bytes", len(raw), dims, len(body))
		}
	})
}

// FuzzImage decodes arbitrary bytes as a picture. What it may allocate follows from imagePacking: a
// pixel is up to eight bytes, and the decoder keeps two rows beside.
func FuzzImage(f *testing.F) {
	f.Add(plainPNG(f, 3, 2, color.NRGBA{R: 1, A: 200}), uint8(4), true)
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, image.NewGray(image.Rect(0, 0, 5, 3)), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes(), uint8(2), false)
	f.Add(hugePNG(f), uint8(2), false)
	f.Fuzz(func(t *testing.T, raw []byte, size uint8, colour bool) {
		if cfg, _, err := image.DecodeConfig(bytes.NewReader(raw)); err == nil &&
			cfg.Width > 0 && cfg.Height > 1<<20/cfg.Width && cfg.Height*cfg.Width <=
			imagePacking*len(raw) {
			t.Skip("a large image is legitimate, but slow")
		}
		channels := 1
		if colour {
			channels = 3
		}
		allocated(t, 3*8*imagePacking, len(raw), func() {
			pix, err := DecodeImage(raw, int(size), channels)
			if err == nil && len(pix) != int(size)*int(size)*channels {
				t.Fatalf("%d bytes for size %d, %d channels", len(pix), size, channels)
			}
		})
	})
}

// hugePNG returns a short file whose header promises 8000×8000 pixels.
func hugePNG(t testing.TB) []byte {
	raw := plainPNG(t, 1, 1, color.NRGBA{A: 255})
	big := plainPNG(t, 8000, 1, color.NRGBA{A: 255})
	copy(raw[:33], big[:33]) // signature and header with its checksum
	tall := plainPNG(t, 1, 8000, color.NRGBA{A: 255})
	copy(raw[20:24], tall[20:24])
	binary.BigEndian.PutUint32(raw[29:], crc32.ChecksumIEEE(raw[12:29]))
	return raw
}

// A header that promises more than its file can hold is not believed.
func TestImageHeaderLies(t *testing.T) {
	raw := hugePNG(t)
	allocated(t, 1, 0, func() {
		var e *FileError
		if _, err := DecodeImage(raw, 8, 3); !errors.As(err, &e) || e.Got != "8000x8000" {
			t.Errorf("got %v", err)
		}
	})
}

// FuzzUnpack unpacks arbitrary bytes as a data set's archive, plain and gzipped: nothing appears
// outside the folder, and in it nothing but the files that are wanted.
func FuzzUnpack(f *testing.F) {
	want := map[string]string{"data_batch_1.bin": "", "test_batch.bin": ""}
	// A few bytes each: in large inputs the fuzzer's time goes into making them smaller.
	f.Add(untarred(f, member{name: "cifar/data_batch_1.bin", raw: []byte("0123456")},
		member{name: "cifar/readme.html", raw: []byte("x")},
		member{name: "cifar/test_batch.bin", raw: []byte("89")}))
	f.Add(untarred(f, member{name: "../data_batch_1.bin", raw: []byte("x")}))
	f.Add(untarred(f, member{name: "/tmp/test_batch.bin", raw: []byte("x")}))
	f.Add(untarred(f, member{name: "a/data_batch_1.bin", raw: nil, kind: '2'}))
	f.Add(untarred(f, member{name: `a\..\test_batch.bin`, raw: []byte("x")}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		root := t.TempDir()
		folder := filepath.Join(root, "set")
		archive := filepath.Join(root, "archive.tar.gz")
		for _, content := range [][]byte{raw, gzipped(t, raw)} {
			if err := os.WriteFile(archive, content, 0o644); err != nil {
				t.Fatal(err)
			}
			err := unpackTarGz(archive, folder, want)
			if err != nil && err.Error() == "" {
				t.Fatal("an error without a message")
			}
			if got := names(t, root); !slices.Equal(got, []string{"archive.tar.gz"}) &&
				!slices.Equal(got, []string{"archive.tar.gz", "set"}) {
				t.Fatalf("beside the folder lie %q", got)
			}
			for _, name := range names(t, folder) {
				if _, ok := want[name]; !ok {
					t.Fatalf("%q was unpacked", name)
				}
				if info, err := os.Lstat(filepath.Join(folder, name)); err != nil ||
					!info.Mode().IsRegular() {
					t.Fatalf("%q is %v, %v", name, info.Mode(), err)
				}
			}
		}
	})
}

// untarred returns the content of a .tar.gz.
func untarred(t testing.TB, members ...member) []byte {
	t.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(tarGz(t, members...)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(zr); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// names lists a folder; none if it is not there.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
