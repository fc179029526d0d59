//go:build !linux || !cgo

package driver

import "unsafe"

// An API is the set of opened libraries; this build opens none.
type API struct{}

// A Context is a device's primary context; this build makes none.
type Context struct{}

// Open returns ErrNoCgo.
func Open() (*API, error) { return nil, ErrNoCgo }

// OpenWith returns ErrNoCgo.
func OpenWith(env func(string) string) (*API, error) { return nil, ErrNoCgo }

// Load does nothing in this build.
func (a *API) Load(l Library) error { return ErrNoCgo }

// Found does nothing in this build.
func (a *API) Found(l Library) Found { return Found{Library: l, Err: ErrNoCgo} }

// Compile does nothing in this build.
func (a *API) Compile(text, name string, options []string, ptx bool) ([]byte, error) {
	return nil, ErrNoCgo
}

// Devices does nothing in this build.
func (a *API) Devices() (int, error) { return 0, ErrNoCgo }

// DeviceName does nothing in this build.
func (a *API) DeviceName(device int) (string, error) { return "", ErrNoCgo }

// DeviceAttribute does nothing in this build.
func (a *API) DeviceAttribute(device int, at Attribute) (int, error) { return 0, ErrNoCgo }

// DeviceMemory does nothing in this build.
func (a *API) DeviceMemory(device int) (int, error) { return 0, ErrNoCgo }

// DeviceUUID does nothing in this build.
func (a *API) DeviceUUID(device int) string { return "" }

// StartTrace does nothing in this build.
func (a *API) StartTrace() error { return ErrNoCgo }

// CutTrace does nothing in this build.
func (a *API) CutTrace() (Trace, error) { return Trace{}, ErrNoCgo }

// StopTrace does nothing in this build.
func (a *API) StopTrace() error { return ErrNoCgo }

// Alive does nothing in this build.
func (a *API) Alive() Alive { return Alive{} }

// Retain does nothing in this build.
func (a *API) Retain(device int) (*Context, error) { return nil, ErrNoCgo }

// API does nothing in this build.
func (c *Context) API() *API { return nil }

// Release does nothing in this build.
func (c *Context) Release() error { return ErrNoCgo }

// KeepPool does nothing in this build.
func (c *Context) KeepPool() error { return ErrNoCgo }

// TrimPool does nothing in this build.
func (c *Context) TrimPool() error { return ErrNoCgo }

// MemInfo does nothing in this build.
func (c *Context) MemInfo() (int, int, error) { return 0, 0, ErrNoCgo }

// Alloc does nothing in this build.
func (c *Context) Alloc(bytes int) (uint64, error) { return 0, ErrNoCgo }

// Free does nothing in this build.
func (c *Context) Free(p uint64) error { return ErrNoCgo }

// AllocAsync does nothing in this build.
func (c *Context) AllocAsync(bytes int, stream uint64) (uint64, error) { return 0, ErrNoCgo }

// FreeAsync does nothing in this build.
func (c *Context) FreeAsync(p, stream uint64) error { return ErrNoCgo }

// HostAlloc does nothing in this build.
func (c *Context) HostAlloc(bytes int) (Pinned, error) { return Pinned{}, ErrNoCgo }

// HostFree does nothing in this build.
func (c *Context) HostFree(p Pinned) error { return ErrNoCgo }

// Bytes does nothing in this build.
func (p Pinned) Bytes() []byte { return nil }

// NewStream does nothing in this build.
func (c *Context) NewStream() (uint64, error) { return 0, ErrNoCgo }

// DestroyStream does nothing in this build.
func (c *Context) DestroyStream(s uint64) error { return ErrNoCgo }

// SyncStream does nothing in this build.
func (c *Context) SyncStream(s uint64) error { return ErrNoCgo }

// NewEvent does nothing in this build.
func (c *Context) NewEvent(timed bool) (uint64, error) { return 0, ErrNoCgo }

// DestroyEvent does nothing in this build.
func (c *Context) DestroyEvent(e uint64) error { return ErrNoCgo }

// EventDone does nothing in this build.
func (c *Context) EventDone(e uint64) (bool, error) { return false, ErrNoCgo }

// SyncEvent does nothing in this build.
func (c *Context) SyncEvent(e uint64) error { return ErrNoCgo }

// Elapsed does nothing in this build.
func (c *Context) Elapsed(start, end uint64) (float64, error) { return 0, ErrNoCgo }

// LoadModule does nothing in this build.
func (c *Context) LoadModule(image []byte) (uint64, error) { return 0, ErrNoCgo }

// UnloadModule does nothing in this build.
func (c *Context) UnloadModule(m uint64) error { return ErrNoCgo }

// Function does nothing in this build.
func (c *Context) Function(module uint64, name string) (uint64, error) { return 0, ErrNoCgo }

// FunctionAttribute does nothing in this build.
func (c *Context) FunctionAttribute(f uint64, at FunctionAttribute) (int, error) {
	return 0, ErrNoCgo
}

// SetFunctionAttribute does nothing in this build.
func (c *Context) SetFunctionAttribute(f uint64, at FunctionAttribute, v int) error {
	return ErrNoCgo
}

// BeginCapture does nothing in this build.
func (c *Context) BeginCapture(stream uint64) error { return ErrNoCgo }

// EndCapture does nothing in this build.
func (c *Context) EndCapture(stream uint64) (uint64, error) { return 0, ErrNoCgo }

// GraphNodes does nothing in this build.
func (c *Context) GraphNodes(graph uint64) (int, error) { return 0, ErrNoCgo }

// Instantiate does nothing in this build.
func (c *Context) Instantiate(graph uint64) (uint64, error) { return 0, ErrNoCgo }

// DestroyGraph does nothing in this build.
func (c *Context) DestroyGraph(g uint64) error { return ErrNoCgo }

// DestroyExec does nothing in this build.
func (c *Context) DestroyExec(x uint64) error { return ErrNoCgo }

// Run does nothing in this build.
func (c *Context) Run(stream uint64, b *Batch) (int, error) { return 0, ErrNoCgo }

// NewProducts does nothing in this build.
func (c *Context) NewProducts() (uint64, error) { return 0, ErrNoCgo }

// PlanProduct does nothing in this build.
func (c *Context) PlanProduct(handle uint64, s ProductSpec, place int) (*ProductPlan, error) {
	return nil, ErrNoCgo
}

// NewDNN does nothing in this build.
func (c *Context) NewDNN(stream uint64) (uint64, error) { return 0, ErrNoCgo }

// NewDescriptor does nothing in this build.
func (c *Context) NewDescriptor(kind int) (uint64, error) { return 0, ErrNoCgo }

// DestroyDescriptor does nothing in this build.
func (c *Context) DestroyDescriptor(d uint64) error { return ErrNoCgo }

// Finalize does nothing in this build.
func (c *Context) Finalize(d uint64) error { return ErrNoCgo }

// SetAttribute does nothing in this build.
func (c *Context) SetAttribute(d uint64, name, kind, count int, values unsafe.Pointer) error {
	return ErrNoCgo
}

// GetAttribute does nothing in this build.
func (c *Context) GetAttribute(
	d uint64, name, kind, count int, values unsafe.Pointer,
) (int, error) {
	return 0, ErrNoCgo
}

// CloseProducts does nothing in this build.
func (c *Context) CloseProducts(handle uint64) error { return ErrNoCgo }

// ClosePlan does nothing in this build.
func (c *Context) ClosePlan(p *ProductPlan) error { return ErrNoCgo }

// CloseDNN does nothing in this build.
func (c *Context) CloseDNN(handle uint64) error { return ErrNoCgo }
