// What the Go side of this package calls. Every function that touches a device makes the context
// current and does its work in the same call: two consecutive calls from one goroutine may run on
// two threads. Handles travel as uintptr_t, so that no pointer of C ever lies in Go's memory.

#ifndef AFTERIMAGE_CUDA_SHIM_H
#define AFTERIMAGE_CUDA_SHIM_H

#include <stddef.h>
#include <stdint.h>

enum { AI_DRIVER, AI_NVRTC, AI_CUDNN, AI_CUBLASLT, AI_CUPTI, AI_LIBRARIES };

// Calls of ai_call: what happens once in a while. in and out hold 64-bit words.
enum {
  AI_INIT,               // →
  AI_DRIVER_VERSION,     // → version
  AI_DEVICE_COUNT,       // → count
  AI_DEVICE_ATTRIBUTE,   // attribute, device → value
  AI_DEVICE_MEMORY,      // device → bytes
  AI_DEVICE_UUID,        // device → 2 words
  AI_RETAIN,             // device → context
  AI_RELEASE,            // device →
  AI_POOL_KEEP,          // device → : the default pool keeps freed memory
  AI_POOL_TRIM,          // device → : and gives it back now
  AI_STREAM_CREATE,      // → stream
  AI_STREAM_DESTROY,     // stream →
  AI_STREAM_SYNC,        // stream →
  AI_EVENT_CREATE,       // flags → event
  AI_EVENT_DESTROY,      // event →
  AI_EVENT_QUERY,        // event →
  AI_EVENT_SYNC,         // event →
  AI_EVENT_ELAPSED,      // start, end → milliseconds, bits of a float
  AI_MEM_INFO,           // → free, total
  AI_MEM_ALLOC,          // bytes → address
  AI_MEM_FREE,           // address →
  AI_MEM_ALLOC_ASYNC,    // bytes, stream → address
  AI_MEM_FREE_ASYNC,     // address, stream →
  AI_HOST_ALLOC,         // bytes → address
  AI_HOST_FREE,          // address →
  AI_MODULE_UNLOAD,      // module →
  AI_FUNCTION_ATTRIBUTE, // attribute, function → value
  AI_FUNCTION_SET,       // function, attribute, value →
  AI_CAPTURE_BEGIN,      // stream →
  AI_CAPTURE_END,        // stream → graph
  AI_GRAPH_NODES,        // graph → count
  AI_GRAPH_INSTANTIATE,  // graph → executable graph
  AI_GRAPH_DESTROY,      // graph →
  AI_EXEC_DESTROY,       // executable graph →
  AI_DNN_VERSION,        // → version
  AI_DNN_CREATE,         // → handle
  AI_DNN_DESTROY,        // handle →
  AI_DNN_STREAM,         // handle, stream →
  AI_DNN_DESCRIPTOR,     // type → descriptor
  AI_DNN_DESTROY_DESC,   // descriptor →
  AI_DNN_FINALIZE,       // descriptor →
  AI_LT_VERSION,         // → version
  AI_LT_CREATE,          // → handle
  AI_LT_DESTROY,         // handle →
  AI_LT_DESTROY_PLAN,    // description, layouts A B C →
  AI_CALLS
};

// Commands of ai_run: a batch is a sequence of 64-bit words. The first word of a command holds its
// code in the low half and its length in words, itself included, in the high half.
enum {
  AI_CMD_LAUNCH = 1, // function, grid x|y, grid z, block x|y|z (21 bits each), shared, bytes, args…
  AI_CMD_COPY_IN,    // device, host, bytes
  AI_CMD_COPY_OUT,   // host, device, bytes
  AI_CMD_COPY,       // device, device, bytes
  AI_CMD_SET,        // device, byte, bytes
  AI_CMD_RECORD,     // event
  AI_CMD_WAIT,       // event
  AI_CMD_GRAPH,      // executable graph
  AI_CMD_SYNC,       //
  AI_CMD_DNN,        // handle, plan, workspace, n, n identifiers, n addresses
  AI_CMD_LT,         // handle, description, layouts A B C, A, B, C, 1 if in F64, workspace,
                     // bytes, 8 words of algorithm
};

// ai_new returns an empty set of tables, 0 without memory.
uintptr_t ai_new(void);

// ai_open opens the library at path and fills its table; with global its symbols serve libraries
// opened later. It returns 0, or 1 with the reason in text. ai_preload opens a library and keeps
// it, for the sake of others that look for it by name.
int ai_open(uintptr_t api, int library, const char *path, char *text, size_t size);
int ai_preload(const char *path, char *text, size_t size);

// ai_missing returns the name of the i-th function the library lacks, "" beyond the last.
const char *ai_missing(uintptr_t api, int library, int i, int *required);

// ai_path writes the file that the library was really loaded from.
void ai_path(uintptr_t api, int library, char *text, size_t size);

// ai_explain writes the library's name and text of a result, cut to the sizes.
void ai_explain(uintptr_t api, int library, int code, char *name, size_t name_size, char *text,
                size_t text_size);

int ai_call(uintptr_t api, int call, uintptr_t context, const uint64_t *in, uint64_t *out);
int ai_device_name(uintptr_t api, int device, char *text, int size);
int ai_module_load(uintptr_t api, uintptr_t context, const void *image, uint64_t *module,
                   char *log, size_t size);
int ai_module_function(uintptr_t api, uintptr_t context, uintptr_t module, const char *name,
                       uint64_t *function);

// ai_run executes a batch on a stream. It returns the first failure's code and, in at, the index
// of the command that failed.
int ai_run(uintptr_t api, uintptr_t context, uintptr_t stream, const uint64_t *words, int n,
           int *at);

// ai_compile compiles text with NVRTC. want is 0 for a cubin, 1 for PTX. The result is malloc'ed:
// ai_free it, and the compiler's log. options lie one after the other, each closed by a zero byte.
int ai_compile(uintptr_t api, const char *text, const char *name, int n_options,
               const char *options, int want, void **image, size_t *image_size, char **log);
int ai_nvrtc_version(uintptr_t api, int *major, int *minor);
void ai_free(void *p);

// ai_dnn_set and ai_dnn_get write and read an attribute of a cuDNN descriptor.
int ai_dnn_set(uintptr_t api, uintptr_t context, uintptr_t desc, int name, int type, int64_t n,
               const void *values);
int ai_dnn_get(uintptr_t api, uintptr_t context, uintptr_t desc, int name, int type, int64_t n,
               int64_t *got, void *values);

// ai_lt_plan makes the description and layouts of a row-major product and asks for algorithms, of
// which it takes the one at a place. spec: m, n, k, batch, transA, transB, types of operands, result
// and computation, workspace bytes. out: description, layouts A B C, 8 words of algorithm, workspace
// bytes, number and digest of the algorithm. After a failure there is nothing to give back.
int ai_lt_plan(uintptr_t api, uintptr_t context, uintptr_t handle, const int64_t *spec, int place,
               uint64_t *out);

// ai_trace_version returns CUPTI's number for its interface. ai_trace_start makes CUPTI note kernels,
// copies and fills of this process from now on; ai_trace_cut sums up what it has noted since the
// last cut: kernels, other work, nanoseconds of each, nanoseconds in which anything ran, from the
// first start to the last end, and records that were lost. ai_trace_stop ends it. All return
// CUPTI's result, 0 if well. One thread at a time, and one table of functions in a process: CUPTI's
// callbacks are told no more than that.
enum {
  AI_TRACE_KERNELS,
  AI_TRACE_OTHERS,
  AI_TRACE_KERNEL_NS,
  AI_TRACE_OTHER_NS,
  AI_TRACE_BUSY_NS,
  AI_TRACE_SPAN_NS,
  AI_TRACE_LOST,
  AI_TRACE_TOTALS
};
int ai_trace_version(uintptr_t api, uint32_t *version);
int ai_trace_start(uintptr_t api);
int ai_trace_cut(uintptr_t api, uint64_t *totals);
int ai_trace_stop(uintptr_t api);

#endif
