// Package driver opens NVIDIA's libraries at run time and calls them: the CUDA driver, NVRTC
// (the compiler), cuDNN, cuBLASLt and CUPTI (the profiler). Nothing of them is needed to build, and
// a machine without them gets an error that says what was looked for and where.
//
// A C shim of this package looks every function up by name (dlopen, dlsym) and keeps the addresses
// in tables, so the program starts under lazy and immediate binding alike. Functions are required
// or optional: without an optional one a feature is off. Work goes to a device in batches, one
// call of C for many commands.
//
// Non-goals: tensors, memory pools, scheduling (package cuda); telemetry (cmd/gpumon).
//
// Invariants:
//  1. No header or library of NVIDIA's takes part in the build; -ldl is the only link flag.
//  2. Each call of C sets the context and does its work without returning in between.
//  3. Device addresses and handles are numbers; no memory of Go is ever handed to an asynchronous
//     copy.
//
// CUPTI's callbacks know nothing of who asked, so what it notes (trace.c) is the one thing that
// this package keeps for the whole process.
//
// Without cgo, or on another system than Linux, the package builds and Open returns ErrNoCgo.
//
// Comes from: nothing of this module. Goes to: cuda.
package driver
