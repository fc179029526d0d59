// How the fake libraries reach the fake driver.

#ifndef FAKE_QUEUE_H
#define FAKE_QUEUE_H

#include "fake_cuda.h"

// queue_work hands host(copy of args) to the driver's stream; see fake_library.
int queue_work(void *stream, int (*host)(const void *args), const void *args, size_t bytes);

// queue_unsafe reports whether this thread captures, and spoils what it captures: for what loads
// code, allocates or waits inside a library.
int queue_unsafe(void);

#endif
