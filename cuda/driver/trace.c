//go:build linux && cgo

// Sums up what CUPTI notes of the work on a GPU.

#include "internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// The beginning that records of kernels, copies and fills share, in every version of the interface
// so far: the versions differ in what follows. TestABI compares it with the header.
typedef struct {
  uint32_t kind;
  uint32_t other[3];
  uint64_t start, end; // nanoseconds; 0 and 0 if they could not be taken
} record;

_Static_assert(offsetof(record, start) == 16 && offsetof(record, end) == 24, "as in the header");

typedef struct {
  uint64_t start, end;
} span;

// CUPTI's callbacks take no pointer of ours, and it calls them on a thread of its own.
static struct {
  pthread_mutex_t lock;
  ai_api *api;
  span *spans;
  size_t n, room;
  uint64_t totals[AI_TRACE_TOTALS];
} noted = {.lock = PTHREAD_MUTEX_INITIALIZER};

enum { BUFFER_BYTES = 4 << 20, BUFFER_ALIGNMENT = 8 };

static void requested(uint8_t **buffer, size_t *size, size_t *most) {
  *buffer = aligned_alloc(BUFFER_ALIGNMENT, BUFFER_BYTES);
  *size = *buffer == NULL ? 0 : BUFFER_BYTES;
  *most = 0; // as many as fit
}

// note takes one record. Without memory it counts as lost.
static void note(const record *r) {
  int kernel = r->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
  if (noted.n == noted.room) {
    size_t room = noted.room == 0 ? 1 << 12 : 2 * noted.room;
    span *more = realloc(noted.spans, room * sizeof *more);
    if (more == NULL) {
      noted.totals[AI_TRACE_LOST]++;
      return;
    }
    noted.spans = more;
    noted.room = room;
  }
  noted.spans[noted.n++] = (span){r->start, r->end};
  noted.totals[kernel ? AI_TRACE_KERNELS : AI_TRACE_OTHERS]++;
  noted.totals[kernel ? AI_TRACE_KERNEL_NS : AI_TRACE_OTHER_NS] += r->end - r->start;
}

static void completed(CUcontext context, uint32_t stream, uint8_t *buffer, size_t size,
                      size_t valid) {
  (void)size;
  pthread_mutex_lock(&noted.lock);
  void *at = NULL;
  while (noted.api->cupti.cuptiActivityGetNextRecord(buffer, valid, &at) == CUDA_SUCCESS) {
    const record *r = at;
    if ((r->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL ||
         r->kind == CUPTI_ACTIVITY_KIND_MEMCPY || r->kind == CUPTI_ACTIVITY_KIND_MEMSET) &&
        r->end > r->start) {
      note(r);
    }
  }
  size_t lost = 0;
  if (noted.api->cupti.cuptiActivityGetNumDroppedRecords(context, stream, &lost) == 0) {
    noted.totals[AI_TRACE_LOST] += lost;
  }
  pthread_mutex_unlock(&noted.lock);
  free(buffer);
}

int ai_trace_version(uintptr_t api, uint32_t *version) {
  return ((ai_api *)api)->cupti.cuptiGetVersion(version);
}

static const int kinds[] = {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
                            CUPTI_ACTIVITY_KIND_MEMSET};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

int ai_trace_start(uintptr_t api) {
  ai_api *a = (ai_api *)api;
  pthread_mutex_lock(&noted.lock);
  noted.api = a;
  pthread_mutex_unlock(&noted.lock);
  int code = a->cupti.cuptiActivityRegisterCallbacks(requested, completed);
  for (int i = 0; i < KINDS && code == 0; i++) {
    code = a->cupti.cuptiActivityEnable(kinds[i]);
  }
  return code;
}

static int earlier(const void *x, const void *y) {
  uint64_t a = ((const span *)x)->start, b = ((const span *)y)->start;
  return a < b ? -1 : a > b;
}

// busy returns the nanoseconds that the spans cover, and in length those from first to last.
static uint64_t busy(span *s, size_t n, uint64_t *length) {
  uint64_t sum = 0, until = 0;
  if (n > 0) {
    qsort(s, n, sizeof *s, earlier);
  }
  for (size_t i = 0; i < n; i++) {
    uint64_t from = s[i].start > until ? s[i].start : until;
    if (s[i].end > from) {
      sum += s[i].end - from;
      until = s[i].end;
    }
  }
  *length = n == 0 ? 0 : until - s[0].start;
  return sum;
}

int ai_trace_cut(uintptr_t api, uint64_t *totals) {
  int code = ((ai_api *)api)->cupti.cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
  pthread_mutex_lock(&noted.lock);
  noted.totals[AI_TRACE_BUSY_NS] = busy(noted.spans, noted.n, &noted.totals[AI_TRACE_SPAN_NS]);
  memcpy(totals, noted.totals, sizeof noted.totals);
  memset(noted.totals, 0, sizeof noted.totals);
  noted.n = 0;
  pthread_mutex_unlock(&noted.lock);
  return code;
}

int ai_trace_stop(uintptr_t api) {
  ai_api *a = (ai_api *)api;
  int first = 0;
  for (int i = 0; i < KINDS; i++) {
    int code = a->cupti.cuptiActivityDisable(kinds[i]);
    first = first == 0 ? code : first;
  }
  return first;
}
