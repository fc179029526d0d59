// The parts of NVIDIA's C interfaces that this package calls: own prototypes, so that no toolkit is
// needed to build. Names and numbers are the interfaces' own; TestABI compares each, and each
// function's arguments, with NVIDIA's headers where those are at hand (make abi).
//
// A line X(kind, field, symbol, result, arguments) declares one function: kind is REQUIRED or
// OPTIONAL, symbol the exported name that is looked up. Exported names are chosen once, here, so
// that no header macro of a later toolkit can move them.

#ifndef AFTERIMAGE_CUDA_ABI_H
#define AFTERIMAGE_CUDA_ABI_H

#include <stddef.h>
#include <stdint.h>

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;
typedef struct CUmemPoolHandle_st *CUmemoryPool;
typedef struct {
  char bytes[16];
} CUuuid;

_Static_assert(sizeof(int) == 4, "enums of the interface are 32 bits");
_Static_assert(sizeof(void *) == 8, "handles are 64 bits");
_Static_assert(sizeof(CUdeviceptr) == 8, "device addresses are 64 bits");
_Static_assert(sizeof(size_t) == 8, "sizes are 64 bits");
_Static_assert(sizeof(CUuuid) == 16, "a UUID has 16 bytes");

enum {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_NOT_READY = 600,
  CU_STREAM_NON_BLOCKING = 1,
  CU_EVENT_DEFAULT = 0,
  CU_EVENT_DISABLE_TIMING = 2,
  CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1,
  CU_MEMHOSTALLOC_PORTABLE = 1,
  CU_MEMPOOL_ATTR_RELEASE_THRESHOLD = 4,
  CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES = 3,
  CU_FUNC_ATTRIBUTE_NUM_REGS = 4,
  CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
  CU_JIT_ERROR_LOG_BUFFER = 5,
  CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6,
  CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
  CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE = 36,
  CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH = 37,
  CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE = 38,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
  CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
  CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED = 115,
};

// The CUDA driver, libcuda.so.1.
#define DRIVER_API(X)                                                                              \
  X(REQUIRED, cuInit, cuInit, CUresult, (unsigned))                                                \
  X(REQUIRED, cuDriverGetVersion, cuDriverGetVersion, CUresult, (int *))                           \
  X(REQUIRED, cuGetErrorName, cuGetErrorName, CUresult, (CUresult, const char **))                 \
  X(REQUIRED, cuGetErrorString, cuGetErrorString, CUresult, (CUresult, const char **))             \
  X(REQUIRED, cuDeviceGetCount, cuDeviceGetCount, CUresult, (int *))                               \
  X(REQUIRED, cuDeviceGet, cuDeviceGet, CUresult, (CUdevice *, int))                               \
  X(REQUIRED, cuDeviceGetName, cuDeviceGetName, CUresult, (char *, int, CUdevice))                 \
  X(REQUIRED, cuDeviceGetAttribute, cuDeviceGetAttribute, CUresult, (int *, int, CUdevice))        \
  X(REQUIRED, cuDeviceTotalMem, cuDeviceTotalMem_v2, CUresult, (size_t *, CUdevice))               \
  X(OPTIONAL, cuDeviceGetUuid, cuDeviceGetUuid_v2, CUresult, (CUuuid *, CUdevice))                 \
  X(REQUIRED, cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, CUresult,                        \
    (CUcontext *, CUdevice))                                                                       \
  X(REQUIRED, cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2, CUresult, (CUdevice))       \
  X(REQUIRED, cuCtxSetCurrent, cuCtxSetCurrent, CUresult, (CUcontext))                             \
  X(REQUIRED, cuStreamCreate, cuStreamCreate, CUresult, (CUstream *, unsigned))                    \
  X(REQUIRED, cuStreamDestroy, cuStreamDestroy_v2, CUresult, (CUstream))                           \
  X(REQUIRED, cuStreamSynchronize, cuStreamSynchronize, CUresult, (CUstream))                      \
  X(REQUIRED, cuStreamWaitEvent, cuStreamWaitEvent, CUresult, (CUstream, CUevent, unsigned))       \
  X(REQUIRED, cuEventCreate, cuEventCreate, CUresult, (CUevent *, unsigned))                       \
  X(REQUIRED, cuEventDestroy, cuEventDestroy_v2, CUresult, (CUevent))                              \
  X(REQUIRED, cuEventRecord, cuEventRecord, CUresult, (CUevent, CUstream))                         \
  X(REQUIRED, cuEventQuery, cuEventQuery, CUresult, (CUevent))                                     \
  X(REQUIRED, cuEventSynchronize, cuEventSynchronize, CUresult, (CUevent))                         \
  X(REQUIRED, cuEventElapsedTime, cuEventElapsedTime, CUresult, (float *, CUevent, CUevent))       \
  X(REQUIRED, cuMemGetInfo, cuMemGetInfo_v2, CUresult, (size_t *, size_t *))                       \
  X(REQUIRED, cuMemAlloc, cuMemAlloc_v2, CUresult, (CUdeviceptr *, size_t))                        \
  X(REQUIRED, cuMemFree, cuMemFree_v2, CUresult, (CUdeviceptr))                                    \
  X(OPTIONAL, cuMemAllocAsync, cuMemAllocAsync, CUresult, (CUdeviceptr *, size_t, CUstream))       \
  X(OPTIONAL, cuMemFreeAsync, cuMemFreeAsync, CUresult, (CUdeviceptr, CUstream))                   \
  X(OPTIONAL, cuDeviceGetDefaultMemPool, cuDeviceGetDefaultMemPool, CUresult,                      \
    (CUmemoryPool *, CUdevice))                                                                    \
  X(OPTIONAL, cuMemPoolSetAttribute, cuMemPoolSetAttribute, CUresult, (CUmemoryPool, int, void *)) \
  X(OPTIONAL, cuMemPoolTrimTo, cuMemPoolTrimTo, CUresult, (CUmemoryPool, size_t))                  \
  X(REQUIRED, cuMemHostAlloc, cuMemHostAlloc, CUresult, (void **, size_t, unsigned))               \
  X(REQUIRED, cuMemFreeHost, cuMemFreeHost, CUresult, (void *))                                    \
  X(REQUIRED, cuMemcpyHtoDAsync, cuMemcpyHtoDAsync_v2, CUresult,                                   \
    (CUdeviceptr, const void *, size_t, CUstream))                                                 \
  X(REQUIRED, cuMemcpyDtoHAsync, cuMemcpyDtoHAsync_v2, CUresult,                                   \
    (void *, CUdeviceptr, size_t, CUstream))                                                       \
  X(REQUIRED, cuMemcpyDtoDAsync, cuMemcpyDtoDAsync_v2, CUresult,                                   \
    (CUdeviceptr, CUdeviceptr, size_t, CUstream))                                                  \
  X(REQUIRED, cuMemsetD8Async, cuMemsetD8Async, CUresult,                                          \
    (CUdeviceptr, unsigned char, size_t, CUstream))                                                \
  X(REQUIRED, cuModuleLoadDataEx, cuModuleLoadDataEx, CUresult,                                    \
    (CUmodule *, const void *, unsigned, int *, void **))                                          \
  X(REQUIRED, cuModuleUnload, cuModuleUnload, CUresult, (CUmodule))                                \
  X(REQUIRED, cuModuleGetFunction, cuModuleGetFunction, CUresult,                                  \
    (CUfunction *, CUmodule, const char *))                                                        \
  X(REQUIRED, cuFuncGetAttribute, cuFuncGetAttribute, CUresult, (int *, int, CUfunction))          \
  X(REQUIRED, cuFuncSetAttribute, cuFuncSetAttribute, CUresult, (CUfunction, int, int))            \
  X(REQUIRED, cuLaunchKernel, cuLaunchKernel, CUresult,                                            \
    (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream,   \
     void **, void **))                                                                            \
  X(OPTIONAL, cuStreamBeginCapture, cuStreamBeginCapture_v2, CUresult, (CUstream, int))            \
  X(OPTIONAL, cuStreamEndCapture, cuStreamEndCapture, CUresult, (CUstream, CUgraph *))             \
  X(OPTIONAL, cuGraphInstantiate, cuGraphInstantiateWithFlags, CUresult,                           \
    (CUgraphExec *, CUgraph, unsigned long long))                                                  \
  X(OPTIONAL, cuGraphGetNodes, cuGraphGetNodes, CUresult, (CUgraph, void *, size_t *))             \
  X(OPTIONAL, cuGraphLaunch, cuGraphLaunch, CUresult, (CUgraphExec, CUstream))                     \
  X(OPTIONAL, cuGraphExecDestroy, cuGraphExecDestroy, CUresult, (CUgraphExec))                     \
  X(OPTIONAL, cuGraphDestroy, cuGraphDestroy, CUresult, (CUgraph))

// The run-time compiler, libnvrtc.so.
typedef struct _nvrtcProgram *nvrtcProgram;
#define NVRTC_API(X)                                                                               \
  X(REQUIRED, nvrtcVersion, nvrtcVersion, int, (int *, int *))                                     \
  X(REQUIRED, nvrtcGetErrorString, nvrtcGetErrorString, const char *, (int))                       \
  X(REQUIRED, nvrtcCreateProgram, nvrtcCreateProgram, int,                                         \
    (nvrtcProgram *, const char *, const char *, int, const char *const *, const char *const *))   \
  X(REQUIRED, nvrtcDestroyProgram, nvrtcDestroyProgram, int, (nvrtcProgram *))                     \
  X(REQUIRED, nvrtcCompileProgram, nvrtcCompileProgram, int,                                       \
    (nvrtcProgram, int, const char *const *))                                                      \
  X(REQUIRED, nvrtcGetProgramLogSize, nvrtcGetProgramLogSize, int, (nvrtcProgram, size_t *))       \
  X(REQUIRED, nvrtcGetProgramLog, nvrtcGetProgramLog, int, (nvrtcProgram, char *))                 \
  X(REQUIRED, nvrtcGetPTXSize, nvrtcGetPTXSize, int, (nvrtcProgram, size_t *))                     \
  X(REQUIRED, nvrtcGetPTX, nvrtcGetPTX, int, (nvrtcProgram, char *))                               \
  X(REQUIRED, nvrtcGetCUBINSize, nvrtcGetCUBINSize, int, (nvrtcProgram, size_t *))                 \
  X(REQUIRED, nvrtcGetCUBIN, nvrtcGetCUBIN, int, (nvrtcProgram, char *))

// cuDNN's backend (graph) interface, libcudnn.so.9.
typedef struct cudnnContext *cudnnHandle_t;
typedef void *cudnnBackendDescriptor_t;
#define CUDNN_API(X)                                                                               \
  X(REQUIRED, cudnnGetVersion, cudnnGetVersion, size_t, (void))                                    \
  X(REQUIRED, cudnnGetErrorString, cudnnGetErrorString, const char *, (int))                       \
  X(OPTIONAL, cudnnGetLastErrorString, cudnnGetLastErrorString, void, (char *, size_t))            \
  X(REQUIRED, cudnnCreate, cudnnCreate, int, (cudnnHandle_t *))                                    \
  X(REQUIRED, cudnnDestroy, cudnnDestroy, int, (cudnnHandle_t))                                    \
  X(REQUIRED, cudnnSetStream, cudnnSetStream, int, (cudnnHandle_t, CUstream))                      \
  X(REQUIRED, cudnnBackendCreateDescriptor, cudnnBackendCreateDescriptor, int,                     \
    (int, cudnnBackendDescriptor_t *))                                                             \
  X(REQUIRED, cudnnBackendDestroyDescriptor, cudnnBackendDestroyDescriptor, int,                   \
    (cudnnBackendDescriptor_t))                                                                    \
  X(REQUIRED, cudnnBackendSetAttribute, cudnnBackendSetAttribute, int,                             \
    (cudnnBackendDescriptor_t, int, int, int64_t, const void *))                                   \
  X(REQUIRED, cudnnBackendGetAttribute, cudnnBackendGetAttribute, int,                             \
    (cudnnBackendDescriptor_t, int, int, int64_t, int64_t *, void *))                              \
  X(REQUIRED, cudnnBackendFinalize, cudnnBackendFinalize, int, (cudnnBackendDescriptor_t))         \
  X(REQUIRED, cudnnBackendExecute, cudnnBackendExecute, int,                                       \
    (cudnnHandle_t, cudnnBackendDescriptor_t, cudnnBackendDescriptor_t))

// cuBLASLt's matrix products, libcublasLt.so. The opaque layouts are 64-byte and 32-byte blocks
// that the library's own Init functions fill; we use Create, which allocates them.
typedef struct cublasLtContext *cublasLtHandle_t;
#define CUBLASLT_API(X)                                                                            \
  X(REQUIRED, cublasLtGetVersion, cublasLtGetVersion, size_t, (void))                              \
  X(REQUIRED, cublasLtGetStatusString, cublasLtGetStatusString, const char *, (int))               \
  X(REQUIRED, cublasLtCreate, cublasLtCreate, int, (cublasLtHandle_t *))                           \
  X(REQUIRED, cublasLtDestroy, cublasLtDestroy, int, (cublasLtHandle_t))                           \
  X(REQUIRED, cublasLtMatmulDescCreate, cublasLtMatmulDescCreate, int, (void **, int, int))        \
  X(REQUIRED, cublasLtMatmulDescDestroy, cublasLtMatmulDescDestroy, int, (void *))                 \
  X(REQUIRED, cublasLtMatmulDescSetAttribute, cublasLtMatmulDescSetAttribute, int,                 \
    (void *, int, const void *, size_t))                                                           \
  X(REQUIRED, cublasLtMatrixLayoutCreate, cublasLtMatrixLayoutCreate, int,                         \
    (void **, int, uint64_t, uint64_t, int64_t))                                                   \
  X(REQUIRED, cublasLtMatrixLayoutDestroy, cublasLtMatrixLayoutDestroy, int, (void *))             \
  X(REQUIRED, cublasLtMatrixLayoutSetAttribute, cublasLtMatrixLayoutSetAttribute, int,             \
    (void *, int, const void *, size_t))                                                           \
  X(REQUIRED, cublasLtMatmulPreferenceCreate, cublasLtMatmulPreferenceCreate, int, (void **))      \
  X(REQUIRED, cublasLtMatmulPreferenceDestroy, cublasLtMatmulPreferenceDestroy, int, (void *))     \
  X(REQUIRED, cublasLtMatmulPreferenceSetAttribute, cublasLtMatmulPreferenceSetAttribute, int,     \
    (void *, int, const void *, size_t))                                                           \
  X(REQUIRED, cublasLtMatmulAlgoGetHeuristic, cublasLtMatmulAlgoGetHeuristic, int,                 \
    (cublasLtHandle_t, void *, void *, void *, void *, void *, void *, int, void *, int *))        \
  X(OPTIONAL, cublasLtMatmulAlgoConfigGetAttribute, cublasLtMatmulAlgoConfigGetAttribute, int,     \
    (const void *, int, void *, size_t, size_t *))                                                 \
  X(REQUIRED, cublasLtMatmul, cublasLtMatmul, int,                                                 \
    (cublasLtHandle_t, void *, const void *, const void *, void *, const void *, void *,           \
     const void *, const void *, void *, void *, void *, const void *, void *, size_t, CUstream))

// The profiling interface, libcupti.so: which activity a record is of, and when it began and ended.
typedef void (*CUpti_BuffersCallbackRequestFunc)(uint8_t **, size_t *, size_t *);
typedef void (*CUpti_BuffersCallbackCompleteFunc)(CUcontext, uint32_t, uint8_t *, size_t, size_t);
enum {
  CUPTI_ERROR_MAX_LIMIT_REACHED = 12,
  CUPTI_ACTIVITY_KIND_MEMCPY = 1,
  CUPTI_ACTIVITY_KIND_MEMSET = 2,
  CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL = 10,
  CUPTI_ACTIVITY_FLAG_FLUSH_FORCED = 1,
};
#define CUPTI_API(X)                                                                               \
  X(REQUIRED, cuptiGetVersion, cuptiGetVersion, int, (uint32_t *))                                 \
  X(REQUIRED, cuptiGetResultString, cuptiGetResultString, int, (int, const char **))               \
  X(REQUIRED, cuptiActivityRegisterCallbacks, cuptiActivityRegisterCallbacks, int,                 \
    (CUpti_BuffersCallbackRequestFunc, CUpti_BuffersCallbackCompleteFunc))                         \
  X(REQUIRED, cuptiActivityEnable, cuptiActivityEnable, int, (int))                                \
  X(REQUIRED, cuptiActivityDisable, cuptiActivityDisable, int, (int))                              \
  X(REQUIRED, cuptiActivityFlushAll, cuptiActivityFlushAll, int, (uint32_t))                       \
  X(REQUIRED, cuptiActivityGetNextRecord, cuptiActivityGetNextRecord, int,                         \
    (uint8_t *, size_t, void **))                                                                  \
  X(REQUIRED, cuptiActivityGetNumDroppedRecords, cuptiActivityGetNumDroppedRecords, int,           \
    (CUcontext, uint32_t, size_t *))

#endif
