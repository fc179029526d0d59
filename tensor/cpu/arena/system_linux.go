package arena

import (
	"runtime"
	"syscall"
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
	for n := max(size, min(limit, mostReserved)); n >= size; n /= 2 {
		mem, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
		if err != nil {
			continue
		}
		_ = syscall.Madvise(mem, syscall.MADV_HUGEPAGE) // fewer faults and table walks, or nothing
		return &region{mem: mem, mapped: true}
	}
	return &region{mem: aligned(size)}
}

// release gives the region back to the system when no block refers to it any more.
func (r *region) release() {
	if r.mapped {
		r.mapped = false
		runtime.AddCleanup(r, func(mem []byte) { _ = syscall.Munmap(mem) }, r.mem)
	}
}
