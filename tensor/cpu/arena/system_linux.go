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
// reason to let as much garbage gather; it goes back to the system when no block refers to the
// region any more. Where address space is limited (ulimit -v, strict overcommit) it comes from the
// Go heap.
func system(size, _, limit int) *region {
	for n := max(size, min(limit, mostReserved)); n >= size; n /= 2 {
		mem, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
		if err != nil {
			continue
		}
		_ = syscall.Madvise(mem, syscall.MADV_HUGEPAGE) // fewer faults and table walks, or nothing
		r := &region{mem: mem}
		runtime.AddCleanup(r, func(mem []byte) { _ = syscall.Munmap(mem) }, mem)
		return r
	}
	return &region{mem: aligned(size)}
}
