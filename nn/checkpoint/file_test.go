package checkpoint

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFileOrder(t *testing.T) {
	f := NewFile()
	for _, n := range []string{"z", "a", "m"} {
		f.Set(n, FromFloat32s([]int{2}, []float32{1, 2}))
	}
	f.Set("a", FromFloat32s([]int{3}, []float32{1, 2, 3}))
	if !slices.Equal(f.Names(), []string{"z", "a", "m"}) || f.Len() != 3 {
		t.Errorf("names %v", f.Names())
	}
	for range f.All() {
		break // All must stop when asked to
	}
	if n := f.Elements(nil); n != 7 {
		t.Errorf("elements: expected 7, got %d", n)
	}
	if n := f.Elements(func(name string, a Array) bool { return name == "m" }); n != 2 {
		t.Errorf("elements of m: expected 2, got %d", n)
	}
	_, err := f.Lookup("x")
	if err == nil || !strings.Contains(err.Error(), `"z", "a", "m"`) {
		t.Errorf("Lookup: got %v", err)
	}
	if a, err := f.Lookup("a"); err != nil || a.Len() != 3 {
		t.Errorf("Lookup: got %v %v", a, err)
	}
}

func TestNumber(t *testing.T) {
	f := NewFile()
	f.Fields = map[string]any{"f": 1.5, "i": int64(2), "b": true, "s": "x", "n": false}
	for name, want := range map[string]float64{"f": 1.5, "i": 2, "b": 1, "n": 0} {
		if v, ok := f.Number(name); !ok || v != want {
			t.Errorf("%s: expected %v, got %v %v", name, want, v, ok)
		}
	}
	for _, name := range []string{"s", "absent"} {
		if _, ok := f.Number(name); ok {
			t.Errorf("%s: expected no number", name)
		}
	}
}

func TestStripPrefix(t *testing.T) {
	f := NewFile()
	f.Set("module.a", FromFloat32s(nil, []float32{1}))
	f.Set("b", FromFloat32s(nil, []float32{2}))
	g, err := f.StripPrefix("module.")
	if err != nil || !slices.Equal(g.Names(), []string{"a", "b"}) {
		t.Errorf("got %v, %v", g.Names(), err)
	}
	f.Set("a", FromFloat32s(nil, []float32{3}))
	if _, err := f.StripPrefix("module."); err == nil {
		t.Error("two names that become equal: expected an error")
	}
}

func TestMatch(t *testing.T) {
	f := NewFile()
	f.Path = "r.pth"
	one := FromFloat32s([]int{1}, []float32{1})
	want := []Want{{"bn.num_batches_tracked", nil}}
	for i := range 12 {
		want = append(want, Want{"layer." + itoa(i), []int{1}})
		f.Set("layer."+itoa(i), one)
	}
	f.Set("bn2.num_batches_tracked", one)
	if err := Match(f, want); err != nil {
		t.Errorf("equal but for counters: %v", err)
	}
	bad := NewFile()
	bad.Path = "r.pth"
	bad.Set("layer.0", FromFloat32s([]int{2}, []float32{1, 2}))
	bad.Set("fc.extra", one)
	err := Match(bad, want)
	var m *MatchError
	if !errors.As(err, &m) {
		t.Fatalf("expected a *MatchError, got %v", err)
	}
	if len(m.Missing) != 11 || !slices.Equal(m.Extra, []string{"fc.extra"}) || len(m.Shapes) != 1 ||
		m.Wanted != 12 || m.Have != 2 {
		t.Errorf("got %+v", m)
	}
	for _, part := range []string{"r.pth", "missing 11:", `"layer.8" and 3 more`, "extra 1:",
		`"layer.0" expected [1], got [2]`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("expected %q in %v", part, err)
		}
	}
	if strings.Contains(err.Error(), `"layer.9"`) {
		t.Errorf("expected at most %d names in %v", maxListed, err)
	}
}

func TestMatchHints(t *testing.T) {
	f := NewFile()
	f.Set("module.w", FromFloat32s([]int{1}, []float32{1}))
	err := Match(f, []Want{{"w", []int{1}}})
	if err == nil || !strings.Contains(err.Error(), `prefix "module."`) {
		t.Errorf("prefix: got %v", err)
	}
	f = NewFile()
	f.Set("w", FromFloat32s([]int{1, 2}, []float32{1, 2}))
	err = Match(f, []Want{{"w", []int{2, 1}}})
	if err == nil || !strings.Contains(err.Error(), "transpose") {
		t.Errorf("layout: got %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: got %v", err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("directory: got %v", err)
	}
	tar := make([]byte, 512)
	copy(tar[257:], "ustar")
	for want, content := range map[string]string{
		"empty":   "",
		"git lfs": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
		"page":    "\n<!DOCTYPE html><html></html>",
		"gzip":    "\x1f\x8b\x08\x00",
		"HDF5":    "\x89HDF\r\n",
		"tar":     string(tar),
		"expected safetensors, a PyTorch file, .npy or .npz": "hello, world",
		"empty zip": string(zipFile(t)),
	} {
		path := filepath.Join(dir, "weights.pth")
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		var e *FormatError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) || e.File != path || e.Next == "" {
			t.Errorf("expected a *FormatError with %q and a next step, got %v", want, err)
		}
	}
}

// TestDecodeHeaderLikePickle reads safetensors whose header's length begins with the byte that
// begins a pickle: of files whose headers grow by 8 bytes, one in 32.
func TestDecodeHeaderLikePickle(t *testing.T) {
	met := false
	for pad := range 64 {
		f := NewFile()
		f.Metadata["pad"] = strings.Repeat("x", 8*pad)
		f.Set("w", FromFloat32s([]int{2}, []float32{1, 2}))
		var b bytes.Buffer
		if err := WriteSafetensors(&b, f); err != nil {
			t.Fatal(err)
		}
		met = met || b.Bytes()[0] == 0x80
		if _, err := Decode("w.safetensors", b.Bytes()); err != nil {
			t.Fatalf("first byte %#x: %v", b.Bytes()[0], err)
		}
	}
	if !met {
		t.Fatal("no header length began with 0x80: the test tests nothing")
	}
}
