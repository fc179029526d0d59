// Package cuda computes on NVIDIA GPUs: tensor.Backend with the kernels of cuda/kernels, on a
// driver opened at run time (cuda/driver), with cuDNN's convolutions and cuBLASLt's products where
// those libraries are. One binary serves machines with and without a GPU; Find says what there is.
//
// A call of the backend plans its launches at once and appends them to a batch of commands.
// Batches go to one goroutine for each device, which holds on to its thread and executes a batch in
// one call of C. So the caller runs ahead of the device and waits only in Download, Sync and when
// the staging memory of Upload is full. All work runs in the order of one stream: freed memory
// can be handed out again at once. A failure on the device sticks: Sync returns it, Download and
// Alloc panic with it, everything else does nothing from then on.
//
// Record turns work into one CUDA graph (tensor.Recorder): the trainers of nn/train and gan record
// their second step and replay it from then on. What changes from step to step must lie in device
// tensors that are written between replays. Recordings have memory of their own, which they share.
// Stage hands out pinned memory that a loader fills and the device fetches from (tensor.Stager), on
// a second stream beside the step before.
//
// Products, that is convolutions and matrix products, are computed in F32, with operands rounded to
// TF32 by NVIDIA's libraries, or in bfloat16 (Options.Precision). Then the backend asks networks to
// keep their activations in it (tensor.HalfKeeper), so that passes over memory take half the time
// and bytes that they take in F32; F32 operands that a product still meets, a head's, are rounded
// by a kernel in front, and the weights of a network by the optimizer's kernel when it moves them
// (tensor.Shadower). The forward pass keeps no bits of a ReLU instead of its output: NormBackward
// finds a ReLU behind a normalisation in x again, and behind a residual's sum it is given the
// output, which the next convolution's weight gradient needs anyway; a mask kept beside it from one
// call of the contract to another would be state that no tensor shows. Within its call NormBackward
// does keep them, from its first pass to its second.
//
// Which of cuDNN's plans a convolution gets, and which of cuBLASLt's algorithms a product, is
// decided once for a card and the libraries' versions: the heuristics' first offers that add in a
// fixed order and our own kernel are timed, and the fastest is kept in the user's cache folder and,
// by KeepPlans, in the run, which is computed with it to its end. On compute capability 9.0 a
// kernel of ours for that alone competes, too, where it makes the same result: it was written
// without such a card. A convolution with filters of one pixel that moves by one is a matrix
// product, and computed as such where cuBLASLt is.
//
// From bfloat16 operands matrix products and our own kernels make bfloat16 or F32 results. cuDNN's
// heuristics (9.19 and 9.26) offer no plan for the latter: TestOffers asks them. Of its engines one
// would make a weight's gradient so, but compiles for seconds, shape by shape and at each start.
// Where its convolution is to give F32 it leaves bfloat16, which a kernel of ours widens: that of
// F32 tensors, and the gradient of a weight, which is F32 beside bfloat16 activations
// (autodiff.Cast). A gradient that our kernels or cuBLASLt compute, of a filter of one pixel for
// example, keeps all digits of its sums.
//
// Trace says what ran on the device, kernel by kernel in a recording too, where NVIDIA's profiler
// CUPTI is; Alive counts what a backend has of the driver, which after Close is nothing.
//
// Kernels are compiled for the card by NVRTC. Without it the driver translates PTX that is part of
// the program, each file when a kernel of it is first launched.
//
// Non-goals: several devices at once, telemetry (cmd/gpumon), kernels beside kernels.
//
// Invariants:
//  1. Every launch happens on the device's own thread, in the order of the calls.
//  2. Results depend on operands and on the plans that a run keeps: our kernels and algorithms are
//     fixed by shapes, sums have a fixed order, no atomic touches a float.
//  3. Memory of Go is never given to the device: copies go through pinned memory.
//
// Comes from: tensor, cuda/kernels, cuda/driver. Goes to: cmd, which opens a backend and passes it
// down.
package cuda
