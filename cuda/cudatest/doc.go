// Package cudatest gives tests a GPU that is none: the fake driver and compiler of
// cuda/internal/fakecuda and the kernels' emulator of cuda/internal/ksim, as environment variables
// that package cuda and programs built on it obey.
//
// Non-goals: anything outside tests.
//
// Invariants:
//  1. What is built lies in the user's cache folder by its text, and is built once.
//  2. No library of NVIDIA's is opened under the environment returned.
//  3. Compiled kernels go to a cache in the folder given.
//
// Comes from: cuda/internal. Goes to: the tests of cuda and of the programs in cmd.
package cudatest
