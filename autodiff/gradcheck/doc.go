// Package gradcheck tests derivatives against their definition: Check compares vector-Jacobian
// products of any order with central differences, Adjoint compares a linear map with its adjoint.
//
// Non-goals: speed, devices, single precision. Everything runs in F64 on tensor/ref, where a
// correct derivative and a wrong one are many orders of magnitude apart.
//
// Invariants:
//  1. The same test draws the same numbers every time.
//  2. Both answers of Grad are held to the difference quotient: the plain one, for which fused
//     kernels may serve, and the one under CreateGraph.
//  3. Freed memory is poisoned and counted: a derivative that reads it, or a graph that
//     leaks it, fails.
//
// Comes from: autodiff, tensor/ref. Goes to: the tests of autodiff, and of whoever composes
// functions of Values (losses, layers, attacks).
package gradcheck
