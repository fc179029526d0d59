//go:build linux && cgo

// Opens NVIDIA's libraries with dlopen and fills function tables with dlsym, so that one binary
// runs with and without them, under lazy and immediate binding alike.

#define _GNU_SOURCE
#include "internal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A symbol says where in ai_api a function's address belongs.
struct symbol {
  const char *name;
  size_t offset;
  int required;
};

enum { OPTIONAL = 0, REQUIRED = 1 };

#define ROW(table, kind, field, symbol) {#symbol, offsetof(ai_api, table.field), kind},
#define X(kind, field, symbol, result, args) ROW(cu, kind, field, symbol)
static const struct symbol driver_symbols[] = {DRIVER_API(X){NULL, 0, 0}};
#undef X
#define X(kind, field, symbol, result, args) ROW(rtc, kind, field, symbol)
static const struct symbol nvrtc_symbols[] = {NVRTC_API(X){NULL, 0, 0}};
#undef X
#define X(kind, field, symbol, result, args) ROW(dnn, kind, field, symbol)
static const struct symbol cudnn_symbols[] = {CUDNN_API(X){NULL, 0, 0}};
#undef X
#define X(kind, field, symbol, result, args) ROW(lt, kind, field, symbol)
static const struct symbol cublaslt_symbols[] = {CUBLASLT_API(X){NULL, 0, 0}};
#undef X

#define X(kind, field, symbol, result, args) ROW(cupti, kind, field, symbol)
static const struct symbol cupti_symbols[] = {CUPTI_API(X){NULL, 0, 0}};
#undef X

static const struct symbol *const symbols[AI_LIBRARIES] = {
    driver_symbols, nvrtc_symbols, cudnn_symbols, cublaslt_symbols, cupti_symbols};

uintptr_t ai_new(void) { return (uintptr_t)calloc(1, sizeof(ai_api)); }

static void **slot(ai_api *a, const struct symbol *s) { return (void **)((char *)a + s->offset); }

int ai_open(uintptr_t api, int library, const char *path, char *text, size_t size) {
  ai_api *a = (ai_api *)api;
  // cuDNN's parts look for each other's symbols; the rest keeps its own to itself.
  int scope = library == AI_CUDNN ? RTLD_GLOBAL : RTLD_LOCAL;
  void *h = dlopen(path, RTLD_LAZY | scope);
  if (h == NULL) {
    const char *why = dlerror();
    snprintf(text, size, "%s", why ? why : "dlopen failed");
    return 1;
  }
  a->handle[library] = h;
  for (const struct symbol *s = symbols[library]; s->name; s++) {
    *slot(a, s) = dlsym(h, s->name);
  }
  return 0;
}

int ai_preload(const char *path, char *text, size_t size) {
  if (dlopen(path, RTLD_LAZY | RTLD_GLOBAL) != NULL) {
    return 0;
  }
  const char *why = dlerror();
  snprintf(text, size, "%s", why ? why : "dlopen failed");
  return 1;
}

const char *ai_missing(uintptr_t api, int library, int i, int *required) {
  ai_api *a = (ai_api *)api;
  for (const struct symbol *s = symbols[library]; s->name; s++) {
    if (*slot(a, s) == NULL && i-- == 0) {
      *required = s->required;
      return s->name;
    }
  }
  return "";
}

void ai_path(uintptr_t api, int library, char *text, size_t size) {
  ai_api *a = (ai_api *)api;
  text[0] = 0;
  for (const struct symbol *s = symbols[library]; s->name; s++) {
    Dl_info info;
    void *at = *slot(a, s);
    if (at != NULL && dladdr(at, &info) != 0 && info.dli_fname != NULL) {
      snprintf(text, size, "%s", info.dli_fname);
      return;
    }
  }
}

void ai_explain(uintptr_t api, int library, int code, char *name, size_t name_size, char *text,
                size_t text_size) {
  ai_api *a = (ai_api *)api;
  const char *n = NULL, *t = NULL;
  switch (library) {
  case AI_DRIVER:
    if (a->cu.cuGetErrorName != NULL) {
      a->cu.cuGetErrorName(code, &n);
      a->cu.cuGetErrorString(code, &t);
    }
    break;
  case AI_NVRTC:
    t = a->rtc.nvrtcGetErrorString(code);
    break;
  case AI_CUDNN:
    n = a->dnn.cudnnGetErrorString(code);
    if (a->dnn.cudnnGetLastErrorString != NULL) {
      a->dnn.cudnnGetLastErrorString(text, text_size);
      snprintf(name, name_size, "%s", n ? n : "");
      return;
    }
    break;
  case AI_CUBLASLT:
    t = a->lt.cublasLtGetStatusString(code);
    break;
  case AI_CUPTI:
    a->cupti.cuptiGetResultString(code, &n);
    break;
  }
  snprintf(name, name_size, "%s", n ? n : "");
  snprintf(text, text_size, "%s", t ? t : "");
}

void ai_free(void *p) { free(p); }

int ai_nvrtc_version(uintptr_t api, int *major, int *minor) {
  return ((ai_api *)api)->rtc.nvrtcVersion(major, minor);
}

// fetch reads one result of a program into a fresh block.
static int fetch(nvrtcProgram p, int (*size_of)(nvrtcProgram, size_t *),
                 int (*get)(nvrtcProgram, char *), char **out, size_t *n) {
  int code = size_of(p, n);
  if (code != 0) {
    return code;
  }
  *out = calloc(1, *n + 1);
  return *out == NULL ? -1 : get(p, *out);
}

enum { MAX_OPTIONS = 32 };

int ai_compile(uintptr_t api, const char *text, const char *name, int n_options,
               const char *options, int want, void **image, size_t *image_size, char **log) {
  ai_api *a = (ai_api *)api;
  const char *list[MAX_OPTIONS];
  if (n_options > MAX_OPTIONS) {
    return -1;
  }
  for (int i = 0; i < n_options; i++) {
    list[i] = options;
    options += strlen(options) + 1;
  }
  nvrtcProgram p = NULL;
  int code = a->rtc.nvrtcCreateProgram(&p, text, name, 0, NULL, NULL);
  if (code != 0) {
    return code;
  }
  code = a->rtc.nvrtcCompileProgram(p, n_options, list);
  size_t n = 0;
  fetch(p, a->rtc.nvrtcGetProgramLogSize, a->rtc.nvrtcGetProgramLog, log, &n);
  if (code == 0 && want == 0) {
    code = fetch(p, a->rtc.nvrtcGetCUBINSize, a->rtc.nvrtcGetCUBIN, (char **)image, image_size);
  } else if (code == 0) {
    code = fetch(p, a->rtc.nvrtcGetPTXSize, a->rtc.nvrtcGetPTX, (char **)image, image_size);
  }
  a->rtc.nvrtcDestroyProgram(&p);
  return code;
}
