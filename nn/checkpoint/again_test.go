package checkpoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAgain: an array read once more is the one that Open read; a file that was replaced, cut off
// or removed is an error that names it; nothing else can be read again.
func TestAgain(t *testing.T) {
	f, path := sample(), filepath.Join(t.TempDir(), "net.safetensors")
	if err := SaveSafetensors(path, f); err != nil {
		t.Fatal(err)
	}
	opened, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	again := opened.Again()
	for name, want := range f.All() {
		got, err := again(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, equalEmpty()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		raw  []byte
		says string
	}{
		"another file": {stBytes(t, NewFile()), "not in the file any more"},
		"cut off":      {raw[:len(raw)-1], "data_offsets"},
		"a header cut": {raw[:40], "a header of"},
		"a few bytes":  {raw[:3], "3 bytes"},
	} {
		if err := os.WriteFile(path, c.raw, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := again("w"); err == nil || !strings.Contains(err.Error(), c.says) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := again("w"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("removed: %v", err)
	}
	inMemory, err := Decode(path, raw)
	if err != nil || inMemory.Again() != nil || NewFile().Again() != nil {
		t.Errorf("a file that was not opened can be read again (%v)", err)
	}
}
