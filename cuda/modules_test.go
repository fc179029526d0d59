//go:build linux && amd64 && cgo

package cuda

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// TestCompileAll wants every text compiled once: what is in the cache is not compiled again, even
// without a working compiler, and a damaged entry is not used.
func TestCompileAll(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Options{Cache: dir})
	if err := b.CompileAll(); err != nil {
		t.Fatal(err)
	}
	entries, _ := filepath.Glob(filepath.Join(dir, "*.cubin"))
	if len(entries) != len(kernels.Stems()) {
		t.Fatalf("the cache holds %d entries for %d texts", len(entries), len(kernels.Stems()))
	}
	t.Setenv("FAKECUDA_NVRTC_FAIL", "1")
	if err := open(t, Options{Cache: dir}).CompileAll(); err != nil {
		t.Errorf("the cache was not used: %v", err)
	}
	raw, err := os.ReadFile(entries[0])
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(entries[0], raw, 0o644); err != nil {
		t.Fatal(err)
	}
	err = open(t, Options{Cache: dir}).CompileAll()
	if err == nil || !strings.Contains(err.Error(), "told to fail") {
		t.Errorf("a damaged entry was used: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "new-*")); len(left) > 0 {
		t.Errorf("files left behind: %q", left)
	}
}

// TestOldCompiler wants a compiler that does not know the card to make PTX instead.
func TestOldCompiler(t *testing.T) {
	t.Setenv("FAKECUDA_NVRTC_OLD", "1")
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	if x := s.Full(tensor.F32, 2, 5); x.Floats()[4] != 2 {
		t.Error("wrong value")
	}
	image, err := b.mods.image("elementwise")
	if err != nil || !strings.HasPrefix(string(image), "FAKE CUBIN compute_80") {
		t.Errorf("%.30q: %v", image, err)
	}
}

// TestCompilerFails wants a kernel that does not compile to come out of Sync with the compiler's
// message, and a cache that cannot be written to be no hindrance.
func TestCompilerFails(t *testing.T) {
	b := open(t, Options{Cache: "/dev/null/nowhere"})
	s := tensor.NewScope(b)
	x := s.Full(tensor.F32, 2, 5)
	if x.Floats()[4] != 2 {
		t.Error("without a cache nothing works")
	}
	t.Setenv("FAKECUDA_NVRTC_FAIL", "1")
	b.Random(tensor.Uniform, tensor.Key{}, x, s.New(tensor.I32, 1))
	if err := b.Sync(); err == nil || !strings.Contains(err.Error(), "random.cu") {
		t.Errorf("Sync: %v", err)
	}
}

// TestPTX opens the device without a compiler: the kernels come from this program's PTX, and the
// record says so, as with a compiler whose code the driver does not load. A driver that does not
// take it gives one line with what to do.
func TestPTX(t *testing.T) {
	t.Setenv("AFTERIMAGE_NVRTC", "none")
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	if x := s.Full(tensor.F32, 2, 5); x.Floats()[4] != 2 {
		t.Error("wrong value")
	}
	if !strings.Contains(b.Kernels(), "PTX for compute_80") {
		t.Errorf("the record says %s", b.Kernels())
	}
	if err := b.CompileAll(); err != nil {
		t.Error(err)
	}
	t.Setenv("FAKECUDA_VERSION", "12000")    // the oldest that serves
	t.Setenv("AFTERIMAGE_NVRTC", fake.NVRTC) // of CUDA 13, whose code it does not load
	if s := open(t, Options{}).Kernels(); !strings.Contains(s, "PTX for compute_80") {
		t.Errorf("with a compiler newer than the driver the record says %s", s)
	}
	if err := open(t, Options{}).CompileAll(); err != nil {
		t.Error(err)
	}
}

// TestArchitecture names the targets.
func TestArchitecture(t *testing.T) {
	for want, v := range map[string][2]int{"sm_80": {8, 0}, "sm_89": {8, 9}, "sm_90a": {9, 0},
		"sm_100a": {10, 0}} {
		if got := architecture(v[0], v[1]); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}
