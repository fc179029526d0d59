package fakecuda

import (
	"embed"
	"fmt"
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

// Build compiles the fakes with gcc into dir.
func Build(dir string) (Libraries, error) {
	l := Libraries{filepath.Join(dir, "libcuda.so.1"), filepath.Join(dir, "old", "libcuda.so.1"),
		filepath.Join(dir, "libnvrtc.so.13"), filepath.Join(dir, "libcublasLt.so.13"),
		filepath.Join(dir, "libcudnn.so.9"), filepath.Join(dir, "libcupti.so.13")}
	src := filepath.Join(dir, "csrc")
	if err := os.MkdirAll(src, 0o755); err != nil {
		return l, err
	}
	entries, err := sources.ReadDir("csrc")
	if err != nil {
		return l, err
	}
	for _, e := range entries {
		text, err := sources.ReadFile("csrc/" + e.Name())
		if err != nil {
			return l, err
		}
		if err := os.WriteFile(filepath.Join(src, e.Name()), text, 0o644); err != nil {
			return l, err
		}
	}
	driver := []string{"fake_driver.c", "fake_memory.c", "fake_stream.c", "fake_module.c"}
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
		if err := compile(src, b.out, b.flags, b.files); err != nil {
			return l, err
		}
	}
	return l, nil
}

func compile(src, out string, flags, files []string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	args := append([]string{"-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
		"-fvisibility=hidden", "-o", out}, flags...)
	for _, f := range files {
		args = append(args, filepath.Join(src, f))
	}
	args = append(args, "-ldl", "-lpthread")
	if text, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("fakecuda: gcc: %w: %s", err, strings.TrimSpace(string(text)))
	}
	return nil
}
