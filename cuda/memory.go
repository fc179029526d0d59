package cuda

import (
	"fmt"
	"math/bits"

	"afterimage/cuda/driver"
	"afterimage/tensor"
)

// A buffer is one block of device memory.
type buffer struct {
	address uint64
	bytes   int
	class   int
	pool    *pool // where it goes back to
	freed   bool
}

// Bytes returns the size that was asked for.
func (b *buffer) Bytes() int { return b.bytes }

// Blocks come in size classes: a power of two from 1 KiB on, or one of three sizes between it and
// the next, so that at most a fifth is unused. Small blocks are cut from arenas; a larger one is an
// allocation of its own. Both stay until Close or until memory runs out: a training step asks
// for the same sizes again and again, and addresses that repeat let a recorded step be replayed.
const (
	smallest   = 256      // the alignment that kernels and libraries expect
	arenaBytes = 32 << 20 // one allocation of small blocks
	largeFrom  = 4 << 20  // larger blocks are cached one by one
)

func sizeClass(n int) int {
	q := uint(max(n, 4*smallest)+smallest-1) / smallest
	e := max(bits.Len(q-1)-3, 0)
	step := uint(1) << e
	return 4*e + int((q+step-1)>>e) - 4
}

func classBytes(class int) int {
	e, m := class/4, class%4
	return smallest * ((m + 4) << e)
}

// classes covers every size an int can hold.
const classes = 4 * 56

// A pool keeps freed blocks, the last one on top. The backend has two: one for calls and one that
// recordings share, so that nothing else writes to their memory between replays.
type pool struct {
	free  [classes][]uint64
	arena uint64 // what is left of the arena
	left  int
	owned []owned // all allocations
}

// owned is one allocation.
type owned struct {
	address uint64
	bytes   int
	class   int // −1 for an arena
	async   bool
}

// memory hands out device memory. The backend's mutex guards it.
type memory struct {
	ctx     *driver.Context
	stream  uint64
	main    pool
	current *pool // main, or recorded while work is recorded

	// recorded is the recordings' pool, a new one whenever there was none: what is freed late goes
	// back to the old one, which nobody asks.
	recorded   *pool
	recordings int // that use it; with the last one it is dropped

	async   bool // the driver has a stream-ordered pool
	isolate bool // every block its own allocation of the exact size, never used again
	used    int  // bytes in live buffers
	held    int  // bytes allocated from the device
	peak    int
	limit   int // 0: what the device has
	// settle waits until everything submitted has run; it fails while a step is recorded.
	settle func() error
}

// Usage is a device's memory at one moment, in bytes.
type Usage struct {
	InUse int // in live tensors
	Held  int // allocated from the device, free blocks included
	Peak  int // the largest Held so far
	Total int // of the device
}

// alloc returns a block of at least n bytes.
func (m *memory) alloc(n int) (*buffer, error) {
	p := m.current
	if n < 0 || n > 1<<48 { // beyond any device; the classes end not far above
		return nil, m.refuse(n)
	}
	b := &buffer{bytes: n, class: sizeClass(n), pool: p}
	size := classBytes(b.class)
	if m.isolate {
		size = max(n, 1)
	}
	var err error
	if k := len(p.free[b.class]); k > 0 {
		b.address = p.free[b.class][k-1]
		p.free[b.class] = p.free[b.class][:k-1]
	} else if b.address, err = m.fresh(p, size, b.class); err != nil {
		return nil, err
	}
	m.used += size
	return b, nil
}

// fresh takes memory from the arena or the device.
func (m *memory) fresh(p *pool, size, class int) (uint64, error) {
	if m.isolate || size >= largeFrom {
		return m.take(p, size, class)
	}
	if p.left < size {
		a, _, err := m.ask(p, arenaBytes, -1)
		if err != nil {
			return m.take(p, size, class) // perhaps there is room for the block alone
		}
		m.own(p, owned{a, arenaBytes, -1, false})
		p.arena, p.left = a, arenaBytes
	}
	a := p.arena
	p.arena, p.left = a+uint64(size), p.left-size
	return a, nil
}

func (m *memory) overLimit(size int) bool { return m.limit > 0 && m.held+size > m.limit }

// take allocates from the device; when that fails it gives back what is cached, here and in the
// driver's pool, and tries once more.
func (m *memory) take(p *pool, size, class int) (uint64, error) {
	for attempt := 0; ; attempt++ {
		a, async, err := m.ask(p, size, class)
		switch {
		case err == nil:
			m.own(p, owned{a, size, class, async})
			return a, nil
		case driver.Code(err) != driver.OutOfMemory && !m.overLimit(size):
			return 0, err
		case attempt == 1 || !m.trim():
			return 0, m.refuse(size)
		}
	}
}

// own enters an allocation into the books.
func (m *memory) own(p *pool, o owned) {
	p.owned = append(p.owned, o)
	m.held += o.bytes
	m.peak = max(m.peak, m.held)
}

// ask makes one allocation. The memory of recordings never comes from the stream-ordered pool,
// since an allocation there would become part of the graph.
func (m *memory) ask(p *pool, size, class int) (a uint64, async bool, err error) {
	if m.overLimit(size) {
		return 0, false, &driver.Error{Library: driver.CUDA, Call: "Alloc", Code: driver.OutOfMemory}
	}
	if async = m.async && p == &m.main && class >= 0; async {
		a, err = m.ctx.AllocAsync(size, m.stream)
	} else {
		a, err = m.ctx.Alloc(size)
	}
	return a, async, err
}

// refuse says how much was asked for and how much there is.
func (m *memory) refuse(n int) error {
	free, total, err := m.ctx.MemInfo()
	if err != nil {
		return err
	}
	if m.limit > 0 {
		free, total = min(free, m.limit-m.held), min(total, m.limit)
	}
	return fmt.Errorf("cuda: out of memory: needs %.1f MB more, %.1f MB are in use and %.1f of %.1f "+
		"MB are free: use a smaller batch or a smaller network", mb(n), mb(m.used), mb(free),
		mb(total))
}

func mb(n int) float64 { return float64(n) / (1 << 20) }

// release gives a block back to its pool. Work queued on it still runs first, as everything that
// gets the block next comes later in the stream.
func (m *memory) release(b *buffer) {
	if b.freed {
		panic(&tensor.Error{Op: "Free", Reason: "a buffer was freed twice"})
	}
	b.freed = true
	size := classBytes(b.class)
	if m.isolate {
		m.used -= max(b.bytes, 1)
		m.discard(b)
		return
	}
	m.used -= size
	b.pool.free[b.class] = append(b.pool.free[b.class], b.address)
}

// discard ends an isolated block's allocation once its work is done.
func (m *memory) discard(b *buffer) {
	for i, o := range b.pool.owned {
		if o.address == b.address {
			b.pool.owned = append(b.pool.owned[:i], b.pool.owned[i+1:]...)
			if m.settle() == nil && m.give(o) == nil {
				m.held -= o.bytes
			}
			return
		}
	}
}

// trim gives cached large blocks of the main pool back to the device, and what the driver's pool
// keeps. It reports whether there may be more memory now.
func (m *memory) trim() bool {
	cached := map[uint64]bool{}
	for c := range m.main.free {
		for _, a := range m.main.free[c] {
			cached[a] = true
		}
	}
	if m.settle() != nil {
		return false
	}
	given, kept := 0, m.main.owned[:0]
	gone := map[uint64]bool{}
	for _, o := range m.main.owned {
		if o.class < 0 || !cached[o.address] || m.give(o) != nil {
			kept = append(kept, o)
			continue
		}
		gone[o.address] = true
		given += o.bytes
	}
	m.main.owned = kept
	m.main.forget(gone)
	m.held -= given
	return m.trimPool() || given > 0
}

// trimPool gives the device what the driver's pool keeps of freed blocks, whoever freed them. It
// reports whether it did.
func (m *memory) trimPool() bool {
	return m.async && m.settle() == nil && m.ctx.TrimPool() == nil
}

// forget removes blocks from the free lists.
func (p *pool) forget(gone map[uint64]bool) {
	for c, list := range p.free {
		kept := list[:0]
		for _, a := range list {
			if !gone[a] {
				kept = append(kept, a)
			}
		}
		p.free[c] = kept
	}
}

// reserve allocates memory for other streams than the backend's, which no pool hands out; 0 if
// there is none.
func (m *memory) reserve(bytes int) uint64 {
	a, _, err := m.ask(nil, bytes, -1)
	if err != nil {
		return 0
	}
	m.held += bytes
	m.peak = max(m.peak, m.held)
	return a
}

// unreserve gives it back; nothing may use it any more.
func (m *memory) unreserve(a uint64, bytes int) {
	if m.ctx.Free(a) == nil {
		m.held -= bytes
	}
}

// give returns one allocation to the device.
func (m *memory) give(o owned) error {
	if o.async {
		return m.ctx.FreeAsync(o.address, m.stream)
	}
	return m.ctx.Free(o.address)
}

// drop returns all memory of a pool; nothing may use it any more.
func (m *memory) drop(p *pool) {
	for _, o := range p.owned {
		if m.give(o) == nil {
			m.held -= o.bytes
		}
	}
	*p = pool{}
}
