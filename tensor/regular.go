package tensor

import (
	"io/fs"
	"os"
)

// OpenRegular is os.Open for regular files and links to them. What else a path may name it refuses
// with a *fs.PathError around a Refusal: a pipe without a writer would be waited for without end,
// and a device need not have one.
func OpenRegular(path string) (*os.File, error) {
	if err := checkRegular(path); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// ReadRegular is os.ReadFile under the conditions of OpenRegular.
func ReadRegular(path string) ([]byte, error) {
	if err := checkRegular(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

func checkRegular(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode().IsRegular() {
		return err
	}
	kind := "special file (" + info.Mode().Type().String() + ")"
	if info.IsDir() {
		kind = "directory"
	}
	return &fs.PathError{Op: "open", Path: path,
		Err: Refuse("is a %s: expected a regular file", kind)}
}
