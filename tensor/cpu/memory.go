package cpu

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"afterimage/tensor"
	"afterimage/tensor/cpu/arena"
	"afterimage/tensor/cpu/par"
)

// A buffer is one block of host memory, a cache line aligned.
type buffer struct {
	mem   []byte       // as long as was asked for
	block *arena.Block // nil once freed
	kept  *par.Kept    // what kernels derive from contents that stay; nil if they may change

	arena  *arena.Arena
	again  func() // writes the contents once more; nil if nobody can
	parked bool   // the contents are not there
}

// Bytes returns the size that was asked for.
func (b *buffer) Bytes() int { return len(b.mem) }

// HostBytes returns the memory itself.
func (b *buffer) HostBytes() []byte {
	b.wake()
	return b.mem
}

// wake brings parked contents back. If again panics they stay parked, and whoever reads next tries
// once more.
func (b *buffer) wake() {
	if !b.parked {
		return
	}
	b.arena.Unpark(b.block)
	b.parked = false // before again, which writes them
	written := false
	defer func() {
		if !written {
			b.parked = b.arena.Park(b.block)
		}
	}()
	b.again()
	written = true
}

// park gives contents up that can be had again.
func (b *buffer) park() {
	if b.again != nil && !b.parked {
		b.parked = b.arena.Park(b.block)
	}
}

// Alloc returns a block of the backend's arena. Its error says how much is missing.
func (b *Backend) Alloc(bytes int) (tensor.Buffer, error) {
	block, err := b.pool.Arena().Take(bytes)
	if err != nil {
		return nil, fmt.Errorf("cpu: %w: use a smaller batch or a smaller network", err)
	}
	return &buffer{mem: block.Bytes()[:bytes:bytes], block: block, arena: b.pool.Arena()}, nil
}

// KeepConstant lets convolutions keep packed forms of the weights t until t is freed, and with
// again gives t's own pages up while these are all that is asked for; see tensor.ConstantKeeper.
func (b *Backend) KeepConstant(t *tensor.Tensor, again func()) {
	if f, ok := t.Buffer().(*buffer); ok {
		f.kept.Drop(b.pool) // of an earlier call
		f.kept, f.again = &par.Kept{Missing: f.wake}, again
	}
}

// Park gives t's pages up until somebody reads t; see tensor.ConstantKeeper.
func (b *Backend) Park(t *tensor.Tensor, again func()) {
	if f, ok := t.Buffer().(*buffer); ok {
		f.wake() // by the function it was parked with
		f.again = again
		f.park()
	}
}

// weights returns the elements of a filter for a kernel that has kept, where packed forms of them
// may be: then contents that are not there stay away, since a kernel that lacks its form brings
// them back by Kept.Get, and one that keeps nothing by Kept.Direct. Call spent after the kernel.
// (A test may have wrapped the buffer.)
func weights(t *tensor.Tensor) (w []float32, kept *par.Kept) {
	f, ok := t.Buffer().(*buffer)
	if !ok || f.kept == nil {
		return host(t), nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&f.mem[0])), t.Size()), f.kept
}

// spent gives weights up of which a kernel has kept a form, if they can be had again.
func spent(t *tensor.Tensor) {
	if f, ok := t.Buffer().(*buffer); ok && f.kept.Filled() {
		f.park()
	}
}

// Free gives a block back to the arena.
func (b *Backend) Free(buf tensor.Buffer) {
	f := buf.(*buffer)
	if f.block == nil {
		panic(&tensor.Error{Op: "Free", Reason: "a buffer was freed twice"})
	}
	f.kept.Drop(b.pool)
	b.pool.Arena().Give(f.block)
	f.block, f.kept, f.again, f.parked = nil, nil, nil, false
}

// Usage is a backend's memory at one moment, in bytes: of tensors, and of kernels' large scratch
// buffers.
type Usage = arena.Usage

// Memory returns the present usage.
func (b *Backend) Memory() Usage { return b.pool.Arena().Usage() }

// SetMemoryLimit changes how many bytes tensors may take in all.
func (b *Backend) SetMemoryLimit(bytes int) { b.pool.Arena().SetLimit(bytes) }

// defaultLimit is nine tenths of the memory that is available when the backend opens, the smaller
// of what /proc/meminfo and the control group say, and 8 GiB where neither can be read.
func defaultLimit() int {
	avail := 8 << 30
	if f, err := os.Open("/proc/meminfo"); err == nil {
		sc := bufio.NewScanner(f)
		for sc.Scan() {
			if v, ok := strings.CutPrefix(sc.Text(), "MemAvailable:"); ok {
				if kb, err := strconv.Atoi(strings.Fields(v)[0]); err == nil {
					avail = kb << 10
				}
			}
		}
		f.Close()
	}
	if raw, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if v, err := strconv.Atoi(strings.TrimSpace(string(raw))); err == nil {
			avail = min(avail, v)
		}
	}
	return avail / 10 * 9
}
