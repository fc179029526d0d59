package data

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"afterimage/tensor"
)

// A mirror serves one file, with Range requests, and can misbehave.
type mirror struct {
	*httptest.Server
	mu     sync.Mutex
	body   []byte
	cutAt  []int // request k ends after so many bytes of its answer; -1: not at all
	status int   // answered instead, if not 0
	stall  bool  // sends half and then nothing
	ranges []string
}

func newMirror(t *testing.T, body []byte) *mirror {
	m := &mirror{body: body}
	m.Server = httptest.NewServer(m)
	t.Cleanup(func() { m.CloseClientConnections(); m.Close() })
	return m
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	k := len(m.ranges)
	m.ranges = append(m.ranges, r.Header.Get("Range"))
	m.mu.Unlock()
	if m.status != 0 {
		w.WriteHeader(m.status)
		return
	}
	if m.stall {
		w.Header().Set("Content-Length", fmt.Sprint(len(m.body)))
		w.Write(m.body[:len(m.body)/2])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	}
	if k < len(m.cutAt) && m.cutAt[k] >= 0 {
		var from int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		if from > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(m.body)-1, len(m.body)))
			w.Header().Set("Content-Length", fmt.Sprint(len(m.body)-from))
			w.WriteHeader(http.StatusPartialContent)
		} else {
			w.Header().Set("Content-Length", fmt.Sprint(len(m.body)))
		}
		w.Write(m.body[from : from+m.cutAt[k]])
		panic(http.ErrAbortHandler) // the connection breaks
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(m.body))
}

func digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// oneFile is a set of one plain file served by the mirrors.
func oneFile(body []byte, mirrors ...*mirror) remoteSet {
	f := remoteFile{name: "x.gz", size: int64(len(body)), sha256: digest(body)}
	for _, m := range mirrors {
		f.bases = append(f.bases, m.URL+"/")
	}
	return remoteSet{name: "toy", folder: "toy", page: "https://example.org/toy",
		files: []remoteFile{f}}
}

// fetched checks that the file is complete and that nothing else is left.
func fetched(t *testing.T, dir string, body []byte) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, "toy", "x.gz"))
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v, want the %d that were served", len(got), err, len(body))
	}
	if files, _ := os.ReadDir(filepath.Join(dir, "toy")); len(files) != 1 {
		t.Errorf("files left behind: %v", files)
	}
}

func toyBody() []byte { return bytes.Repeat([]byte("afterimage "), 1000) }

func TestGetResumesBrokenTransfers(t *testing.T) {
	body, dir := toyBody(), t.TempDir()
	m := newMirror(t, body)
	m.cutAt = []int{4000, 3000}
	var last int64
	err := getSet(context.Background(), oneFile(body, m), dir,
		GetOptions{Progress: func(_ string, done, total int64) {
			if last = done; total != int64(len(body)) {
				t.Errorf("total %d", total)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	fetched(t, dir, body)
	if want := []string{"", "bytes=4000-", "bytes=7000-"}; !slices.Equal(m.ranges, want) ||
		last != int64(len(body)) {
		t.Errorf("requests %q, last progress %d, want %q and %d", m.ranges, last, want, len(body))
	}
	if err := getSet(context.Background(), oneFile(body, m), dir, GetOptions{}); err != nil ||
		len(m.ranges) != 3 {
		t.Errorf("a second Get: %v, %d requests, want none beyond the 3", err, len(m.ranges))
	}
}

func TestGetTakesUpAnEarlierCall(t *testing.T) {
	body, dir := toyBody(), t.TempDir()
	write(t, dir, "toy/x.gz.part", body[:5000])
	m := newMirror(t, body)
	if err := getSet(context.Background(), oneFile(body, m), dir, GetOptions{}); err != nil {
		t.Fatal(err)
	}
	fetched(t, dir, body)
	if !slices.Equal(m.ranges, []string{"bytes=5000-"}) {
		t.Errorf("requests %q", m.ranges)
	}
}

func TestGetStartsOverIfTheRestDoesNotFit(t *testing.T) {
	for name, part := range map[string][]byte{
		"other bytes": bytes.Repeat([]byte{1}, 5000),
		"other, full": bytes.Repeat([]byte{1}, len(toyBody())),
		"too long":    bytes.Repeat([]byte{1}, 20000),
	} {
		t.Run(name, func(t *testing.T) {
			body, dir := toyBody(), t.TempDir()
			write(t, dir, "toy/x.gz.part", part)
			set := oneFile(body, newMirror(t, body))
			if err := getSet(context.Background(), set, dir, GetOptions{}); err != nil {
				t.Fatal(err)
			}
			fetched(t, dir, body)
		})
	}
}

func TestGetTriesTheNextMirror(t *testing.T) {
	body := toyBody()
	gone, refusing := newMirror(t, body), newMirror(t, body)
	gone.status, refusing.status = http.StatusNotFound, http.StatusRequestedRangeNotSatisfiable
	wrong, long := newMirror(t, bytes.Repeat([]byte{7}, len(body))),
		newMirror(t, append(body[:len(body):len(body)], 1))
	short, slow := newMirror(t, body[:100]), newMirror(t, body)
	slow.stall = true
	for name, m := range map[string]*mirror{"404": gone, "416": refusing, "wrong bytes": wrong,
		"too long":  long,
		"truncated": short, "stalled": slow} {
		t.Run(name, func(t *testing.T) {
			dir, good := t.TempDir(), newMirror(t, body)
			o := GetOptions{Stall: 100 * time.Millisecond}
			if err := getSet(context.Background(), oneFile(body, m, good), dir, o); err != nil {
				t.Fatal(err)
			}
			if fetched(t, dir, body); len(m.ranges) == 0 || len(good.ranges) == 0 {
				t.Errorf("%d and %d requests", len(m.ranges), len(good.ranges))
			}
			dir, own := t.TempDir(), newMirror(t, body)
			o.Mirrors = []string{own.URL} // one's own mirror comes first
			before := len(m.ranges)
			if err := getSet(context.Background(), oneFile(body, m), dir, o); err != nil ||
				len(m.ranges) != before {
				t.Errorf("with a mirror of one's own: %v, %d requests to the others", err, len(m.ranges)-before)
			}
		})
	}
}

func TestGetOfflineSaysWhatToPutWhere(t *testing.T) {
	body, dir := toyBody(), t.TempDir()
	off, gone := newMirror(t, body), newMirror(t, body)
	off.Close()
	gone.status = http.StatusNotFound
	err := getSet(context.Background(), oneFile(body, off, gone), dir, GetOptions{})
	wantNoMirror(t, err, filepath.Join(dir, "toy", "x.gz"), digest(body), "11000 bytes",
		off.URL+"/x.gz", "refused", "404", "https://example.org/toy", "by hand")
	if _, err := os.Stat(filepath.Join(dir, "toy", "x.gz")); err == nil {
		t.Error("a file appeared from nowhere")
	}
}

// wantNoMirror checks that err says in one line that no mirror gave a file, and has every part. It
// must not be bad input, a *FileError: whoever asked cannot mend it by asking differently.
func wantNoMirror(t *testing.T, err error, parts ...string) {
	t.Helper()
	var e *FileError
	if err == nil || errors.As(err, &e) || tensor.IsRefusal(err) {
		t.Fatalf("got %v, want an error that is neither a *FileError nor a refusal", err)
	}
	for _, p := range append(parts, "no mirror gave the file") {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("got %q, want it to contain %q", err, p)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("got %q, want one line", err)
	}
}

func TestGetRefusesWrongBytes(t *testing.T) {
	body, dir := toyBody(), t.TempDir()
	wrong := newMirror(t, bytes.Repeat([]byte{7}, len(body)))
	err := getSet(context.Background(), oneFile(body, wrong), dir, GetOptions{})
	wantNoMirror(t, err, "wrong SHA-256", digest(body), wrong.URL+"/x.gz", "by hand")
	for _, name := range []string{"x.gz", "x.gz.part"} {
		if _, err := os.Stat(filepath.Join(dir, "toy", name)); err == nil {
			t.Errorf("%s with wrong bytes was kept", name)
		}
	}
}

func TestGetStopsWithItsContext(t *testing.T) {
	body, dir := toyBody(), t.TempDir()
	m := newMirror(t, body)
	m.stall = true
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	err := getSet(ctx, oneFile(body, m), dir, GetOptions{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, "toy", "x.gz.part")); err != nil ||
		info.Size() != 5500 {
		t.Errorf("what had come was not kept: %v, %v", info, err)
	}
}

func TestGetReportsADiskThatCannotBeWritten(t *testing.T) {
	body, dir := toyBody(), t.TempDir()
	write(t, dir, "toy/x.gz.part/in-the-way", nil)
	err := getSet(context.Background(), oneFile(body, newMirror(t, body)), dir, GetOptions{})
	var fe *FileError
	var pe *os.PathError
	if errors.As(err, &fe) || !errors.As(err, &pe) {
		t.Errorf("got %v, want the system's own error", err)
	}
}

// packedToy is a set of one archive.
func packedToy(t *testing.T, want map[string]string, members ...member) (remoteSet, []byte) {
	body := tarGz(t, members...)
	set := oneFile(body, newMirror(t, body))
	set.files[0].unpack = want
	return set, body
}

func TestGetUnpacks(t *testing.T) {
	a, b, dir := []byte("first"), []byte("second"), t.TempDir()
	set, body := packedToy(t, map[string]string{"a.bin": digest(a), "b.bin": ""},
		member{name: "toy/", kind: tar.TypeDir}, member{name: "toy/a.bin", raw: a},
		member{name: "toy/readme", raw: a},
		member{name: "toy/b.bin", raw: b})
	if err := getSet(context.Background(), set, dir, GetOptions{}); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		var names []string
		filepath.WalkDir(dir, func(p string, d os.DirEntry, _ error) error {
			if !d.IsDir() {
				names = append(names, strings.TrimPrefix(p, dir))
			}
			return nil
		})
		if !slices.Equal(names, []string{"/toy/a.bin", "/toy/b.bin"}) {
			t.Errorf("files %v", names)
		}
	}
	check()
	// The same from an archive that was put there by hand, without any mirror.
	dir = t.TempDir()
	hand := write(t, dir, "x.gz", body)
	set.files[0].bases = nil
	if err := getSet(context.Background(), set, dir, GetOptions{}); err != nil {
		t.Fatal(err)
	}
	os.Remove(hand)
	check()
}

func TestGetRejectsHostileArchives(t *testing.T) {
	a := []byte("first")
	for name, c := range map[string]struct {
		members []member
		want    string
	}{
		"parent":   {[]member{{name: "toy/../../a.bin", raw: a}}, "reaches outside"},
		"absolute": {[]member{{name: "/a.bin", raw: a}}, "reaches outside"},
		"windows":  {[]member{{name: `..\a.bin`, raw: a}}, "reaches outside"},
		"drive":    {[]member{{name: `c:a.bin`, raw: a}}, "reaches outside"},
		"link":     {[]member{{name: "toy/a.bin", kind: tar.TypeSymlink}}, "missing from the archive"},
		"digest":   {[]member{{name: "toy/a.bin", raw: []byte("other")}}, "wrong SHA-256 of a.bin"},
		"nothing":  {nil, "missing from the archive"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "data")
			set, _ := packedToy(t, map[string]string{"a.bin": digest(a)}, c.members...)
			wantFileError(t, getSet(context.Background(), set, dir, GetOptions{}), "x.gz", c.want)
			for _, p := range []string{filepath.Join(parent, "a.bin"), filepath.Join(dir, "a.bin"),
				filepath.Join(dir, "toy", "a.bin")} {
				if _, err := os.Lstat(p); err == nil {
					t.Errorf("%s was written", p)
				}
			}
		})
	}
}

func TestCatalogueIsComplete(t *testing.T) {
	for _, s := range catalogue() {
		for _, f := range s.files {
			if len(f.bases) < 2 || len(f.sha256) != 64 || f.size < 1000 {
				t.Errorf("%s %s: %d mirrors, digest %q, %d bytes", s.name, f.name, len(f.bases), f.sha256,
					f.size)
			}
			for name, sum := range f.unpack {
				if sum != "" && len(sum) != 64 {
					t.Errorf("%s %s: digest %q", s.name, name, sum)
				}
			}
		}
		if !slices.Contains(Names(), s.name) {
			t.Errorf("Get knows %s, Open does not", s.name)
		}
	}
	if err := Get(context.Background(), "scenes", t.TempDir(), GetOptions{}); err == nil ||
		!strings.Contains(err.Error(), "need no download") {
		t.Errorf("Get(scenes): %v", err)
	}
	if err := Get(context.Background(), "imagenet", t.TempDir(), GetOptions{}); err == nil {
		t.Error("unknown name accepted")
	}
}

// What is unpacked from the official archive is what users have.
func TestCatalogueMatchesRealFiles(t *testing.T) {
	dir, s := realData(t), cifar10Remote()
	for name, sum := range s.files[0].unpack {
		if p := filepath.Join(dir, s.folder, name); sum != "" && !matches(p, sum) {
			t.Errorf("%s has another digest than %s", p, sum)
		}
	}
}
