//go:build linux && cgo

package driver

/*
#cgo CFLAGS: -O2 -Wall
#cgo LDFLAGS: -ldl
#cgo noescape ai_run
#cgo nocallback ai_run
#cgo noescape ai_call
#cgo nocallback ai_call
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"unsafe"
)

// textSize holds the longest explanation or path of a library.
const textSize = 4096

// An API is the set of opened libraries. Its methods and those of a Context may be called from any
// goroutine. A capture ends on the thread where it began; meanwhile nothing on that thread may
// allocate, wait or load code. A library's handle serves one call at a time.
type API struct {
	handle C.uintptr_t
	found  [C.AI_LIBRARIES]Found
	opened [C.AI_LIBRARIES]sync.Once
	major  int // the driver's CUDA version
	env    func(string) string
	census census
}

// Open opens the CUDA driver and starts it. The error is one line: what was looked for, or which
// function is missing, or that there is no device or the driver is too old.
func Open() (*API, error) { return OpenWith(os.Getenv) }

// OpenWith is Open with the environment that env gives.
func OpenWith(env func(string) string) (*API, error) {
	a := &API{handle: C.ai_new(), env: env}
	if a.handle == 0 {
		return nil, fmt.Errorf("%v: out of memory", CUDA)
	}
	if err := a.Load(CUDA); err != nil {
		return nil, err
	}
	if err := a.call("cuInit", C.AI_INIT, 0, nil, nil); err != nil {
		return nil, explainInit(err)
	}
	return a, nil
}

// explainInit adds to a failed start what a user can do about it.
func explainInit(err error) error {
	if Code(err) == NoDevice {
		return fmt.Errorf("%w: the driver is there, but no GPU: the machine has none, or "+
			"CUDA_VISIBLE_DEVICES or the container hides it", err)
	}
	return fmt.Errorf("%w: the driver's library is there, but does not start; nvidia-smi may say "+
		"more", err)
}

// Load opens a library if that has not been tried before. It returns why it cannot be used.
func (a *API) Load(l Library) error {
	a.opened[l].Do(func() { a.found[l] = a.open(l) })
	return a.found[l].Err
}

// Found says what became of looking for a library, which it looks for now if nobody has.
func (a *API) Found(l Library) Found {
	a.Load(l)
	return a.found[l]
}

// open tries the candidates in order and fills the table from the first that opens.
func (a *API) open(l Library) Found {
	f := Found{Library: l}
	paths, off := l.candidates(a.env, a.major)
	if off {
		f.Err = fmt.Errorf("turned off by %s=none", l.Variable())
		return f
	}
	var reasons []string
	for _, p := range paths {
		for _, c := range l.companions(p, true) {
			preload(c)
		}
		why := a.dlopen(l, p)
		if why == "" {
			f.Path = p
			return a.accept(f)
		}
		if len(reasons) == 0 || strings.Contains(p, "/") {
			reasons = append(reasons, why)
		}
	}
	f.Err = fmt.Errorf("%s", strings.Join(reasons, "; "))
	if l == CUDA && a.env(l.Variable()) == "" {
		f.Err = fmt.Errorf("%w: %v", ErrNoDriver, f.Err)
	}
	return f
}

func (a *API) dlopen(l Library, path string) string {
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	var text [textSize]C.char
	if C.ai_open(a.handle, C.int(l), p, &text[0], textSize) != 0 {
		return C.GoString(&text[0])
	}
	return ""
}

// preload opens a companion; that one failed shows when the library itself is used.
func preload(path string) string {
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	var text [textSize]C.char
	if C.ai_preload(p, &text[0], textSize) != 0 {
		return C.GoString(&text[0])
	}
	return ""
}

// accept checks an opened library: its functions, its version, its companions.
func (a *API) accept(f Found) Found {
	l := f.Library
	var text [textSize]C.char
	C.ai_path(a.handle, C.int(l), &text[0], textSize)
	if real := C.GoString(&text[0]); real != "" {
		f.Path = real
	}
	var required []string
	for i := 0; ; i++ {
		var need C.int
		name := C.GoString(C.ai_missing(a.handle, C.int(l), C.int(i), &need))
		if name == "" {
			break
		}
		if need != 0 {
			required = append(required, name)
		} else {
			f.Missing = append(f.Missing, name)
		}
	}
	if len(required) > 0 {
		const shown = 3
		f.Err = fmt.Errorf("%s lacks %s (%d functions in all): it is too old, or another library of "+
			"that name", f.Path, strings.Join(required[:min(shown, len(required))], ", "),
			len(required))
		return f
	}
	for _, c := range l.companions(f.Path, false) {
		if why := preload(c); why != "" { // its engines are not offered then
			f.Missing = append(f.Missing, why)
		}
	}
	return a.versioned(f)
}

// versioned asks a library for its version and refuses one that is too old.
func (a *API) versioned(f Found) Found {
	word := func(call C.int) int {
		var out [2]uint64
		C.ai_call(a.handle, call, 0, nil, (*C.uint64_t)(&out[0]))
		return int(out[0])
	}
	switch f.Library {
	case CUDA:
		v := word(C.AI_DRIVER_VERSION)
		f.Version, a.major = version(v, 1000), v/1000
		if v < MinVersion {
			f.Err = fmt.Errorf("%s: the driver supports CUDA %s, which is too old: it must be %s or "+
				"newer; update the NVIDIA driver", f.Path, f.Version, version(MinVersion, 1000))
		}
	case NVRTC:
		var major, minor C.int
		C.ai_nvrtc_version(a.handle, &major, &minor)
		f.Version = fmt.Sprintf("%d.%d", major, minor)
		if int(major) > a.major { // code of a later minor version loads, of a major one it does not
			f.Err = fmt.Errorf("%s: the driver, of CUDA %s, does not load what NVRTC %s compiles: "+
				"install NVRTC %d (for example the Python package nvidia-cuda-nvrtc-cu%d), or update the "+
				"NVIDIA driver", f.Path, a.found[CUDA].Version, f.Version, a.major, a.major)
		}
	case CuDNN:
		v := word(C.AI_DNN_VERSION)
		f.Version = fmt.Sprintf("%d.%d.%d", v/10000, v/100%100, v%100)
	case CuBLASLt:
		v := word(C.AI_LT_VERSION)
		f.Version = fmt.Sprintf("%d.%d.%d", v/10000, v/100%100, v%100)
	case CUPTI:
		var v C.uint32_t
		C.ai_trace_version(a.handle, &v)
		f.Version = fmt.Sprint(int(v)) // 18 for CUDA 12.0, 130001 for 13.0 with an update
	}
	return f
}

// call makes one of the shim's calls. in and out may be nil.
func (a *API) call(name string, call C.int, ctx uint64, in []uint64, out []uint64) error {
	var none [4]uint64
	if in == nil {
		in = none[:]
	}
	if out == nil {
		out = none[:]
	}
	code := C.ai_call(a.handle, call, C.uintptr_t(ctx), (*C.uint64_t)(&in[0]),
		(*C.uint64_t)(&out[0]))
	if code == 0 {
		a.census.note(call)
		return nil
	}
	return a.fail(CUDA, name, int(code))
}

// fail makes the error of a failed call.
func (a *API) fail(l Library, call string, code int) error {
	var name [256]C.char
	var text [textSize]C.char
	C.ai_explain(a.handle, C.int(l), C.int(code), &name[0], C.size_t(len(name)), &text[0], textSize)
	f := a.found[l]
	return &Error{Library: l, Path: f.Path, Version: f.Version, Call: call, Code: code,
		Name: C.GoString(&name[0]), Text: C.GoString(&text[0])}
}

// Compile compiles the text of one module with NVRTC, to a cubin or, if ptx is set, to PTX. name
// stands for the text in messages. A failure holds the compiler's messages.
func (a *API) Compile(text, name string, options []string, ptx bool) ([]byte, error) {
	if err := a.Load(NVRTC); err != nil {
		return nil, err
	}
	src, title := C.CString(text), C.CString(name)
	opts := C.CString(strings.Join(options, "\x00"))
	defer C.free(unsafe.Pointer(src))
	defer C.free(unsafe.Pointer(title))
	defer C.free(unsafe.Pointer(opts))
	want := C.int(0)
	if ptx {
		want = 1
	}
	var image unsafe.Pointer
	var size C.size_t
	var log *C.char
	code := C.ai_compile(a.handle, src, title, C.int(len(options)), opts, want, &image, &size, &log)
	defer C.ai_free(image)
	defer C.ai_free(unsafe.Pointer(log))
	if code != 0 {
		err := a.fail(NVRTC, "compile "+name, int(code)).(*Error)
		if log != nil && C.GoString(log) != "" {
			err.Text += ": " + C.GoString(log)
		}
		return nil, err
	}
	return C.GoBytes(image, C.int(size)), nil
}
