package kernels_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"afterimage/cuda/kernels"
)

// TestPTXCurrent wants the embedded PTX of every stem to be made from the text as it is now, for
// the version of PTX that the oldest driver takes, and to hold every entry point. It needs no
// compiler.
func TestPTXCurrent(t *testing.T) {
	var all bytes.Buffer
	for _, stem := range kernels.Stems() {
		text, err := kernels.PTX(stem)
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.HasPrefix(text, []byte(kernels.PTXSource(stem)+".version "+kernels.PTXVersion)) {
			t.Errorf("the PTX of %s.cu is not of the text as it is: make ptx makes it anew", stem)
		}
		all.Write(text)
	}
	kept, err := os.ReadDir("ptx")
	if err != nil || len(kept) != len(kernels.Stems()) {
		t.Errorf("%d files for %d stems (%v)", len(kept), len(kernels.Stems()), err)
	}
	for name := range kernels.Entries() {
		if !bytes.Contains(all.Bytes(), []byte(".entry "+name+"(")) {
			t.Errorf("the PTX has no kernel %s", name)
		}
	}
}

// TestPTX compares the embedded PTX with what the pinned compiler makes, or with -update writes it.
// Where the virtual environment has ptxas (the wheel nvidia-cuda-nvcc), it assembles every file.
//
//	AFTERIMAGE_NVRTC_VENV=VENV go test ./cuda/kernels -run TestPTX [-update]
func TestPTX(t *testing.T) {
	venv := os.Getenv("AFTERIMAGE_NVRTC_VENV")
	if venv == "" {
		t.Skip("AFTERIMAGE_NVRTC_VENV names no virtual environment with NVRTC: see nvrtc.py")
	}
	dir := t.TempDir()
	nvrtc(t, venv, dir, kernels.PTXArch)
	ptxas, _ := filepath.Glob(filepath.Join(venv, "lib", "python3*", "site-packages", "nvidia", "cu13",
		"bin", "ptxas"))
	if len(ptxas) == 0 {
		t.Log("no ptxas in the virtual environment: the files are not assembled")
	}
	for _, stem := range kernels.Stems() {
		if *onlyStem != "" && stem != *onlyStem {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, stem+"."+kernels.PTXArch+".ptx"))
		if err != nil {
			t.Fatal(err)
		}
		made := kernels.PTXSource(stem) + plainPTX(string(raw))
		if *updateRegisters {
			writePTX(t, stem, made)
		}
		if kept, err := kernels.PTX(stem); !*updateRegisters && (err != nil || string(kept) != made) {
			t.Errorf("%s: the embedded PTX is not what the compiler makes of it: make ptx (%v)", stem, err)
		}
		if len(ptxas) == 0 {
			continue
		}
		path := filepath.Join(dir, stem+".ptx")
		if err := os.WriteFile(path, []byte(made), 0o666); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(ptxas[0], "-arch=sm_90", path, "-o", path+".cubin").
			CombinedOutput(); err != nil {
			t.Errorf("%s: ptxas: %v\n%s", stem, err, out)
		}
	}
}

// plainPTX drops comments and empty lines and lowers the version that the text claims.
func plainPTX(text string) string {
	text = regexp.MustCompile(`(?m)^\.version \d+\.\d+$`).ReplaceAllString(text,
		".version "+kernels.PTXVersion)
	var out strings.Builder
	for line := range strings.Lines(text) {
		bare := strings.TrimSpace(line)
		if bare != "" && !strings.HasPrefix(bare, "//") {
			out.WriteString(strings.TrimRight(line, " \n") + "\n")
		}
	}
	return out.String()
}

func writePTX(t *testing.T, stem, text string) {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("ptx", stem+".ptx.gz"), b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}
