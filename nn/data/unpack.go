package data

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// memberMax bounds one unpacked file: CIFAR-100's training images have 154 million bytes.
const memberMax = 1 << 30

// unpackTarGz writes the wanted members (base name: SHA-256, "" if unknown) of a .tar.gz into
// folder, each to a temporary file that is renamed once its digest is right. A member
// whose path leaves its archive (absolute, or with ..) makes the whole archive suspect and is an
// error; links, devices and other names are passed over.
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
	return syncFolder(folder)
}

// insideArchive reports whether a member's path stays below the folder it is unpacked to, on any
// operating system.
func insideArchive(name string) bool {
	return filepath.IsLocal(filepath.FromSlash(name)) && !path.IsAbs(name) &&
		!strings.ContainsAny(name, `\:`)
}

// writeMember writes one member to a temporary file, checks it and moves it to target.
func writeMember(r io.Reader, archive, target, sum string) error {
	tmp, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails, as it should, after the rename
	defer tmp.Close()
	h := sha256.New()
	src := &watched{r: r, moved: func(int64) {}}
	if _, err := io.Copy(io.MultiWriter(tmp, h), src); err != nil {
		if src.err != nil && src.err != io.EOF {
			return &FileError{Op: "unpack", File: archive, Problem: "damaged archive",
				Got: filepath.Base(target), Err: err}
		}
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); sum != "" && got != sum {
		return &FileError{Op: "unpack", File: archive,
			Problem: "wrong SHA-256 of " + filepath.Base(target), Want: sum, Got: got}
	}
	if err := tmp.Chmod(0o644); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), target)
}

// syncFolder makes renames in a folder durable, where the system can.
func syncFolder(folder string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
