package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// content reads a file and requires that nothing else is in its directory.
func content(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(path) {
			t.Errorf("left behind: %s", e.Name())
		}
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "absent"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, s := range []string{"one", "two, longer", strings.Repeat("x", 3*bufferSize+1), ""} {
		if err := Write(path, text(s)); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != s {
			t.Errorf("expected %d bytes, got %d", len(s), len(got))
		}
	}
}

func TestRename(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, s := range []string{"one", "two"} {
		if err := WriteBytes(path+".part", []byte(s)); err != nil {
			t.Fatal(err)
		}
		if err := Rename(path+".part", path); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != s {
			t.Errorf("expected %q, got %q", s, got)
		}
	}
	if err := Rename(path+".part", path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing to rename: %v", err)
	}
}

func TestWriteKeepsMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits on Windows")
	}
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o646); err != nil { // not what any usual umask leaves
		t.Fatal(err)
	}
	if err := Write(path, text("x")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o646 {
		t.Errorf("expected mode 0646, got %v %v", info.Mode(), err)
	}
}

func TestWriteFollowsLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "a", "real"), filepath.Join(dir, "link")
	if err := os.Mkdir(filepath.Dir(target), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	if err := Write(link, text("new")); err != nil {
		t.Fatal(err)
	}
	if got := content(t, target); got != "new" {
		t.Errorf("target: %q", got)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v %v", info, err)
	}
}

// faultyDisk fails at one step.
type faultyDisk struct {
	osDisk
	step string
}

var errFault = &fs.PathError{Op: "write", Path: "disk", Err: syscall.ENOSPC}

func (d faultyDisk) sync(f *os.File) error {
	if d.step == "sync" {
		return errFault
	}
	return d.osDisk.sync(f)
}

func (d faultyDisk) rename(from, to string) error {
	if d.step == "rename" {
		return errFault
	}
	return d.osDisk.rename(from, to)
}

func (d faultyDisk) syncDir(dir string) error {
	if d.step == "syncDir" {
		return errFault
	}
	return d.osDisk.syncDir(dir)
}

// Whatever fails, the old file is whole, no temporary file remains, and a full disk is recognised.
func TestWriteFaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := Write(path, text("old")); err != nil {
		t.Fatal(err)
	}
	full := func(w io.Writer) error {
		if err := text(strings.Repeat("y", 2*bufferSize))(w); err != nil {
			return err
		}
		return fmt.Errorf("array w: %w", errFault)
	}
	for _, c := range []struct {
		step  string
		write func(io.Writer) error
		want  string
	}{
		{"write", full, "old"}, {"sync", text("new"), "old"}, {"rename", text("new"), "old"},
		{"syncDir", text("new"), "new"}, // the rename has happened
	} {
		err := replace(path, c.write, faultyDisk{step: c.step})
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: expected ENOSPC and the path, got %v", c.step, err)
		}
		if got := content(t, path); got != c.want {
			t.Errorf("%s: expected %q, got %q", c.step, c.want, got)
		}
		if kept := strings.Contains(err.Error(), "the old file is unchanged"); kept != (c.want == "old") {
			t.Errorf("%s: %v", c.step, err)
		}
	}
}

// A real full device: /dev/full gives ENOSPC on the first write that reaches it.
func TestWriteRealENOSPC(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	path := filepath.Join(t.TempDir(), "f")
	err := Write(path, func(io.Writer) error {
		dev, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer dev.Close()
		return text("x")(dev)
	})
	if !errors.Is(err, syscall.ENOSPC) ||
		!strings.Contains(err.Error(), "the disk is full and no file was made") {
		t.Errorf("expected ENOSPC, got %v", err)
	}
	if got := content(t, path); got != "absent" {
		t.Errorf("expected no file, got %q", got)
	}
}

func TestWritePanic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("expected the panic to go on")
			}
		}()
		_ = Write(path, func(io.Writer) error { panic("stop") })
	}()
	if got := content(t, path); got != "absent" {
		t.Errorf("expected no file, got %q", got)
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir, text("x")); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("directory: got %v", err)
	}
	err := Write(filepath.Join(dir, "no", "f"), text("x"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "make the directory") {
		t.Errorf("no directory: got %v", err)
	}
}
