// Package fakecuda builds a CUDA driver, a run-time compiler and NVIDIA's libraries as far as this
// module calls them, the profiler among them, without a GPU, for tests: C
// sources in csrc, compiled by the test with gcc. Device memory is host memory; a launch runs the
// kernel's host emulation (cuda/internal/ksim); work waits in its stream until something waits
// for it; captures record and replay. Environment variables inject failures (fake_driver.c lists
// them, fake_cudnn.c those that make its engines differ).
//
// Non-goals: speed, concurrency, the memory model, everything that only a card can show.
//
// Invariants:
//  1. A copy or launch outside live device memory, without a current context, or beyond the limits
//     of a card fails as the driver would make it fail.
//  2. Nothing runs before it is waited for.
//  3. A failure on the device sticks: every later call reports it.
//
// Comes from: nothing of this module. Goes to: the tests of cuda/driver, cuda, cmd/afterimage.
package fakecuda
