package arena

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"unsafe"
)

const (
	line = 64        // a cache line: small blocks are multiples of it
	page = 4 << 10   // large blocks are multiples of it
	big  = 256 << 10 // from here on a block is large

	// leastRest is the smallest piece that is worth cutting off a free block.
	leastRest = 64 << 10

	// A large block below 1/minor of the largest one there has been is minor: a weight's gradient
	// beside an activation. Minor blocks have regions of their own. Among the others, one that lives
	// to the end of a step would leave a hole just too small for what filled it before; of the ratios
	// 4, 8, … 64, and one region for all, this one wastes the least on the benchmark's steps.
	minor = 32
)

// A Block is a piece of memory in use, or waiting to be. Its content is undefined.
type Block struct {
	mem    []byte
	free   bool
	class  int     // of a small block
	region *region // of a large one; nil: a small block

	// Of a large block: where it lies, and its neighbours below and above.
	at           int
	below, above *Block
}

// Bytes returns all of the block's memory, at least as much as was asked for.
func (b *Block) Bytes() []byte { return b.mem }

// A region is memory from the system in one piece. It is handed out from its beginning; from top on
// it has never been touched.
type region struct {
	heap *heap
	id   int
	mem  []byte
	top  int
	last *Block // the one that ends at top

	mapped bool // not the Go heap's, and not to be released yet
}

// A heap is the regions of large blocks of one kind.
type heap struct {
	free    []*Block // by address
	regions []*region
	taken   int // regions so far
}

// An Arena is the memory of one backend. Its methods may be called from any goroutine.
type Arena struct {
	mu      sync.Mutex
	small   [classes][]*Block // free small blocks
	heaps   [2]heap           // large blocks, and minor ones
	largest int               // size of the largest block so far
	spare   []*Block          // handles without memory
	use     Usage
}

// Usage is an arena's memory at one moment, in bytes.
type Usage struct {
	InUse  int // of blocks in use
	Cached int // touched at one time, and kept
	Peak   int // the largest sum of both so far
	Limit  int // what Take will not exceed
}

// New returns an empty arena that gives out at most limit bytes at a time.
func New(limit int) *Arena { return &Arena{use: Usage{Limit: limit}} }

// Usage returns the present usage.
func (a *Arena) Usage() Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.use
}

// SetLimit changes how many bytes may be in use at a time.
func (a *Arena) SetLimit(bytes int) {
	a.mu.Lock()
	a.use.Limit = bytes
	a.mu.Unlock()
}

// Take returns a block of at least n bytes, or an error if the limit does not allow it. Blocks that
// nobody uses are given to the garbage collector where that keeps all of them within the limit.
func (a *Arena) Take(n int) (*Block, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if left := a.use.Limit - a.use.InUse; n > left || blockSize(n) > left {
		return nil, fmt.Errorf("needs %.1f MB more, %.1f MB are in use and %.1f MB is the limit",
			mb(n), mb(a.use.InUse), mb(a.use.Limit))
	}
	size := blockSize(n)
	if b := a.kept(size); b != nil {
		return b, nil
	}
	if u := a.use; size > u.Limit-u.InUse-u.Cached {
		a.trim()
	}
	return a.fresh(size), nil
}

// Lend is Take for what must not fail, whatever the limit says: scratch memory of a kernel.
func (a *Arena) Lend(n int) *Block {
	a.mu.Lock()
	defer a.mu.Unlock()
	size := blockSize(n)
	if b := a.kept(size); b != nil {
		return b
	}
	return a.fresh(size)
}

// Give takes a block back. Panics if it was given back before: somebody else may be using it.
func (a *Arena) Give(b *Block) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b.free {
		panic("arena: a block was given back twice")
	}
	b.free = true
	a.use.InUse -= len(b.mem)
	a.use.Cached += len(b.mem)
	if b.region == nil {
		a.small[b.class] = append(a.small[b.class], b)
		return
	}
	h := b.region.heap
	if c := b.above; c != nil && c.free {
		h.unlist(c)
		a.join(b, c)
	}
	if c := b.below; c != nil && c.free {
		h.unlist(c)
		a.join(c, b)
		b = c
	}
	h.list(b)
}

// heapOf returns the heap that serves large blocks of a size.
func (a *Arena) heapOf(size int) *heap {
	a.largest = max(a.largest, size)
	if size < a.largest/minor {
		return &a.heaps[1]
	}
	return &a.heaps[0]
}

// Close lets the system have regions back, each when no block refers to it any more; blocks in use
// stay as they are. Until then the memory is the process's, whoever still refers to the arena: a
// kernel at work knows slices only, which the collector does not follow out of its heap.
// Closing twice is harmless.
func (a *Arena) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.heaps {
		for _, r := range a.heaps[i].regions {
			r.release()
		}
	}
}

// blockSize rounds a size up to one that blocks have.
func blockSize(n int) int {
	if n < big {
		return classSize(sizeClass(n))
	}
	return (n + page - 1) / page * page
}

// kept returns a free block that fits: a small one of the class, or the first large one. The
// smallest large one would leave smaller pieces, which nothing fits.
func (a *Arena) kept(size int) *Block {
	if size < big {
		class := sizeClass(size)
		list := a.small[class]
		if len(list) == 0 {
			return nil
		}
		b := list[len(list)-1]
		a.small[class] = list[:len(list)-1]
		a.lend(b)
		return b
	}
	h := a.heapOf(size)
	i := slices.IndexFunc(h.free, func(b *Block) bool { return len(b.mem) >= size })
	if i < 0 {
		return nil
	}
	b := h.free[i]
	h.unlist(b)
	if len(b.mem)-size >= leastRest {
		a.cut(b, size)
	}
	a.lend(b)
	return b
}

// lend counts a kept block as used.
func (a *Arena) lend(b *Block) {
	b.free = false
	a.use.Cached -= len(b.mem)
	a.use.InUse += len(b.mem)
}

// fresh returns a block in memory that has not been touched before.
func (a *Arena) fresh(size int) *Block {
	var b *Block
	if size < big {
		b = a.handle()
		b.class, b.mem = sizeClass(size), aligned(size)
		a.use.InUse += size
	} else {
		b = a.grow(size)
	}
	a.use.Peak = max(a.use.Peak, a.use.InUse+a.use.Cached)
	return b
}

// grow cuts a large block from the region where that touches the least new memory: a free block at
// the region's top is part of it.
func (a *Arena) grow(size int) *Block {
	h := a.heapOf(size)
	var best *region
	most := 0 // bytes below best.top that are free
	for _, r := range h.regions {
		tail := r.tail()
		if len(r.mem)-r.top+tail >= size && (best == nil || tail > most) {
			best, most = r, tail
		}
	}
	if best == nil {
		best = h.extend(size, a.use.Limit)
	}
	b := best.last
	if most > 0 {
		h.unlist(b)
		a.use.Cached -= most
	} else {
		b = a.handle()
		b.region, b.at, b.below = best, best.top, best.last
		if best.last != nil {
			best.last.above = b
		}
		best.last = b
	}
	b.free = false
	best.top = b.at + size
	b.mem = best.mem[b.at:best.top:best.top]
	a.use.InUse += size
	return b
}

// tail is how many bytes directly below top are free.
func (r *region) tail() int {
	if r.last == nil || !r.last.free {
		return 0
	}
	return len(r.last.mem)
}

// extend takes a new region from the system.
func (h *heap) extend(size, limit int) *region {
	total := 0
	for _, r := range h.regions {
		total += len(r.mem)
	}
	r := system(size, total, limit)
	r.heap, r.id = h, h.taken
	h.taken++
	h.regions = append(h.regions, r)
	return r
}

// aligned returns new memory that begins at a cache line.
func aligned(n int) []byte {
	raw := make([]byte, n+line)
	skip := -int(uintptr(unsafe.Pointer(&raw[0]))) & (line - 1)
	return raw[skip : skip+n : skip+n]
}

// cut makes b, which is not on the list, size bytes long and leaves the rest free.
func (a *Arena) cut(b *Block, size int) {
	r, rest := b.region, a.handle()
	rest.region, rest.at, rest.free = r, b.at+size, true
	rest.mem = r.mem[rest.at : b.at+len(b.mem) : b.at+len(b.mem)]
	rest.below, rest.above = b, b.above
	if b.above != nil {
		b.above.below = rest
	} else {
		r.last = rest
	}
	b.above = rest
	b.mem = r.mem[b.at:rest.at:rest.at]
	r.heap.list(rest)
}

// join adds c, the block above b, to b. Neither is on the list.
func (a *Arena) join(b, c *Block) {
	end := c.at + len(c.mem)
	b.mem = b.region.mem[b.at:end:end]
	b.above = c.above
	if c.above != nil {
		c.above.below = b
	} else {
		b.region.last = b
	}
	*c = Block{free: true} // should it be given back once more
	a.spare = append(a.spare, c)
}

// handle returns a Block without memory.
func (a *Arena) handle() *Block {
	k := len(a.spare)
	if k == 0 {
		return new(Block)
	}
	b := a.spare[k-1]
	a.spare = a.spare[:k-1]
	b.free = false
	return b
}

// before orders the free large blocks of a heap by address. Which they are and how they are ordered
// is a function of the blocks in use alone, so that a step finds what the one before it found.
func before(b, c *Block) int {
	return cmp.Or(b.region.id-c.region.id, b.at-c.at)
}

func (h *heap) list(b *Block) {
	i, _ := slices.BinarySearchFunc(h.free, b, before)
	h.free = slices.Insert(h.free, i, b)
}

func (h *heap) unlist(b *Block) {
	i, _ := slices.BinarySearchFunc(h.free, b, before)
	h.free = slices.Delete(h.free, i, i+1)
}

// trim gives up everything that is not in use at all: small blocks, and regions without a block in
// use.
func (a *Arena) trim() {
	for i, list := range a.small {
		for _, b := range list {
			a.use.Cached -= len(b.mem)
		}
		a.small[i] = nil
	}
	for i := range a.heaps {
		h := &a.heaps[i]
		h.regions = slices.DeleteFunc(h.regions, func(r *region) bool {
			idle := r.top == r.tail()
			if idle && r.top > 0 {
				h.unlist(r.last)
				a.use.Cached -= r.top
			}
			if idle {
				r.release()
			}
			return idle
		})
	}
}

func mb(n int) float64 { return float64(n) / (1 << 20) }
