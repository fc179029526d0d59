// Package fakecuda builds a CUDA driver, a run-time compiler and NVIDIA's libraries as far as this
// module calls them, the profiler among them, without a GPU, for tests: C
// sources in csrc, compiled by the test with gcc. Device memory is host memory; a launch runs the
// kernel's host emulation (cuda/internal/ksim); work waits in its stream until something waits
// for it; captures record and replay. Environment variables inject failures (fake_driver.c lists
// them, fake_cudnn.c those that make its engines differ).
//
// Where a driver would fail only now and then, the fake always does: TestRules, TestMisuse,
// TestDNNRules and TestProductRules of cuda/driver list what it refuses.
//
// Non-goals: speed, concurrency, the memory model, everything that only a card can show. It does
// not check either: whether a real library may be captured once its code is loaded, whether memory
// that a kernel in a graph names is still its own at the replay, the attributes of cuDNN that
// package cuda does not use, which engines a real heuristic offers (make abi asks the real one),
// and the numbers of registers and static shared memory of a kernel (make ptx lists them).
//
// Invariants:
//  1. A copy or launch outside live memory, without a current context, or beyond the limits of a
//     card fails as the driver would make it fail.
//  2. Nothing runs before it is waited for, and freeing waits for nothing.
//  3. A failure on the device sticks: every later call in its context reports it.
//  4. What is unsafe while a thread captures is refused on that thread and spoils the capture.
//
// Comes from: nothing of this module. Goes to: the tests of cuda/driver, cuda, cmd/afterimage.
package fakecuda
