// A CUDA driver without a GPU: device memory is host memory, and a launch runs the kernel's host
// emulation. Work waits in its stream until something waits for it, so that a program which reads
// too early, or reuses a staging block too soon, sees what a fast host would see. The environment
// chooses what goes wrong:
//
//   FAKECUDA_KSIM        the emulator's library of kernels (needed for launches)
//   FAKECUDA_DEVICES     number of devices (1)
//   FAKECUDA_OLD         index of a device of compute capability 7.0 (none)
//   FAKECUDA_VERSION     driver version (13000)
//   FAKECUDA_CONTEXT     0: there is no memory for a context
//   FAKECUDA_MEMORY      bytes of device memory (1 GiB)
//   FAKECUDA_LOSE_AFTER  the device is lost at this launch, counted from 1 (0: never)
//   FAKECUDA_POOLS       0: no stream-ordered memory
//
// What it is strict about, where a driver would fail, or fail once in a while: calls on a thread that
// captures which are unsafe there (allocation, waiting, loading code), events that cross a capture's
// boundary, work on a stream, in a context or from pinned memory that is gone, copies from pageable
// memory, freeing in a stream what was not allocated in one, the limits of a launch. Freeing waits
// for nothing, so that what still runs on it shows.
//
// It does not show: real concurrency, the memory model, faults of alignment outside packs, speed.

#include "fake_cuda.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int started, sticky;
static __thread void *current;
static char context;    // its address is the primary context
static int retained;    // how often

long fake_number(const char *name, long otherwise) {
  const char *v = getenv(name);
  return v && *v ? strtol(v, NULL, 10) : otherwise;
}

int fake_enter(void) {
  pthread_mutex_lock(&lock);
  if (!started) {
    return fake_leave(NOT_INITIALIZED);
  }
  if (current == NULL) {
    return fake_leave(INVALID_CONTEXT);
  }
  return sticky != 0 ? fake_leave(sticky) : SUCCESS;
}

int fake_leave(int code) {
  pthread_mutex_unlock(&lock);
  return code;
}

void fake_fail(int code) { sticky = code; }

EXPORT int cuInit(unsigned flags) {
  if (flags != 0) {
    return INVALID_VALUE;
  }
  if (fake_number("FAKECUDA_DEVICES", 1) < 1) {
    return NO_DEVICE;
  }
  started = 1;
  return SUCCESS;
}

EXPORT int cuDriverGetVersion(int *v) {
  *v = (int)fake_number("FAKECUDA_VERSION", 13000);
  return SUCCESS;
}

static const struct {
  int code;
  const char *name, *text;
} errors[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {UNSUPPORTED_PTX, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the PTX was made by a newer toolchain"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CONTEXT_DESTROYED, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION",
     "dependency created on uncaptured work in another stream"},
    {CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT",
     "operation not permitted on an event last recorded in a capturing stream"},
    {CAPTURE_WRONG_THREAD, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD",
     "attempt to terminate a thread-local capture sequence from another thread"},
};

static int explain(int code, const char **text, int name) {
  static char padded[1 << 16]; // a name of so many bytes
  long n = fake_number("FAKECUDA_NAME_LENGTH", 0);
  if (name && n > 0 && n < (long)sizeof padded) {
    memset(padded, 'N', (size_t)n);
    padded[n] = 0;
    *text = padded;
    return SUCCESS;
  }
  for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
    if (errors[i].code == code) {
      *text = name ? errors[i].name : errors[i].text;
      return SUCCESS;
    }
  }
  *text = NULL;
  return INVALID_VALUE;
}

EXPORT int cuGetErrorName(int code, const char **text) { return explain(code, text, 1); }
EXPORT int cuGetErrorString(int code, const char **text) { return explain(code, text, 0); }

EXPORT int cuDeviceGetCount(int *n) {
  *n = (int)fake_number("FAKECUDA_DEVICES", 1);
  return started ? SUCCESS : NOT_INITIALIZED;
}

static int known(int device) {
  return device >= 0 && device < fake_number("FAKECUDA_DEVICES", 1) ? SUCCESS : INVALID_VALUE;
}

EXPORT int cuDeviceGet(int *device, int ordinal) {
  *device = ordinal;
  return known(ordinal);
}

EXPORT int cuDeviceGetName(char *name, int size, int device) {
  snprintf(name, (size_t)size, "Fake GPU (host emulation)");
  return known(device);
}

EXPORT int cuDeviceGetAttribute(int *v, int attribute, int device) {
  static const int values[][2] = {{16, 2},    {36, 2619000}, {37, 5120}, {38, 50 << 20},
                                  {75, 9},    {76, 0},       {97, 227 << 10}, {115, 1}};
  *v = 0;
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    if (values[i][0] == attribute) {
      *v = values[i][1];
    }
  }
  if (attribute == 75 && device == fake_number("FAKECUDA_OLD", -1)) {
    *v = 7;
  }
  if (attribute == 115) {
    *v = (int)fake_number("FAKECUDA_POOLS", 1);
  }
  return known(device);
}

EXPORT int cuDeviceTotalMem_v2(size_t *bytes, int device) {
  *bytes = fake_memory_total();
  return known(device);
}

EXPORT int cuDeviceGetUuid_v2(char *uuid, int device) {
  for (int i = 0; i < 16; i++) {
    uuid[i] = (char)(0x10 + i + device);
  }
  return known(device);
}

EXPORT int cuDevicePrimaryCtxRetain(void **c, int device) {
  if (!started || known(device) != SUCCESS) {
    return INVALID_VALUE;
  }
  if (fake_number("FAKECUDA_CONTEXT", 1) == 0) {
    return OUT_OF_MEMORY;
  }
  pthread_mutex_lock(&lock);
  retained++;
  *c = &context;
  return fake_leave(SUCCESS);
}

EXPORT int cuDevicePrimaryCtxRelease_v2(int device) {
  pthread_mutex_lock(&lock);
  int held = retained > 0;
  retained -= held;
  if (held && retained == 0) { // a new context knows nothing of the old one's failure
    sticky = 0;
    fake_forget();
  }
  return fake_leave(held ? known(device) : INVALID_CONTEXT);
}

EXPORT int cuCtxSetCurrent(void *c) {
  if (c != NULL && c != &context) {
    return INVALID_CONTEXT;
  }
  pthread_mutex_lock(&lock);
  int code = c != NULL && retained == 0 ? CONTEXT_DESTROYED : SUCCESS;
  if (code == SUCCESS) {
    current = c;
  }
  return fake_leave(code);
}

EXPORT int cuMemGetInfo_v2(size_t *free, size_t *total) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  *free = fake_memory_free();
  *total = fake_memory_total();
  return fake_leave(SUCCESS);
}
