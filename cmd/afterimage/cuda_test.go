package main

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/cuda/cudatest"
	"afterimage/nn/train"
)

// fakeGPU points the program at a fake driver and a fake cuDNN. It returns the environment to add.
func fakeGPU(t *testing.T) []string {
	t.Helper()
	f, err := cudatest.Build(t.TempDir())
	if errors.Is(err, cudatest.ErrPlatform) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(f.Env, "AFTERIMAGE_CUDNN="+f.DNN)
}

// program runs the program with additions to the environment.
func program(t *testing.T, env []string, args ...string) (code int, out string) {
	t.Helper()
	cmd := exec.Command(binary(t), args...)
	cmd.Env = append(os.Environ(), env...)
	raw, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(raw)
}

// TestStartsWithoutDriver starts the program with no NVIDIA driver under lazy and immediate
// binding, and without cgo: it computes on the CPU and says why in doctor.
func TestStartsWithoutDriver(t *testing.T) {
	if testing.Short() {
		t.Skip("short: builds the program")
	}
	plain := filepath.Join(t.TempDir(), "afterimage")
	build := exec.Command("go", "build", "-o", plain, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, c := range []struct {
		name, bin, says string
		env             []string
	}{
		{"lazy", binary(t), "no NVIDIA driver", nil},
		{"immediate", binary(t), "no NVIDIA driver", []string{"LD_BIND_NOW=1"}},
		{"without cgo", plain, "without cgo", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(c.bin, "doctor", "--data", t.TempDir())
			cmd.Env = append(os.Environ(), c.env...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), c.says) {
				if _, err := os.Stat("/dev/nvidiactl"); err == nil && c.bin != plain {
					t.Skipf("this machine has a driver:\n%s", out)
				}
				t.Fatalf("doctor does not say %q:\n%s", c.says, out)
			}
			cmd = exec.Command(c.bin, "doctor", "--device", "cuda:0")
			cmd.Env = append(os.Environ(), c.env...)
			out, err = cmd.CombinedOutput()
			if line := strings.TrimSuffix(string(out), "\n"); err == nil ||
				cmd.ProcessState.ExitCode() != exitUsage || strings.Contains(line, "\n") ||
				!strings.Contains(line, c.says) || !strings.Contains(line, "--device cpu") {
				t.Errorf("--device cuda:0: %v: want one line that says %q: %s", err, c.says, out)
			}
		})
	}
}

// TestLinksNothingOfNVIDIA reads the dynamic section of this test, which holds the program and
// more: it needs the C library alone, and leaves no function of CUDA's or NVML's for the dynamic
// linker to find.
func TestLinksNothingOfNVIDIA(t *testing.T) {
	f, err := elf.Open(binary(t))
	if err != nil {
		t.Skipf("not an ELF program: %v", err)
	}
	defer f.Close()
	libs, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range libs {
		if !strings.HasPrefix(l, "libc.so") && !strings.HasPrefix(l, "libresolv.so") &&
			!strings.HasPrefix(l, "libpthread.so") && !strings.HasPrefix(l, "libdl.so") {
			t.Errorf("the program needs %s", l)
		}
	}
	symbols, err := f.ImportedSymbols()
	if err != nil && len(libs) > 0 || err == nil && len(symbols) == 0 {
		t.Fatalf("the program needs %v and %d of their symbols: %v", libs, len(symbols), err)
	}
	for _, s := range symbols {
		for _, p := range []string{"cu", "nvml", "nvrtc", "cudnn", "cublas"} {
			if strings.HasPrefix(s.Name, p) {
				t.Errorf("the program leaves %s to the dynamic linker", s.Name)
			}
		}
	}
}

// emulated is a training small enough for an emulated GPU.
func emulated(more ...string) []string {
	return append(strings.Fields("train classifier --arch lenet5 --train-images 4 --val-images 2 "+
		"--batch 2 --epochs 1 --best 1"), more...)
}

// TestDevices wants auto to take the GPU that the fake driver offers, cpu not to, and every way in
// which a GPU can be unusable to give one line.
func TestDevices(t *testing.T) {
	if testing.Short() {
		t.Skip("short: make test starts the program on fake devices")
	}
	gpu := fakeGPU(t)
	code, out := program(t, gpu, "doctor", "--json", "--data", t.TempDir())
	var r doctorReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK ||
		len(r.CUDA.Devices) != 1 || r.CUDA.Problem != "" || len(r.CUDA.Libraries) != 4 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	if code, out = program(t, gpu, "doctor", "--data", t.TempDir()); code != exitOK ||
		!strings.Contains(out, "cuda:0 Fake GPU") || !strings.Contains(out, "CUDA driver 13.0") {
		t.Errorf("exit %d: %s", code, out)
	}
	for _, c := range []struct {
		env, device string
		code        int
		says        []string
	}{
		{"FAKECUDA_VERSION=11080", "cuda:0", exitUsage, []string{"CUDA 11.8", "too old"}},
		{"FAKECUDA_DEVICES=0", "cuda:0", exitUsage, []string{"CUDA_ERROR_NO_DEVICE"}},
		{"AFTERIMAGE_NVRTC=none", "cuda", exitOK, []string{"trained 2 steps"}},
		{"FAKECUDA_OLD=0 FAKECUDA_DEVICES=2", "auto", exitOK, []string{"trained 2 steps"}},
		{"FAKECUDA_OLD=0", "cuda:0", exitUsage, []string{"compute capability 8.0 or newer"}},
		{"X=", "cuda:1", exitUsage, []string{"no such GPU"}},
		{"FAKECUDA_LOSE_AFTER=9", "cuda:0", exitOther, []string{"CUDA_ERROR_ILLEGAL_ADDRESS", "cuda:0"}},
		{"FAKECUDA_LOSE_AFTER=100", "auto", exitOther, []string{"CUDA_ERROR_ILLEGAL_ADDRESS"}},
		{"FAKECUDA_MEMORY=400000", "cuda:0", exitOther, []string{"out of memory", "smaller batch"}},
	} {
		t.Run(c.env, func(t *testing.T) {
			args := emulated("--out", filepath.Join(t.TempDir(), "run"), "--device", c.device)
			code, out := program(t, append(gpu, strings.Fields(c.env)...), args...)
			line := lastLine([]byte(out))
			for _, w := range c.says {
				if code != c.code || !strings.Contains(line, w) {
					t.Errorf("exit %d, want %d; want one line with %q: %s", code, c.code, w, out)
				}
			}
		})
	}
}

// TestArithmetic trains on the fake GPU with its cuDNN in bf16: the run says so and keeps the
// plans, and a resumption without the flag is warned about, as is one with plans that are not
// offered any more. Flags that a device does not know, or that contradict each other, end in one
// line.
func TestArithmetic(t *testing.T) {
	if testing.Short() {
		t.Skip("short: starts the program many times")
	}
	gpu := fakeGPU(t)
	run := filepath.Join(t.TempDir(), "run")
	code, out := program(t, gpu, emulated("--out", run, "--device", "cuda:0", "--precision",
		"bf16")...)
	environment, _ := os.ReadFile(filepath.Join(run, train.EnvironmentFile))
	plans, _ := os.ReadFile(filepath.Join(run, train.PlansFile))
	if code != exitOK || strings.Contains(out, "call by call") ||
		!strings.Contains(string(environment), "bf16 products") ||
		!strings.Contains(string(plans), "forward bf16 to bf16") {
		t.Errorf("exit %d: %s\n%s\n%s", code, out, environment, plans)
	}
	otherEngines(t, filepath.Join(run, train.PlansFile))
	code, out = program(t, gpu, "train", "classifier", "--resume", run, "--device", "cuda:0",
		"--precision", "bf16")
	if code != exitOK || strings.Count(out, "is not offered any more: it is chosen afresh") != 1 {
		t.Errorf("resumed with plans that are not offered, exit %d: %s", code, out)
	}
	code, out = program(t, gpu, "train", "classifier", "--resume", run, "--device", "cuda:0")
	if code != exitOK || !strings.Contains(out, "bf16 products") ||
		!strings.Contains(out, train.PlansFile+" holds the plans of") {
		t.Errorf("resumed in f32, exit %d: %s", code, out)
	}
	for _, c := range []struct{ flags, says string }{
		{"--device cpu --tf32", "--device cuda:0"},
		{"--device cuda:0 --no-winograd", "--device cpu"},
		{"--device cuda:0 --tf32 --precision bf16", "choose one"},
		{"--device cuda:0 --precision f16", "f32"},
	} {
		args := emulated(append(strings.Fields(c.flags), "--out", run+"x")...)
		code, out := program(t, gpu, args...)
		if code != exitUsage || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit %d, want %q: %s", c.flags, code, c.says, out)
		}
	}
}

// otherEngines makes a run's file of plans name engines that no library has.
func otherEngines(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(raw), "\n")
	text = strings.ReplaceAll(text, `"engine": 1`, `"engine": 7`)
	text = fmt.Sprintf("sha256 %x\n%s", sha256.Sum256([]byte(text)), text)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestTelemetry trains on the fake GPU with programs named gpumon in several states of health:
// whatever becomes of them, the training ends well; a healthy one is summed up and logged.
func TestTelemetry(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains five times beside stand-ins for gpumon")
	}
	gpu := fakeGPU(t)
	const line = `{"time":%d,"devices":[{"uuid":"GPU-other","power_watts":9},` +
		`{"uuid":"GPU-10111213-1415-1617-1819-1a1b1c1d1e1f","utilisation":0.5,` +
		`"memory_used":2e9,"power_watts":300,"energy_joules":%d}]}`
	healthy := strings.NewReplacer("%d", "7").Replace(line)
	later := strings.NewReplacer(`"time":%d`, `"time":9`, "%d", "107").Replace(line)
	for _, c := range []struct {
		name, script, says string
		log                bool
	}{
		{"healthy", "echo '" + healthy + "'; sleep 0.3; echo '" + later + "'; cat >/dev/null",
			"GPU over 2 s: 50 % busy, at most 2.0 GB used, 300 W on average, 100 J", true},
		{"dies at once", "exit 127", "", false},
		{"dies later", "echo '" + healthy + "'; kill -9 $$", "300 W", false},
		{"talks nonsense", "echo '{'; echo hello; cat >/dev/null", "", false},
		{"does not end", "trap '' TERM; echo '" + healthy + "'; exec sleep 600", "300 W", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			script := "#!/bin/sh\n" + c.script + "\n"
			if err := os.WriteFile(filepath.Join(dir, "gpumon"), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			run := filepath.Join(dir, "run")
			env := append(gpu, "PATH="+dir+":"+os.Getenv("PATH"))
			code, out := program(t, env, emulated("--out", run, "--device", "cuda:0")...)
			if code != exitOK || !strings.Contains(out, c.says) ||
				(c.says == "") == strings.Contains(out, "GPU over") {
				t.Errorf("exit %d: want %q: %s", code, c.says, out)
			}
			log, _ := os.ReadFile(filepath.Join(run, train.TelemetryFile))
			if c.log && strings.Count(string(log), "\n") == 0 {
				t.Errorf("the run's log holds %q", log)
			}
		})
	}
}
