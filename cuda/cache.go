package cuda

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A cache keeps compiled kernels on disk, one file for each text, set of options, compiler and
// card. A file begins with the SHA-256 of the rest, so that a torn or damaged one is ignored. It is
// only a cache: whatever goes wrong with it costs time and nothing else.
type cache struct{ dir string }

// cacheDir returns the folder: afterimage/cubin in the user's cache (XDG_CACHE_HOME), "" if there
// is none.
func cacheDir() string {
	base, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(base, "afterimage", "cubin")
}

// cacheKey names a compilation by everything that decides its result.
func cacheKey(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (c cache) path(key string) string { return filepath.Join(c.dir, key+".cubin") }

// get returns a whole entry.
func (c cache) get(key string) ([]byte, bool) {
	if c.dir == "" {
		return nil, false
	}
	raw, err := os.ReadFile(c.path(key))
	if err != nil || len(raw) <= sha256.Size {
		return nil, false
	}
	sum := sha256.Sum256(raw[sha256.Size:])
	return raw[sha256.Size:], bytes.Equal(sum[:], raw[:sha256.Size])
}

// put writes an entry, whole or not at all.
func (c cache) put(key string, image []byte) {
	if c.dir == "" || os.MkdirAll(c.dir, 0o755) != nil {
		return
	}
	sum := sha256.Sum256(image)
	_ = replaceFile(c.path(key), sum[:], image)
}

// replaceFile writes a file of the given parts, whole or not at all. Killed while it writes it
// leaves a file named .NAME.….tmp, which in a run is removed when the run is opened again.
func replaceFile(path string, parts ...[]byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	defer os.Remove(f.Name()) // gone already if it was renamed
	for _, p := range parts {
		if err == nil {
			_, err = f.Write(p)
		}
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	return nil
}
