// Package cuda computes on NVIDIA GPUs: tensor.Backend with the kernels of cuda/kernels, on a
// driver opened at run time (cuda/driver), with cuDNN's convolutions and cuBLASLt's products where
// those libraries are. One binary serves machines with and without a GPU; Find says what there is.
//
// A call of the backend plans its launches at once and appends them to a batch of commands.
// Batches go to one goroutine for each device, which holds on to its thread and executes a batch in
// one call of C. So the caller runs ahead of the device and waits only in Download, Sync and when
// the staging memory of Upload is full. Everything runs in the order of one stream: freed memory
// can be handed out again at once. A failure on the device sticks: Sync returns it, Download and
// Alloc panic with it, everything else does nothing from then on.
//
// Record turns a whole training step into one CUDA graph. What changes from step to step must lie
// in device tensors that are written between replays.
//
// Non-goals: several devices at once, choosing algorithms while running, telemetry (cmd/gpumon).
//
// Invariants:
//  1. Every launch happens on the device's own thread, in the order of the calls.
//  2. Results depend on operands alone: kernels and algorithms are fixed by shapes, sums have a
//     fixed order, no atomic touches a float.
//  3. Memory of Go is never given to the device: copies go through pinned memory.
//
// Comes from: tensor, cuda/kernels, cuda/driver. Goes to: cmd, which opens a backend and passes it
// down.
package cuda
