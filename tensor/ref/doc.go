// Package ref is the reference backend: the Backend contract of package tensor in naive loops, on
// one thread, in host memory, for F32 and F64 from one text; BF16 is that text in F32 on widened
// copies, rounded at the end. It is the oracle that tensor/backendtest holds every other backend
// to, and the backend gradient checks run on.
//
// Non-goals: speed (no blocking, no threads, no assembly; loops only run in an order that suits
// the cache), devices.
//
// Invariants:
//  1. Every kernel is a pure function of its operands; a Backend has no state but its byte count.
//  2. Arithmetic and sums run in float64 and are rounded once, on storing. In F32 the elementwise
//     operations +, −, ·, / and √ are therefore correctly rounded. A BF16 result is the F32 one
//     rounded again.
//  3. Kernels reach elements through tensor.Host alone, so they work on any tensor.HostBuffer,
//     whoever allocated it: a faster backend may hand over what it has no kernel for.
//
// Comes from: tensor, whose Backend it implements. Goes to: tensor/cpu, which hands it rare work,
// tensor/backendtest and the gradient checks of autodiff, which compare with it.
package ref
