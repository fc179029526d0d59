package fakecuda

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed csrc
var sources embed.FS

// Libraries are the files that Build makes.
type Libraries struct {
	Driver string // libcuda.so.1
	Old    string // the same without the optional functions: no pools, no graphs
	NVRTC  string // libnvrtc.so.13
	Lt     string // libcublasLt.so.13
	DNN    string // libcudnn.so.9
	CUPTI  string // libcupti.so.13
}

// in names the files of a folder.
func in(dir string) Libraries {
	return Libraries{filepath.Join(dir, "libcuda.so.1"), filepath.Join(dir, "old", "libcuda.so.1"),
		filepath.Join(dir, "libnvrtc.so.13"), filepath.Join(dir, "libcublasLt.so.13"),
		filepath.Join(dir, "libcudnn.so.9"), filepath.Join(dir, "libcupti.so.13")}
}

// compileFlags are those of every fake.
var compileFlags = []string{"-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
	"-fvisibility=hidden"}

// Build compiles the fakes with gcc. They lie in the user's cache folder under a hash of all texts,
// this one among them, and are reused. Errors: no gcc, a compiler error with its output, an
// unwritable cache.
func Build() (Libraries, error) {
	key, err := hash()
	if err != nil {
		return Libraries{}, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return Libraries{}, fmt.Errorf("fakecuda: Build: %w", err)
	}
	dir := filepath.Join(cache, "afterimage", "fakecuda", key)
	if _, err := os.Stat(dir); err == nil {
		return in(dir), nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return Libraries{}, fmt.Errorf("fakecuda: Build: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "build-")
	if err != nil {
		return Libraries{}, fmt.Errorf("fakecuda: Build: %w", err)
	}
	defer os.RemoveAll(work)
	if err := build(work); err != nil {
		return Libraries{}, err
	}
	if err := os.Rename(work, dir); err != nil {
		if _, there := os.Stat(dir); there != nil { // else another process was faster
			return Libraries{}, fmt.Errorf("fakecuda: Build: %w", err)
		}
	}
	return in(dir), nil
}

//go:embed build.go
var self string

// hash is one of all that goes into the libraries.
func hash() (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, self)
	err := fs.WalkDir(sources, "csrc", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := sources.ReadFile(path)
		fmt.Fprintln(h, path, len(text))
		h.Write(text)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)[:16]), err
}

// build compiles the fakes into dir, their sources beside them.
func build(dir string) error {
	if err := os.CopyFS(dir, sources); err != nil {
		return err
	}
	l, driver := in(dir), []string{"fake_driver.c", "fake_memory.c", "fake_stream.c", "fake_module.c"}
	for _, b := range []struct {
		out   string
		flags []string
		files []string
	}{
		{l.Driver, nil, driver}, {l.Old, []string{"-DFAKE_OLD"}, driver},
		{l.NVRTC, nil, []string{"fake_nvrtc.c"}},
		{l.Lt, nil, []string{"fake_cublaslt.c", "fake_queue.c"}},
		{l.DNN, nil, []string{"fake_cudnn.c", "fake_queue.c"}},
		{l.CUPTI, nil, []string{"fake_cupti.c"}},
	} {
		if err := compile(filepath.Join(dir, "csrc"), b.out, b.flags, b.files); err != nil {
			return err
		}
	}
	return nil
}

func compile(src, out string, flags, files []string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	args := append(append([]string{"-o", out}, compileFlags...), flags...)
	for _, f := range files {
		args = append(args, filepath.Join(src, f))
	}
	args = append(args, "-ldl", "-lpthread")
	if text, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("fakecuda: gcc: %w: %s", err, strings.TrimSpace(string(text)))
	}
	return nil
}
