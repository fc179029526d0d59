//go:build linux && cgo

package driver

/*
#include "shim.h"
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Devices returns how many GPUs there are.
func (a *API) Devices() (int, error) {
	var out [1]uint64
	err := a.call("cuDeviceGetCount", C.AI_DEVICE_COUNT, 0, nil, out[:])
	return int(out[0]), err
}

// DeviceName returns what the maker calls a device.
func (a *API) DeviceName(device int) (string, error) {
	var text [256]C.char
	if code := C.ai_device_name(a.handle, C.int(device), &text[0], 256); code != 0 {
		return "", a.fail(CUDA, "cuDeviceGetName", int(code))
	}
	return C.GoString(&text[0]), nil
}

// DeviceAttribute returns one number about a device.
func (a *API) DeviceAttribute(device int, at Attribute) (int, error) {
	var out [1]uint64
	err := a.call("cuDeviceGetAttribute", C.AI_DEVICE_ATTRIBUTE, 0,
		[]uint64{uint64(at), uint64(device)}, out[:])
	return int(out[0]), err
}

// DeviceMemory returns a device's memory in bytes.
func (a *API) DeviceMemory(device int) (int, error) {
	var out [1]uint64
	err := a.call("cuDeviceTotalMem", C.AI_DEVICE_MEMORY, 0, []uint64{uint64(device)}, out[:])
	return int(out[0]), err
}

// DeviceUUID returns the identity by which other programs know a device, "GPU-…", or "".
func (a *API) DeviceUUID(device int) string {
	var out [2]uint64
	if a.call("cuDeviceGetUuid", C.AI_DEVICE_UUID, 0, []uint64{uint64(device)}, out[:]) != nil {
		return ""
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(&out[0])), 16)
	return fmt.Sprintf("GPU-%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// A Context is the primary context of one device, which the libraries share. Its methods make it
// current in the same call of C that does the work.
type Context struct {
	api    *API
	device int
	handle uint64
}

// Retain returns the primary context of a device. Release it.
func (a *API) Retain(device int) (*Context, error) {
	var out [1]uint64
	err := a.call("cuDevicePrimaryCtxRetain", C.AI_RETAIN, 0, []uint64{uint64(device)}, out[:])
	if err != nil {
		return nil, err
	}
	return &Context{a, device, out[0]}, nil
}

// API returns the libraries behind the context.
func (c *Context) API() *API { return c.api }

func (c *Context) call(name string, call C.int, in ...uint64) (uint64, error) {
	var out [2]uint64
	if len(in) == 0 {
		in = []uint64{0}
	}
	err := c.api.call(name, call, c.handle, in, out[:])
	return out[0], err
}

func (c *Context) do(name string, call C.int, in ...uint64) error {
	_, err := c.call(name, call, in...)
	return err
}

// Release gives the context back.
func (c *Context) Release() error {
	return c.do("cuDevicePrimaryCtxRelease", C.AI_RELEASE, uint64(c.device))
}

// KeepPool makes the device's stream-ordered pool keep what is freed; an error with Code NotFound
// says that the driver has no such pool.
func (c *Context) KeepPool() error {
	return c.do("cuMemPoolSetAttribute", C.AI_POOL_KEEP, uint64(c.device))
}

// TrimPool gives what the pool keeps back to the device.
func (c *Context) TrimPool() error {
	return c.do("cuMemPoolTrimTo", C.AI_POOL_TRIM, uint64(c.device))
}

// MemInfo returns the device's free and whole memory in bytes.
func (c *Context) MemInfo() (free, total int, err error) {
	var out [2]uint64
	err = c.api.call("cuMemGetInfo", C.AI_MEM_INFO, c.handle, nil, out[:])
	return int(out[0]), int(out[1]), err
}

// Alloc returns the address of fresh device memory.
func (c *Context) Alloc(bytes int) (uint64, error) {
	return c.call("cuMemAlloc", C.AI_MEM_ALLOC, uint64(bytes))
}

// Free gives memory of Alloc back; it waits for the device.
func (c *Context) Free(p uint64) error { return c.do("cuMemFree", C.AI_MEM_FREE, p) }

// AllocAsync returns memory of the stream-ordered pool, for work queued on the stream from now on.
func (c *Context) AllocAsync(bytes int, stream uint64) (uint64, error) {
	return c.call("cuMemAllocAsync", C.AI_MEM_ALLOC_ASYNC, uint64(bytes), stream)
}

// FreeAsync gives memory back once the work queued on the stream so far is done.
func (c *Context) FreeAsync(p, stream uint64) error {
	return c.do("cuMemFreeAsync", C.AI_MEM_FREE_ASYNC, p, stream)
}

// HostAlloc returns pinned host memory, which asynchronous copies may use.
func (c *Context) HostAlloc(bytes int) (Pinned, error) {
	p, err := c.call("cuMemHostAlloc", C.AI_HOST_ALLOC, uint64(bytes))
	return Pinned{p, bytes}, err
}

// HostFree gives pinned memory back.
func (c *Context) HostFree(p Pinned) error {
	return c.do("cuMemFreeHost", C.AI_HOST_FREE, p.Address)
}

// Bytes returns the memory. It belongs to the driver: keep no slice of it beyond HostFree.
func (p Pinned) Bytes() []byte {
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&p.Address)), p.Size)
}

// NewStream returns a stream that does not wait for the legacy stream.
func (c *Context) NewStream() (uint64, error) {
	return c.call("cuStreamCreate", C.AI_STREAM_CREATE)
}

// DestroyStream ends a stream after its work.
func (c *Context) DestroyStream(s uint64) error {
	return c.do("cuStreamDestroy", C.AI_STREAM_DESTROY, s)
}

// SyncStream waits for all work of a stream and returns its first failure.
func (c *Context) SyncStream(s uint64) error {
	return c.do("cuStreamSynchronize", C.AI_STREAM_SYNC, s)
}

// NewEvent returns an event; a timed one can measure but costs more.
func (c *Context) NewEvent(timed bool) (uint64, error) {
	const disableTiming = 2 // CU_EVENT_DISABLE_TIMING
	flags := uint64(disableTiming)
	if timed {
		flags = 0
	}
	return c.call("cuEventCreate", C.AI_EVENT_CREATE, flags)
}

// DestroyEvent gives an event back.
func (c *Context) DestroyEvent(e uint64) error {
	return c.do("cuEventDestroy", C.AI_EVENT_DESTROY, e)
}

// EventDone reports whether the work before an event's last recording is done.
func (c *Context) EventDone(e uint64) (bool, error) {
	err := c.do("cuEventQuery", C.AI_EVENT_QUERY, e)
	if Code(err) == NotReady {
		return false, nil
	}
	return err == nil, err
}

// SyncEvent waits for an event.
func (c *Context) SyncEvent(e uint64) error {
	return c.do("cuEventSynchronize", C.AI_EVENT_SYNC, e)
}

// Elapsed returns the milliseconds between two timed events that have happened.
func (c *Context) Elapsed(start, end uint64) (float64, error) {
	out, err := c.call("cuEventElapsedTime", C.AI_EVENT_ELAPSED, start, end)
	bits := uint32(out)
	return float64(*(*float32)(unsafe.Pointer(&bits))), err
}
