// cuBLASLt's products without a GPU: descriptions and layouts are kept as the documentation states
// them (columns lie together, sizes in elements; F32, F64, or BF16 with results in either), and a
// product is computed in double. Addresses keep the alignment for which algorithms were asked for;
// while this thread captures no algorithm is looked for, and no description multiplies for the first
// time, when a library loads its code. It checks what a caller tells the library, not the library.
// FAKECUBLASLT_SLOW=13 makes algorithms 1 and 3 of three slow; with FAKECUBLASLT_DIGITS=1 the results
// of algorithm 2 differ from the others' in the last digit; with FAKECUBLASLT_FAIL=1 there is no
// memory to look for algorithms.

#include "fake_queue.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What addresses are multiples of unless a preference says less (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT).
enum { ALIGNMENT = 256 };

enum { OK = 0, ALLOC_FAILED = 3, INVALID = 7, NOT_SUPPORTED = 15, INTERNAL = 14 };

struct desc {
  int compute, scale;
  int32_t op[2]; // of the first and the second operand: 1 transposes
  int gone, ran; // destroyed; multiplied by
};
struct layout {
  int type, gone;
  uint64_t rows, cols;
  int64_t ld, stride;
  int32_t batch;
};
struct preference {
  uint64_t workspace;
  uint32_t reductions;
};
struct product {
  struct desc d;
  struct layout a, b, c;
  const char *pa, *pb;
  char *pc;
  int algorithm;
};

EXPORT size_t cublasLtGetVersion(void) { return 130000; }
EXPORT const char *cublasLtGetStatusString(int code) {
  return code == NOT_SUPPORTED  ? "CUBLAS_STATUS_NOT_SUPPORTED"
         : code == ALLOC_FAILED ? "CUBLAS_STATUS_ALLOC_FAILED"
                                : "CUBLAS_STATUS_INVALID_VALUE";
}
EXPORT int cublasLtCreate(void **h) {
  if (queue_unsafe()) {
    return INTERNAL;
  }
  *h = malloc(1);
  return OK;
}
EXPORT int cublasLtDestroy(void *h) {
  free(h);
  return OK;
}

EXPORT int cublasLtMatmulDescCreate(struct desc **d, int compute, int scale) {
  // CUBLAS_COMPUTE_32F, …_64F, …_32F_FAST_TF32, each with its scale type
  if (!(compute == 68 && scale == 0) && !(compute == 77 && scale == 0) &&
      !(compute == 70 && scale == 1)) {
    return INVALID;
  }
  *d = calloc(1, sizeof **d);
  (*d)->compute = compute;
  (*d)->scale = scale;
  return OK;
}
EXPORT int cublasLtMatmulDescDestroy(struct desc *d) {
  d->gone = 1; // the memory stays, so that a later use shows
  return OK;
}
EXPORT int cublasLtMatmulDescSetAttribute(struct desc *d, int name, const void *v, size_t n) {
  if ((name != 3 && name != 4) || n != 4) { // TRANSA, TRANSB
    return INVALID;
  }
  memcpy(&d->op[name - 3], v, 4);
  return d->op[name - 3] == 0 || d->op[name - 3] == 1 ? OK : INVALID;
}

EXPORT int cublasLtMatrixLayoutCreate(struct layout **l, int type, uint64_t rows, uint64_t cols,
                                      int64_t ld) {
  if ((type != 0 && type != 1 && type != 14) || ld < (int64_t)rows || rows == 0 || cols == 0) {
    return INVALID;
  }
  *l = calloc(1, sizeof **l);
  **l = (struct layout){type, 0, rows, cols, ld, 0, 1};
  return OK;
}
EXPORT int cublasLtMatrixLayoutDestroy(struct layout *l) {
  l->gone = 1;
  return OK;
}
EXPORT int cublasLtMatrixLayoutSetAttribute(struct layout *l, int name, const void *v, size_t n) {
  if (name == 5 && n == 4) { // BATCH_COUNT
    memcpy(&l->batch, v, 4);
    return OK;
  }
  if (name == 6 && n == 8) { // STRIDED_BATCH_OFFSET
    memcpy(&l->stride, v, 8);
    return OK;
  }
  return INVALID;
}

EXPORT int cublasLtMatmulPreferenceCreate(struct preference **p) {
  *p = calloc(1, sizeof **p);
  (*p)->reductions = UINT32_MAX;
  return OK;
}
EXPORT int cublasLtMatmulPreferenceDestroy(struct preference *p) {
  free(p);
  return OK;
}
EXPORT int cublasLtMatmulPreferenceSetAttribute(struct preference *p, int name, const void *v,
                                                size_t n) {
  if (name == 1 && n == 8) { // MAX_WORKSPACE_BYTES
    memcpy(&p->workspace, v, 8);
    return OK;
  }
  if (name == 3 && n == 4) { // REDUCTION_SCHEME_MASK
    memcpy(&p->reductions, v, 4);
    return OK;
  }
  return INVALID;
}

// wanted reports whether that number is among an environment variable's digits.
static int wanted(const char *variable, int number) {
  const char *v = getenv(variable);
  return v != NULL && strchr(v, '0' + number) != NULL;
}

// fits checks that the three layouts make a product.
static int fits(const struct desc *d, const struct layout *a, const struct layout *b,
                const struct layout *c) {
  uint64_t m = d->op[0] ? a->cols : a->rows, k = d->op[0] ? a->rows : a->cols;
  uint64_t k2 = d->op[1] ? b->cols : b->rows, n = d->op[1] ? b->rows : b->cols;
  if (d->gone || a->gone || b->gone || c->gone) {
    return 0;
  }
  return k == k2 && c->rows == m && c->cols == n && a->batch == b->batch && b->batch == c->batch &&
         a->type == b->type && (c->type == a->type || (a->type == 14 && c->type == 0)) &&
         (a->type == 1) == (d->compute == 70) && (a->type == 0 || d->compute != 77);
}

// Four algorithms are offered: 0 cannot run after all, as its state says, the others can.
enum { ALGORITHMS = 4, FIRST_NUMBER = 60, WORDS = 12 };

EXPORT int cublasLtMatmulAlgoGetHeuristic(void *h, struct desc *d, struct layout *a,
                                          struct layout *b, struct layout *c, struct layout *dd,
                                          struct preference *pref, int want, uint64_t *results,
                                          int *got) {
  if (queue_unsafe()) {
    return INTERNAL;
  }
  if (h == NULL || want < 1 || c != dd || !fits(d, a, b, c)) {
    return INVALID;
  }
  if (wanted("FAKECUBLASLT_FAIL", 1)) {
    return ALLOC_FAILED;
  }
  if (pref->reductions & 1) { // an algorithm that adds in place, in any order, would be allowed
    return NOT_SUPPORTED;
  }
  if (c->type == 14 && (pref->reductions & 4)) { // parts of a sum would be rounded
    return NOT_SUPPORTED;
  }
  for (*got = 0; *got < ALGORITHMS && *got < want; (*got)++) {
    uint64_t *r = results + *got * WORDS;
    for (int i = 0; i < 8; i++) {
      r[i] = 0x1000 * (uint64_t)*got + (uint64_t)i; // asked for again by cublasLtMatmul
    }
    r[8] = 4096; // workspace
    r[9] = *got == 0 || pref->workspace < r[8] ? NOT_SUPPORTED : 0;
  }
  return OK;
}

EXPORT int cublasLtMatmulAlgoConfigGetAttribute(const uint64_t *algo, int name, void *v, size_t n,
                                                size_t *written) {
  uint32_t value = name == 0 ? FIRST_NUMBER + (uint32_t)(algo[0] / 0x1000) : (uint32_t)name;
  if (name < 0 || name > 8 || n != (name >= 7 ? 2 : 4)) {
    return INVALID;
  }
  memcpy(v, &value, n);
  *written = n;
  return OK;
}

static double load(const char *p, int type, int64_t i) {
  if (type == 14) { // bfloat16: the upper half of a float
    uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
  }
  return type == 1 ? ((const double *)p)[i] : ((const float *)p)[i];
}

static int multiply(const void *args) {
  const struct product *p = args;
  int64_t k = (int64_t)(p->d.op[0] ? p->a.rows : p->a.cols);
  for (int32_t z = 0; z < p->c.batch; z++) {
    for (int64_t j = 0; j < (int64_t)p->c.cols; j++) {
      for (int64_t i = 0; i < (int64_t)p->c.rows; i++) {
        double sum = 0;
        for (int64_t q = 0; q < k; q++) {
          int64_t ia = p->d.op[0] ? q + i * p->a.ld : i + q * p->a.ld;
          int64_t ib = p->d.op[1] ? j + q * p->b.ld : q + j * p->b.ld;
          sum += load(p->pa, p->a.type, z * p->a.stride + ia) *
                 load(p->pb, p->b.type, z * p->b.stride + ib);
        }
        int64_t at = z * p->c.stride + i + j * p->c.ld;
        if (p->c.type == 1) {
          ((double *)p->pc)[at] = sum;
        } else if (p->c.type == 14) { // to nearest even; of a NaN the upper half is one, too
          float f = (float)sum;
          uint32_t bits;
          memcpy(&bits, &f, 4);
          ((uint16_t *)p->pc)[at] =
              (uint16_t)(sum != sum ? bits >> 16 : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
        } else {
          int other = wanted("FAKECUBLASLT_DIGITS", 1) && p->algorithm == 2;
          ((float *)p->pc)[at] = (float)(other ? sum * (1 + 0x1p-23) : sum);
        }
      }
    }
  }
  if (wanted("FAKECUBLASLT_SLOW", p->algorithm)) {
    usleep(10000);
  }
  return 0;
}

EXPORT int cublasLtMatmul(void *h, struct desc *d, const void *alpha, const void *a,
                          struct layout *la, const void *b, struct layout *lb, const void *beta,
                          const void *c, struct layout *lc, void *out, struct layout *ld,
                          const uint64_t *algo, void *workspace, size_t bytes, void *stream) {
  double one = d->scale == 1 ? *(const double *)alpha : *(const float *)alpha;
  double zero = d->scale == 1 ? *(const double *)beta : *(const float *)beta;
  if (h == NULL || one != 1 || zero != 0 || c != out || lc != ld || algo[7] != algo[0] + 7 ||
      algo[0] == 0 ||
      bytes != 4096 || workspace == NULL || (uint64_t)workspace % 256 != 0 ||
      ((uint64_t)a | (uint64_t)b | (uint64_t)c) % ALIGNMENT != 0 || !fits(d, la, lb, lc)) {
    return INVALID;
  }
  if (!d->ran && queue_unsafe()) { // the library would load its code
    return INTERNAL;
  }
  d->ran = 1;
  struct product p = {*d, *la, *lb, *lc, a, b, out, (int)(algo[0] / 0x1000)};
  return queue_work(stream, multiply, &p, sizeof p) == 0 ? OK : INTERNAL;
}
