package cuda

import (
	"fmt"
	"time"

	"afterimage/cuda/driver"
)

// A Trace is what ran on the device for a while, as NVIDIA's profiler CUPTI noted it: each kernel
// of a recording by itself.
type Trace struct {
	Kernels, Others       int           // launches; copies and fills
	KernelTime, OtherTime time.Duration // of each added up, also where they ran beside each other
	Busy                  time.Duration // in which anything ran
	Span                  time.Duration // from the first start to the last end
	Lost                  int           // pieces of work that the profiler had no room to note
	Wall                  time.Duration // by the host's clock, from before the first to after the last
}

// Trace runs f and returns what it did on the device. It needs Options.Trace. Noting slows work
// down a little, and what is between kernels more than the kernels: how long the device is idle
// follows from KernelTime and the time that f takes on a backend that does not trace.
func (b *Backend) Trace(f func()) (Trace, error) {
	if !b.tracing {
		return Trace{}, fmt.Errorf("%s: Trace: the backend was opened without Options.Trace", b.name)
	}
	if err := b.Sync(); err != nil {
		return Trace{}, err
	}
	api := b.ctx.API()
	if _, err := api.CutTrace(); err != nil {
		return Trace{}, fmt.Errorf("%s: Trace: %w", b.name, err)
	}
	begin := time.Now()
	f()
	if err := b.Sync(); err != nil {
		return Trace{}, err
	}
	wall := time.Since(begin)
	t, err := api.CutTrace()
	if err != nil {
		return Trace{}, fmt.Errorf("%s: Trace: %w", b.name, err)
	}
	return Trace{t.Kernels, t.Others, t.KernelTime, t.OtherTime, t.Busy, t.Span, t.Lost, wall}, nil
}

// Profiler says which profiler there is for Options.Trace, or why there is none.
func (b *Backend) Profiler() (string, error) {
	f := b.ctx.API().Found(driver.CUPTI)
	return f.String(), f.Err
}

// Alive counts what the backend has of NVIDIA's libraries: created and not yet given back. After
// Close it is nothing.
type Alive = driver.Alive

// Alive returns it. It can be asked after Close, too.
func (b *Backend) Alive() Alive { return b.ctx.API().Alive() }

// DeviceMemory returns the device's free and whole memory in bytes, by the driver: other programs'
// use counts, and what the driver and the libraries keep for themselves, which Memory does not see.
func (b *Backend) DeviceMemory() (free, total int, err error) { return b.ctx.MemInfo() }
