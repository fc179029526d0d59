//go:build linux && cgo

// Executes single calls and batches of commands on a device.

#include "internal.h"

#include <string.h>

// Result of a call whose function this driver lacks; the Go side names it.
enum { NOT_AVAILABLE = CUDA_ERROR_NOT_FOUND };

#define NEED(f)                                                                                    \
  if (a->cu.f == NULL) {                                                                           \
    return NOT_AVAILABLE;                                                                          \
  }
#define DRIVER(f, ...) return a->cu.f(__VA_ARGS__)

// without serves what needs no context.
static int without(ai_api *a, int call, const uint64_t *in, uint64_t *out) {
  int number = 0, code;
  size_t bytes = 0;
  switch (call) {
  case AI_INIT:
    DRIVER(cuInit, 0);
  case AI_DRIVER_VERSION:
    code = a->cu.cuDriverGetVersion(&number);
    out[0] = (uint64_t)number;
    return code;
  case AI_DEVICE_COUNT:
    code = a->cu.cuDeviceGetCount(&number);
    out[0] = (uint64_t)number;
    return code;
  case AI_DEVICE_ATTRIBUTE:
    code = a->cu.cuDeviceGetAttribute(&number, (int)in[0], (CUdevice)in[1]);
    out[0] = (uint64_t)number;
    return code;
  case AI_DEVICE_MEMORY:
    code = a->cu.cuDeviceTotalMem(&bytes, (CUdevice)in[0]);
    out[0] = bytes;
    return code;
  case AI_DEVICE_UUID:
    NEED(cuDeviceGetUuid)
    DRIVER(cuDeviceGetUuid, (CUuuid *)out, (CUdevice)in[0]);
  case AI_RETAIN:
    DRIVER(cuDevicePrimaryCtxRetain, (CUcontext *)out, (CUdevice)in[0]);
  case AI_RELEASE:
    DRIVER(cuDevicePrimaryCtxRelease, (CUdevice)in[0]);
  }
  return -1;
}

// memory serves allocation.
static int memory(ai_api *a, int call, const uint64_t *in, uint64_t *out) {
  CUmemoryPool pool = NULL;
  uint64_t all = UINT64_MAX;
  switch (call) {
  case AI_POOL_KEEP:
    NEED(cuMemAllocAsync)
    NEED(cuMemFreeAsync)
    NEED(cuDeviceGetDefaultMemPool)
    NEED(cuMemPoolSetAttribute)
    int code = a->cu.cuDeviceGetDefaultMemPool(&pool, (CUdevice)in[0]);
    if (code != CUDA_SUCCESS) {
      return code;
    }
    DRIVER(cuMemPoolSetAttribute, pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &all);
  case AI_POOL_TRIM:
    NEED(cuMemPoolTrimTo)
    NEED(cuDeviceGetDefaultMemPool)
    code = a->cu.cuDeviceGetDefaultMemPool(&pool, (CUdevice)in[0]);
    if (code != CUDA_SUCCESS) {
      return code;
    }
    DRIVER(cuMemPoolTrimTo, pool, 0);
  case AI_MEM_INFO:
    DRIVER(cuMemGetInfo, (size_t *)&out[0], (size_t *)&out[1]);
  case AI_MEM_ALLOC:
    DRIVER(cuMemAlloc, (CUdeviceptr *)out, in[0]);
  case AI_MEM_FREE:
    DRIVER(cuMemFree, in[0]);
  case AI_MEM_ALLOC_ASYNC:
    NEED(cuMemAllocAsync)
    DRIVER(cuMemAllocAsync, (CUdeviceptr *)out, in[0], (CUstream)in[1]);
  case AI_MEM_FREE_ASYNC:
    NEED(cuMemFreeAsync)
    DRIVER(cuMemFreeAsync, in[0], (CUstream)in[1]);
  case AI_HOST_ALLOC:
    DRIVER(cuMemHostAlloc, (void **)out, in[0], CU_MEMHOSTALLOC_PORTABLE);
  case AI_HOST_FREE:
    DRIVER(cuMemFreeHost, (void *)in[0]);
  }
  return -1;
}

// order serves streams, events and modules.
static int order(ai_api *a, int call, const uint64_t *in, uint64_t *out) {
  int number = 0, code;
  switch (call) {
  case AI_STREAM_CREATE:
    DRIVER(cuStreamCreate, (CUstream *)out, CU_STREAM_NON_BLOCKING);
  case AI_STREAM_DESTROY:
    DRIVER(cuStreamDestroy, (CUstream)in[0]);
  case AI_STREAM_SYNC:
    DRIVER(cuStreamSynchronize, (CUstream)in[0]);
  case AI_EVENT_CREATE:
    DRIVER(cuEventCreate, (CUevent *)out, (unsigned)in[0]);
  case AI_EVENT_DESTROY:
    DRIVER(cuEventDestroy, (CUevent)in[0]);
  case AI_EVENT_QUERY:
    DRIVER(cuEventQuery, (CUevent)in[0]);
  case AI_EVENT_SYNC:
    DRIVER(cuEventSynchronize, (CUevent)in[0]);
  case AI_EVENT_ELAPSED:
    DRIVER(cuEventElapsedTime, (float *)out, (CUevent)in[0], (CUevent)in[1]);
  case AI_MODULE_UNLOAD:
    DRIVER(cuModuleUnload, (CUmodule)in[0]);
  case AI_FUNCTION_ATTRIBUTE:
    code = a->cu.cuFuncGetAttribute(&number, (int)in[0], (CUfunction)in[1]);
    out[0] = (uint64_t)number;
    return code;
  case AI_FUNCTION_SET:
    DRIVER(cuFuncSetAttribute, (CUfunction)in[0], (int)in[1], (int)in[2]);
  }
  return -1;
}

// graph serves capture and graphs.
static int graph(ai_api *a, int call, const uint64_t *in, uint64_t *out) {
  switch (call) {
  case AI_CAPTURE_BEGIN:
    NEED(cuStreamBeginCapture)
    NEED(cuStreamEndCapture)
    NEED(cuGraphInstantiate)
    NEED(cuGraphLaunch)
    DRIVER(cuStreamBeginCapture, (CUstream)in[0], CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
  case AI_CAPTURE_END:
    NEED(cuStreamEndCapture)
    DRIVER(cuStreamEndCapture, (CUstream)in[0], (CUgraph *)out);
  case AI_GRAPH_NODES:
    NEED(cuGraphGetNodes)
    DRIVER(cuGraphGetNodes, (CUgraph)in[0], NULL, (size_t *)out);
  case AI_GRAPH_INSTANTIATE:
    NEED(cuGraphInstantiate)
    DRIVER(cuGraphInstantiate, (CUgraphExec *)out, (CUgraph)in[0], 0);
  case AI_GRAPH_DESTROY:
    NEED(cuGraphDestroy)
    DRIVER(cuGraphDestroy, (CUgraph)in[0]);
  case AI_EXEC_DESTROY:
    NEED(cuGraphExecDestroy)
    DRIVER(cuGraphExecDestroy, (CUgraphExec)in[0]);
  }
  return -1;
}

// library serves cuDNN and cuBLASLt.
static int library(ai_api *a, int call, const uint64_t *in, uint64_t *out) {
  switch (call) {
  case AI_DNN_VERSION:
    out[0] = a->dnn.cudnnGetVersion();
    return 0;
  case AI_DNN_CREATE:
    return a->dnn.cudnnCreate((cudnnHandle_t *)out);
  case AI_DNN_DESTROY:
    return a->dnn.cudnnDestroy((cudnnHandle_t)in[0]);
  case AI_DNN_STREAM:
    return a->dnn.cudnnSetStream((cudnnHandle_t)in[0], (CUstream)in[1]);
  case AI_DNN_DESCRIPTOR:
    return a->dnn.cudnnBackendCreateDescriptor((int)in[0], (void **)out);
  case AI_DNN_DESTROY_DESC:
    return a->dnn.cudnnBackendDestroyDescriptor((void *)in[0]);
  case AI_DNN_FINALIZE:
    return a->dnn.cudnnBackendFinalize((void *)in[0]);
  case AI_LT_VERSION:
    out[0] = a->lt.cublasLtGetVersion();
    return 0;
  case AI_LT_CREATE:
    return a->lt.cublasLtCreate((cublasLtHandle_t *)out);
  case AI_LT_DESTROY:
    return a->lt.cublasLtDestroy((cublasLtHandle_t)in[0]);
  case AI_LT_DESTROY_PLAN:
    return ai_lt_destroy(a, in);
  }
  return -1;
}

int ai_call(uintptr_t api, int call, uintptr_t context, const uint64_t *in, uint64_t *out) {
  ai_api *a = (ai_api *)api;
  if (context != 0) {
    int code = a->cu.cuCtxSetCurrent((CUcontext)context);
    if (code != CUDA_SUCCESS) {
      return code;
    }
  }
  int (*const serve[])(ai_api *, int, const uint64_t *, uint64_t *) = {without, memory, order,
                                                                       graph, library};
  for (size_t i = 0; i < sizeof serve / sizeof serve[0]; i++) {
    int code = serve[i](a, call, in, out);
    if (code != -1) {
      return code;
    }
  }
  return NOT_AVAILABLE;
}

int ai_device_name(uintptr_t api, int device, char *text, int size) {
  return ((ai_api *)api)->cu.cuDeviceGetName(text, size, device);
}

int ai_module_load(uintptr_t api, uintptr_t context, const void *image, uint64_t *module,
                   char *log, size_t size) {
  ai_api *a = (ai_api *)api;
  int code = a->cu.cuCtxSetCurrent((CUcontext)context);
  if (code != CUDA_SUCCESS) {
    return code;
  }
  log[0] = 0;
  int options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, (void *)size};
  return a->cu.cuModuleLoadDataEx((CUmodule *)module, image, 2, options, values);
}

int ai_module_function(uintptr_t api, uintptr_t context, uintptr_t module, const char *name,
                       uint64_t *function) {
  ai_api *a = (ai_api *)api;
  int code = a->cu.cuCtxSetCurrent((CUcontext)context);
  if (code != CUDA_SUCCESS) {
    return code;
  }
  return a->cu.cuModuleGetFunction((CUfunction *)function, (CUmodule)module, name);
}

static int launch(ai_api *a, CUstream s, const uint64_t *w) {
  void *params[] = {(void *)&w[7]};
  const uint64_t field = (1u << 21) - 1;
  return a->cu.cuLaunchKernel((CUfunction)w[1], (unsigned)w[2], (unsigned)(w[2] >> 32),
                              (unsigned)w[3], (unsigned)(w[4] & field),
                              (unsigned)(w[4] >> 21 & field), (unsigned)(w[4] >> 42 & field),
                              (unsigned)w[5], s, w[6] == 0 ? NULL : params, NULL);
}

// command executes one command of a batch.
static int command(ai_api *a, CUstream s, const uint64_t *w) {
  switch ((uint32_t)w[0]) {
  case AI_CMD_LAUNCH:
    return launch(a, s, w);
  case AI_CMD_COPY_IN:
    DRIVER(cuMemcpyHtoDAsync, w[1], (const void *)w[2], w[3], s);
  case AI_CMD_COPY_OUT:
    DRIVER(cuMemcpyDtoHAsync, (void *)w[1], w[2], w[3], s);
  case AI_CMD_COPY:
    DRIVER(cuMemcpyDtoDAsync, w[1], w[2], w[3], s);
  case AI_CMD_SET:
    DRIVER(cuMemsetD8Async, w[1], (unsigned char)w[2], w[3], s);
  case AI_CMD_RECORD:
    DRIVER(cuEventRecord, (CUevent)w[1], s);
  case AI_CMD_WAIT:
    DRIVER(cuStreamWaitEvent, s, (CUevent)w[1], 0);
  case AI_CMD_GRAPH:
    NEED(cuGraphLaunch)
    DRIVER(cuGraphLaunch, (CUgraphExec)w[1], s);
  case AI_CMD_SYNC:
    DRIVER(cuStreamSynchronize, s);
  case AI_CMD_DNN:
    return ai_dnn_execute(a, w);
  case AI_CMD_LT:
    return ai_lt_execute(a, s, w);
  }
  return NOT_AVAILABLE;
}

int ai_run(uintptr_t api, uintptr_t context, uintptr_t stream, const uint64_t *words, int n,
           int *at) {
  ai_api *a = (ai_api *)api;
  *at = 0;
  int code = a->cu.cuCtxSetCurrent((CUcontext)context);
  for (int i = 0; i < n && code == CUDA_SUCCESS;) {
    code = command(a, (CUstream)stream, words + i);
    i += (int)(words[i] >> 32);
    *at += code == CUDA_SUCCESS;
  }
  return code;
}
