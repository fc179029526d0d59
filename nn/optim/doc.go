// Package optim moves parameters: SGD, Adam, averages of weights, learning-rate schedules,
// clipping.
//
// Non-goals: computing gradients (autodiff), deciding when to step (nn/train, gan), loss scaling.
//
// Invariants:
//  1. All state is in named parameters, so that a checkpoint saves it and a resumed run continues
//     with the same bytes.
//  2. The learning rate and the step count are device tensors of one element, written by Begin;
//     Update launches kernels only and reads nothing back, so a captured step can be replayed.
//  3. A schedule is a pure function of the step.
//
// Comes from: gradients out of autodiff.Grad. Goes to: the parameters of nn modules, in place.
package optim
