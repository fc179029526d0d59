package cuda

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"afterimage/tensor/atomicfile"
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
	_ = atomicfile.WriteBytes(c.path(key), append(sum[:], image...))
}
