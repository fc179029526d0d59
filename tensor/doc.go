// Package tensor defines what every backend and every layer above agree on: shapes, element
// types, the Tensor handle, the Backend contract, scopes that own memory, and counter-based
// random numbers.
//
// Read shape.go and tensor.go (what a tensor is), backend.go (the contract), scope.go (who owns
// memory) and rng.go (random numbers). What some devices can do and others cannot, recording work
// for example, is an interface of its own, which a user asks a backend for: abilities.go.
//
// Non-goals: gradients (package autodiff), kernels (tensor/ref, tensor/cpu, cuda), strided views.
//
// Invariants:
//  1. A Tensor is contiguous and row-major; images are NHWC, convolution weights OHWI.
//  2. A Tensor does not change after the operation that made it returned, but for parameters
//     (Assign), optimizer state and running averages.
//  3. Memory belongs to exactly one Scope; random numbers are a pure function of
//     (seed, stream, step, index).
//
// Comes from: nothing; this is the ground floor. Goes to: tensor/ref and tensor/cpu, which
// compute, and autodiff, which differentiates.
package tensor
