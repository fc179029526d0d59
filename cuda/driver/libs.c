//go:build linux && cgo

// cuDNN's backend descriptors and cuBLASLt's products: what takes more than one word a value.

#include "internal.h"

#include <string.h>

// Numbers of cudnn_graph.h and cublasLt.h.
enum {
  CUDNN_TYPE_INT64 = 3,
  CUDNN_TYPE_VOID_PTR = 6,
  CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR = 16,
  CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS = 1000,
  CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS = 1001,
  CUDNN_ATTR_VARIANT_PACK_WORKSPACE = 1003,
  CUBLASLT_MATMUL_DESC_TRANSA = 3,
  CUBLASLT_MATMUL_DESC_TRANSB = 4,
  CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT = 5,
  CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET = 6,
  CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
  CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK = 3,
  CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2,
  CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE = 4,
  CUBLAS_STATUS_NOT_SUPPORTED = 15,
  CUBLASLT_ALGO_CONFIG_ID = 0,
  CUBLASLT_ALGO_CONFIG_TILE_ID = 1,
  CUBLASLT_ALGO_CONFIG_SPLITK_NUM = 2,
  CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME = 3,
  CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING = 4,
  CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION = 5,
  CUBLASLT_ALGO_CONFIG_STAGES_ID = 6,
  CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID = 7,
  CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID = 8,
};

static int current(ai_api *a, uintptr_t context) {
  return context == 0 ? 0 : a->cu.cuCtxSetCurrent((CUcontext)context);
}

int ai_dnn_set(uintptr_t api, uintptr_t context, uintptr_t desc, int name, int type, int64_t n,
               const void *values) {
  ai_api *a = (ai_api *)api;
  int code = current(a, context);
  return code != 0 ? code
                   : a->dnn.cudnnBackendSetAttribute((void *)desc, name, type, n, values);
}

int ai_dnn_get(uintptr_t api, uintptr_t context, uintptr_t desc, int name, int type, int64_t n,
               int64_t *got, void *values) {
  ai_api *a = (ai_api *)api;
  int code = current(a, context);
  return code != 0
             ? code
             : a->dnn.cudnnBackendGetAttribute((void *)desc, name, type, n, got, values);
}

// ai_dnn_execute runs a plan. Words: handle, plan, workspace, n, n identifiers, n addresses.
int ai_dnn_execute(ai_api *a, const uint64_t *w) {
  void *pack = NULL;
  int64_t n = (int64_t)w[4];
  int code = a->dnn.cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
  if (code != 0) {
    return code;
  }
  const struct {
    int name, type;
    int64_t n;
    const void *values;
  } set[] = {
      {CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, &w[5]},
      {CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, &w[5 + n]},
      {CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &w[3]},
  };
  for (int i = 0; i < 3 && code == 0; i++) {
    code = a->dnn.cudnnBackendSetAttribute(pack, set[i].name, set[i].type, set[i].n,
                                           set[i].values);
  }
  if (code == 0) {
    code = a->dnn.cudnnBackendFinalize(pack);
  }
  if (code == 0) {
    code = a->dnn.cudnnBackendExecute((cudnnHandle_t)w[1], (void *)w[2], pack);
  }
  a->dnn.cudnnBackendDestroyDescriptor(pack);
  return code;
}

// A result of cublasLtMatmulAlgoGetHeuristic.
typedef struct {
  uint64_t algorithm[8];
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
} heuristic;
_Static_assert(sizeof(heuristic) == 96, "cublasLtMatmulHeuristicResult_t has 96 bytes");

// layout describes one operand, rows×cols as it lies in memory, row after row. cuBLASLt thinks in
// columns, so it sees the transpose: cols×rows with leading dimension cols.
static int layout(ai_api *a, void **l, int type, int64_t rows, int64_t cols, int32_t batch) {
  int code = a->lt.cublasLtMatrixLayoutCreate(l, type, (uint64_t)cols, (uint64_t)rows, cols);
  int64_t stride = rows * cols;
  if (code == 0) {
    code = a->lt.cublasLtMatrixLayoutSetAttribute(*l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch,
                                                  sizeof batch);
  }
  if (code == 0) {
    code = a->lt.cublasLtMatrixLayoutSetAttribute(*l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                                  &stride, sizeof stride);
  }
  return code;
}

// name returns an algorithm's number in the upper half and a digest (FNV-1a) of its settings in the
// lower, 0 if the library does not tell.
static uint64_t name(ai_api *a, const void *algorithm) {
  static const struct {
    int attribute;
    size_t bytes;
  } settings[] = {
      {CUBLASLT_ALGO_CONFIG_ID, 4},          {CUBLASLT_ALGO_CONFIG_TILE_ID, 4},
      {CUBLASLT_ALGO_CONFIG_SPLITK_NUM, 4},  {CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, 4},
      {CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, 4}, {CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, 4},
      {CUBLASLT_ALGO_CONFIG_STAGES_ID, 4},   {CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, 2},
      {CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, 2},
  };
  uint32_t number = 0, digest = 2166136261u;
  if (a->lt.cublasLtMatmulAlgoConfigGetAttribute == NULL) {
    return 0;
  }
  for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
    uint32_t value = 0;
    size_t written = 0;
    if (a->lt.cublasLtMatmulAlgoConfigGetAttribute(algorithm, settings[i].attribute, &value,
                                                   settings[i].bytes, &written) != 0) {
      value = UINT32_MAX; // a setting that this version does not have
    }
    if (settings[i].attribute == CUBLASLT_ALGO_CONFIG_ID) {
      number = value & INT32_MAX;
    }
    for (int b = 0; b < 32; b += 8) {
      digest = (digest ^ (value >> b & 0xff)) * 16777619u;
    }
  }
  return (uint64_t)number << 32 | digest;
}

enum { MAX_ALGORITHMS = 8 };

// choose asks for algorithms that add in a fixed order and takes the one at a place among those
// that the library says it can run.
static int choose(ai_api *a, cublasLtHandle_t h, const int64_t *spec, int place, uint64_t *out) {
  void *pref = NULL;
  int code = a->lt.cublasLtMatmulPreferenceCreate(&pref);
  if (code != 0) {
    return code;
  }
  uint64_t workspace = (uint64_t)spec[9];
  uint32_t fixed = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  if (spec[7] == spec[10]) { // else parts of a sum would be rounded to the result's type
    fixed |= CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
  }
  code = a->lt.cublasLtMatmulPreferenceSetAttribute(pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                    &workspace, sizeof workspace);
  if (code == 0) {
    code = a->lt.cublasLtMatmulPreferenceSetAttribute(
        pref, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &fixed, sizeof fixed);
  }
  heuristic results[MAX_ALGORITHMS];
  memset(results, 0, sizeof results);
  int found = 0;
  if (code == 0) { // first operand: b, second: a; see ai_lt_plan
    code = a->lt.cublasLtMatmulAlgoGetHeuristic(h, (void *)out[0], (void *)out[2], (void *)out[1],
                                                (void *)out[3], (void *)out[3], pref,
                                                MAX_ALGORITHMS, results, &found);
  }
  a->lt.cublasLtMatmulPreferenceDestroy(pref);
  if (code != 0) {
    return code;
  }
  for (int i = 0; i < found && i < MAX_ALGORITHMS; i++) {
    const heuristic *r = &results[i];
    if (r->state == 0 && r->workspace <= workspace && place-- == 0) {
      memcpy(&out[4], r->algorithm, sizeof r->algorithm);
      out[12] = r->workspace;
      out[13] = name(a, r->algorithm);
      return 0;
    }
  }
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

int ai_lt_destroy(ai_api *a, const uint64_t *out) {
  for (int i = 1; i < 4; i++) {
    if (out[i] != 0) {
      a->lt.cublasLtMatrixLayoutDestroy((void *)out[i]);
    }
  }
  return out[0] == 0 ? 0 : a->lt.cublasLtMatmulDescDestroy((void *)out[0]);
}

// describe makes the description of a product and its layouts.
static int describe(ai_api *a, const int64_t *spec, uint64_t *out) {
  int64_t m = spec[0], n = spec[1], k = spec[2];
  int32_t batch = (int32_t)spec[3], ta = (int32_t)spec[4], tb = (int32_t)spec[5];
  int type = (int)spec[6], result = (int)spec[7]; // sums are scaled in their own type, spec[10]
  int code = a->lt.cublasLtMatmulDescCreate((void **)&out[0], (int)spec[8], (int)spec[10]);
  if (code == 0) {
    code = a->lt.cublasLtMatmulDescSetAttribute((void *)out[0], CUBLASLT_MATMUL_DESC_TRANSA, &tb,
                                                sizeof tb);
  }
  if (code == 0) {
    code = a->lt.cublasLtMatmulDescSetAttribute((void *)out[0], CUBLASLT_MATMUL_DESC_TRANSB, &ta,
                                                sizeof ta);
  }
  if (code == 0) {
    code = layout(a, (void **)&out[1], type, ta ? k : m, ta ? m : k, batch);
  }
  if (code == 0) {
    code = layout(a, (void **)&out[2], type, tb ? n : k, tb ? k : n, batch);
  }
  return code == 0 ? layout(a, (void **)&out[3], result, m, n, batch) : code;
}

// Row-major c = op(a)·op(b) is, read by columns, cᵀ = op(b)ᵀ·op(a)ᵀ: b comes first, and what lies
// in memory is already transposed, so a flag of transposition keeps its meaning.
int ai_lt_plan(uintptr_t api, uintptr_t context, uintptr_t handle, const int64_t *spec, int place,
               uint64_t *out) {
  ai_api *a = (ai_api *)api;
  int code = current(a, context);
  if (code == 0) {
    code = describe(a, spec, out);
  }
  if (code == 0) {
    code = choose(a, (cublasLtHandle_t)handle, spec, place, out);
  }
  if (code != 0) {
    ai_lt_destroy(a, out);
  }
  return code;
}

// ai_lt_execute runs a product. Words: handle, description, layouts of a b c, a, b, c,
// 1 if in double, workspace, bytes, 8 words of algorithm.
int ai_lt_execute(ai_api *a, CUstream s, const uint64_t *w) {
  const float one = 1, zero = 0;
  const double one64 = 1, zero64 = 0;
  const void *alpha = w[9] ? (const void *)&one64 : &one;
  const void *beta = w[9] ? (const void *)&zero64 : &zero;
  return a->lt.cublasLtMatmul((cublasLtHandle_t)w[1], (void *)w[2], alpha, (void *)w[7],
                              (void *)w[4], (void *)w[6], (void *)w[3], beta, (void *)w[8],
                              (void *)w[5], (void *)w[8], (void *)w[5], &w[12], (void *)w[10],
                              w[11], s);
}
