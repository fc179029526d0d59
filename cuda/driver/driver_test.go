//go:build linux && cgo

package driver

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/cuda/internal/fakecuda"
)

// fakes are built once for all tests of the package.
var fakes fakecuda.Libraries

func TestMain(m *testing.M) {
	var err error
	if fakes, err = fakecuda.Build(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// env makes an environment of pairs.
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// open opens the fake driver and retains its device.
func open(t *testing.T) *Context {
	t.Helper()
	return retain(t)(OpenWith(env("AFTERIMAGE_LIBCUDA", fakes.Driver,
		"AFTERIMAGE_NVRTC", fakes.NVRTC)))
}

// retain retains device 0 of what was opened until the test ends.
func retain(t *testing.T) func(*API, error) *Context {
	return func(a *API, err error) *Context {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		c, err := a.Retain(0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Release() })
		return c
	}
}

// TestNoDriver wants one line that says what was looked for, whatever is wrong with the library.
func TestNoDriver(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "libempty.so")
	if text, err := exec.Command("gcc", "-shared", "-o", empty, "-x", "c", "/dev/null").
		CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, text)
	}
	for _, c := range []struct {
		name string
		env  func(string) string
		want []string
	}{
		{"absent", env("AFTERIMAGE_LIBCUDA", "/nowhere/libcuda.so.1"),
			[]string{"/nowhere/libcuda.so.1", "No such file"}},
		{"off", env("AFTERIMAGE_LIBCUDA", "none"), []string{"AFTERIMAGE_LIBCUDA=none"}},
		{"not a library", env("AFTERIMAGE_LIBCUDA", "/etc/passwd"), []string{"/etc/passwd"}},
		{"another library", env("AFTERIMAGE_LIBCUDA", empty),
			[]string{empty, "lacks", "cuInit", "too old"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := OpenWith(c.env)
			wantLine(t, err, c.want...)
		})
	}
}

func wantLine(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

// TestInjected wants an old driver and a machine without a GPU to be told apart.
func TestInjected(t *testing.T) {
	fake := env("AFTERIMAGE_LIBCUDA", fakes.Driver)
	t.Run("old", func(t *testing.T) {
		t.Setenv("FAKECUDA_VERSION", "11040")
		_, err := OpenWith(fake)
		wantLine(t, err, fakes.Driver, "CUDA 11.4", "too old", "12.0")
	})
	t.Run("no device", func(t *testing.T) {
		t.Setenv("FAKECUDA_DEVICES", "0")
		_, err := OpenWith(fake)
		wantLine(t, err, "CUDA_ERROR_NO_DEVICE", "13.0", fakes.Driver, "CUDA_VISIBLE_DEVICES")
	})
}

// TestOptional wants a driver without pools and graphs to open, to say what it lacks, and to answer
// their use with an error.
func TestOptional(t *testing.T) {
	a, err := OpenWith(env("AFTERIMAGE_LIBCUDA", fakes.Old))
	if err != nil {
		t.Fatal(err)
	}
	f := a.Found(CUDA)
	if !strings.Contains(f.String(), "without") ||
		!strings.Contains(f.String(), "cuStreamBeginCapture_v2") {
		t.Errorf("%v does not say what is missing", f)
	}
	c, err := a.Retain(0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.BeginCapture(s); Code(err) != NotFound {
		t.Errorf("BeginCapture without the function: %v", err)
	}
	if err := c.KeepPool(); Code(err) != NotFound {
		t.Errorf("KeepPool without the function: %v", err)
	}
}

// TestFound wants the libraries' real paths and versions.
func TestFound(t *testing.T) {
	a := open(t).API()
	if f := a.Found(CUDA); f.Path != fakes.Driver || f.Version != "13.0" || f.Err != nil {
		t.Errorf("driver: %+v", f)
	}
	if f := a.Found(NVRTC); f.Path != fakes.NVRTC || f.Version != "13.0" || f.Err != nil {
		t.Errorf("NVRTC: %+v", f)
	}
}

// TestDevice asks for everything that a report holds.
func TestDevice(t *testing.T) {
	a := open(t).API()
	n, err := a.Devices()
	name, err2 := a.DeviceName(0)
	major, err3 := a.DeviceAttribute(0, ComputeMajor)
	mem, err4 := a.DeviceMemory(0)
	if n != 1 || name == "" || major != 9 || mem != 1<<30 || err != nil || err2 != nil ||
		err3 != nil || err4 != nil {
		t.Errorf("%d %q %d %d: %v %v %v %v", n, name, major, mem, err, err2, err3, err4)
	}
	if got := a.DeviceUUID(0); got != "GPU-10111213-1415-1617-1819-1a1b1c1d1e1f" {
		t.Errorf("UUID %s", got)
	}
	if _, err := a.Retain(7); err == nil {
		t.Error("a device that is not there was retained")
	}
}

// TestBatch moves bytes through a stream: nothing happens before it is waited for, and then all in
// order.
func TestBatch(t *testing.T) {
	c := open(t)
	s, _ := c.NewStream()
	dev, err := c.Alloc(64)
	if err != nil {
		t.Fatal(err)
	}
	host, err := c.HostAlloc(64)
	if err != nil {
		t.Fatal(err)
	}
	ev, _ := c.NewEvent(false)
	copy(host.Bytes(), "twelve bytes")
	var b Batch
	b.Set(dev, 'x', 64)
	b.CopyIn(dev, host.Address, 12)
	b.Copy(dev+32, dev, 12)
	b.Set(dev, 0, 12)
	b.CopyOut(host.Address, dev, 64)
	b.Record(ev)
	if at, err := c.Run(s, &b); err != nil || at != b.Len() {
		t.Fatalf("ran %d of %d: %v", at, b.Len(), err)
	}
	if done, err := c.EventDone(ev); done || err != nil {
		t.Errorf("done before anything waited: %v %v", done, err)
	}
	if err := c.SyncEvent(ev); err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("\x00", 12) + strings.Repeat("x", 20) + "twelve bytes" +
		strings.Repeat("x", 20)
	if got := string(host.Bytes()); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, err := range []error{c.Free(dev), c.HostFree(host), c.DestroyEvent(ev),
		c.DestroyStream(s)} {
		if err != nil {
			t.Error(err)
		}
	}
}

// TestBatchFails wants the failing command's place, name, the library's path and version.
func TestBatchFails(t *testing.T) {
	c := open(t)
	s, _ := c.NewStream()
	dev, _ := c.Alloc(64)
	defer func() { c.SyncStream(s); c.Free(dev) }()
	var b Batch
	b.Set(dev, 0, 64)
	b.Set(dev, 0, 65) // one byte too many
	at, err := c.Run(s, &b)
	if at != 1 {
		t.Errorf("failed at %d, want 1", at)
	}
	wantLine(t, err, "cuMemsetD8Async", "CUDA_ERROR_INVALID_VALUE", fakes.Driver, "13.0")
}

// TestCompile wants an image, and a failed compilation to hand over the compiler's messages.
func TestCompile(t *testing.T) {
	c := open(t)
	image, err := c.API().Compile("void f() {}", "f.cu", []string{"--gpu-architecture=sm_90a"},
		false)
	if err != nil || !strings.HasPrefix(string(image), "FAKE CUBIN sm_90a") {
		t.Fatalf("%q: %v", image, err)
	}
	m, err := c.LoadModule(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.UnloadModule(m); err != nil {
		t.Error(err)
	}
	_, err = c.LoadModule([]byte("rubbish"))
	wantLine(t, err, "cuModuleLoadDataEx", "CUDA_ERROR_INVALID_IMAGE", "not an image")
	t.Setenv("FAKECUDA_NVRTC_FAIL", "1")
	_, err = c.API().Compile("x", "f.cu", []string{"--gpu-architecture=sm_90a"}, false)
	wantLine(t, err, "compile f.cu", "told to fail", "NVRTC", fakes.NVRTC)
}

// TestLongNames wants a library's name for a result to be cut to the room there is for it.
func TestLongNames(t *testing.T) {
	c := open(t)
	t.Setenv("FAKECUDA_NAME_LENGTH", "3000")
	_, err := c.LoadModule([]byte("rubbish"))
	var e *Error
	if !errors.As(err, &e) || e.Name != strings.Repeat("N", 255) {
		t.Errorf("%v: expected a name of 255 bytes", err)
	}
}

// TestCapture records a batch and replays it twice; a wait inside a capture spoils it.
func TestCapture(t *testing.T) {
	c := open(t)
	s, _ := c.NewStream()
	dev, _ := c.Alloc(8)
	host, _ := c.HostAlloc(8)
	var b Batch
	b.CopyIn(dev, host.Address, 8)
	b.Copy(dev+4, dev, 4)
	if err := c.BeginCapture(s); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Run(s, &b); err != nil {
		t.Fatal(err)
	}
	g, err := c.EndCapture(s)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.GraphNodes(g); n != 2 || err != nil {
		t.Errorf("%d nodes, %v", n, err)
	}
	x, err := c.Instantiate(g)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"abcd....", "wxyz----"} {
		copy(host.Bytes(), text)
		var run Batch
		run.Graph(x)
		run.CopyOut(host.Address, dev, 8)
		run.Sync()
		if _, err := c.Run(s, &run); err != nil {
			t.Fatal(err)
		}
		if got := string(host.Bytes()); got != text[:4]+text[:4] {
			t.Errorf("replayed %q, want %q", got, text[:4]+text[:4])
		}
	}
	if err := c.BeginCapture(s); err != nil {
		t.Fatal(err)
	}
	if err := c.SyncStream(s); err == nil {
		t.Error("a wait inside a capture succeeded")
	}
	if _, err := c.EndCapture(s); err == nil {
		t.Error("a spoiled capture succeeded")
	}
}
