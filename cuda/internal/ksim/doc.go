// Package ksim runs the CUDA kernels of this repository on the CPU, so that they are checked
// numerically on machines without a GPU. The text of every .cu file is compiled as host C++: each
// CUDA thread is a fibre, and the fibres of a block run in an order drawn from a seed.
//
// It catches a missing barrier (a thread reads before another wrote: poison, or other bits under
// another seed; an asynchronous copy may land at once, into what others still read), a divergent
// barrier, a write or read outside a buffer (guard zones, inaccessible pages), an index outside a
// shared array, a misaligned vector access, an uninitialised read, an asynchronous copy or product
// nobody waited for, and a launch outside a device's limits.
//
// Non-goals: speed, and what only hardware shows: races inside a warp between two waiting points,
// memory ordering between running blocks, register spills, the true layout of tensor-core
// fragments, the accuracy of the device's own expf.
//
// Invariants:
//  1. The kernels' text is used unchanged; only port.h and wgmma.h know of the emulator.
//  2. The same launches with the same seeds give the same bits.
//  3. A fault ends its launch with an error that names kernel, block, thread and what happened; the
//     process lives on.
//
// It needs Linux on x86-64, cgo and g++; elsewhere Open says so and tests skip with its words.
//
// Comes from: cuda/kernels, whose text it compiles. Goes to: the tests of cuda/kernels, and the
// fake driver library through which the Go side of package cuda is tested.
package ksim
