// A run-time compiler that compiles nothing: its image is the text behind a heading, which the fake
// driver takes. FAKECUDA_NVRTC_FAIL=1 makes every compilation fail, FAKECUDA_NVRTC_OLD=1 those for a
// real architecture, as a compiler older than the card does.

#include "fake_cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct program {
  char *text, *image;
  char log[256];
};

EXPORT int nvrtcVersion(int *major, int *minor) {
  *major = 13;
  *minor = 0;
  return 0;
}

EXPORT const char *nvrtcGetErrorString(int code) {
  return code == 0 ? "NVRTC_SUCCESS" : code == 6 ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR";
}

EXPORT int nvrtcCreateProgram(struct program **p, const char *text, const char *name, int headers,
                              const char *const *header, const char *const *names) {
  if (headers != 0 || header != NULL || names != NULL || *name == 0) {
    return 3;
  }
  *p = calloc(1, sizeof **p);
  (*p)->text = strdup(text);
  return 0;
}

EXPORT int nvrtcDestroyProgram(struct program **p) {
  free((*p)->text);
  free((*p)->image);
  free(*p);
  *p = NULL;
  return 0;
}

EXPORT int nvrtcCompileProgram(struct program *p, int n, const char *const *options) {
  const char *arch = NULL;
  for (int i = 0; i < n; i++) {
    if (strncmp(options[i], "--gpu-architecture=", 19) == 0) {
      arch = options[i] + 19;
    }
  }
  const char *old = getenv("FAKECUDA_NVRTC_OLD");
  if (arch != NULL && old != NULL && *old == '1' && strncmp(arch, "sm_", 3) == 0) {
    snprintf(p->log, sizeof p->log, "nvrtc: error: invalid value for --gpu-architecture (-arch)");
    return 5;
  }
  const char *fail = getenv("FAKECUDA_NVRTC_FAIL");
  if (arch == NULL || (fail != NULL && *fail == '1')) {
    snprintf(p->log, sizeof p->log, "kernel.cu(1): error: told to fail");
    return 6;
  }
  size_t size = strlen(p->text) + 64;
  p->image = malloc(size);
  snprintf(p->image, size, "FAKE CUBIN %s\n%s", arch, p->text);
  return 0;
}

EXPORT int nvrtcGetProgramLogSize(struct program *p, size_t *n) {
  *n = strlen(p->log) + 1;
  return 0;
}
EXPORT int nvrtcGetProgramLog(struct program *p, char *log) {
  strcpy(log, p->log);
  return 0;
}
EXPORT int nvrtcGetCUBINSize(struct program *p, size_t *n) {
  *n = strlen(p->image) + 1;
  return 0;
}
EXPORT int nvrtcGetCUBIN(struct program *p, char *image) {
  strcpy(image, p->image);
  return 0;
}
EXPORT int nvrtcGetPTXSize(struct program *p, size_t *n) { return nvrtcGetCUBINSize(p, n); }
EXPORT int nvrtcGetPTX(struct program *p, char *image) { return nvrtcGetCUBIN(p, image); }
