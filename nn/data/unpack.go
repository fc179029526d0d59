package data

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"afterimage/tensor/atomicfile"
)

// memberMax bounds one unpacked file: CIFAR-100's training images have 154 million bytes.
const memberMax = 1 << 30

// unpackTarGz writes the wanted members (base name: SHA-256, "" if unknown) of a .tar.gz into
// folder, each whole and of the right digest or not at all. A member whose path leaves its archive
// (absolute, or with ..) makes the whole archive suspect and is an error; links, devices and other
// names are passed over.
func unpackTarGz(archive, folder string, want map[string]string) error {
	bad := func(problem, member string, err error) error {
		return &FileError{Op: "unpack", File: archive, Problem: problem, Got: member, Err: err}
	}
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		return bad("not a .tar.gz archive", "", err)
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	found := map[string]bool{}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return bad("damaged archive", "", err)
		}
		if !insideArchive(h.Name) {
			return bad("archive reaches outside its folder", h.Name, nil)
		}
		name := path.Base(h.Name)
		sum, ok := want[name]
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Size > memberMax {
			return bad("member too large", fmt.Sprintf("%s, %d bytes", h.Name, h.Size), nil)
		}
		if err := writeMember(tr, archive, filepath.Join(folder, name), sum); err != nil {
			return err
		}
		found[name] = true
	}
	if len(found) != len(want) {
		return &FileError{Op: "unpack", File: archive, Problem: "files missing from the archive",
			Want: fmt.Sprintf("%d files", len(want)), Got: fmt.Sprintf("%d", len(found))}
	}
	return nil
}

// insideArchive reports whether a member's path stays below the folder it is unpacked to, on any
// operating system.
func insideArchive(name string) bool {
	return filepath.IsLocal(filepath.FromSlash(name)) && !path.IsAbs(name) &&
		!strings.ContainsAny(name, `\:`)
}

// writeMember writes one member to target, whole and of the right digest or not at all.
func writeMember(r io.Reader, archive, target, sum string) error {
	src, h := &watched{r: r, moved: func(int64) {}}, sha256.New()
	err := atomicfile.Write(target, func(w io.Writer) error {
		_, err := io.Copy(io.MultiWriter(w, h), src)
		if err != nil && src.err != nil && src.err != io.EOF {
			return &FileError{Op: "unpack", File: archive, Problem: "damaged archive",
				Got: filepath.Base(target), Err: err}
		}
		if err != nil {
			return err
		}
		if got := hex.EncodeToString(h.Sum(nil)); sum != "" && got != sum {
			return &FileError{Op: "unpack", File: archive,
				Problem: "wrong SHA-256 of " + filepath.Base(target), Want: sum, Got: got}
		}
		return nil
	})
	if e := (*FileError)(nil); errors.As(err, &e) {
		return e // of the archive; target has nothing to do with it
	}
	return err
}
