// Finds the fake driver that the program has opened.

#include "fake_queue.h"

#include <dlfcn.h>
#include <stdlib.h>

static void *function(const char *name) {
  const char *path = getenv("AFTERIMAGE_LIBCUDA");
  void *driver = path && *path ? dlopen(path, RTLD_NOLOAD | RTLD_NOW) : NULL;
  return driver == NULL ? NULL : dlsym(driver, name);
}

int queue_unsafe(void) {
  int (*unsafe)(void);
  *(void **)&unsafe = function("fake_unsafe");
  return unsafe != NULL && unsafe();
}

int queue_work(void *stream, int (*host)(const void *args), const void *args, size_t bytes) {
  int (*queue)(struct fake_stream *, int (*)(const void *), const void *, size_t);
  *(void **)&queue = function("fake_library");
  return queue == NULL ? NOT_INITIALIZED : queue(stream, host, args, bytes);
}
