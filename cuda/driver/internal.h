// The tables behind a handle of this package.

#ifndef AFTERIMAGE_CUDA_INTERNAL_H
#define AFTERIMAGE_CUDA_INTERNAL_H

#include "abi.h"
#include "shim.h"

#define X(kind, field, symbol, result, args) result(*field) args;
typedef struct {
  void *handle[AI_LIBRARIES];
  struct { DRIVER_API(X) } cu;
  struct { NVRTC_API(X) } rtc;
  struct { CUDNN_API(X) } dnn;
  struct { CUBLASLT_API(X) } lt;
  struct { CUPTI_API(X) } cupti;
} ai_api;
#undef X

// The commands of a batch that go to libraries; see libs.c.
int ai_dnn_execute(ai_api *a, const uint64_t *w);
int ai_lt_execute(ai_api *a, CUstream s, const uint64_t *w);

// ai_lt_destroy gives back what describes a product: description, layouts A B C, each 0 if absent.
int ai_lt_destroy(ai_api *a, const uint64_t *out);

#endif
