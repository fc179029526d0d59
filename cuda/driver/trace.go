//go:build linux && cgo

package driver

/*
#include "shim.h"
*/
import "C"

import "time"

// StartTrace makes CUPTI note all work of this process on GPUs from now on: best before Retain, so
// that graphs are made under its eyes. One API of a process at a time.
func (a *API) StartTrace() error {
	if err := a.Load(CUPTI); err != nil {
		return err
	}
	if code := C.ai_trace_start(a.handle); code != 0 {
		return a.fail(CUPTI, "cuptiActivityEnable", int(code))
	}
	return nil
}

// CutTrace returns what was done since StartTrace or the last cut. Wait for the work first.
func (a *API) CutTrace() (Trace, error) {
	var out [C.AI_TRACE_TOTALS]C.uint64_t
	if code := C.ai_trace_cut(a.handle, &out[0]); code != 0 {
		return Trace{}, a.fail(CUPTI, "cuptiActivityFlushAll", int(code))
	}
	t := func(i int) time.Duration { return time.Duration(out[i]) }
	return Trace{Kernels: int(out[C.AI_TRACE_KERNELS]), Others: int(out[C.AI_TRACE_OTHERS]),
		KernelTime: t(C.AI_TRACE_KERNEL_NS), OtherTime: t(C.AI_TRACE_OTHER_NS),
		Busy: t(C.AI_TRACE_BUSY_NS), Span: t(C.AI_TRACE_SPAN_NS), Lost: int(out[C.AI_TRACE_LOST]),
	}, nil
}

// StopTrace ends what StartTrace began.
func (a *API) StopTrace() error {
	if code := C.ai_trace_stop(a.handle); code != 0 {
		return a.fail(CUPTI, "cuptiActivityDisable", int(code))
	}
	return nil
}
