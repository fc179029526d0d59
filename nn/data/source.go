package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"afterimage/tensor"
)

// A fileSource gives the files of a dataset by base name, from a folder or from a .tar.gz.
type fileSource struct {
	op, dataset string
	folder      string            // where the files lie, if they lie in a folder
	archive     string            // else the archive they were read from
	members     map[string][]byte // the archive's wanted files
}

// downloadAgain is the next step for a damaged file of a named dataset.
func downloadAgain(dataset string) string {
	return "remove it and run 'afterimage data get " + dataset + "', or download it again by hand"
}

// getOrPoint is the next step for a dataset that is not there.
func getOrPoint(dataset, dir string) string {
	return fmt.Sprintf("run 'afterimage data get %s --data %s', "+
		"or give the folder that holds it with --data", dataset, dir)
}

// findFiles looks for a dataset below dir: dir/folder/FILE, dir/FILE, dir/archive, or dir being
// the archive itself. wanted[1] stands for the whole set when choosing a folder.
func findFiles(op, dataset, dir, folder, archive string, wanted []string) (*fileSource, error) {
	s := &fileSource{op: op, dataset: dataset}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, s.missing(dir, err, folder, archive)
	}
	if !info.IsDir() {
		s.archive = dir
		return s, s.readArchive(wanted)
	}
	for _, candidate := range []string{filepath.Join(dir, folder), dir} {
		has := func(name string) bool { return isFile(filepath.Join(candidate, name)) }
		if slices.ContainsFunc(wanted[1:], has) {
			s.folder = candidate
			return s, nil
		}
	}
	if s.archive = filepath.Join(dir, archive); isFile(s.archive) {
		return s, s.readArchive(wanted)
	}
	return nil, s.missing(dir, nil, folder, archive)
}

// missing is the error for a dataset that is nowhere below dir.
func (s *fileSource) missing(dir string, err error, folder, archive string) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return &FileError{Op: s.op, File: dir, Problem: "dataset not found", Err: err,
		Want: fmt.Sprintf("a folder %s or the file %s in it", folder, archive),
		Next: getOrPoint(s.dataset, dir)}
}

// isFile reports whether name exists and is not a folder.
func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// where names a file for an error message.
func (s *fileSource) where(name string) string {
	if s.folder != "" {
		return filepath.Join(s.folder, name)
	}
	return s.archive + " (" + name + ")"
}

// forget drops a file of an archive from memory.
func (s *fileSource) forget(name string) { delete(s.members, name) }

// read returns the bytes of one file, in the memory of buf if they fit there; an error if it is
// missing or longer than limit.
func (s *fileSource) read(name string, limit int64, buf []byte) ([]byte, error) {
	fail := func(problem, want, got string, err error) error {
		return &FileError{s.op, s.where(name), problem, want, got, downloadAgain(s.dataset), err}
	}
	if s.folder == "" {
		raw, ok := s.members[name]
		if !ok {
			return nil, fail("file missing from the archive", "", "", nil)
		}
		return raw, nil
	}
	f, err := tensor.OpenRegular(filepath.Join(s.folder, name))
	if err != nil {
		return nil, fail("cannot read", "", "", errors.Unwrap(err))
	}
	defer f.Close()
	to := bytes.NewBuffer(buf[:0])
	if info, err := f.Stat(); err == nil { // at once: growing takes several times the memory
		to.Grow(int(min(info.Size(), limit+1)) + bytes.MinRead)
	}
	if _, err := to.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, fail("cannot read", "", "", errors.Unwrap(err))
	}
	if int64(to.Len()) > limit {
		return nil, fail("too long", fmt.Sprintf("at most %d bytes", limit), "more", nil)
	}
	return to.Bytes(), nil
}

// readArchive reads the wanted members of the .tar.gz into memory, whatever folder they are in.
func (s *fileSource) readArchive(wanted []string) error {
	fail := func(problem string, err error) error {
		return &FileError{Op: s.op, File: s.archive, Problem: problem, Err: err,
			Next: downloadAgain(s.dataset)}
	}
	f, err := tensor.OpenRegular(s.archive)
	if err != nil {
		return fail("cannot read", errors.Unwrap(err))
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		return fail("not a .tar.gz archive", err)
	}
	s.members = map[string][]byte{}
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fail("damaged or truncated archive", err)
		}
		name := path.Base(strings.ReplaceAll(h.Name, `\`, "/"))
		if h.Typeflag != tar.TypeReg || !slices.Contains(wanted, name) {
			continue
		}
		if h.Size > cifarFileMax {
			return fail(fmt.Sprintf("member %s: %d bytes, more than any of this set", name, h.Size), nil)
		}
		if s.members[name], err = io.ReadAll(tr); err != nil {
			return fail("damaged or truncated archive", err)
		}
	}
}
