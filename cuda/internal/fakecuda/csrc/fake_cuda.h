// What the parts of the fake CUDA driver share.

#ifndef FAKE_CUDA_H
#define FAKE_CUDA_H

#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

enum {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NOT_INITIALIZED = 3,
  NO_DEVICE = 100,
  INVALID_IMAGE = 200,
  UNSUPPORTED_PTX = 222,
  INVALID_CONTEXT = 201,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
  NOT_READY = 600,
  ILLEGAL_ADDRESS = 700,
  CONTEXT_DESTROYED = 709,
  LAUNCH_FAILED = 719,
  CAPTURE_UNSUPPORTED = 900,
  CAPTURE_INVALIDATED = 901,
  CAPTURE_ISOLATION = 905,
  CAPTURED_EVENT = 907,
  CAPTURE_WRONG_THREAD = 908,
};

// number reads a setting from the environment.
long fake_number(const char *name, long otherwise);

// fake_enter locks the driver and checks that it may be called: started, a context current on this
// thread, no earlier failure that sticks. fake_leave unlocks and returns code.
int fake_enter(void);
int fake_leave(int code);

// Memory of the fake device, in fake_memory.c. fake_holds reports whether a range lies in one live
// allocation, fake_pinned the same of host memory that the driver gave.
int fake_alloc(uint64_t *address, size_t bytes, int async);
int fake_free(uint64_t address);
int fake_holds(uint64_t address, size_t bytes);
int fake_pinned(uint64_t address, size_t bytes);
size_t fake_memory_free(void);
size_t fake_memory_total(void);

// Kernels, in fake_module.c.
struct fake_function {
  char name[128];
  int max_dynamic_shared;
  struct fake_function *next;
};
int fake_launch(const char *name, const unsigned grid[3], const unsigned block[3],
                unsigned shared, const void *args);
size_t fake_args(const char *name);

// An operation that waits in a stream or lies in a graph.
struct fake_op {
  enum { OP_LAUNCH, OP_IN, OP_OUT, OP_COPY, OP_SET, OP_RECORD, OP_WAIT, OP_FREE, OP_HOST } kind;
  char name[128];
  unsigned grid[3], block[3], shared;
  void *args; // a copy, as the driver makes one
  int (*host)(const void *args); // what a library queued instead of a kernel
  uint64_t dst, src;
  size_t bytes;
  unsigned char value;
  struct fake_event *event;
  uint64_t ticket; // of the event's recording
  struct fake_op *next;
};

// fake_inside reports whether what a copy reads and writes is there, in fake_memory.c.
int fake_inside(const struct fake_op *op);

struct fake_event {
  uint64_t recorded, done; // tickets
  struct fake_stream *stream;
  struct fake_graph *captured; // into which it was recorded last, if that was during a capture
  int timed;
  double at; // milliseconds
};
struct fake_stream {
  struct fake_op *head, *tail;
  struct fake_graph *capture;
  uint64_t owner; // thread that began the capture
  int broken;     // the capture was invalidated
  struct fake_stream *next;
};
struct fake_graph {
  struct fake_op *head, *tail;
  size_t nodes;
};

// fake_library queues work of a fake library: host(a copy of bytes of args) runs in stream order
// and returns 0 or a result of the driver. fake_unsafe says whether this thread captures, which what
// a library does beside queueing work spoils. Exported for fake_cublaslt.c and fake_cudnn.c.
int fake_library(struct fake_stream *s, int (*host)(const void *args), const void *args,
                 size_t bytes);
int fake_unsafe(void);

// What a profiler is told of: fake_trace begins (1) or ends (0) the noting of work, fake_traced hands
// over up to room pieces of it and forgets them. Exported for fake_cupti.c.
struct fake_span {
  int kernel; // or else a copy or a fill
  uint64_t start, end; // nanoseconds
};
void fake_trace(int on);
size_t fake_traced(struct fake_span *out, size_t room);

// Streams, in fake_stream.c. fake_queue puts a copy of op at the end of a stream, or of the graph
// that it captures into. fake_drain runs everything that waits anywhere. fake_known says whether a
// stream exists, fake_capturing_here whether this thread captures, and spoils what it captures.
int fake_known(const struct fake_stream *s);
int fake_queue(struct fake_stream *s, const struct fake_op *op);
int fake_run(struct fake_stream *s, int at_most);
int fake_drain(void);
int fake_capturing_here(void);
void fake_fail(int code); // from now on every call fails so, as long as the context lives
void fake_forget(void);   // what waits in streams never runs

#endif
