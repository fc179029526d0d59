package arena

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// mostReserved bounds the address space of one region: more than any machine's memory this program
// meets, and a thousandth of what a process can address.
const mostReserved = 64 << 30

// system returns a region of at least size bytes, if possible of as many as the limit allows: pages
// cost nothing until they are touched, and without seams between regions any two blocks that lie
// side by side can become one. The memory is not the Go heap's, whose collector would take it for a
// reason to let as much garbage gather. Where address space is limited (ulimit -v, strict
// overcommit) it comes from the Go heap.
func system(size, _, limit int) *region {
	for n := max(size, min(limit, mostReserved)); ; n = max(size, n/2) {
		mem, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
		if err == nil {
			_ = syscall.Madvise(mem, syscall.MADV_HUGEPAGE) // fewer faults and table walks, or nothing
			return &region{mem: mem, mapped: true}
		}
		if n == size {
			return &region{mem: aligned(size)}
		}
	}
}

// unmap gives the region back, of which nothing is in use.
func (r *region) unmap() {
	if r.mapped {
		r.leak.Stop()
		_ = syscall.Munmap(r.mem)
	}
	r.mem = nil
}

// watch has the region unmapped when nobody refers to it any more, should its blocks never be given
// back.
func (r *region) watch() {
	if r.mapped {
		r.leak = runtime.AddCleanup(r, func(mem []byte) { _ = syscall.Munmap(mem) }, r.mem)
	}
}

// dry gives the pages of mem back, whose content is lost; the next touch brings new ones. It
// reports whether it could.
func (r *region) dry(mem []byte) bool {
	mem = pages(mem)
	return r.mapped && len(mem) > 0 && syscall.Madvise(mem, syscall.MADV_DONTNEED) == nil
}

// shut is dry, and lets nobody touch the pages until open. A kernel that reads them ends the
// program instead of computing with zeros.
func (r *region) shut(b *Block) bool {
	mem := pages(b.mem)
	if !r.mapped || len(mem) == 0 || syscall.Mprotect(mem, syscall.PROT_NONE) != nil {
		return false
	}
	if r.dry(mem) {
		return true
	}
	r.open(b)
	return false
}

// open undoes shut. The system refuses where it can't split its mappings any further
// (vm.max_map_count), and then nothing can go on.
func (r *region) open(b *Block) {
	if err := syscall.Mprotect(pages(b.mem), syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
		panic("arena: memory that was parked cannot be had again: " + err.Error())
	}
}

// pages returns the whole pages of the system's in mem.
func pages(mem []byte) []byte {
	size := os.Getpagesize()
	if len(mem) == 0 {
		return nil
	}
	skip := -int(uintptr(unsafe.Pointer(&mem[0]))) & (size - 1)
	if skip >= len(mem) {
		return nil
	}
	return mem[skip : skip+(len(mem)-skip)/size*size]
}
