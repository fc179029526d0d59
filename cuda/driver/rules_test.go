//go:build linux && cgo

package driver

import (
	"testing"
	"unsafe"
)

// A bench is what the cases of TestRules work on.
type ruleBench struct {
	*Context
	stream, other uint64 // of which stream captures
	device, async uint64 // 64 bytes each, the latter of the stream-ordered pool
	host          Pinned // 64 bytes
	before        uint64 // event recorded outside the capture
	inside        uint64 // event recorded in it
}

// run executes one command.
func (r ruleBench) run(stream uint64, add func(b *Batch)) error {
	var b Batch
	add(&b)
	_, err := r.Run(stream, &b)
	return err
}

// The driver's numbers for what the cases expect.
const (
	invalidValue       = 1   // CUDA_ERROR_INVALID_VALUE
	invalidHandle      = 400 // CUDA_ERROR_INVALID_HANDLE
	illegalAddress     = 700 // CUDA_ERROR_ILLEGAL_ADDRESS
	contextDestroyed   = 709 // CUDA_ERROR_CONTEXT_IS_DESTROYED
	captureUnsupported = 900 // CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
	captureInvalidated = 901 // CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
	captureIsolation   = 905 // CUDA_ERROR_STREAM_CAPTURE_ISOLATION
	capturedEvent      = 907 // CUDA_ERROR_CAPTURED_EVENT
)

// A ruleCase is a call that a driver refuses.
type ruleCase struct {
	name string
	want int // its code
	call func(r ruleBench) error
}

// captureCases are refused while this thread captures.
var captureCases = []ruleCase{
	{"allocation", captureUnsupported, func(r ruleBench) error {
		_, err := r.Alloc(8)
		return err
	}},
	{"allocation in the stream", captureUnsupported, func(r ruleBench) error {
		_, err := r.AllocAsync(8, r.stream)
		return err
	}},
	{"pinned allocation", captureUnsupported, func(r ruleBench) error {
		_, err := r.HostAlloc(8)
		return err
	}},
	{"free", captureUnsupported, func(r ruleBench) error { return r.Free(r.device) }},
	{"free in the stream", invalidValue, func(r ruleBench) error {
		return r.FreeAsync(r.async, r.stream)
	}},
	{"pinned free", captureUnsupported, func(r ruleBench) error { return r.HostFree(r.host) }},
	{"trim", captureUnsupported, func(r ruleBench) error { return r.TrimPool() }},
	{"wait for the stream", captureUnsupported, func(r ruleBench) error {
		return r.SyncStream(r.stream)
	}},
	{"wait for another stream", captureUnsupported, func(r ruleBench) error {
		return r.SyncStream(r.other)
	}},
	{"wait for an event", captureUnsupported, func(r ruleBench) error {
		return r.SyncEvent(r.before)
	}},
	{"query", captureUnsupported, func(r ruleBench) error {
		_, err := r.EventDone(r.before)
		return err
	}},
	{"module", captureUnsupported, func(r ruleBench) error {
		_, err := r.LoadModule([]byte("FAKE CUBIN"))
		return err
	}},
	{"event from outside", captureIsolation, func(r ruleBench) error {
		return r.run(r.stream, func(b *Batch) { b.Wait(r.before) })
	}},
	{"event to the outside", captureIsolation, func(r ruleBench) error {
		return r.run(r.other, func(b *Batch) { b.Wait(r.inside) })
	}},
}

// TestRules wants the fake driver to refuse, while this thread captures, what a driver refuses on a
// card, and the capture to be spoiled by it: package cuda is tested against nothing stricter.
func TestRules(t *testing.T) {
	for _, c := range captureCases {
		t.Run(c.name, func(t *testing.T) {
			r := openRules(t)
			if err := r.BeginCapture(r.stream); err != nil {
				t.Fatal(err)
			}
			if err := r.run(r.stream, func(b *Batch) { b.Record(r.inside) }); err != nil {
				t.Fatal(err)
			}
			if err := c.call(r); Code(err) != c.want {
				t.Errorf("%v, want code %d", err, c.want)
			}
			if _, err := r.EndCapture(r.stream); Code(err) != captureInvalidated {
				t.Errorf("the capture ended with %v", err)
			}
		})
	}
}

// openRules makes what the cases need; whatever is left of it goes with the context.
func openRules(t *testing.T) ruleBench {
	t.Helper()
	r := ruleBench{Context: open(t)}
	for _, err := range []error{
		set(&r.stream)(r.NewStream()), set(&r.other)(r.NewStream()), set(&r.device)(r.Alloc(64)),
		set(&r.async)(r.AllocAsync(64, r.stream)), set(&r.host)(r.HostAlloc(64)),
		set(&r.before)(r.NewEvent(false)), set(&r.inside)(r.NewEvent(false)),
		r.run(r.other, func(b *Batch) { b.Record(r.before) }),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// set keeps the value of a call that may fail.
func set[T any](to *T) func(T, error) error {
	return func(v T, err error) error {
		*to = v
		return err
	}
}

// misuseCases are wrong in or outside captures.
var misuseCases = []ruleCase{
	{"copy from pageable memory", invalidValue, func(r ruleBench) error {
		return r.run(r.stream, func(b *Batch) { b.CopyIn(r.device, r.host.Address+8, 64) })
	}},
	{"pinned memory freed under a copy", illegalAddress, func(r ruleBench) error {
		err := r.run(r.stream, func(b *Batch) { b.CopyIn(r.device, r.host.Address, 64) })
		if err == nil {
			err = r.HostFree(r.host)
		}
		if err != nil {
			return err
		}
		return r.SyncStream(r.stream)
	}},
	{"device memory freed under a copy", illegalAddress, func(r ruleBench) error {
		err := r.run(r.stream, func(b *Batch) { b.CopyOut(r.host.Address, r.device, 64) })
		if err == nil {
			err = r.Free(r.device)
		}
		if err != nil {
			return err
		}
		return r.SyncStream(r.stream)
	}},
	{"freed in a stream, not allocated so", invalidValue, func(r ruleBench) error {
		return r.FreeAsync(r.device, r.stream)
	}},
	{"a stream that is gone", invalidHandle, func(r ruleBench) error {
		if err := r.DestroyStream(r.other); err != nil {
			return err
		}
		return r.run(r.other, func(b *Batch) { b.Record(r.inside) })
	}},
	{"time between events without clocks", invalidHandle, func(r ruleBench) error {
		if err := r.SyncEvent(r.before); err != nil {
			return err
		}
		_, err := r.Elapsed(r.before, r.before)
		return err
	}},
	{"a query of an event in a graph", capturedEvent, func(r ruleBench) error {
		if err := r.BeginCapture(r.stream); err != nil {
			return err
		}
		if err := r.run(r.stream, func(b *Batch) { b.Record(r.inside) }); err != nil {
			return err
		}
		if _, err := r.EndCapture(r.stream); err != nil {
			return err
		}
		_, err := r.EventDone(r.inside)
		return err
	}},
	{"a context that is gone", contextDestroyed, func(r ruleBench) error {
		if err := r.Release(); err != nil {
			return err
		}
		_, err := r.Alloc(8)
		if _, again := r.api.Retain(0); again != nil { // for the test's end
			return again
		}
		return err
	}},
}

// TestMisuse wants the fake driver to refuse what is wrong in or outside captures.
func TestMisuse(t *testing.T) {
	for _, c := range misuseCases {
		t.Run(c.name, func(t *testing.T) {
			if err := c.call(openRules(t)); Code(err) != c.want {
				t.Errorf("%v, want code %d", err, c.want)
			}
		})
	}
}

// openWith opens the fake driver with another fake library, and a stream.
func openWith(t *testing.T, variable, library string) (c *Context, stream uint64) {
	t.Helper()
	t.Setenv("AFTERIMAGE_LIBCUDA", fakes.Driver) // where the fake looks for the driver
	c = retain(t)(OpenWith(env("AFTERIMAGE_LIBCUDA", fakes.Driver, variable, library)))
	stream, err := c.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	return c, stream
}

// TestDNNRules wants the fake cuDNN to refuse descriptors that the real one refuses.
func TestDNNRules(t *testing.T) {
	const (
		kindTensor                               = 17
		align, dtype, dims, strides, id          = 900, 901, 902, 903, 906
		typeDataType, typeInt64, typeFloat, bf16 = 1, 3, 4, 9
	)
	c, stream := openWith(t, "AFTERIMAGE_CUDNN", fakes.DNN)
	if _, err := c.NewDNN(stream); err != nil {
		t.Fatal(err)
	}
	type attribute struct {
		name, kind int
		values     []int64
	}
	whole := []attribute{{dtype, typeDataType, []int64{bf16}}, {dims, typeInt64, []int64{2, 8, 3, 5}},
		{strides, typeInt64, []int64{120, 1, 40, 8}}, {id, typeInt64, []int64{'x'}},
		{align, typeInt64, []int64{16}}}
	describe := func(all []attribute) error {
		d, err := c.NewDescriptor(kindTensor)
		if err != nil {
			return err
		}
		for _, at := range all {
			err = c.SetAttribute(d, at.name, at.kind, len(at.values), unsafe.Pointer(&at.values[0]))
			if err != nil {
				return err
			}
		}
		return c.Finalize(d)
	}
	change := func(i int, at attribute) []attribute {
		return append(append(append([]attribute(nil), whole[:i]...), at), whole[i+1:]...)
	}
	if err := describe(whole); err != nil {
		t.Fatal(err)
	}
	for name, all := range map[string][]attribute{
		"without an alignment":      whole[:4],
		"an unknown attribute":      change(4, attribute{999, typeInt64, []int64{16}}),
		"another type":              change(3, attribute{id, typeFloat, []int64{'x'}}),
		"too few dimensions":        change(1, attribute{dims, typeInt64, []int64{2, 8, 3}}),
		"an alignment of 24":        change(4, attribute{align, typeInt64, []int64{24}}),
		"an alignment of one byte":  change(4, attribute{align, typeInt64, []int64{1}}),
		"strides that leave a hole": change(2, attribute{strides, typeInt64, []int64{160, 1, 40, 8}}),
	} {
		if err := describe(all); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	captures(t, c, stream, "a handle of cuDNN", func() error {
		_, err := c.NewDNN(stream)
		return err
	})
}

// TestDNNOrder wants the fake cuDNN to refuse questions that come too early and descriptors that
// are gone.
func TestDNNOrder(t *testing.T) {
	const kindHeuristics = 4
	c, stream := openWith(t, "AFTERIMAGE_CUDNN", fakes.DNN)
	if _, err := c.NewDNN(stream); err != nil {
		t.Fatal(err)
	}
	h, err := c.NewDescriptor(kindHeuristics)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetAttribute(h, 202, 15, 1, unsafe.Pointer(&h)); err == nil {
		t.Error("heuristics answered before they were finalized")
	}
	if err := c.DestroyDescriptor(h); err != nil {
		t.Error(err)
	}
	if err := c.DestroyDescriptor(h); err == nil {
		t.Error("a descriptor was destroyed twice")
	}
}

// captures wants what f does to be refused while this thread captures, and to spoil the capture.
func captures(t *testing.T, c *Context, stream uint64, what string, f func() error) {
	t.Helper()
	if err := c.BeginCapture(stream); err != nil {
		t.Fatal(err)
	}
	if f() == nil {
		t.Errorf("%s: accepted in a capture", what)
	}
	if _, err := c.EndCapture(stream); Code(err) != captureInvalidated {
		t.Errorf("%s: the capture ended with %v", what, err)
	}
}

// TestProductRules wants the fake cuBLASLt to refuse what the real one refuses.
func TestProductRules(t *testing.T) {
	c, stream := openWith(t, "AFTERIMAGE_CUBLASLT", fakes.Lt)
	h, err := c.NewProducts()
	if err != nil {
		t.Fatal(err)
	}
	s := ProductSpec{M: 2, N: 2, K: 2, Batch: 1, Workspace: 4096}
	p, err := c.PlanProduct(h, s, 0)
	if err != nil {
		t.Fatal(err)
	}
	captures(t, c, stream, "a search for algorithms", func() error {
		_, err := c.PlanProduct(h, s, 0)
		return err
	})
	mem, err := c.Alloc(1024 + 4096)
	if err != nil {
		t.Fatal(err)
	}
	multiply := func(x uint64) error {
		var b Batch
		b.Set(mem, 0, 1024)
		b.Product(p, x, mem+256, mem+512, mem+1024)
		_, err := c.Run(stream, &b)
		return err
	}
	captures(t, c, stream, "a first product", func() error { return multiply(mem) })
	if err := multiply(mem + 16); err == nil {
		t.Error("an operand at a multiple of 16 was taken for one at a multiple of 256")
	}
	if err := multiply(mem); err != nil {
		t.Error(err)
	}
	if err := c.BeginCapture(stream); err != nil {
		t.Fatal(err)
	}
	if err := multiply(mem); err != nil {
		t.Errorf("a product that has run before: %v", err)
	}
	if _, err := c.EndCapture(stream); err != nil {
		t.Error(err)
	}
	if err := c.SyncStream(stream); err != nil {
		t.Error(err)
	}
	if err := c.ClosePlan(p); err != nil {
		t.Error(err)
	}
	if err := multiply(mem); err == nil {
		t.Error("a plan that was given back multiplied")
	}
}
