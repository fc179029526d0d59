package checkpoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAgain: an array read once more is the one that Open read, in every format that keeps arrays
// as they are, and under the names of StripPrefix; a file that was replaced, cut off or removed is
// an error that names it.
func TestAgain(t *testing.T) {
	dict := func(p *pickler) []byte {
		p = p.ops("}(").str("module.w").tensor("FloatStorage", "0", 6, 2, []int{2, 2}, []int{2, 1})
		return p.str("module.v").tensor("FloatStorage", "0", 6, 0, []int{3}, []int{1}).ops("u").stop()
	}
	blobs := []blob{{"0", 6, f32s(6)}}
	for what, raw := range map[string][]byte{
		"safetensors":  stBytes(t, sample()),
		"torch zip":    torchZip(t, dict(newPickler()), blobs...),
		"torch legacy": legacyFile(dict(newPickler()), blobs...),
	} {
		path := filepath.Join(t.TempDir(), "net")
		writeRaw(t, path, raw)
		opened, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		short, err := opened.StripPrefix("module.")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []*File{opened, short} {
			again := f.Again()
			if again == nil {
				t.Fatalf("%s cannot be read again", what)
			}
			for name, want := range f.All() {
				got, err := again(name)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got, equalEmpty()); diff != "" {
					t.Errorf("%s, %s: %s", what, name, diff)
				}
			}
			if _, err := again("other"); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s, an array it has not: %v", what, err)
			}
		}
		again, name := opened.Again(), opened.Names()[0]
		writeRaw(t, path, raw[:len(raw)-1])
		if _, err := again(name); err == nil || !strings.Contains(err.Error(), path+": expected the ") {
			t.Errorf("%s, cut off: %v", what, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := again(name); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s, removed: %v", what, err)
		}
	}
}

// TestNotAgain: what was not opened, or is in its file in another form, cannot be read again.
func TestNotAgain(t *testing.T) {
	inMemory, err := Decode("net", stBytes(t, sample()))
	if err != nil || inMemory.Again() != nil || NewFile().Again() != nil {
		t.Errorf("a file that was not opened can be read again (%v)", err)
	}
	narrow := newPickler().ops("}(").str("w").tensor("CharStorage", "0", 6, 0, []int{6}, []int{1})
	for what, raw := range map[string][]byte{
		"strided":    torchZip(t, stateDict(), stateDictBlobs()...),
		"narrow":     torchZip(t, narrow.ops("u").stop(), blob{"0", 6, []byte("123456")}),
		"compressed": zipFile(t, member{"w.npy", npyFile(t, sample().arrays["w"]), true}),
	} {
		path := filepath.Join(t.TempDir(), "net")
		writeRaw(t, path, raw)
		f, err := Open(path)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if f.Again() != nil {
			t.Errorf("%s arrays can be read again", what)
		}
	}
}

func writeRaw(t *testing.T, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}
