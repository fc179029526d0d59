// CUPTI without a GPU: the fake driver's work as records of kernels and copies, in buffers of the
// caller's. FAKECUPTI_FAIL=1: nothing may be traced.

#include "fake_cuda.h"

#include <dlfcn.h>
#include <stdlib.h>

enum { MEMCPY = 1, MEMSET = 2, CONCURRENT_KERNEL = 10, MAX_LIMIT_REACHED = 12, NOT_PERMITTED = 35 };

static void (*request)(uint8_t **, size_t *, size_t *);
static void (*complete)(void *, uint32_t, uint8_t *, size_t, size_t);

// A record is as long as the interface's shortest; only its beginning is read.
struct record {
  uint32_t kind, other[3];
  uint64_t start, end, more[4];
};

static void *driver(const char *function) {
  const char *path = getenv("AFTERIMAGE_LIBCUDA");
  void *h = path && *path ? dlopen(path, RTLD_NOLOAD | RTLD_NOW) : NULL;
  return h == NULL ? NULL : dlsym(h, function);
}

EXPORT int cuptiGetVersion(uint32_t *v) {
  *v = 130000;
  return 0;
}

EXPORT int cuptiGetResultString(int code, const char **text) {
  *text = code == 0 ? "CUPTI_SUCCESS" : "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES";
  return 0;
}

EXPORT int cuptiActivityRegisterCallbacks(void (*r)(uint8_t **, size_t *, size_t *),
                                          void (*c)(void *, uint32_t, uint8_t *, size_t, size_t)) {
  request = r;
  complete = c;
  return 0;
}

static int enable(int kind, int on) {
  void (*trace)(int) = NULL;
  *(void **)&trace = driver("fake_trace");
  if (trace == NULL || getenv("FAKECUPTI_FAIL") != NULL) {
    return NOT_PERMITTED;
  }
  if (kind == CONCURRENT_KERNEL) {
    trace(on);
  }
  return kind == MEMCPY || kind == MEMSET || kind == CONCURRENT_KERNEL ? 0 : NOT_PERMITTED;
}

EXPORT int cuptiActivityEnable(int kind) { return enable(kind, 1); }
EXPORT int cuptiActivityDisable(int kind) { return enable(kind, 0); }

EXPORT int cuptiActivityFlushAll(uint32_t flag) {
  size_t (*traced)(struct fake_span *, size_t) = NULL;
  *(void **)&traced = driver("fake_traced");
  enum { AT_ONCE = 1000 };
  static struct fake_span spans[AT_ONCE];
  for (size_t n; flag == 1 && traced != NULL && (n = traced(spans, AT_ONCE)) > 0;) {
    uint8_t *buffer = NULL;
    size_t size = 0, most = 0;
    request(&buffer, &size, &most);
    if (size < n * sizeof(struct record)) {
      return NOT_PERMITTED;
    }
    struct record *r = (struct record *)buffer;
    for (size_t i = 0; i < n; i++) {
      r[i] = (struct record){.kind = spans[i].kernel ? CONCURRENT_KERNEL : MEMCPY,
                             .start = spans[i].start, .end = spans[i].end};
    }
    complete(NULL, 0, buffer, size, n * sizeof *r);
  }
  return 0;
}

EXPORT int cuptiActivityGetNextRecord(uint8_t *buffer, size_t valid, void **record) {
  uint8_t *next = *record == NULL ? buffer : (uint8_t *)*record + sizeof(struct record);
  *record = next;
  return next + sizeof(struct record) <= buffer + valid ? 0 : MAX_LIMIT_REACHED;
}

EXPORT int cuptiActivityGetNumDroppedRecords(void *context, uint32_t stream, size_t *n) {
  (void)context;
  (void)stream;
  *n = 0;
  return 0;
}
