// Memory of the fake device, and copies.

#include "fake_cuda.h"

#include <stdlib.h>
#include <string.h>

struct block {
  uint64_t address;
  size_t bytes;
  int async; // of the stream-ordered pool
  struct block *next;
};

static struct block *blocks, *pinned;
static size_t used;   // the pool's part that nobody has included
static size_t pooled; // freed into the stream-ordered pool, which keeps it until it is trimmed
static int keeps;     // it was told to

extern void *fake_device_malloc(size_t bytes); // the emulator's, or the host's
extern void fake_device_free(void *p);

size_t fake_memory_total(void) { return (size_t)fake_number("FAKECUDA_MEMORY", 1L << 30); }
size_t fake_memory_free(void) {
  size_t total = fake_memory_total();
  return used < total ? total - used : 0;
}

int fake_alloc(uint64_t *address, size_t bytes, int async) {
  if (bytes == 0) {
    return INVALID_VALUE; // as the driver answers
  }
  int again = async && bytes <= pooled; // other allocations get nothing of the pool
  if (!again && bytes > fake_memory_free()) {
    return OUT_OF_MEMORY;
  }
  struct block *b = malloc(sizeof *b);
  void *p = fake_device_malloc(bytes);
  if (b == NULL || p == NULL) {
    free(b);
    return OUT_OF_MEMORY;
  }
  *b = (struct block){(uint64_t)p, bytes, async, blocks};
  blocks = b;
  pooled -= again ? bytes : 0;
  used += again ? 0 : bytes;
  *address = b->address;
  return SUCCESS;
}

int fake_free(uint64_t address) {
  for (struct block **at = &blocks; *at != NULL; at = &(*at)->next) {
    struct block *b = *at;
    if (b->address == address) {
      *at = b->next;
      if (b->async && keeps) {
        pooled += b->bytes;
      } else {
        used -= b->bytes;
      }
      fake_device_free((void *)b->address);
      free(b);
      return SUCCESS;
    }
  }
  return INVALID_VALUE;
}

// around returns the block of a list in which a range lies.
static struct block *around(struct block *list, uint64_t address, size_t bytes) {
  for (struct block *b = list; b != NULL; b = b->next) {
    if (address >= b->address && address - b->address <= b->bytes &&
        bytes <= b->bytes - (address - b->address)) {
      return b;
    }
  }
  return NULL;
}

int fake_holds(uint64_t address, size_t bytes) { return around(blocks, address, bytes) != NULL; }
int fake_pinned(uint64_t address, size_t bytes) { return around(pinned, address, bytes) != NULL; }

EXPORT int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (fake_capturing_here()) {
    return fake_leave(CAPTURE_UNSUPPORTED);
  }
  return fake_leave(fake_alloc(address, bytes, 0));
}

EXPORT int cuMemFree_v2(uint64_t address) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (fake_capturing_here()) {
    return fake_leave(CAPTURE_UNSUPPORTED);
  }
  return fake_leave(fake_free(address));
}

#ifndef FAKE_OLD
EXPORT int cuDeviceGetDefaultMemPool(void **pool, int device) {
  (void)device;
  *pool = &blocks;
  return fake_number("FAKECUDA_POOLS", 1) ? SUCCESS : NOT_FOUND;
}

EXPORT int cuMemPoolSetAttribute(void *pool, int attribute, void *value) {
  if (pool != &blocks || attribute != 4 || value == NULL) {
    return INVALID_VALUE;
  }
  keeps = *(const uint64_t *)value > 0;
  return SUCCESS;
}

EXPORT int cuMemPoolTrimTo(void *pool, size_t keep) {
  (void)keep;
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (fake_capturing_here()) {
    return fake_leave(CAPTURE_UNSUPPORTED);
  }
  if (pool != &blocks) {
    return fake_leave(INVALID_VALUE);
  }
  used -= pooled;
  pooled = 0;
  return fake_leave(SUCCESS);
}

EXPORT int cuMemAllocAsync(uint64_t *address, size_t bytes, struct fake_stream *s) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (!fake_known(s)) {
    return fake_leave(INVALID_HANDLE);
  }
  if (s->capture != NULL) { // a real driver makes an allocation node; this program never does
    s->broken = 1;
    return fake_leave(CAPTURE_UNSUPPORTED);
  }
  return fake_leave(fake_alloc(address, bytes, 1));
}

EXPORT int cuMemFreeAsync(uint64_t address, struct fake_stream *s) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  const struct block *b = around(blocks, address, 1);
  if (b == NULL || !b->async || !fake_known(s)) {
    return fake_leave(INVALID_VALUE);
  }
  if (s->capture != NULL) { // of memory that no node of the graph allocates
    s->broken = 1;
    return fake_leave(INVALID_VALUE);
  }
  struct fake_op op = {.kind = OP_FREE, .dst = address};
  return fake_leave(fake_queue(s, &op));
}
#endif

EXPORT int cuMemHostAlloc(void **p, size_t bytes, unsigned flags) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (fake_capturing_here()) {
    return fake_leave(CAPTURE_UNSUPPORTED);
  }
  struct block *b = malloc(sizeof *b);
  *p = flags == 1 && bytes > 0 ? aligned_alloc(4096, (bytes + 4095) / 4096 * 4096) : NULL;
  if (b == NULL || *p == NULL) {
    free(b);
    return fake_leave(INVALID_VALUE);
  }
  *b = (struct block){(uint64_t)*p, bytes, 0, pinned};
  pinned = b;
  return fake_leave(SUCCESS);
}

EXPORT int cuMemFreeHost(void *p) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (fake_capturing_here()) {
    return fake_leave(CAPTURE_UNSUPPORTED);
  }
  for (struct block **at = &pinned; *at != NULL; at = &(*at)->next) {
    struct block *b = *at;
    if (b->address == (uint64_t)p) {
      *at = b->next;
      free(p);
      free(b);
      return fake_leave(SUCCESS);
    }
  }
  return fake_leave(INVALID_VALUE);
}

// Host memory must be pinned: a driver takes other memory, but then waits, or in a capture fails.
int fake_inside(const struct fake_op *op) {
  int to = op->kind == OP_OUT ? fake_pinned(op->dst, op->bytes) : fake_holds(op->dst, op->bytes);
  int from = op->kind == OP_SET  ? 1
             : op->kind == OP_IN ? fake_pinned(op->src, op->bytes)
                                 : fake_holds(op->src, op->bytes);
  return to && from;
}

static int copy(int kind, uint64_t dst, uint64_t src, size_t bytes, struct fake_stream *s) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  struct fake_op op = {.kind = kind, .dst = dst, .src = src, .bytes = bytes};
  if (kind == OP_SET) {
    op.value = (unsigned char)src;
  }
  return fake_leave(fake_inside(&op) ? fake_queue(s, &op) : INVALID_VALUE);
}

EXPORT int cuMemcpyHtoDAsync_v2(uint64_t dst, const void *src, size_t n, struct fake_stream *s) {
  return copy(OP_IN, dst, (uint64_t)src, n, s);
}
EXPORT int cuMemcpyDtoHAsync_v2(void *dst, uint64_t src, size_t n, struct fake_stream *s) {
  return copy(OP_OUT, (uint64_t)dst, src, n, s);
}
EXPORT int cuMemcpyDtoDAsync_v2(uint64_t dst, uint64_t src, size_t n, struct fake_stream *s) {
  return copy(OP_COPY, dst, src, n, s);
}
EXPORT int cuMemsetD8Async(uint64_t dst, unsigned char v, size_t n, struct fake_stream *s) {
  return copy(OP_SET, dst, v, n, s);
}
