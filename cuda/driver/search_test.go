package driver

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// touch makes empty files.
func touch(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSearchOrder wants: the variable alone; else plain names, the toolkit, the active virtual
// environment, the python3 on PATH, the user's packages; and whatever is of the driver's own CUDA
// version before the others.
func TestSearchOrder(t *testing.T) {
	root := t.TempDir()
	kit := filepath.Join(root, "cuda/lib64/libnvrtc.so.13")
	venv := filepath.Join(root, "venv/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13")
	system := filepath.Join(root,
		"usr/lib/python3/dist-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12")
	own := filepath.Join(root,
		"home/.local/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13")
	touch(t, kit, venv, system, own, filepath.Join(root, "usr/bin/python3"))
	env := map[string]string{"CUDA_HOME": filepath.Join(root, "cuda"),
		"HOME":        filepath.Join(root, "home"),
		"VIRTUAL_ENV": filepath.Join(root, "venv"), "PATH": filepath.Join(root, "usr/bin")}
	get := func(name string) string { return env[name] }
	got, off := NVRTC.candidates(get, 13)
	got = slices.DeleteFunc(got, func(p string) bool {
		return strings.HasPrefix(p, "/usr/local/cuda")
	})
	want := []string{"libnvrtc.so.13", kit, venv, own, "libnvrtc.so.12", system}
	if off || !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, _ := NVRTC.candidates(get, 12); got[0] != "libnvrtc.so.12" || got[1] != system {
		t.Errorf("a driver of CUDA 12 first asks for %q", got[:2])
	}
	if got, _ := CUDA.candidates(get, 0); !slices.Equal(got, []string{"libcuda.so.1"}) {
		t.Errorf("the driver is looked for as %q", got)
	}
	env["AFTERIMAGE_NVRTC"] = "/x/libnvrtc.so"
	if got, _ := NVRTC.candidates(get, 13); !slices.Equal(got, []string{"/x/libnvrtc.so"}) {
		t.Errorf("with the variable set: %q", got)
	}
	env["AFTERIMAGE_NVRTC"] = "none"
	if got, off := NVRTC.candidates(get, 13); !off || got != nil {
		t.Errorf("turned off: %q, %v", got, off)
	}
}

// TestSearchLinks wants the packages of a virtual environment into which a link on PATH leads.
func TestSearchLinks(t *testing.T) {
	root := t.TempDir()
	lib := filepath.Join(root, "venv/lib/python3.12/site-packages/nvidia/cudnn/lib/libcudnn.so.9")
	touch(t, lib, filepath.Join(root, "usr/bin/python3.12"))
	for _, l := range [][2]string{{"venv/bin/python3", "../../usr/bin/python3.12"},
		{"local/bin/python3", filepath.Join(root, "venv/bin/python3")}} {
		at := filepath.Join(root, l[0])
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(l[1], at); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(root, "nowhere") + ":" + filepath.Join(root, "local/bin")
	got, _ := CuDNN.candidates(func(name string) string {
		return map[string]string{"PATH": path}[name]
	}, 13)
	if want := []string{"libcudnn.so.9", lib}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCompanions wants every part of cuDNN that lies beside it, whatever its name, and NVRTC's
// built-in functions before NVRTC.
func TestCompanions(t *testing.T) {
	dir := t.TempDir()
	ops, ext := filepath.Join(dir, "libcudnn_ops.so.9"), filepath.Join(dir, "libcudnn_ext.so.9")
	builtins := filepath.Join(dir, "libnvrtc-builtins.so.13.0")
	touch(t, ops, ext, builtins, filepath.Join(dir, "libcudnn.so.9"),
		filepath.Join(dir, "libcudnn_ops.so.8"))
	if got := CuDNN.companions(filepath.Join(dir, "libcudnn.so.9"), false); !slices.Equal(got,
		[]string{ext, ops}) {
		t.Errorf("cuDNN's parts: %q", got)
	}
	if got := NVRTC.companions(filepath.Join(dir, "libnvrtc.so.13"), true); !slices.Equal(got,
		[]string{builtins}) {
		t.Errorf("NVRTC's: %q", got)
	}
	if got := NVRTC.companions("libnvrtc.so.13", true); got != nil {
		t.Errorf("found by the linker, yet %q", got)
	}
}

// TestProgram finds one of the toolkit's programs on PATH, in the toolkit and among Python's
// packages, in this order.
func TestProgram(t *testing.T) {
	root := t.TempDir()
	at := func(parts ...string) string {
		path := filepath.Join(append([]string{root}, parts...)...)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("PATH", filepath.Join(root, "path"))
	t.Setenv("CUDA_PATH", filepath.Join(root, "toolkit"))
	t.Setenv("CUDA_HOME", "")
	t.Setenv("VIRTUAL_ENV", filepath.Join(root, "venv"))
	const name = "no-such-sanitizer"
	if got := Program(name); got != "" {
		t.Errorf("found %s", got)
	}
	for _, place := range [][]string{
		{"venv", "lib", "python3.12", "site-packages", "nvidia", "cu13", "bin", name},
		{"toolkit", "bin", name}, {"path", name}} {
		if want, got := at(place...), Program(name); got != want {
			t.Errorf("found %q, want %s", got, want)
		}
	}
}
