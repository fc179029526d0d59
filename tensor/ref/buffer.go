package ref

import (
	"fmt"
	"sync"
	"unsafe"

	"afterimage/tensor"
)

// A Backend computes on the host with the loops of this package. Create one with New. Alloc, Free
// and Outstanding may be called from several goroutines.
type Backend struct {
	limit  int // bytes; 0 is none
	poison bool

	mu          sync.Mutex
	outstanding int
}

var (
	_ tensor.Backend     = (*Backend)(nil)
	_ tensor.ConvChainer = (*Backend)(nil)
)

// An Option changes how New sets up a Backend.
type Option func(*Backend)

// WithLimit makes Alloc fail once more than bytes would be outstanding.
func WithLimit(bytes int) Option { return func(b *Backend) { b.limit = bytes } }

// WithPoison fills memory with NaN bytes (0xFF; −1 as I32) when it is allocated and again when
// it is freed, so that a read of something never written, or written too early, shows.
func WithPoison() Option { return func(b *Backend) { b.poison = true } }

// New returns a reference backend. Without options its memory is unlimited.
func New(opts ...Option) *Backend {
	b := &Backend{}
	for _, o := range opts {
		o(b)
	}
	return b
}

// Name returns "ref".
func (b *Backend) Name() string { return "ref" }

// alignment is that which tensor.HostBuffer promises: a cache line, and the widest vector register.
const alignment = 64

// poisonByte makes every float that consists of it a NaN.
const poisonByte = 0xFF

// buffer is aligned host memory. mem is nil once freed.
type buffer struct {
	mem   []byte
	bytes int
}

// Bytes returns the size that was asked for.
func (m *buffer) Bytes() int { return m.bytes }

// HostBytes returns the memory.
func (m *buffer) HostBytes() []byte { return m.mem }

// Alloc returns aligned host memory with undefined contents. The error, possible only under
// WithLimit, says how much was asked for and how much there is.
func (b *Backend) Alloc(bytes int) (tensor.Buffer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit > 0 && bytes > b.limit-b.outstanding {
		const mb = 1e6
		return nil, fmt.Errorf("ref: Alloc: needs %.1f MB, %.1f MB of %.1f MB free",
			float64(bytes)/mb, float64(b.limit-b.outstanding)/mb, float64(b.limit)/mb)
	}
	b.outstanding += bytes
	raw := make([]byte, bytes+alignment)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(raw)))) & (alignment - 1)
	m := &buffer{raw[skip : skip+bytes : skip+bytes], bytes}
	if b.poison {
		fillBytes(m.mem, poisonByte)
	}
	return m, nil
}

// Free gives a buffer of this package back. It panics with *tensor.Error if that was done before or
// the buffer comes from elsewhere.
func (b *Backend) Free(buf tensor.Buffer) {
	m, ok := buf.(*buffer)
	if !ok {
		panic(&tensor.Error{Op: "Free", Reason: fmt.Sprintf("a %T is not a buffer of ref", buf)})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.mem == nil {
		panic(&tensor.Error{Op: "Free", Reason: "the buffer was freed before"})
	}
	if b.poison {
		fillBytes(m.mem, poisonByte)
	}
	b.outstanding -= m.bytes
	m.mem = nil
}

// Outstanding returns how many bytes are allocated and not yet freed; tests use it to find leaks.
func (b *Backend) Outstanding() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.outstanding
}

// Upload copies host bytes into a buffer of the same size.
func (b *Backend) Upload(dst tensor.Buffer, src []byte) {
	copy(dst.(tensor.HostBuffer).HostBytes(), src)
}

// Download copies a buffer to host bytes of the same size.
func (b *Backend) Download(dst []byte, src tensor.Buffer) {
	copy(dst, src.(tensor.HostBuffer).HostBytes())
}

// Sync does nothing: every kernel has finished when it returns.
func (b *Backend) Sync() error { return nil }

// fillBytes sets every byte to v, by copying ever longer parts.
func fillBytes(s []byte, v byte) {
	if len(s) == 0 {
		return
	}
	s[0] = v
	for n := 1; n < len(s); n *= 2 {
		copy(s[n:], s[:n])
	}
}

// hostBytes returns the elements of t as bytes.
func hostBytes(t *tensor.Tensor) []byte {
	return t.Buffer().(tensor.HostBuffer).HostBytes()[:t.Bytes()]
}

// words returns the elements of t as bit patterns of its element size, for kernels that only move
// elements and so serve every dtype.
func words[T uint8 | uint16 | uint32 | uint64](t *tensor.Tensor) []T {
	n := t.Size()
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&hostBytes(t)[0])), n)
}

// badDType reports a dtype that the contract excludes for op.
func badDType(op string, ts ...*tensor.Tensor) *tensor.Error {
	e := &tensor.Error{Op: op, Reason: "no kernel for this dtype"}
	for _, t := range ts {
		e.Operands = append(e.Operands, tensor.Describe("operand", t))
	}
	return e
}
