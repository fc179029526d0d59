//go:build linux && cgo

package driver

/*
#include "shim.h"
#include <stdlib.h>
*/
import "C"

import "unsafe"

// LoadModule loads a cubin or PTX (which the driver then compiles) and returns its handle.
func (c *Context) LoadModule(image []byte) (uint64, error) {
	data := append(append([]byte(nil), image...), 0) // PTX ends with a zero
	var out C.uint64_t
	var log [textSize]C.char
	code := C.ai_module_load(c.api.handle, C.uintptr_t(c.handle), unsafe.Pointer(&data[0]), &out,
		&log[0], textSize)
	if code != 0 {
		err := c.api.fail(CUDA, "cuModuleLoadDataEx", int(code)).(*Error)
		if text := C.GoString(&log[0]); text != "" {
			err.Text += ": " + text
		}
		return 0, err
	}
	c.api.census[aliveModules].Add(1)
	return uint64(out), nil
}

// UnloadModule gives a module back.
func (c *Context) UnloadModule(m uint64) error {
	return c.do("cuModuleUnload", C.AI_MODULE_UNLOAD, m)
}

// Function returns an entry point of a module.
func (c *Context) Function(module uint64, name string) (uint64, error) {
	n := C.CString(name)
	defer C.free(unsafe.Pointer(n))
	var out C.uint64_t
	code := C.ai_module_function(c.api.handle, C.uintptr_t(c.handle), C.uintptr_t(module), n, &out)
	if code != 0 {
		return 0, c.api.fail(CUDA, "cuModuleGetFunction "+name, int(code))
	}
	return uint64(out), nil
}

// FunctionAttribute returns what the compiler made of a kernel.
func (c *Context) FunctionAttribute(f uint64, at FunctionAttribute) (int, error) {
	v, err := c.call("cuFuncGetAttribute", C.AI_FUNCTION_ATTRIBUTE, uint64(at), f)
	return int(v), err
}

// SetFunctionAttribute changes what launches of a kernel may ask for.
func (c *Context) SetFunctionAttribute(f uint64, at FunctionAttribute, v int) error {
	return c.do("cuFuncSetAttribute", C.AI_FUNCTION_SET, f, uint64(at), uint64(v))
}

// BeginCapture records what this thread queues on the stream from now on, instead of running it.
func (c *Context) BeginCapture(stream uint64) error {
	return c.do("cuStreamBeginCapture", C.AI_CAPTURE_BEGIN, stream)
}

// EndCapture returns the recorded graph.
func (c *Context) EndCapture(stream uint64) (uint64, error) {
	return c.call("cuStreamEndCapture", C.AI_CAPTURE_END, stream)
}

// GraphNodes returns how many operations a graph holds.
func (c *Context) GraphNodes(graph uint64) (int, error) {
	n, err := c.call("cuGraphGetNodes", C.AI_GRAPH_NODES, graph)
	return int(n), err
}

// Instantiate makes a graph executable.
func (c *Context) Instantiate(graph uint64) (uint64, error) {
	return c.call("cuGraphInstantiateWithFlags", C.AI_GRAPH_INSTANTIATE, graph)
}

// DestroyGraph gives a recorded graph back.
func (c *Context) DestroyGraph(g uint64) error {
	return c.do("cuGraphDestroy", C.AI_GRAPH_DESTROY, g)
}

// DestroyExec gives an executable graph back.
func (c *Context) DestroyExec(x uint64) error {
	return c.do("cuGraphExecDestroy", C.AI_EXEC_DESTROY, x)
}

// Run executes a batch on a stream. On a failure at tells how many commands went before it.
func (c *Context) Run(stream uint64, b *Batch) (at int, err error) {
	if len(b.words) == 0 {
		return 0, nil
	}
	var done C.int
	code := C.ai_run(c.api.handle, C.uintptr_t(c.handle), C.uintptr_t(stream),
		(*C.uint64_t)(&b.words[0]), C.int(len(b.words)), &done)
	if code == 0 {
		return int(done), nil
	}
	lib, name := CUDA, "command"
	if int(done) < len(b.codes) {
		lib, name = b.codes[done].library(), b.codes[done].String()
	}
	return int(done), c.api.fail(lib, name, int(code))
}
