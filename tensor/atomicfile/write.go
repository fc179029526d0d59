package atomicfile

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Write replaces the file at path by what write writes, or leaves it as it was.
//
// The content goes to a temporary file in the same directory, which is flushed to the disk, renamed
// to path, and made durable by flushing the directory. When anything fails before the rename, also
// a panic in write, the temporary file is removed. A symbolic link is followed, so the file it
// points to is replaced; an existing file keeps its permissions, a new one gets 0666 less the
// umask. The writer is buffered. Errors wrap their cause: errors.Is(err, syscall.ENOSPC) tells a
// full disk.
func Write(path string, write func(io.Writer) error) error {
	return replace(path, write, osDisk{})
}

// WriteBytes is Write for what is in memory already.
func WriteBytes(path string, data []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Rename puts a file that is finished and on the disk in its place, over another one if there is
// one, and makes that durable by flushing the directory: for a file that several runs of a program
// wrote, as a download that was interrupted.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// SyncDir flushes a directory to the disk, where the system can: files that were made, renamed or
// removed in it are so, also after a power failure.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" { // directories cannot be opened for flushing there
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// A disk is what replace needs of the operating system; tests make each step fail.
type disk interface {
	sync(f *os.File) error
	rename(from, to string) error
	syncDir(dir string) error
}

type osDisk struct{}

func (osDisk) sync(f *os.File) error        { return f.Sync() }
func (osDisk) rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) syncDir(dir string) error     { return SyncDir(dir) }

// bufferSize makes many small arrays few system calls: 256 KiB.
const bufferSize = 1 << 18

func replace(path string, write func(io.Writer) error, d disk) (err error) {
	target, mode := path, fs.FileMode(0o666)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		target = real
	}
	info, statErr := os.Stat(target)
	if statErr == nil {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("atomicfile: Write: %s is a directory or a special file (%v): expected a "+
				"regular file or none; choose another path", path, info.Mode())
		}
		mode = info.Mode().Perm()
	}
	f, err := createTemp(target, mode)
	if err != nil {
		return failed(path, "create a temporary file", statErr == nil, err)
	}
	done := false
	defer func() {
		if !done { // also when write panics
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if statErr == nil { // the umask may have taken bits from the old file's mode
		if err := f.Chmod(mode); err != nil {
			return failed(path, "set permissions", true, err)
		}
	}
	b := bufio.NewWriterSize(f, bufferSize)
	if err := write(b); err != nil {
		return failed(path, "write", statErr == nil, err)
	}
	if err := b.Flush(); err != nil {
		return failed(path, "write", statErr == nil, err)
	}
	if err := d.sync(f); err != nil {
		return failed(path, "flush to disk", statErr == nil, err)
	}
	if err := f.Close(); err != nil {
		return failed(path, "close", statErr == nil, err)
	}
	if err := d.rename(f.Name(), target); err != nil {
		return failed(path, "rename", statErr == nil, err)
	}
	done = true
	if err := d.syncDir(filepath.Dir(target)); err != nil {
		return fmt.Errorf("atomicfile: Write: %s: flush the directory: %w; the new file is in "+
			"place but may not survive a power failure", path, err)
	}
	return nil
}

// createTemp creates a hidden file beside target that no other process uses.
func createTemp(target string, mode fs.FileMode) (*os.File, error) {
	dir, base := filepath.Split(target)
	name := fmt.Sprintf("%s.%s.%s.tmp", dir, base, rand.Text())
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}

// failed says at which step Write stopped and what to do; old tells whether path has a file.
func failed(path, step string, old bool, err error) error {
	next := "no file was made"
	if old {
		next = "the file at that path is unchanged"
	}
	switch {
	case errors.Is(err, syscall.ENOSPC) && old:
		next = "the disk is full and the old file is unchanged: free space and try again"
	case errors.Is(err, syscall.ENOSPC):
		next = "the disk is full and no file was made: free space and try again"
	case errors.Is(err, fs.ErrNotExist):
		next = "make the directory first"
	case errors.Is(err, fs.ErrPermission):
		next = "choose a directory that can be written"
	}
	return fmt.Errorf("atomicfile: Write: %s: %s: %w; %s", path, step, err, next)
}
