// Package backendtest is the conformance suite for backends: Run holds an implementation of
// tensor.Backend to tensor/ref, computed in float64, kernel family by kernel family.
//
// Non-goals: speed (package bench), gradients (autodiff/gradcheck), misuse (shapes and dtypes are
// checked above a backend).
//
// Invariants, checked for every case without its asking:
//  1. Outputs agree with ref within k·ε·magnitude, NaN and infinities exactly; outputs and scratch
//     start as NaN, so what a kernel leaves unwritten shows.
//  2. The same bits come out of a second run and of another number of threads.
//  3. No input changes, and on hosts no byte outside a buffer does.
//
// Comes from: tensor and tensor/ref, the oracle. Goes to: the tests of every backend.
package backendtest
