package arena

import (
	"fmt"
	"math"
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

	resident int  // of a free large block: at most so many bytes have pages
	parked   bool // in use, without pages (Park)
}

// Bytes returns all of the block's memory, at least as much as was asked for.
func (b *Block) Bytes() []byte { return b.mem }

// An Arena is the memory of one backend. Its methods may be called from any goroutine.
type Arena struct {
	mu      sync.Mutex
	small   [classes][]*Block // free small blocks
	heaps   [2]heap           // large blocks, and minor ones
	largest int               // size of the largest block so far
	spare   []*Block          // handles without memory
	use     Usage
	closed  bool
}

// Usage is an arena's memory at one moment, in bytes.
type Usage struct {
	InUse  int // of blocks in use, but for parked ones
	Cached int // of free blocks, as far as they may have pages
	Peak   int // the largest sum of both so far
	Limit  int // what Take will not let the sum of both exceed
}

// New returns an empty arena that gives out at most limit bytes at a time.
func New(limit int) *Arena { return &Arena{use: Usage{Limit: limit}} }

// Usage returns the present usage.
func (a *Arena) Usage() Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.use
}

// SetLimit changes how many bytes may be in use at a time. What is in use already stays so.
func (a *Arena) SetLimit(bytes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.use.Limit = bytes
	a.hold()
}

// Take returns a block of at least n bytes, or an error if the limit does not allow it. Of blocks
// that nobody uses the system gets back what would be beyond the limit.
func (a *Arena) Take(n int) (*Block, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if left := a.use.Limit - a.use.InUse; n > left || blockSize(n) > left {
		return nil, fmt.Errorf("needs %.1f MB more, %.1f MB are in use and %.1f MB is the limit",
			mb(n), mb(a.use.InUse), mb(a.use.Limit))
	}
	b := a.get(blockSize(n))
	a.hold()
	a.peak()
	return b, nil
}

// Lend is Take for what must not fail, whatever the limit says: scratch memory of a kernel.
func (a *Arena) Lend(n int) *Block {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.get(blockSize(n))
	a.peak()
	return b
}

// get returns a block of a size that blocks have.
func (a *Arena) get(size int) *Block {
	b := a.kept(size)
	if b == nil {
		b = a.fresh(size)
	}
	a.use.InUse += len(b.mem)
	return b
}

// peak notes what there is now, if it is the most so far.
func (a *Arena) peak() { a.use.Peak = max(a.use.Peak, a.use.InUse+a.use.Cached) }

// Give takes a block back. Panics if it was given back before: somebody else may be using it.
func (a *Arena) Give(b *Block) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b.free {
		panic("arena: a block was given back twice")
	}
	if b.region == nil {
		b.free = true
		a.use.InUse -= len(b.mem)
		a.use.Cached += len(b.mem)
		a.small[b.class] = append(a.small[b.class], b)
		return
	}
	b.resident = len(b.mem)
	if b.parked {
		b.region.open(b)
		b.parked, b.resident = false, 0
	} else {
		a.use.InUse -= len(b.mem)
	}
	b.free = true
	a.use.Cached += b.resident
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
	if a.closed && b.region.idle() {
		a.release(b.region)
	}
}

// Trim gives the system back what no block in use needs: idle regions, and the pages of large free
// blocks, at once; small blocks when the collector has run.
func (a *Arena) Trim() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trim(math.MaxInt)
}

// Close is Trim, and what is in use now will not be kept either when it is given back. Blocks in
// use stay readable: of a block that never comes back the memory goes when the collector finds
// that nobody refers to it, a leak's last resort. Closing twice is harmless.
func (a *Arena) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trim(math.MaxInt)
	if a.closed {
		return
	}
	a.closed = true
	for i := range a.heaps {
		for _, r := range a.heaps[i].regions {
			r.watch()
		}
	}
}

// hold keeps to the limit: what is kept beyond it goes.
func (a *Arena) hold() {
	if over := a.use.InUse + a.use.Cached - a.use.Limit; over > 0 && a.use.Cached > 0 {
		a.trim(over)
	}
}

// trim gives up bytes of what is kept, or all there is: regions without a block in use, pages of
// large blocks, which a step will ask for again, from the highest address down, and at last small
// blocks, which the collector decides about.
func (a *Arena) trim(bytes int) {
	goal := max(0, a.use.Cached-bytes)
	for i := range a.heaps {
		h := &a.heaps[i]
		for _, r := range slices.Clone(h.regions) {
			if a.use.Cached > goal && r.idle() {
				a.release(r)
			}
		}
		for _, b := range slices.Backward(h.free) {
			if a.use.Cached > goal && b.resident > 0 && b.region.dry(b.mem) {
				a.use.Cached -= b.resident
				b.resident = 0
			}
		}
	}
	for i, list := range a.small {
		if a.use.Cached > goal {
			a.use.Cached -= len(list) * ClassSize(i)
			a.small[i] = nil
		}
	}
}

// blockSize rounds a size up to one that blocks have.
func blockSize(n int) int {
	if n < big {
		return ClassSize(SizeClass(n))
	}
	return (n + page - 1) / page * page
}

// kept returns a free block that fits: a small one of the class, or the first large one. The
// smallest large one would leave smaller pieces, which nothing fits.
func (a *Arena) kept(size int) *Block {
	if size < big {
		class := SizeClass(size)
		list := a.small[class]
		if len(list) == 0 {
			return nil
		}
		b := list[len(list)-1]
		a.small[class] = list[:len(list)-1]
		b.free = false
		a.use.Cached -= len(b.mem)
		return b
	}
	h := a.heapOf(size)
	i := slices.IndexFunc(h.free, func(b *Block) bool { return len(b.mem) >= size })
	if i < 0 {
		return nil
	}
	b := h.free[i]
	h.unlist(b)
	a.use.Cached -= b.resident
	if len(b.mem)-size >= leastRest {
		a.cut(b, size)
	}
	b.free = false
	return b
}

// fresh returns a block in memory that has not been touched before.
func (a *Arena) fresh(size int) *Block {
	if size >= big {
		return a.grow(size)
	}
	b := a.handle()
	b.class, b.mem = SizeClass(size), aligned(size)
	return b
}

// aligned returns new memory that begins at a cache line.
func aligned(n int) []byte {
	raw := make([]byte, n+line)
	skip := -int(uintptr(unsafe.Pointer(&raw[0]))) & (line - 1)
	return raw[skip : skip+n : skip+n]
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

func mb(n int) float64 { return float64(n) / (1 << 20) }
