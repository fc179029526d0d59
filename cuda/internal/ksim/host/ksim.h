/* ksim: CUDA kernels run as host code, one fibre a thread. This is its C interface.
 *
 * A launch runs the blocks of a grid one after another in random order and the threads of a block
 * in a random interleaving that the seed fixes: a thread runs until it waits (barrier, shuffle,
 * vote, tensor-core instruction), then any ready thread may follow. One launch at a time; others
 * wait. */
#ifndef KSIM_H
#define KSIM_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#define KSIM_API __attribute__((visibility("default")))

/* ksim_launch runs kernel name; args is its argument struct, copied first. 0 is success, otherwise
 * ksim_error says what happened: an unknown kernel, a wrong argument size, a divergent barrier, an
 * illegal address, a damaged guard zone, a misaligned vector access, undefined behaviour. */
KSIM_API int ksim_launch(const char *name, const unsigned grid[3], const unsigned block[3],
                         unsigned shared_bytes, const void *args, size_t args_size, uint64_t seed);

/* ksim_error returns the text of the calling process's last failed launch. */
KSIM_API const char *ksim_error(void);

/* ksim_alloc returns memory for kernels, filled with 0xFF (NaN as a float), at a multiple of 16.
 * Its end lies at most 15 bytes before an inaccessible page, its start behind one and a watched
 * zone. */
KSIM_API void *ksim_alloc(size_t bytes);
KSIM_API void ksim_free(void *p);

/* ksim_args_size returns the size of a kernel's argument struct, 0 if there is no such kernel. */
KSIM_API size_t ksim_args_size(const char *name);

/* ksim_name returns the name of kernel i, NULL past the last. */
KSIM_API const char *ksim_name(int i);
#ifdef __cplusplus
}
#endif
#endif
