//go:build linux && cgo

package driver

/*
#include "shim.h"
*/
import "C"

import "unsafe"

// NewProducts returns cuBLASLt's handle, or why there is none.
func (c *Context) NewProducts() (uint64, error) {
	if err := c.api.Load(CuBLASLt); err != nil {
		return 0, err
	}
	return c.library(CuBLASLt, "cublasLtCreate", C.AI_LT_CREATE)
}

// CloseProducts gives cuBLASLt's handle back.
func (c *Context) CloseProducts(handle uint64) error {
	_, err := c.library(CuBLASLt, "cublasLtDestroy", C.AI_LT_DESTROY, handle)
	return err
}

// ClosePlan gives a plan back.
func (c *Context) ClosePlan(p *ProductPlan) error {
	_, err := c.library(CuBLASLt, "cublasLtMatmulDescDestroy", C.AI_LT_DESTROY_PLAN, p.out[:4]...)
	return err
}

// CloseDNN gives cuDNN's handle back.
func (c *Context) CloseDNN(handle uint64) error {
	_, err := c.library(CuDNN, "cudnnDestroy", C.AI_DNN_DESTROY, handle)
	return err
}

// library is call for the functions of another library than the driver.
func (c *Context) library(l Library, name string, call C.int, in ...uint64) (uint64, error) {
	var out [2]uint64
	if len(in) == 0 {
		in = []uint64{0}
	}
	code := C.ai_call(c.api.handle, call, C.uintptr_t(c.handle), (*C.uint64_t)(&in[0]),
		(*C.uint64_t)(&out[0]))
	if code != 0 {
		return 0, c.api.fail(l, name, int(code))
	}
	c.api.census.note(call)
	return out[0], nil
}

// Types of library_types.h and cublas_api.h.
const (
	realF32     = 0  // CUDA_R_32F
	realF64     = 1  // CUDA_R_64F
	realBF16    = 14 // CUDA_R_16BF
	computeF32  = 68 // CUBLAS_COMPUTE_32F
	computeF64  = 70 // CUBLAS_COMPUTE_64F
	computeTF32 = 77 // CUBLAS_COMPUTE_32F_FAST_TF32
)

// PlanProduct asks cuBLASLt for algorithms that add in a fixed order and returns the one at a
// place, counted from 0; the one that the library takes for the fastest comes first. Where there
// are no more of them the error is NotOffered.
func (c *Context) PlanProduct(handle uint64, s ProductSpec, place int) (*ProductPlan, error) {
	types := [...]struct{ operand, result, compute, scale int64 }{
		ProductF32:  {realF32, realF32, computeF32, realF32},
		ProductTF32: {realF32, realF32, computeTF32, realF32},
		ProductBF16: {realBF16, realF32, computeF32, realF32},
		ProductHalf: {realBF16, realBF16, computeF32, realF32},
		ProductF64:  {realF64, realF64, computeF64, realF64},
	}[s.Kind]
	flag := func(b bool) int64 {
		if b {
			return 1
		}
		return 0
	}
	spec := [...]int64{int64(s.M), int64(s.N), int64(s.K), int64(s.Batch), flag(s.TransA),
		flag(s.TransB), types.operand, types.result, types.compute, int64(s.Workspace), types.scale}
	p := &ProductPlan{Handle: handle, Double: s.Kind == ProductF64}
	code := C.ai_lt_plan(c.api.handle, C.uintptr_t(c.handle), C.uintptr_t(handle),
		(*C.int64_t)(&spec[0]), C.int(place), (*C.uint64_t)(&p.out[0]))
	if code != 0 {
		return nil, c.api.fail(CuBLASLt, "cublasLtMatmulAlgoGetHeuristic", int(code))
	}
	c.api.census[aliveDescriptors].Add(1)
	p.Workspace, p.Engine = int(p.out[12]), int64(p.out[13])
	return p, nil
}

// NewDNN returns cuDNN's handle, its work going to stream, or why there is none.
func (c *Context) NewDNN(stream uint64) (uint64, error) {
	if err := c.api.Load(CuDNN); err != nil {
		return 0, err
	}
	h, err := c.library(CuDNN, "cudnnCreate", C.AI_DNN_CREATE)
	if err != nil {
		return 0, err
	}
	if _, err = c.library(CuDNN, "cudnnSetStream", C.AI_DNN_STREAM, h, stream); err != nil {
		c.CloseDNN(h)
		return 0, err
	}
	return h, nil
}

// NewDescriptor returns a fresh backend descriptor of the given type.
func (c *Context) NewDescriptor(kind int) (uint64, error) {
	return c.library(CuDNN, "cudnnBackendCreateDescriptor", C.AI_DNN_DESCRIPTOR, uint64(kind))
}

// DestroyDescriptor gives a descriptor back.
func (c *Context) DestroyDescriptor(d uint64) error {
	_, err := c.library(CuDNN, "cudnnBackendDestroyDescriptor", C.AI_DNN_DESTROY_DESC, d)
	return err
}

// Finalize checks a descriptor and closes it to further changes.
func (c *Context) Finalize(d uint64) error {
	_, err := c.library(CuDNN, "cudnnBackendFinalize", C.AI_DNN_FINALIZE, d)
	return err
}

// SetAttribute writes an attribute of a descriptor. values points to count elements of the size
// that kind, a number of cudnnBackendAttributeType_t, says.
func (c *Context) SetAttribute(d uint64, name, kind, count int, values unsafe.Pointer) error {
	code := C.ai_dnn_set(c.api.handle, C.uintptr_t(c.handle), C.uintptr_t(d), C.int(name),
		C.int(kind), C.int64_t(count), values)
	if code != 0 {
		return c.api.fail(CuDNN, "cudnnBackendSetAttribute", int(code))
	}
	return nil
}

// GetAttribute reads an attribute and returns how many elements there are.
func (c *Context) GetAttribute(
	d uint64, name, kind, count int, values unsafe.Pointer,
) (int, error) {
	var got C.int64_t
	code := C.ai_dnn_get(c.api.handle, C.uintptr_t(c.handle), C.uintptr_t(d), C.int(name),
		C.int(kind), C.int64_t(count), &got, values)
	if code != 0 {
		return 0, c.api.fail(CuDNN, "cudnnBackendGetAttribute", int(code))
	}
	return int(got), nil
}
