//go:build linux && cgo

package driver

import (
	"strings"
	"testing"
)

// traced opens the fake driver and the fake profiler. The latter finds the former by a variable.
func traced(t *testing.T) *Context {
	t.Helper()
	t.Setenv("AFTERIMAGE_LIBCUDA", fakes.Driver)
	t.Setenv("AFTERIMAGE_CUPTI", fakes.CUPTI)
	return retain(t)(Open())
}

// TestTrace wants every piece of work since the last cut, none from before it, and none at all
// after the end.
func TestTrace(t *testing.T) {
	c := traced(t)
	s, err := c.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	defer c.DestroyStream(s)
	p, err := c.Alloc(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Free(p)
	fill := func(times int) {
		var b Batch
		for range times {
			b.Set(p, 1, 1<<20)
		}
		if _, err := c.Run(s, &b); err != nil {
			t.Fatal(err)
		}
		if err := c.SyncStream(s); err != nil {
			t.Fatal(err)
		}
	}
	fill(1) // before
	if err := c.API().StartTrace(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{3, 2500, 0} {
		fill(n)
		got, err := c.API().CutTrace()
		if err != nil {
			t.Fatal(err)
		}
		if got.Others != n || got.Kernels != 0 || got.Lost != 0 || got.KernelTime != 0 {
			t.Errorf("of %d fills: %+v", n, got)
		}
		if n > 0 && (got.OtherTime <= 0 || got.Busy > got.OtherTime || got.Span < got.Busy) {
			t.Errorf("times of %d fills: %+v", n, got)
		}
	}
	if err := c.API().StopTrace(); err != nil {
		t.Fatal(err)
	}
	fill(2)
	if got, err := c.API().CutTrace(); err != nil || got != (Trace{}) {
		t.Errorf("after the end: %+v, %v", got, err)
	}
}

// TestNoTrace wants one line that says why nothing can be traced.
func TestNoTrace(t *testing.T) {
	t.Setenv("FAKECUPTI_FAIL", "1")
	c := traced(t)
	err := c.API().StartTrace()
	if err == nil || !strings.Contains(err.Error(), "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES") ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("not permitted: %v", err)
	}
	a, err := OpenWith(env("AFTERIMAGE_LIBCUDA", fakes.Driver, "AFTERIMAGE_CUPTI", "none"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.StartTrace(); err == nil || !strings.Contains(err.Error(), "AFTERIMAGE_CUPTI=none") {
		t.Errorf("turned off: %v", err)
	}
}

// TestAlive wants everything that is created counted, and forgotten when it is given back.
func TestAlive(t *testing.T) {
	c := open(t)
	a := c.API()
	if got := a.Alive(); got != (Alive{Contexts: 1}) {
		t.Errorf("at the start: %+v", got)
	}
	s, _ := c.NewStream()
	e, _ := c.NewEvent(false)
	p, _ := c.Alloc(100)
	q, _ := c.AllocAsync(100, s)
	h, _ := c.HostAlloc(100)
	m, err := c.LoadModule([]byte("FAKE CUBIN sm_90a\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.BeginCapture(s); err != nil {
		t.Fatal(err)
	}
	g, _ := c.EndCapture(s)
	x, _ := c.Instantiate(g)
	if _, err := c.Alloc(1 << 50); err == nil {
		t.Error("2⁵⁰ bytes were allocated")
	}
	want := Alive{Contexts: 1, Streams: 1, Events: 1, Graphs: 1, Execs: 1, Modules: 1, Blocks: 2,
		Pinned: 1}
	if got := a.Alive(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, err := range []error{c.DestroyExec(x), c.DestroyGraph(g), c.UnloadModule(m),
		c.HostFree(h), c.FreeAsync(q, s), c.Free(p), c.DestroyEvent(e), c.DestroyStream(s)} {
		if err != nil {
			t.Error(err)
		}
	}
	if got := a.Alive(); got != (Alive{Contexts: 1}) {
		t.Errorf("at the end: %+v", got)
	}
}
