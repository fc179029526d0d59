package tensor_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/tensor"
)

// Only regular files, also through a link, are opened; a pipe that nobody writes to is refused and
// not waited for.
func TestReadRegular(t *testing.T) {
	dir := t.TempDir()
	file, link, pipe := filepath.Join(dir, "f"), filepath.Join(dir, "l"), filepath.Join(dir, "p")
	if err := os.WriteFile(file, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link} {
		if path == link && os.Symlink(file, link) != nil {
			continue // a system without links
		}
		if got, err := tensor.ReadRegular(path); string(got) != "text" || err != nil {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
	}
	if _, err := tensor.OpenRegular(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: got %v", err)
	}
	special := map[string]string{dir: "directory"}
	if exec.Command("mkfifo", pipe).Run() == nil {
		special[pipe] = "special file (p"
	}
	for path, says := range special {
		f, err := tensor.OpenRegular(path)
		var at *fs.PathError
		if f != nil || !tensor.IsRefusal(err) || !errors.As(err, &at) || at.Path != path ||
			!strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}
