//go:build linux && amd64 && cgo

package cuda

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"afterimage/cuda/driver"
	"afterimage/tensor"
)

// TestClasses wants every size to fit its class, with at most a fifth unused beyond the smallest.
func TestClasses(t *testing.T) {
	for n := 1; n < 1<<40; n += 1 + n/7 {
		size := classBytes(sizeClass(n))
		if size < n || size%smallest != 0 || n > 4*smallest && (size-n)*5 > size+5*smallest {
			t.Fatalf("%d bytes get a block of %d", n, size)
		}
	}
}

// TestReuse wants freed memory back at the same address, and steady steps to allocate nothing.
func TestReuse(t *testing.T) {
	b := open(t, Options{})
	step := func() (addresses []uint64) {
		s := tensor.NewScope(b)
		defer s.Close()
		for _, n := range []int{1, 1000, 300, 3 << 20, 1000} {
			addresses = append(addresses, s.New(tensor.F32, n).Buffer().(*buffer).address)
		}
		return addresses
	}
	first := step()
	held := b.Memory().Held
	for range 100 {
		step()
	}
	if u := b.Memory(); u.Held != held || u.InUse != 0 {
		t.Errorf("after 100 steps %d bytes are held, %d at first; %d in use", u.Held, held, u.InUse)
	}
	seen := map[uint64]bool{}
	for _, a := range first {
		if seen[a] || a%smallest != 0 {
			t.Errorf("address %#x is given twice or not aligned", a)
		}
		seen[a] = true
	}
	for _, a := range step() {
		if !seen[a] {
			t.Errorf("address %#x is new", a)
		}
	}
}

// free asks the fake device how much memory is left.
func free(t *testing.T, b *Backend) int {
	t.Helper()
	n, _, err := b.ctx.MemInfo()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNoLeak wants Close to give back every byte, under each way of allocating.
func TestNoLeak(t *testing.T) {
	watch := open(t, Options{})
	before := free(t, watch)
	for _, c := range []struct {
		name  string
		pools string
		o     Options
	}{
		{"pools", "1", Options{}}, {"plain", "0", Options{}},
		{"isolated", "1", Options{Isolate: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("FAKECUDA_POOLS", c.pools)
			c.o.Cache = t.TempDir()
			b, err := Open("cuda", c.o)
			if err != nil {
				t.Fatal(err)
			}
			s := tensor.NewScope(b)
			x := s.Full(tensor.F32, 3, 5<<20)
			y := s.Full(tensor.F32, 4, 7)
			if x.Floats()[5<<20-1] != 3 || y.Floats()[6] != 4 {
				t.Error("wrong values")
			}
			x.Free()
			s.Close()
			b.Close()
			if now := free(t, watch); now != before {
				t.Errorf("%d bytes were not given back", before-now)
			}
		})
	}
}

// TestOutOfMemory wants cached blocks to be given back before an allocation is refused, the
// refusal to say how much was asked for, and the device to go on working.
func TestOutOfMemory(t *testing.T) {
	t.Setenv("FAKECUDA_MEMORY", "100000000")
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	for _, n := range []int{10, 11, 12, 13, 14, 15} { // each size its own class: all stay cached
		s.New(tensor.U8, n*4<<20).Free()
	}
	if buf, err := b.Alloc(80 << 20); err != nil {
		t.Errorf("cached blocks were not given back: %v", err)
	} else {
		b.Free(buf)
	}
	_, err := b.Alloc(200 << 20)
	if err == nil || !strings.Contains(err.Error(), "out of memory: needs 2") ||
		!strings.Contains(err.Error(), "smaller batch") {
		t.Errorf("more than there is: %v", err)
	}
	if x := s.Full(tensor.F32, 2, 100); x.Floats()[99] != 2 || b.Sync() != nil {
		t.Error("the device does not go on")
	}
}

// TestPoolOfDriver wants what another backend's blocks left in the driver's pool given back before
// an allocation that the pool does not serve, a recording's for example, is refused.
func TestPoolOfDriver(t *testing.T) {
	t.Setenv("FAKECUDA_MEMORY", "100000000")
	b := open(t, Options{})
	a, err := b.ctx.AllocAsync(80<<20, b.x.stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.ctx.FreeAsync(a, b.x.stream); err != nil {
		t.Fatal(err)
	}
	if _, err := b.mem.take(&pool{}, 70<<20, -1); err != nil {
		t.Error(err)
	}
}

// TestLimit wants --memory to hold.
func TestLimit(t *testing.T) {
	b := open(t, Options{Memory: 8 << 20})
	s := tensor.NewScope(b)
	defer s.Close()
	s.New(tensor.U8, 5<<20)
	if _, err := b.Alloc(6 << 20); err == nil || !strings.Contains(err.Error(), "of 8.0 MB") {
		t.Errorf("beyond the limit: %v", err)
	}
}

// inside is set in a process of TestLostDevice's own.
const inside = "AFTERIMAGE_TEST_LOSE"

// TestLostDevice wants a failure of the device to come out of Sync in one line with the kernel's
// name, to stick, and to turn Download and Alloc into one error. The fake driver stays lost for its
// process, so the test runs in one of its own.
func TestLostDevice(t *testing.T) {
	if os.Getenv(inside) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLostDevice$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1", "FAKECUDA_LOSE_AFTER=3")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestLostDevice") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	b := open(t, Options{})
	s := tensor.NewScope(b)
	x, y := s.Full(tensor.F32, 1, 10), s.Full(tensor.F32, 1, 10)
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	b.Binary(tensor.Add, y, x, x) // the third launch
	for range 2 {
		err := b.Sync()
		if err == nil || !strings.Contains(err.Error(), "CUDA_ERROR_ILLEGAL_ADDRESS") ||
			!strings.Contains(err.Error(), "cuda:0") || strings.Contains(err.Error(), "\n") {
			t.Errorf("Sync: %v", err)
		}
	}
	for name, f := range map[string]func(){"Download": func() { y.Floats() },
		"Alloc": func() { s.New(tensor.F32, 1) }} {
		err := tensor.Try(f)
		if err == nil || !strings.HasPrefix(err.Error(), "Device: cuda:0: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.Fill(x, 1) // does nothing, and does not crash
}

// TestWrongThread wants the executor's calls to survive goroutines that move between threads.
func TestWrongThread(t *testing.T) {
	b := open(t, Options{})
	done := make(chan error)
	for i := range 8 {
		go func() {
			s := tensor.NewScope(b)
			defer s.Close()
			for range 20 {
				x := s.Full(tensor.F32, float64(i), 50)
				if got := x.Floats()[49]; got != float64(i) {
					done <- &driver.Error{Text: "wrong value"}
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
