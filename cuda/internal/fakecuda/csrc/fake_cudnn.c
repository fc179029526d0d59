// cuDNN's backend descriptors without a GPU: attributes are checked, when they are set and when a
// descriptor is finalized, against the types and counts that the documentation states, and a plan of
// one convolution is computed by plain loops over the strides it was told. A descriptor must live as
// long as what was made of it; addresses keep the alignment that tensors state; while this thread
// captures nothing is planned, and no plan runs for the first time, when a library loads its code.
// It checks what a caller tells the library, not the library. FAKECUDNN_SLOW=2 or 3 makes an engine slow, 9 all of them;
// with FAKECUDNN_DIGITS=1 the results of engine 3 differ in the last digit from those of engine 2;
// with FAKECUDNN_FAIL=1 there is no memory for a plan, with 2 a handle takes no stream.

#include "fake_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  OK = 0,
  BAD_PARAM = 2000,
  NOT_SUPPORTED = 3000,
  INTERNAL_ERROR = 4000,
  EXECUTION_FAILED = 5000
};
enum { MAX_ATTRS = 16, MAX_BYTES = 64 };

struct attr {
  int name, type;
  int64_t n;
  char data[MAX_BYTES];
};
struct desc {
  int kind, final, count;
  int gone; // destroyed; the memory stays, so that a later use shows
  int ran;  // a plan that was executed
  struct attr attrs[MAX_ATTRS];
  struct desc *graph; // of an engine or its configuration
  int engine;         // which of the fake engines
};

// What a descriptor has to have: kind of descriptor, attribute, type, count.
static const int required[][4] = {
    {17, 900, 3, 1},   {17, 901, 1, 1},   {17, 902, 3, 4},   {17, 903, 3, 4},  {17, 906, 3, 1},
    {1, 100, 1, 1},    {1, 101, 7, 1},    {1, 102, 3, 2},    {1, 103, 3, 2},   {1, 104, 3, 2},
    {1, 105, 3, 2},    {1, 106, 3, 1},    {10, 702, 15, 1},  {10, 703, 15, 1}, {10, 704, 15, 1},
    {10, 705, 15, 1},  {12, 708, 15, 1},  {12, 709, 15, 1},  {12, 710, 15, 1}, {12, 711, 15, 1},
    {11, 714, 15, 1},  {11, 715, 15, 1},  {11, 716, 15, 1},  {11, 717, 15, 1}, {15, 800, 0, 1},
    {15, 801, 15, 1},  {4, 200, 8, 1},    {4, 201, 15, 1},   {5, 400, 0, 1},   {5, 401, 15, 1},
    {16, 1000, 3, 3},  {16, 1001, 6, 3},  {16, 1003, 6, 1},
};

// What an operation may have besides: alpha and beta, of the type of its sums.
static const int factors[][2] = {{10, 700}, {10, 701}, {12, 706}, {12, 707}, {11, 712}, {11, 713}};

// takes reports whether a kind of descriptor has an attribute, of that type and count.
static int takes(int kind, int name, int type, int64_t n) {
  for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
    if (required[i][0] == kind && required[i][1] == name) {
      return required[i][2] == type && required[i][3] == n;
    }
  }
  for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++) {
    if (factors[i][0] == kind && factors[i][1] == name) {
      return (type == 4 || type == 5) && n == 1;
    }
  }
  return 0;
}

static size_t width(int type) {
  switch (type) {
  case 1: // data type
  case 4: // float
  case 7: // convolution mode
  case 8: // heuristics mode
  case 11: // numerical note
    return 4;
  }
  return 8;
}

static char last[256];

static int refuse(int code, const char *what, int number) {
  snprintf(last, sizeof last, "fake cuDNN: %s %d", what, number);
  return code;
}

EXPORT size_t cudnnGetVersion(void) { return 91300; }
EXPORT const char *cudnnGetErrorString(int code) {
  return code == BAD_PARAM        ? "CUDNN_STATUS_BAD_PARAM"
         : code == INTERNAL_ERROR ? "CUDNN_STATUS_INTERNAL_ERROR"
                                  : "CUDNN_STATUS_NOT_SUPPORTED";
}
EXPORT void cudnnGetLastErrorString(char *text, size_t n) { snprintf(text, n, "%s", last); }

static const struct attr *find(const struct desc *d, int name) {
  for (int i = 0; i < d->count; i++) {
    if (d->attrs[i].name == name) {
      return &d->attrs[i];
    }
  }
  return NULL;
}

// wanted reports whether an environment variable is that number.
static int wanted(const char *variable, int number) {
  const char *v = getenv(variable);
  return v != NULL && atoi(v) == number;
}

struct handle {
  void *stream;
};
EXPORT int cudnnCreate(struct handle **h) {
  if (queue_unsafe()) {
    return refuse(INTERNAL_ERROR, "a handle is made while a thread captures: handle", 0);
  }
  *h = calloc(1, sizeof **h);
  return OK;
}
EXPORT int cudnnDestroy(struct handle *h) {
  free(h);
  return OK;
}
EXPORT int cudnnSetStream(struct handle *h, void *stream) {
  h->stream = stream;
  if (wanted("FAKECUDNN_FAIL", 2)) {
    return refuse(INTERNAL_ERROR, "no stream for handle", 0);
  }
  return OK;
}

EXPORT int cudnnBackendCreateDescriptor(int kind, struct desc **d) {
  *d = calloc(1, sizeof **d);
  (*d)->kind = kind;
  return OK;
}
EXPORT int cudnnBackendDestroyDescriptor(struct desc *d) {
  if (d->gone) {
    return refuse(BAD_PARAM, "destroyed twice: descriptor", d->kind);
  }
  d->gone = 1;
  return OK;
}

EXPORT int cudnnBackendSetAttribute(struct desc *d, int name, int type, int64_t n,
                                    const void *values) {
  size_t bytes = width(type) * (size_t)n;
  if (d->final || d->gone || find(d, name) != NULL || !takes(d->kind, name, type, n) ||
      d->count == MAX_ATTRS || bytes > MAX_BYTES) {
    return refuse(BAD_PARAM, "cannot set attribute", name);
  }
  struct attr *a = &d->attrs[d->count++];
  *a = (struct attr){.name = name, .type = type, .n = n};
  memcpy(a->data, values, bytes);
  return OK;
}

static struct desc *child(const struct desc *d, int name) {
  struct desc *c;
  memcpy(&c, find(d, name)->data, sizeof c);
  return c;
}

// The operands of an operation in the order x, w, y, and its convolution.
struct operands {
  struct desc *conv, *x, *w, *y;
};
static struct operands operands_of(const struct desc *op) {
  switch (op->kind) {
  case 10:
    return (struct operands){child(op, 702), child(op, 704), child(op, 703), child(op, 705)};
  case 12:
    return (struct operands){child(op, 708), child(op, 710), child(op, 709), child(op, 711)};
  }
  return (struct operands){child(op, 714), child(op, 716), child(op, 715), child(op, 717)};
}

static void ints(const struct desc *d, int name, int64_t *out) {
  const struct attr *a = find(d, name);
  memcpy(out, a->data, 8 * (size_t)a->n);
}

static int number(const struct desc *d, int name) {
  int v;
  memcpy(&v, find(d, name)->data, sizeof v);
  return v;
}

// described checks a tensor: whole packed memory, an alignment that elements of its type can have.
static int described(const struct desc *d) {
  int64_t dims[4], strides[4], align, last = 0, size = 1;
  ints(d, 902, dims);
  ints(d, 903, strides);
  ints(d, 900, &align);
  for (int i = 0; i < 4; i++) {
    if (dims[i] < 1 || strides[i] < 1) {
      return 0;
    }
    last += (dims[i] - 1) * strides[i];
    size *= dims[i];
  }
  int type = number(d, 901), bytes = type == 9 ? 2 : type == 1 ? 8 : 4;
  return last + 1 == size && (type == 0 || type == 1 || type == 9) && align >= bytes &&
         (align & (align - 1)) == 0;
}

// alive reports whether everything that a plan was made of still is.
static int alive(const struct desc *d) {
  if (d == NULL || d->gone) {
    return 0;
  }
  for (int i = 0; i < d->count; i++) {
    if (d->attrs[i].type == 15 && !alive(child(d, d->attrs[i].name))) {
      return 0;
    }
  }
  return d->graph == NULL || alive(d->graph);
}

// consistent checks an operation's shapes, factors, types and the names of its tensors.
static int consistent(const struct desc *op) {
  struct operands o = operands_of(op);
  int64_t x[4], w[4], y[4], dil[2], stride[2], post[2], pre[2];
  ints(o.x, 902, x);
  ints(o.w, 902, w);
  ints(o.y, 902, y);
  ints(o.conv, 102, dil);
  ints(o.conv, 103, stride);
  ints(o.conv, 104, post);
  ints(o.conv, 105, pre);
  for (int i = 0; i < 2; i++) {
    int64_t room = x[2 + i] + pre[i] + post[i] - dil[i] * (w[2 + i] - 1) - 1;
    if (dil[i] < 1 || stride[i] < 1 || pre[i] < 0 || post[i] < 0 || room < 0 || y[2 + i] != room / stride[i] + 1) {
      return 0;
    }
  }
  int64_t id[3];
  ints(o.x, 906, &id[0]);
  ints(o.w, 906, &id[1]);
  ints(o.y, 906, &id[2]);
  if (id[0] == id[1] || id[1] == id[2] || id[0] == id[2]) {
    return 0;
  }
  // BF16 is summed in F32, others in their own type.
  const struct desc *t[3] = {o.x, o.w, o.y};
  int result = op->kind == 10 ? 2 : op->kind == 12 ? 0 : 1;
  int operand = number(t[(result + 1) % 3], 901), sums = operand == 9 ? 0 : operand;
  if (number(t[(result + 2) % 3], 901) != operand) {
    return 0;
  }
  int alpha = op->kind == 10 ? 700 : op->kind == 12 ? 706 : 712;
  const struct attr *one = find(op, alpha), *zero = find(op, alpha + 1);
  int scale = sums == 1 ? 5 : 4; // double or float
  double dv;
  float fv;
  memcpy(&dv, one ? one->data : "", one ? 8 : 0);
  memcpy(&fv, one ? one->data : "", one ? 4 : 0);
  return one && zero && one->type == scale && zero->type == scale &&
         (sums == 1 ? dv == 1 : fv == 1) && memcmp(zero->data, "\0\0\0\0\0\0\0\0", 8) == 0 &&
         x[0] == y[0] && y[1] == w[0] && w[1] > 0 && x[1] % w[1] == 0 &&
         w[0] % (x[1] / w[1]) == 0 && number(o.conv, 100) == sums && number(o.conv, 101) == 1;
}

EXPORT int cudnnBackendFinalize(struct desc *d) {
  if ((d->kind == 4 || d->kind == 5) && queue_unsafe()) {
    return refuse(INTERNAL_ERROR, "planned while a thread captures: descriptor", d->kind);
  }
  if (d->final || d->gone) {
    return refuse(BAD_PARAM, "finalized twice or destroyed: descriptor", d->kind);
  }
  for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
    const int *r = required[i];
    const struct attr *a = r[0] == d->kind ? find(d, r[1]) : NULL;
    if (r[0] == d->kind && (a == NULL || a->type != r[2] || a->n != r[3])) {
      return refuse(BAD_PARAM, "missing, of the wrong type or count: attribute", r[1]);
    }
    if (a != NULL && a->type == 15 && (!child(d, r[1])->final || !alive(child(d, r[1])))) {
      return refuse(BAD_PARAM, "not finalized: attribute", r[1]);
    }
  }
  if (d->kind == 17 && !described(d)) {
    return refuse(BAD_PARAM, "no packed and aligned tensor: descriptor", d->kind);
  }
  if (d->kind >= 10 && d->kind <= 12 && !consistent(d)) {
    return refuse(BAD_PARAM, "inconsistent convolution: descriptor", d->kind);
  }
  if (d->kind == 5) { // the second engine builds no plan
    struct desc *config = child(d, 401);
    if (config->graph == NULL || config->engine == 1) {
      return refuse(NOT_SUPPORTED, "no plan from engine", config->engine);
    }
    if (wanted("FAKECUDNN_FAIL", 1)) {
      return refuse(INTERNAL_ERROR, "no memory for a plan from engine", config->engine);
    }
    d->graph = config->graph;
    d->engine = config->engine;
  }
  d->final = 1;
  return OK;
}

// Four engines are offered: 0 adds in any order, 1 builds no plan, 2 and 3 serve. With
// FAKECUDNN_ALL=1 there are those besides that say something of their numbers, and last one that
// takes much workspace. A result of another type than the operands has none, as with the real
// library's engines.
enum { ENGINES = 4, MORE = 9, FIRST_NUMBER = 1000 };
static const int notes[ENGINES + MORE] = {4, -1, -1, -1, 0, 1, 2, 3, 5, 6, 7, 8, -1};

static int offered(void) { return wanted("FAKECUDNN_ALL", 1) ? ENGINES + MORE : ENGINES; }

static int same_types(const struct desc *op) {
  struct operands o = operands_of(op);
  return number(o.x, 901) == number(o.w, 901) && number(o.w, 901) == number(o.y, 901);
}

EXPORT int cudnnBackendGetAttribute(struct desc *d, int name, int type, int64_t n, int64_t *got,
                                    void *values) {
  struct desc **out = values;
  *got = 0;
  if (d->kind == 4 && !d->final) {
    return refuse(BAD_PARAM, "asked before it is finalized: attribute", name);
  }
  if (d->kind == 4 && name == 202 && type == 15) { // results of the heuristics
    if (!same_types(child(child(d, 201), 801))) {
      return OK;
    }
    for (int i = 0; i < offered() && i < n; i++) {
      if (out[i]->kind != 3) {
        return refuse(BAD_PARAM, "results go into configurations, not into", out[i]->kind);
      }
      out[i]->graph = child(d, 201);
      out[i]->engine = i;
      out[i]->final = 1;
    }
    *got = offered();
    return OK;
  }
  if (d->kind == 3 && name == 300 && type == 15 && n == 1 && out[0]->kind == 2 && d->final) {
    out[0]->engine = d->engine;
    out[0]->final = 1;
    *got = 1;
    return OK;
  }
  if (d->kind == 2 && name == 1301 && type == 3 && n == 1 && d->final) { // the engine's number
    *(int64_t *)values = FIRST_NUMBER + d->engine;
    *got = 1;
    return OK;
  }
  if (d->kind == 2 && name == 1303 && type == 11 && d->final) { // numerical notes
    if (notes[d->engine] >= 0) {
      *(int *)values = notes[d->engine];
      *got = 1;
    }
    return OK;
  }
  if (d->kind == 5 && name == 402 && type == 3 && n == 1 && d->final) {
    *(int64_t *)values = d->engine == ENGINES + MORE - 1 ? 1 << 30 : 1 << 16; // workspace
    *got = 1;
    return OK;
  }
  return refuse(BAD_PARAM, "cannot get attribute", name);
}

struct work {
  int kind, types[3], engine; // types of x, w, y
  int64_t x[4], w[4], y[4], sx[4], sw[4], sy[4], dil[2], stride[2], pre[2];
  char *px, *pw, *py;
};

static double load(const char *p, int type, int64_t i) {
  if (type == 9) { // bfloat16: the upper half of a float
    uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
  }
  return type == 1 ? ((const double *)p)[i] : ((const float *)p)[i];
}
static void store(char *p, int type, int64_t i, double v) {
  if (type == 9) { // to nearest even
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    ((uint16_t *)p)[i] = (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
  } else if (type == 1) {
    ((double *)p)[i] = v;
  } else {
    ((float *)p)[i] = (float)v;
  }
}

static int64_t at(const int64_t s[4], int64_t a, int64_t b, int64_t c, int64_t d) {
  return a * s[0] + b * s[1] + c * s[2] + d * s[3];
}

// The three directions share one walk over (n, o, i, j, c, u, v); sums are kept in double.
static int convolve(const void *args) {
  const struct work *k = args;
  int64_t cg = k->w[1], og = k->w[0] / (k->x[1] / cg);
  const int64_t *dims = k->kind == 10 ? k->y : k->kind == 12 ? k->x : k->w;
  char *out = k->kind == 10 ? k->py : k->kind == 12 ? k->px : k->pw;
  int64_t size = dims[0] * dims[1] * dims[2] * dims[3]; // all tensors here are packed
  double *acc = calloc((size_t)size, sizeof *acc);
  for (int64_t n = 0; n < k->x[0]; n++)
    for (int64_t o = 0; o < k->w[0]; o++)
      for (int64_t i = 0; i < k->y[2]; i++)
        for (int64_t j = 0; j < k->y[3]; j++)
          for (int64_t u = 0; u < k->w[2]; u++)
            for (int64_t v = 0; v < k->w[3]; v++) {
              int64_t r = i * k->stride[0] - k->pre[0] + u * k->dil[0];
              int64_t s = j * k->stride[1] - k->pre[1] + v * k->dil[1];
              if (r < 0 || r >= k->x[2] || s < 0 || s >= k->x[3]) {
                continue;
              }
              int64_t iy = at(k->sy, n, o, i, j);
              for (int64_t c = 0; c < cg; c++) {
                int64_t ix = at(k->sx, n, o / og * cg + c, r, s), iw = at(k->sw, o, c, u, v);
                if (k->kind == 10) {
                  acc[iy] += load(k->px, k->types[0], ix) * load(k->pw, k->types[1], iw);
                } else if (k->kind == 12) {
                  acc[ix] += load(k->py, k->types[2], iy) * load(k->pw, k->types[1], iw);
                } else {
                  acc[iw] += load(k->px, k->types[0], ix) * load(k->py, k->types[2], iy);
                }
              }
            }
  int type = k->types[k->kind == 10 ? 2 : k->kind == 12 ? 0 : 1];
  for (int64_t i = 0; i < size; i++) {
    store(out, type, i, wanted("FAKECUDNN_DIGITS", 1) && k->engine == 3 ? acc[i] * (1 + 0x1p-23)
                                                                         : acc[i]);
  }
  free(acc);
  if (wanted("FAKECUDNN_SLOW", k->engine) || wanted("FAKECUDNN_SLOW", 9)) {
    usleep(wanted("FAKECUDNN_SLOW", 9) ? 200000 : 10000);
  }
  return 0;
}

EXPORT int cudnnBackendExecute(struct handle *h, struct desc *plan, struct desc *pack) {
  struct handle *planned;
  uint64_t workspace;
  memcpy(&planned, find(plan, 400)->data, sizeof planned);
  if (!plan->final || !pack->final || planned != h) {
    return refuse(BAD_PARAM, "not a plan of this handle: descriptor", plan->kind);
  }
  if (!alive(plan)) {
    return refuse(BAD_PARAM, "what it was made of is destroyed: descriptor", plan->kind);
  }
  memcpy(&workspace, find(pack, 1003)->data, sizeof workspace);
  if (workspace == 0 || workspace % 256 != 0) {
    return refuse(BAD_PARAM, "no workspace: attribute", 1003);
  }
  if (!plan->ran && queue_unsafe()) {
    return refuse(EXECUTION_FAILED, "loads its code while a thread captures: descriptor", plan->kind);
  }
  plan->ran = 1;
  struct desc *op = child(plan->graph, 801);
  struct operands o = operands_of(op);
  struct work k = {.kind = op->kind, .engine = plan->engine};
  ints(o.conv, 102, k.dil);
  ints(o.conv, 103, k.stride);
  ints(o.conv, 105, k.pre);
  const struct desc *t[3] = {o.x, o.w, o.y};
  int64_t *dims[3] = {k.x, k.w, k.y}, *strides[3] = {k.sx, k.sw, k.sy};
  char **data[3] = {&k.px, &k.pw, &k.py};
  int64_t ids[3], id, align;
  ints(pack, 1000, ids);
  for (int i = 0; i < 3; i++) {
    ints(t[i], 902, dims[i]);
    ints(t[i], 903, strides[i]);
    ints(t[i], 906, &id);
    k.types[i] = number(t[i], 901);
    for (int j = 0; j < 3; j++) {
      if (ids[j] == id) {
        memcpy(data[i], find(pack, 1001)->data + 8 * j, 8);
      }
    }
    ints(t[i], 900, &align);
    if (*data[i] == NULL || (uint64_t)*data[i] % (uint64_t)align != 0) {
      return refuse(BAD_PARAM, "no address, or a misaligned one, for tensor", (int)id);
    }
  }
  return queue_work(h->stream, convolve, &k, sizeof k) == 0 ? OK : EXECUTION_FAILED;
}
