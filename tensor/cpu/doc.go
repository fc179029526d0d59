// Package cpu computes on the host's cores: tensor.Backend with vector kernels, direct
// convolution and a pool of worker threads.
//
// The leaves below it know slices only: arena (memory), par (threads), gemm (matrix product), conv
// (convolution), vec (element-wise, reduction, normalisation and optimizer loops). This package
// cuts work into tiles, chooses the leaf, and hands F64, integers and tensors without elements to
// the reference, each by name: the compiler, not a fallback, proves it complete.
//
// SetWinograd and SetPrecision choose other arithmetic for convolutions and matrix products, where
// a rule by shape says that it pays; nothing else depends on them.
//
// Read cpu.go, then the file of a kernel, which is called as in tensor/ref: conv.go, norm.go,
// reduce.go. Each method is short; the work is in the leaf that it names.
//
// Non-goals: graphs, fusion across operations, timing-based choices.
//
// Invariants:
//  1. Tiles and chunks are fixed by shapes; partial sums are added in index order. The same build
//     on the same instruction set gives the same bytes for any number of threads.
//  2. A steady training step takes its memory from the arena, not from the Go heap.
//  3. Every method agrees with tensor/ref within the bounds of tensor/backendtest.
//
// Comes from: tensor (the contract), tensor/ref. Goes to: cmd/afterimage, which opens a backend
// and passes it down.
package cpu
