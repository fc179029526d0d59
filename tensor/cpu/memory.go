package cpu

import (
	"bufio"
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"afterimage/tensor"
)

// A buffer is one block of host memory, a cache line aligned.
type buffer struct {
	mem   []byte // as long as was asked for
	whole []byte // the size class's full length
	class int
	freed bool
}

// Bytes returns the size that was asked for.
func (b *buffer) Bytes() int { return len(b.mem) }

// HostBytes returns the memory itself.
func (b *buffer) HostBytes() []byte { return b.mem }

// memory hands out blocks by size class and keeps returned ones, last in first out: a training
// step asks for the same sizes again and again, and what costs is not the garbage collector but
// zeroing and page faults.
type memory struct {
	mu     sync.Mutex
	free   [4 * 48][][]byte
	inUse  int // bytes handed out, counted as size classes
	cached int // bytes in free
	peak   int // largest inUse + cached
	limit  int // bytes; Alloc fails beyond it
}

// A size class is a power of two or one of three sizes between it and the next: at most a fifth
// of a block is unused.
func sizeClass(n int) int {
	q := uint(max(n, 256)+63) / 64
	e := bits.Len(q-1) - 3
	if e < 0 {
		e = 0
	}
	step := uint(1) << e
	return 4*e + int((q+step-1)>>e) - 4
}

func classBytes(class int) int {
	e, m := class/4, class%4
	return 64 * ((m + 4) << e)
}

func (m *memory) alloc(n int) (*buffer, error) {
	class := sizeClass(n)
	size := classBytes(class)
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := len(m.free[class]); k > 0 {
		b := m.free[class][k-1]
		m.free[class] = m.free[class][:k-1]
		m.cached -= size
		m.inUse += size
		return &buffer{mem: b[:n:n], whole: b, class: class}, nil
	}
	if m.inUse+m.cached+size > m.limit {
		m.trim()
	}
	if m.inUse+size > m.limit {
		return nil, fmt.Errorf("cpu: needs %.1f MB more, %.1f MB are in use and %.1f MB is the limit: "+
			"use a smaller batch or a smaller network", mb(n), mb(m.inUse), mb(m.limit))
	}
	raw := make([]byte, size+64)
	skip := -int(uintptr(unsafe.Pointer(&raw[0]))) & 63
	b := raw[skip : skip+size : skip+size]
	m.inUse += size
	m.peak = max(m.peak, m.inUse+m.cached)
	return &buffer{mem: b[:n:n], whole: b, class: class}, nil
}

func (m *memory) release(b *buffer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b.freed {
		panic(&tensor.Error{Op: "Free", Reason: "a buffer was freed twice"})
	}
	b.freed = true
	m.free[b.class] = append(m.free[b.class], b.whole)
	m.inUse -= len(b.whole)
	m.cached += len(b.whole)
}

// trim gives all cached blocks to the garbage collector.
func (m *memory) trim() {
	for i := range m.free {
		m.free[i] = nil
	}
	m.cached = 0
}

func mb(n int) float64 { return float64(n) / (1 << 20) }

// Usage is a backend's memory at one moment, in bytes.
type Usage struct {
	InUse  int // held by live tensors
	Cached int // kept for reuse
	Peak   int // the largest sum of both so far
	Limit  int // what Alloc will not exceed
}

// Memory returns the present usage.
func (b *Backend) Memory() Usage {
	m := &b.mem
	m.mu.Lock()
	defer m.mu.Unlock()
	return Usage{m.inUse, m.cached, m.peak, m.limit}
}

// SetMemoryLimit changes how many bytes tensors may take in all.
func (b *Backend) SetMemoryLimit(bytes int) {
	b.mem.mu.Lock()
	b.mem.limit = bytes
	b.mem.mu.Unlock()
}

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
