// Streams, events, capture and graphs of the fake driver.

#include "fake_cuda.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct fake_stream *streams;
static uint64_t ticket;
static long launches;

static uint64_t this_thread(void) { return (uint64_t)pthread_self(); }

int fake_capturing_here(void) {
  for (struct fake_stream *s = streams; s != NULL; s = s->next) {
    if (s->capture != NULL && s->owner == this_thread()) {
      s->broken = 1;
      return 1;
    }
  }
  return 0;
}

static struct fake_op *duplicate(const struct fake_op *op) {
  struct fake_op *d = malloc(sizeof *d);
  *d = *op;
  d->next = NULL;
  if ((op->kind == OP_LAUNCH || op->kind == OP_HOST) && op->args != NULL) {
    size_t n = op->kind == OP_HOST ? op->bytes : fake_args(op->name);
    d->args = malloc(n);
    memcpy(d->args, op->args, n);
  }
  return d;
}

static void release(struct fake_op *op) {
  if (op->kind == OP_LAUNCH || op->kind == OP_HOST) {
    free(op->args);
  }
  free(op);
}

int fake_known(const struct fake_stream *s) {
  for (const struct fake_stream *k = streams; k != NULL; k = k->next) {
    if (k == s) {
      return 1;
    }
  }
  return 0; // nor is the legacy stream, which this program never uses
}

int fake_queue(struct fake_stream *s, const struct fake_op *op) {
  if (!fake_known(s)) {
    return INVALID_HANDLE;
  }
  struct fake_op *d = duplicate(op);
  struct fake_op **head = &s->head, **tail = &s->tail;
  if (s->capture != NULL) {
    if (s->owner != this_thread()) {
      s->broken = 1;
    }
    head = &s->capture->head;
    tail = &s->capture->tail;
    s->capture->nodes++;
  }
  if (*head == NULL) {
    *head = d;
  } else {
    (*tail)->next = d;
  }
  *tail = d;
  return SUCCESS;
}

EXPORT int fake_library(struct fake_stream *s, int (*host)(const void *args), const void *args,
                        size_t bytes) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  struct fake_op op = {.kind = OP_HOST, .host = host, .args = (void *)args, .bytes = bytes};
  return fake_leave(fake_queue(s, &op));
}

EXPORT int fake_unsafe(void) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return 0;
  }
  int here = fake_capturing_here();
  fake_leave(SUCCESS);
  return here;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int perform(struct fake_op *op) {
  switch (op->kind) {
  case OP_LAUNCH:
    if (++launches == fake_number("FAKECUDA_LOSE_AFTER", 0)) {
      return ILLEGAL_ADDRESS;
    }
    return fake_launch(op->name, op->grid, op->block, op->shared, op->args);
  case OP_IN:
  case OP_OUT:
  case OP_COPY:
    if (!fake_inside(op)) { // freed since it was queued, or since the graph was recorded
      return ILLEGAL_ADDRESS;
    }
    memmove((void *)op->dst, (const void *)op->src, op->bytes);
    return SUCCESS;
  case OP_SET:
    if (!fake_inside(op)) {
      return ILLEGAL_ADDRESS;
    }
    memset((void *)op->dst, op->value, op->bytes);
    return SUCCESS;
  case OP_RECORD:
    op->event->done = op->ticket;
    op->event->at = now();
    return SUCCESS;
  case OP_WAIT:
    while (op->event->done < op->ticket && op->event->stream->head != NULL) {
      int code = fake_run(op->event->stream, 1);
      if (code != SUCCESS) {
        return code;
      }
    }
    return SUCCESS;
  case OP_FREE:
    return fake_free(op->dst);
  case OP_HOST:
    return op->host(op->args);
  }
  return INVALID_VALUE;
}

enum { MOST_SPANS = 1 << 14 };
static struct fake_span spans[MOST_SPANS];
static size_t noted;
static int tracing;

EXPORT void fake_trace(int on) { tracing = on; }

EXPORT size_t fake_traced(struct fake_span *out, size_t room) {
  size_t n = noted < room ? noted : room;
  memcpy(out, spans, n * sizeof *out);
  memmove(spans, spans + n, (noted - n) * sizeof *spans);
  noted -= n;
  return n;
}

// traced performs an operation and notes when.
static int traced(struct fake_op *op) {
  int work = op->kind <= OP_SET || op->kind == OP_HOST;
  double start = now();
  int code = perform(op);
  if (tracing && work && noted < MOST_SPANS) {
    spans[noted++] = (struct fake_span){op->kind == OP_LAUNCH || op->kind == OP_HOST,
                                        (uint64_t)(start * 1e6), (uint64_t)(now() * 1e6)};
  }
  return code;
}

int fake_run(struct fake_stream *s, int at_most) {
  for (; s->head != NULL && at_most != 0; at_most--) {
    struct fake_op *op = s->head;
    s->head = op->next;
    int code = traced(op);
    release(op);
    if (code != SUCCESS) {
      fake_fail(code); // whatever fails on the device sticks
      return code;
    }
  }
  return SUCCESS;
}

void fake_forget(void) {
  for (struct fake_stream *s = streams; s != NULL; s = s->next) {
    while (s->head != NULL) {
      struct fake_op *op = s->head;
      s->head = op->next;
      release(op);
    }
  }
}

int fake_drain(void) {
  for (struct fake_stream *s = streams; s != NULL; s = s->next) {
    int code = fake_run(s, -1);
    if (code != SUCCESS) {
      return code;
    }
  }
  return SUCCESS;
}

EXPORT int cuStreamCreate(struct fake_stream **s, unsigned flags) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (flags != 1) {
    return fake_leave(INVALID_VALUE);
  }
  *s = calloc(1, sizeof **s);
  (*s)->next = streams;
  streams = *s;
  return fake_leave(SUCCESS);
}

EXPORT int cuStreamDestroy_v2(struct fake_stream *s) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (fake_capturing_here()) {
    return fake_leave(CAPTURE_UNSUPPORTED);
  }
  if (!fake_known(s)) {
    return fake_leave(INVALID_HANDLE);
  }
  code = fake_run(s, -1);
  for (struct fake_stream **at = &streams; *at != NULL; at = &(*at)->next) {
    if (*at == s) {
      *at = s->next;
      free(s);
      return fake_leave(code);
    }
  }
  return fake_leave(INVALID_HANDLE);
}

EXPORT int cuStreamSynchronize(struct fake_stream *s) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (!fake_known(s)) {
    return fake_leave(INVALID_HANDLE);
  }
  if (s->capture != NULL) {
    s->broken = 1;
    return fake_leave(CAPTURE_UNSUPPORTED);
  }
  return fake_leave(fake_capturing_here() ? CAPTURE_UNSUPPORTED : fake_run(s, -1));
}

EXPORT int cuStreamWaitEvent(struct fake_stream *s, struct fake_event *e, unsigned flags) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (flags != 0 || !fake_known(s)) {
    return fake_leave(INVALID_VALUE);
  }
  if (s->capture != e->captured) { // the dependency would cross a capture's boundary
    for (struct fake_stream *k = streams; k != NULL; k = k->next) {
      k->broken |= k->capture != NULL && (k == s || k->capture == e->captured);
    }
    return fake_leave(CAPTURE_ISOLATION);
  }
  struct fake_op op = {.kind = OP_WAIT, .event = e, .ticket = e->recorded};
  return fake_leave(fake_queue(s, &op));
}

EXPORT int cuEventCreate(struct fake_event **e, unsigned flags) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  *e = flags == 0 || flags == 2 ? calloc(1, sizeof **e) : NULL;
  if (*e != NULL) {
    (*e)->timed = flags == 0;
  }
  return fake_leave(*e ? SUCCESS : INVALID_VALUE);
}

EXPORT int cuEventDestroy_v2(struct fake_event *e) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  code = fake_drain(); // what is queued may still name it
  free(e);
  return fake_leave(code);
}

EXPORT int cuEventRecord(struct fake_event *e, struct fake_stream *s) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (!fake_known(s)) {
    return fake_leave(INVALID_HANDLE);
  }
  struct fake_op op = {.kind = OP_RECORD, .event = e, .ticket = ++ticket};
  e->captured = s->capture;
  if (s->capture == NULL) {
    e->recorded = ticket;
    e->stream = s;
  }
  return fake_leave(fake_queue(s, &op));
}

EXPORT int cuEventQuery(struct fake_event *e) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (fake_capturing_here()) {
    return fake_leave(CAPTURE_UNSUPPORTED);
  }
  if (e->captured != NULL) {
    return fake_leave(CAPTURED_EVENT);
  }
  if (e->done >= e->recorded) {
    return fake_leave(SUCCESS);
  }
  code = fake_run(e->stream, 1); // time passes while a program asks
  return fake_leave(code != SUCCESS ? code : NOT_READY);
}

EXPORT int cuEventSynchronize(struct fake_event *e) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (fake_capturing_here()) {
    return fake_leave(CAPTURE_UNSUPPORTED);
  }
  if (e->captured != NULL) {
    return fake_leave(CAPTURED_EVENT);
  }
  while (code == SUCCESS && e->done < e->recorded) {
    code = fake_run(e->stream, 1);
  }
  return fake_leave(code);
}

EXPORT int cuEventElapsedTime(float *ms, struct fake_event *a, struct fake_event *b) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (!a->timed || !b->timed || !a->recorded || !b->recorded) {
    return fake_leave(INVALID_HANDLE);
  }
  *ms = (float)(b->at - a->at);
  return fake_leave(a->done && b->done >= b->recorded ? SUCCESS : NOT_READY);
}

#ifndef FAKE_OLD
EXPORT int cuStreamBeginCapture_v2(struct fake_stream *s, int mode) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (mode != 1 || !fake_known(s) || s->capture != NULL) {
    return fake_leave(INVALID_VALUE);
  }
  s->capture = calloc(1, sizeof *s->capture);
  s->owner = this_thread();
  s->broken = 0;
  return fake_leave(SUCCESS);
}

EXPORT int cuStreamEndCapture(struct fake_stream *s, struct fake_graph **g) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  *g = NULL;
  if (s->capture == NULL) {
    return fake_leave(INVALID_VALUE);
  }
  if (s->owner != this_thread()) {
    return fake_leave(CAPTURE_WRONG_THREAD);
  }
  if (!s->broken) {
    *g = s->capture;
  }
  s->capture = NULL;
  return fake_leave(*g ? SUCCESS : CAPTURE_INVALIDATED);
}

EXPORT int cuGraphGetNodes(struct fake_graph *g, void *nodes, size_t *n) {
  if (nodes != NULL) {
    return INVALID_VALUE;
  }
  *n = g->nodes;
  return SUCCESS;
}

static struct fake_graph *duplicate_graph(const struct fake_graph *g) {
  struct fake_graph *d = calloc(1, sizeof *d);
  d->nodes = g->nodes;
  for (const struct fake_op *op = g->head; op != NULL; op = op->next) {
    struct fake_op *copy = duplicate(op);
    if (d->head == NULL) {
      d->head = copy;
    } else {
      d->tail->next = copy;
    }
    d->tail = copy;
  }
  return d;
}

EXPORT int cuGraphInstantiateWithFlags(struct fake_graph **x, struct fake_graph *g,
                                       unsigned long long flags) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  *x = flags == 0 ? duplicate_graph(g) : NULL;
  return fake_leave(*x ? SUCCESS : INVALID_VALUE);
}

EXPORT int cuGraphLaunch(struct fake_graph *x, struct fake_stream *s) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  if (!fake_known(s)) {
    return fake_leave(INVALID_HANDLE);
  }
  if (s->capture != NULL) {
    s->broken = 1;
    return fake_leave(CAPTURE_UNSUPPORTED);
  }
  for (const struct fake_op *op = x->head; op != NULL && code == SUCCESS; op = op->next) {
    code = fake_queue(s, op);
  }
  return fake_leave(code);
}

static int destroy(struct fake_graph *g) {
  int code = fake_enter();
  if (code != SUCCESS) {
    return code;
  }
  for (struct fake_op *op = g->head; op != NULL;) {
    struct fake_op *next = op->next;
    release(op);
    op = next;
  }
  free(g);
  return fake_leave(SUCCESS);
}

EXPORT int cuGraphDestroy(struct fake_graph *g) { return destroy(g); }
EXPORT int cuGraphExecDestroy(struct fake_graph *x) { return destroy(x); }
#endif
