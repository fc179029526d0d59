package driver

import "errors"

// What CUDA's libraries answer where they have no plan or algorithm, or cannot get at one: numbers
// of cublas_api.h and cudnn_graph.h. cuDNN's come in thousands, of which 2 is a fault in what it
// was given and 3 what it does not do.
const (
	cublasInvalid      = 7  // CUBLAS_STATUS_INVALID_VALUE
	cublasNotSupported = 15 // CUBLAS_STATUS_NOT_SUPPORTED

	dnnMixedParts    = 1002 // CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH
	dnnPartNotLoaded = 1008 // CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED
	dnnBadParam      = 2000 // CUDNN_STATUS_BAD_PARAM
	dnnInvalidValue  = 2001 // CUDNN_STATUS_INVALID_VALUE
	dnnOutOfBound    = 2005 // CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND
	dnnShapeMismatch = 2008 // CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH
	dnnNotSupported  = 3000 // CUDNN_STATUS_NOT_SUPPORTED
	dnnDriver        = 3005 // CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDA_DRIVER
	dnnRuntime       = 3006 // CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDART
	dnnPrerequisite  = 3008 // CUDNN_STATUS_NOT_SUPPORTED_RUNTIME_PREREQUISITE_MISSING
	dnnPartMissing   = 3009 // CUDNN_STATUS_NOT_SUPPORTED_SUBLIBRARY_UNAVAILABLE
	dnnInternal      = 4000 // CUDNN_STATUS_INTERNAL_ERROR
	dnnHostMemory    = 4003 // CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED
	dnnDeviceMemory  = 4004 // CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
)

// NotOffered reports whether err is cuBLASLt's or cuDNN's answer that they have no such algorithm
// or plan, which the same library will give again. It is not a failure that may pass: a lack of
// memory, or an installation of which a part is missing, which somebody can mend. Nor is it a
// misuse of the interface, a descriptor that is not finalized for example: that is a mistake of
// this program, which should be seen. Kinds that a newer cuDNN adds count as not offered if they
// begin with 3.
func NotOffered(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Library {
	case CuBLASLt:
		return e.Code == cublasInvalid || e.Code == cublasNotSupported
	case CuDNN:
		switch e.Code {
		case dnnBadParam, dnnInvalidValue, dnnOutOfBound, dnnShapeMismatch:
			return true
		case dnnDriver, dnnRuntime, dnnPrerequisite, dnnPartMissing:
			return false
		}
		return dnnNotSupported <= e.Code && e.Code < dnnInternal
	}
	return false
}

// lost reports whether a context computes nothing more after one of the driver's results, by the
// numbers of cuda.h.
func lost(code int) bool {
	switch code {
	case 214, // CUDA_ERROR_ECC_UNCORRECTABLE
		700, // CUDA_ERROR_ILLEGAL_ADDRESS
		702, // CUDA_ERROR_LAUNCH_TIMEOUT
		710, // CUDA_ERROR_ASSERT
		714, // CUDA_ERROR_HARDWARE_STACK_ERROR
		715, // CUDA_ERROR_ILLEGAL_INSTRUCTION
		716, // CUDA_ERROR_MISALIGNED_ADDRESS
		717, // CUDA_ERROR_INVALID_ADDRESS_SPACE
		718, // CUDA_ERROR_INVALID_PC
		719: // CUDA_ERROR_LAUNCH_FAILED
		return true
	}
	return false
}

// remedy returns what a user can do about a failure whose words do not say, "" if nothing is known.
func (e *Error) remedy() string {
	if e.Library == CUDA && lost(e.Code) {
		return "the GPU has given up what this process does: start the program again; a training goes " +
			"on from its last checkpoint"
	}
	if e.Library != CuDNN {
		return ""
	}
	switch e.Code {
	case dnnMixedParts:
		return "parts of two versions of cuDNN were found: leave one of them on LD_LIBRARY_PATH"
	case dnnPartNotLoaded, dnnPartMissing:
		return "a part of cuDNN is missing or does not open: install all of it in one folder"
	case dnnDriver:
		return "update the NVIDIA driver, or install the cuDNN for an older CUDA"
	case dnnRuntime:
		return "the CUDA runtime that was found is of another version than cuDNN is for"
	case dnnPrerequisite:
		return "a library that cuDNN needs was not found: NVRTC or cuBLAS, of cuDNN's CUDA version"
	case dnnHostMemory:
		return "the machine's memory is full"
	case dnnDeviceMemory:
		return "the GPU's memory is full: use a smaller batch, or end what else runs on it"
	}
	return ""
}
