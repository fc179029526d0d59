// Modules and launches of the fake driver: a module's image is what the fake compiler wrote, and a
// kernel is its host emulation.

#include "fake_cuda.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct module {
  char *text;
  struct fake_function *functions;
};

static struct {
  int (*launch)(const char *, const unsigned *, const unsigned *, unsigned, const void *, size_t,
                uint64_t);
  const char *(*error)(void);
  void *(*alloc)(size_t);
  void (*free)(void *);
  size_t (*args)(const char *);
} ksim;

// emulator opens the library of kernels that FAKECUDA_KSIM names.
static int emulator(void) {
  if (ksim.launch != NULL) {
    return 1;
  }
  const char *path = getenv("FAKECUDA_KSIM");
  void *h = path && *path ? dlopen(path, RTLD_NOW) : NULL;
  if (h == NULL) {
    return 0;
  }
  *(void **)&ksim.launch = dlsym(h, "ksim_launch");
  *(void **)&ksim.error = dlsym(h, "ksim_error");
  *(void **)&ksim.alloc = dlsym(h, "ksim_alloc");
  *(void **)&ksim.free = dlsym(h, "ksim_free");
  *(void **)&ksim.args = dlsym(h, "ksim_args_size");
  return ksim.launch && ksim.error && ksim.alloc && ksim.free && ksim.args;
}

void *fake_device_malloc(size_t bytes) {
  if (emulator()) {
    return ksim.alloc(bytes);
  }
  void *p = aligned_alloc(256, (bytes + 255) / 256 * 256);
  return p ? memset(p, 0x7f, bytes) : NULL;
}

void fake_device_free(void *p) {
  if (emulator()) {
    ksim.free(p);
  } else {
    free(p);
  }
}

// A kernel that no card survives: cmd/gpucheck brings its text along.
static const char lost[] = "afterimage_lost";

size_t fake_args(const char *name) {
  return strcmp(name, lost) == 0 ? sizeof(uint64_t) : emulator() ? ksim.args(name) : 0;
}

int fake_launch(const char *name, const unsigned grid[3], const unsigned block[3],
                unsigned shared, const void *args) {
  static uint64_t seed;
  if (strcmp(name, lost) == 0) {
    return ILLEGAL_ADDRESS;
  }
  if (ksim.launch(name, grid, block, shared, args, ksim.args(name), ++seed) == 0) {
    return SUCCESS;
  }
  fprintf(stderr, "fake GPU: %s: %s\n", name, ksim.error());
  return LAUNCH_FAILED;
}

static const char magic[] = "FAKE CUBIN ";

EXPORT int cuModuleLoadDataEx(struct module **m, const void *image, unsigned n, int *options,
                              void **values) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (fake_capturing_here()) {
    return fake_leave(CAPTURE_UNSUPPORTED);
  }
  const char *text = image;
  // PTX begins with comments; its version must be one that the driver knows: FAKECUDA_VERSION less
  // 4000, as CUDA 12.0 takes PTX 8.0.
  const char *version = strncmp(text, "//", 2) == 0 ? strstr(text, "\n.version ") : NULL;
  int major = 0, minor = 0;
  if (version != NULL && sscanf(version, "\n.version %d.%d", &major, &minor) == 2 &&
      major * 1000 + minor * 10 > fake_number("FAKECUDA_VERSION", 13000) - 4000) {
    return fake_leave(UNSUPPORTED_PTX);
  }
  if (version == NULL && strncmp(text, magic, sizeof magic - 1) != 0) {
    for (unsigned i = 0; i < n; i++) {
      if (options[i] == 5) { // the log
        snprintf(values[i], 64, "not an image of the fake compiler");
      }
    }
    return fake_leave(INVALID_IMAGE);
  }
  *m = calloc(1, sizeof **m);
  (*m)->text = strdup(text);
  return fake_leave(SUCCESS);
}

EXPORT int cuModuleUnload(struct module *m) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (fake_capturing_here()) {
    return fake_leave(CAPTURE_UNSUPPORTED);
  }
  code = fake_drain();
  for (struct fake_function *f = m->functions; f != NULL;) {
    struct fake_function *next = f->next;
    free(f);
    f = next;
  }
  free(m->text);
  free(m);
  return fake_leave(code);
}

EXPORT int cuModuleGetFunction(struct fake_function **f, struct module *m, const char *name) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  char entry[96];
  snprintf(entry, sizeof entry, ".entry %s(", name);
  if (fake_args(name) == 0 ||
      (strncmp(m->text, magic, sizeof magic - 1) != 0 && strstr(m->text, entry) == NULL)) {
    return fake_leave(NOT_FOUND);
  }
  *f = calloc(1, sizeof **f);
  snprintf((*f)->name, sizeof (*f)->name, "%s", name);
  (*f)->max_dynamic_shared = 48 << 10;
  (*f)->next = m->functions;
  m->functions = *f;
  return fake_leave(SUCCESS);
}

EXPORT int cuFuncGetAttribute(int *v, int attribute, struct fake_function *f) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  *v = attribute == 8 ? f->max_dynamic_shared : attribute == 4 ? 32 : 0;
  return fake_leave(SUCCESS);
}

EXPORT int cuFuncSetAttribute(struct fake_function *f, int attribute, int v) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (attribute != 8 || v > 227 << 10) {
    return fake_leave(INVALID_VALUE);
  }
  f->max_dynamic_shared = v;
  return fake_leave(SUCCESS);
}

// fits checks a launch against the limits of compute capability 9.0, and its arguments against the
// 4 KB that drivers before 12.1 take.
static int fits(const struct fake_function *f, const unsigned g[3], const unsigned b[3],
                unsigned shared) {
  return g[0] > 0 && g[1] > 0 && g[2] > 0 && b[0] > 0 && b[1] > 0 && b[2] > 0 &&
         g[0] < 1u << 31 && g[1] < 1u << 16 && g[2] < 1u << 16 && b[2] <= 64 &&
         (uint64_t)b[0] * b[1] * b[2] <= 1024 && shared <= (unsigned)f->max_dynamic_shared &&
         fake_args(f->name) <= 4096;
}

EXPORT int cuLaunchKernel(struct fake_function *f, unsigned gx, unsigned gy, unsigned gz,
                          unsigned bx, unsigned by, unsigned bz, unsigned shared,
                          struct fake_stream *s, void **params, void **extra) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  struct fake_op op = {.kind = OP_LAUNCH, .grid = {gx, gy, gz}, .block = {bx, by, bz},
                       .shared = shared};
  if (extra != NULL || params == NULL || !fits(f, op.grid, op.block, shared)) {
    return fake_leave(INVALID_VALUE);
  }
  memcpy(op.name, f->name, sizeof op.name);
  op.args = params[0]; // copied now: the caller may reuse its memory
  return fake_leave(fake_queue(s, &op));
}
