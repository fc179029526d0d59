package ksim

import (
	"fmt"
	"sync"

	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// A Backend is a tensor.Backend whose kernels are those of package kernels, run by the emulator:
// with it the conformance suite tests every kernel and every launch plan. Each launch gets the next
// seed, so that a result which depends on the order of threads does not come out twice. Its buffers
// are device memory to the suite: their ends lie at inaccessible pages, which sees reads as well as
// writes.
type Backend struct {
	kernels.Methods
	sim  *Sim
	name string
	enc  kernels.Encoder

	mu      sync.Mutex
	seed    uint64
	fault   error
	scratch [][]byte
}

var _ tensor.Backend = (*Backend)(nil)

// buffer is guarded memory.
type buffer struct {
	addr uint64
	mem  []byte
}

// Bytes returns the size that was asked for.
func (b *buffer) Bytes() int { return len(b.mem) }

// address returns where a buffer lies.
func address(b tensor.Buffer) uint64 { return b.(*buffer).addr }

// NewBackend returns a backend on s whose launches take the seeds seed+1, seed+2, ….
func NewBackend(s *Sim, seed uint64) *Backend {
	b := &Backend{sim: s, seed: seed, name: fmt.Sprintf("ksim:%d", seed)}
	b.enc = kernels.Encoder{Emit: b.emit, Scratch: b.newScratch}
	b.Methods = kernels.NewMethods(b.run, address)
	return b
}

// emit runs a launch at once; the first fault is kept for Sync.
func (b *Backend) emit(l kernels.Launch) {
	b.seed++
	if err := b.sim.Launch(l, b.seed); err != nil && b.fault == nil {
		b.fault = err
	}
}

// newScratch allocates guarded memory that lives until the method has been run.
func (b *Backend) newScratch(bytes int) uint64 {
	addr, mem, err := b.sim.Alloc(bytes)
	if err != nil {
		panic(&tensor.Error{Op: "Scratch", Reason: err.Error()})
	}
	b.scratch = append(b.scratch, mem)
	return addr
}

// run encodes and runs one method, then drops its scratch memory.
func (b *Backend) run(encode func(e *kernels.Encoder)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() {
		for _, m := range b.scratch {
			b.sim.Free(m)
		}
		b.scratch = nil
	}()
	encode(&b.enc)
}

// Name returns "ksim:" and the seed.
func (b *Backend) Name() string { return b.name }

// allocLimit is what the emulated device holds.
const allocLimit = 8 << 30

// Alloc returns guarded memory filled with 0xFF.
func (b *Backend) Alloc(bytes int) (tensor.Buffer, error) {
	if bytes > allocLimit {
		const mb = 1e6
		return nil, fmt.Errorf("ksim: Alloc: needs %.1f MB, the emulated device holds %.1f MB",
			float64(bytes)/mb, allocLimit/mb)
	}
	addr, mem, err := b.sim.Alloc(bytes)
	if err != nil {
		return nil, err
	}
	return &buffer{addr, mem}, nil
}

// Free gives a buffer back at once: every kernel has run when its method returns.
func (b *Backend) Free(buf tensor.Buffer) { b.sim.Free(buf.(*buffer).mem) }

// Upload copies host bytes into a buffer of the same size.
func (b *Backend) Upload(dst tensor.Buffer, src []byte) { copy(dst.(*buffer).mem, src) }

// Download copies a buffer to host bytes of the same size.
func (b *Backend) Download(dst []byte, src tensor.Buffer) { copy(dst, src.(*buffer).mem) }

// Sync returns the first fault of a launch and forgets it.
func (b *Backend) Sync() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.fault
	b.fault = nil
	return err
}
