package arena

import (
	"cmp"
	"runtime"
	"slices"
)

// A region is memory from the system in one piece. It is handed out from its beginning; from top on
// it has never been touched.
type region struct {
	heap *heap
	id   int
	mem  []byte
	top  int
	last *Block // the one that ends at top

	mapped bool            // by the system, not the Go heap's
	leak   runtime.Cleanup // unmaps what nobody refers to any more; see watch
}

// A heap is the regions of large blocks of one kind.
type heap struct {
	free    []*Block // by address
	regions []*region
	taken   int // regions so far
}

// heapOf returns the heap that serves large blocks of a size.
func (a *Arena) heapOf(size int) *heap {
	a.largest = max(a.largest, size)
	if size < a.largest/minor {
		return &a.heaps[1]
	}
	return &a.heaps[0]
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
		a.use.Cached -= b.resident
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
	return b
}

// idle reports whether no block of the region is in use.
func (r *region) idle() bool { return r.top == r.tail() }

// release gives an idle region back.
func (a *Arena) release(r *region) {
	h := r.heap
	if b := r.last; b != nil {
		h.unlist(b)
		a.use.Cached -= b.resident
		*b = Block{free: true} // should it be given back once more
	}
	h.regions = slices.DeleteFunc(h.regions, func(o *region) bool { return o == r })
	r.unmap()
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

// cut makes b, which is not on the list, size bytes long and leaves the rest free. Which pages of b
// there were is not known: the rest counts as many as it can have.
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
	rest.resident = min(b.resident, len(rest.mem))
	a.use.Cached += rest.resident
	r.heap.list(rest)
}

// join adds c, the block above b, to b. Neither is on the list.
func (a *Arena) join(b, c *Block) {
	end := c.at + len(c.mem)
	b.mem = b.region.mem[b.at:end:end]
	b.resident += c.resident
	b.above = c.above
	if c.above != nil {
		c.above.below = b
	} else {
		b.region.last = b
	}
	*c = Block{free: true} // should it be given back once more
	a.spare = append(a.spare, c)
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
