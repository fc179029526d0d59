package cuda

import (
	"errors"
	"fmt"
	"sync"

	"afterimage/cuda/driver"
	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// Options say how Open sets up a device.
type Options struct {
	Memory int // bytes that tensors may take; 0: what the device has
	// Isolate gives every tensor an allocation of its own and the exact size, never used again: slow,
	// for finding accesses outside a tensor with the tools that watch allocations.
	Isolate bool
	// Own leaves cuDNN and cuBLASLt alone: our own kernels compute everything.
	Own bool
	// Precision is F32, also the zero value, or BF16 (8 bits of mantissa), which multiplies on the
	// tensor cores: networks then keep their activations so (Activations), in half the memory, and
	// read their weights rounded to it; what is stored, an activation or the gradient of one or, where
	// cuDNN computes it, of a weight, is off by up to 2⁻⁸ of itself. Sums are made in F32; weights,
	// their gradients, statistics, losses and the optimizer stay F32. Products of F32 tensors, a
	// head's for example, round their operands to BF16:
	// a sum of k products x·w errs by at most (2⁻⁷ + 2⁻¹⁶ + k·2⁻²³)·Σ|x·w|, each operand by 2⁻⁸ of
	// itself, each addition by 2⁻²³ of what is added so far; a convolution that cuDNN computes rounds
	// its result as well.
	Precision tensor.DType
	// TF32 lets NVIDIA's libraries round the operands of F32 products to 10 bits of mantissa on the
	// way in, which is many times faster and errs by 1e-3 instead of 1e-7. Our own kernels do not: a
	// product that the libraries refuse stays F32.
	TF32 bool
	// Hopper lets our own kernels for compute capability 9.0 compete for products in bf16, where they
	// are right (hopper.go). They have never run on a card: one that fails there instead of being
	// wrong would end the work, so it is for whoever wants to see.
	Hopper bool
	// Trace lets NVIDIA's profiler CUPTI note what runs (Backend.Trace). One backend of a process at a
	// time.
	Trace bool
	// Cache is the folder of compiled kernels and of chosen plans; "" takes afterimage/cubin in the
	// user's cache folder.
	Cache string
}

// A Backend computes on one GPU. Open creates one, Close ends it.
//
// It may be used from several goroutines; calls take effect in the order in which they are made.
type Backend struct {
	kernels.Methods
	name   string
	device int
	info   Device
	ctx    *driver.Context
	x      *executor
	mods   *modules

	mu      sync.Mutex
	enc     kernels.Encoder
	batch   *batch
	mem     memory
	ring    ring
	back    driver.Pinned // for Download
	copies  uint64        // stream of Staged.Start; 0 before the first Stage
	scratch []*buffer     // of the call that is being encoded
	graph   *Graph        // that is being recorded
	lent    map[lent]bool // what callers have not closed yet
	lt      *products     // nil without cuBLASLt
	dnn     *convolutions // nil without cuDNN
	book    *planBook     // nil without either
	mode    arithmetic

	hopper   bool         // our kernels for compute capability 9.0 may compete
	compared map[bool]int // shapes by whether they were right

	tracing bool
	closed  bool
}

var (
	_ tensor.AttentionFuser = (*Backend)(nil)
	_ tensor.LossFuser      = (*Backend)(nil)
	_ tensor.LayerNormer    = (*Backend)(nil)
	_ tensor.NormUpsampler  = (*Backend)(nil)
	_ tensor.HalfKeeper     = (*Backend)(nil)
	_ tensor.Shadower       = (*Backend)(nil)
	_ tensor.ManyScaler     = (*Backend)(nil)
	_ tensor.SumMasker      = (*Backend)(nil)
	_ tensor.Viewer         = (*Backend)(nil)

	_ tensor.ManySpectralFuser = (*Backend)(nil)
)

// A lent is something that its owner closes, or else Close of the backend does.
type lent interface {
	// giveBack gives it back, once; the device has nothing left to do. The backend's lock is held.
	giveBack() error
}

// errRecording is what a recording fails with that does more than launch kernels.
var errRecording = errors.New("not possible while work is recorded: run the same work call " +
	"by call before, and read nothing back, wait for nothing and upload nothing in it")

// Open opens the GPU called name, "cuda:0" or "cuda" for the first. The error is one line.
func Open(name string, o Options) (opened *Backend, err error) {
	device, err := ParseName(name)
	if err != nil {
		return nil, err
	}
	mode, err := o.arithmetic()
	if err != nil {
		return nil, err
	}
	api, err := driver.Open()
	if err != nil {
		return nil, fmt.Errorf("cuda:%d: %w", device, err)
	}
	info, err := describe(api, device)
	if err != nil {
		return nil, err
	}
	if o.Trace {
		if err := api.StartTrace(); err != nil {
			return nil, fmt.Errorf("cuda:%d: %w", device, err)
		}
		defer func() {
			if opened == nil {
				api.StopTrace()
			}
		}()
	}
	ctx, err := api.Retain(device)
	if err != nil {
		return nil, fmt.Errorf("cuda:%d: %w", device, err)
	}
	b := &Backend{name: deviceName(device), device: device, info: info, ctx: ctx,
		mode: mode, hopper: o.Hopper, compared: map[bool]int{}, tracing: o.Trace,
		lent: map[lent]bool{}}
	b.Methods = kernels.NewMethods(b.run, func(buf tensor.Buffer) uint64 {
		return buf.(*buffer).address
	})
	if err := b.start(o); err != nil {
		ctx.Release()
		return nil, fmt.Errorf("%s: %w", b.name, err)
	}
	return b, nil
}

// start makes the executor and the pools.
func (b *Backend) start(o Options) error {
	x, err := newExecutor(b.ctx)
	if err != nil {
		return err
	}
	b.x, b.batch = x, <-x.free
	if o.Cache == "" {
		o.Cache = cacheDir()
	}
	b.mods = newModules(b.ctx, architecture(b.info.Major, b.info.Minor), o.Cache)
	b.enc = kernels.Encoder{Emit: b.emit, Scratch: b.takeScratch}
	b.mem = memory{ctx: b.ctx, stream: x.stream, limit: o.Memory, isolate: o.Isolate,
		settle: b.settle}
	b.mem.current = &b.mem.main
	if !o.Own {
		b.openProducts()
		b.openConvolutions()
	}
	if b.lt != nil || b.dnn != nil {
		b.book = openPlanBook(b.card(), o.Cache)
	}
	b.mem.async = !o.Isolate && b.info.pools && b.ctx.KeepPool() == nil
	return nil
}

// Close waits for the device and gives everything back; Sync first to hear of failures. Tensors,
// recordings and staged memory are gone with it.
func (b *Backend) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	b.settle()
	for l := range b.lent {
		l.giveBack()
	}
	b.closeLibraries()
	b.mem.drop(&b.mem.main)
	b.mem.trimPool()
	b.closeRing()
	b.mods.close()
	b.x.close() // from here on a Start does nothing
	if b.copies != 0 {
		b.ctx.DestroyStream(b.copies)
	}
	if b.tracing {
		b.ctx.API().StopTrace()
	}
	b.ctx.Release()
}

// closeLibraries gives plans and handles back.
func (b *Backend) closeLibraries() {
	b.x.do(func() error {
		if b.lt != nil {
			b.lt.close(b.ctx)
		}
		if b.dnn != nil {
			b.dnn.close(b.ctx)
		}
		return nil
	})
}

// Name returns "cuda:0", ….
func (b *Backend) Name() string { return b.name }

// Info returns what is known of the device.
func (b *Backend) Info() Device { return b.info }

// Alloc returns a block of device memory. If the device has failed it panics as Download does.
func (b *Backend) Alloc(bytes int) (tensor.Buffer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.x.err(); err != nil { // also once it was closed
		panic(b.lost(err))
	}
	buf, err := b.mem.alloc(bytes)
	if err != nil {
		return nil, err
	}
	return buf, nil
}

// Free gives a block back; kernels already queued on it still run first.
func (b *Backend) Free(buf tensor.Buffer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.mem.release(buf.(*buffer))
	}
}

// Kernels names what computes, for the record of a run: another name may mean other last digits.
func (b *Backend) Kernels() string {
	api := b.ctx.API()
	s := fmt.Sprintf("cuda %s, %s, driver %s", b.mods.arch, b.mods.from(),
		api.Found(driver.CUDA).Version)
	if b.lt != nil {
		s += ", cuBLASLt " + api.Found(driver.CuBLASLt).Version
	}
	if b.dnn != nil {
		s += ", cuDNN " + api.Found(driver.CuDNN).Version
	}
	return s + b.mode.String()
}

// Memory returns the present usage.
func (b *Backend) Memory() Usage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Usage{b.mem.used, b.mem.held, b.mem.peak, b.info.Memory}
}

// Upload copies host bytes into a buffer. It returns once they are in staging memory. Panics with
// *tensor.Error while work is recorded.
func (b *Backend) Upload(dst tensor.Buffer, src []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.graph != nil { // who goes on would keep a tensor with nothing in it
		b.graph.fail("Upload")
		panic(&tensor.Error{Op: "Upload", Reason: errRecording.Error()})
	}
	if b.x.err() != nil {
		return
	}
	to := dst.(*buffer).address
	for len(src) > 0 {
		n := min(len(src), stageBytes)
		mem, address, err := b.place(n)
		if err != nil {
			b.x.stick(err)
			return
		}
		copy(mem, src[:n])
		b.command("")
		b.batch.CopyIn(to, address, n)
		src, to = src[n:], to+uint64(n)
	}
}

// Download copies a buffer to host bytes of the same size, after everything before it. If the
// device has failed it panics with *tensor.Error, operation "Device": there is nothing to return.
func (b *Backend) Download(dst []byte, src tensor.Buffer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.graph != nil {
		b.graph.fail("Download")
		return
	}
	if err := b.download(dst, src.(*buffer).address); err != nil {
		panic(b.lost(err))
	}
}

// lost is what a device that has failed answers where there is nothing to return.
func (b *Backend) lost(err error) *tensor.Error {
	return &tensor.Error{Op: "Device", Reason: fmt.Sprintf("%s: %v", b.name, err)}
}

func (b *Backend) download(dst []byte, from uint64) (err error) {
	if err := b.x.err(); err != nil {
		return err
	}
	if b.back.Size == 0 {
		if b.back, err = b.ctx.HostAlloc(stageBytes); err != nil {
			return err
		}
	}
	for len(dst) > 0 && err == nil {
		n := min(len(dst), stageBytes)
		b.command("")
		b.batch.CopyOut(b.back.Address, from, n)
		if err = b.settle(); err == nil {
			copy(dst[:n], b.back.Bytes())
		}
		dst, from = dst[n:], from+uint64(n)
	}
	return err
}

// Sync waits for the device and returns its first failure.
func (b *Backend) Sync() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.graph != nil {
		b.graph.fail("Sync")
	}
	if err := b.settle(); err != nil {
		return fmt.Errorf("%s: %w", b.name, err)
	}
	return nil
}

// settle submits what is encoded and waits for it. Nothing that was computed is read before.
func (b *Backend) settle() error {
	if b.graph != nil {
		return errRecording
	}
	if err := b.book.write(); err != nil {
		b.x.stick(err)
	}
	b.flush()
	return b.x.do(func() error { return b.ctx.SyncStream(b.x.stream) })
}

// batchCommands is how many commands are handed over at a time: enough to make the call of C and
// the change of thread small beside the driver's work, few enough to start soon.
const batchCommands = 32

// command makes room for one more command, of the kernel called name.
func (b *Backend) command(name string) {
	if b.batch.Len() >= batchCommands {
		b.flush()
	}
	b.batch.names = append(b.batch.names, name)
}

// flush hands the batch over.
func (b *Backend) flush() {
	if b.batch.Len() > 0 {
		b.batch = b.x.submit(b.batch)
	}
}

// emit appends a launch.
func (b *Backend) emit(l kernels.Launch) {
	if b.x.err() != nil {
		return
	}
	f, err := b.mods.function(l.Entry, l.Shared)
	if err != nil {
		b.x.stick(err)
		return
	}
	b.command(l.Entry)
	b.batch.Launch(f, l.Grid, l.Block, l.Shared, l.Args)
}

// takeScratch allocates memory for the launches of the present call.
func (b *Backend) takeScratch(bytes int) uint64 {
	buf, err := b.mem.alloc(bytes)
	if err != nil {
		panic(&tensor.Error{Op: "Alloc", Reason: err.Error(), Err: err})
	}
	b.scratch = append(b.scratch, buf)
	return buf.address
}

// run encodes one method and gives its scratch memory back: what gets it next comes later in the
// stream.
func (b *Backend) run(encode func(e *kernels.Encoder)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() {
		for _, s := range b.scratch {
			b.mem.release(s)
		}
		b.scratch = b.scratch[:0]
	}()
	encode(&b.enc)
}

// CompileAll compiles and loads every kernel, several at a time, instead of at first use.
func (b *Backend) CompileAll() error {
	if err := b.x.err(); err != nil {
		return fmt.Errorf("%s: %w", b.name, err)
	}
	return b.mods.compileAll()
}
