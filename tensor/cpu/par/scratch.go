package par

import (
	"sync"
	"unsafe"

	"afterimage/tensor/cpu/arena"
)

// lineFloats is a cache line in float32s: borrowed memory begins on one, so that a 64-byte vector
// load never touches two.
const lineFloats = 16

// large is the number of floats from which on scratch memory is a block of the arena: what one call
// of a kernel takes for itself, sums of a weight gradient, mapped weights. Below it is what tiles
// take, thousands of times in a step, and find in the cache.
const large = 1 << 20

// scratch keeps returned buffers by the arena's size classes, last in first out, so that the buffer
// handed out is the one most likely still in cache.
type scratch struct {
	mu   sync.Mutex
	free [][][]float32             // by class
	lent map[*float32]*arena.Block // of large ones, by their first element
}

// Borrow returns n float32s of undefined content, aligned to a cache line, from the pool's free
// list; give them back with Return. In the steady state of a training step nothing is allocated.
// Small buffers stay with the pool until it is unreachable: the sum over size classes of the
// largest simultaneous use. Large ones share the pool's arena with tensors.
func (p *Pool) Borrow(n int) []float32 {
	if n > large {
		return p.borrowLarge(n)
	}
	class := arena.SizeClass(4 * n)
	s := &p.scratch
	s.mu.Lock()
	if class < len(s.free) && len(s.free[class]) > 0 {
		k := len(s.free[class])
		b := s.free[class][k-1]
		s.free[class] = s.free[class][:k-1]
		s.mu.Unlock()
		return b[:n]
	}
	s.mu.Unlock()
	size := arena.ClassSize(class) / 4
	b := make([]float32, size+lineFloats)
	skip := 0
	if r := int(uintptr(unsafe.Pointer(&b[0])) / 4 % lineFloats); r != 0 {
		skip = lineFloats - r
	}
	return b[skip : skip+n : skip+size]
}

// Return gives back a buffer from Borrow, which must be unchanged in start and capacity. The
// caller must not use it afterwards.
func (p *Pool) Return(b []float32) {
	if cap(b) == 0 {
		return
	}
	if cap(b) > large {
		p.returnLarge(b)
		return
	}
	class := arena.SizeClass(4 * cap(b))
	s := &p.scratch
	s.mu.Lock()
	for class >= len(s.free) {
		s.free = append(s.free, nil)
	}
	s.free[class] = append(s.free[class], b[:cap(b)])
	s.mu.Unlock()
}

func (p *Pool) borrowLarge(n int) []float32 {
	block := p.arena.Lend(4 * n)
	b := floats(block)
	s := &p.scratch
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lent == nil {
		s.lent = map[*float32]*arena.Block{}
	}
	s.lent[&b[0]] = block
	return b[:n]
}

// floats returns all of a block's memory.
func floats(b *arena.Block) []float32 {
	mem := b.Bytes()
	return unsafe.Slice((*float32)(unsafe.Pointer(&mem[0])), len(mem)/4)
}

func (p *Pool) returnLarge(b []float32) {
	s := &p.scratch
	s.mu.Lock()
	first := &b[:1][0]
	block := s.lent[first]
	delete(s.lent, first)
	s.mu.Unlock()
	if block == nil {
		panic("par: Return of memory that is not borrowed, or not from its beginning")
	}
	p.arena.Give(block)
}
