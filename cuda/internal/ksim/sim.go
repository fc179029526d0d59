//go:build linux && amd64 && cgo

package ksim

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
#include "host/ksim.h"

typedef struct {
	int (*launch)(const char *, const unsigned *, const unsigned *, unsigned, const void *, size_t,
	              uint64_t);
	const char *(*error)(void);
	void *(*alloc)(size_t);
	void (*free)(void *);
	size_t (*args_size)(const char *);
	const char *(*name)(int);
} table;

static const char *open_table(const char *path, table *t) {
	void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!h) return dlerror();
	t->launch = dlsym(h, "ksim_launch");
	t->error = dlsym(h, "ksim_error");
	t->alloc = dlsym(h, "ksim_alloc");
	t->free = dlsym(h, "ksim_free");
	t->args_size = dlsym(h, "ksim_args_size");
	t->name = dlsym(h, "ksim_name");
	return t->launch && t->error && t->alloc && t->free && t->args_size && t->name
		? 0 : "a symbol of ksim.h is missing";
}
static int do_launch(table *t, const char *n, const unsigned *g, const unsigned *b, unsigned s,
                     const void *a, size_t len, uint64_t seed) {
	return t->launch(n, g, b, s, a, len, seed);
}
static const char *do_error(table *t) { return t->error(); }
static void *do_alloc(table *t, size_t n) { return t->alloc(n); }
static void do_free(table *t, void *p) { t->free(p); }
static size_t do_args_size(table *t, const char *n) { return t->args_size(n); }
static const char *do_name(table *t, int i) { return t->name(i); }
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"afterimage/cuda/kernels"
)

// A Sim is an opened emulator library.
type Sim struct{ t C.table }

// Open builds the emulator with the given units, if that was not done before, and opens it.
func Open(units []Unit) (*Sim, error) {
	path, err := Build(units)
	if err != nil {
		return nil, err
	}
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	s := &Sim{}
	if msg := C.open_table(p, &s.t); msg != nil {
		return nil, fmt.Errorf("ksim: Open: %s: %s", path, C.GoString(msg))
	}
	return s, nil
}

// Launch runs one kernel. The seed draws the order of blocks and threads and the poison of shared
// memory. The error is what ksim.h lists.
func (s *Sim) Launch(l kernels.Launch, seed uint64) error {
	name := C.CString(l.Entry)
	defer C.free(unsafe.Pointer(name))
	var args unsafe.Pointer
	if len(l.Args) > 0 {
		args = unsafe.Pointer(&l.Args[0])
	}
	g, b := cUints(l.Grid), cUints(l.Block)
	if C.do_launch(&s.t, name, &g[0], &b[0], C.uint(l.Shared), args, C.size_t(len(l.Args)),
		C.uint64_t(seed)) != 0 {
		return errors.New("ksim: " + C.GoString(C.do_error(&s.t)))
	}
	return nil
}

func cUints(v [3]uint32) [3]C.uint { return [3]C.uint{C.uint(v[0]), C.uint(v[1]), C.uint(v[2])} }

// Alloc returns guarded memory filled with 0xFF, as an address for kernels and as a slice.
func (s *Sim) Alloc(bytes int) (uint64, []byte, error) {
	p := C.do_alloc(&s.t, C.size_t(bytes))
	if p == nil {
		return 0, nil, fmt.Errorf("ksim: Alloc: no memory for %d bytes", bytes)
	}
	return uint64(uintptr(p)), unsafe.Slice((*byte)(p), bytes), nil
}

// Free gives memory of Alloc back; its slice must not be touched afterwards.
func (s *Sim) Free(mem []byte) { C.do_free(&s.t, unsafe.Pointer(unsafe.SliceData(mem))) }

// ArgsSize returns the size of a kernel's argument struct as C++ sees it, 0 without such a kernel.
func (s *Sim) ArgsSize(name string) int {
	n := C.CString(name)
	defer C.free(unsafe.Pointer(n))
	return int(C.do_args_size(&s.t, n))
}

// Names returns the names of all kernels in the library.
func (s *Sim) Names() []string {
	var names []string
	for i := 0; ; i++ {
		n := C.do_name(&s.t, C.int(i))
		if n == nil {
			return names
		}
		names = append(names, C.GoString(n))
	}
}
