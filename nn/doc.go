// Package nn builds networks out of autodiff's operations: parameters, layers, initialisation and
// the context of one forward pass.
//
// A layer is a plain struct that names its parameters; Forward is a function of (Ctx, parameters,
// input). What training changes besides the weights (running statistics, power iterations) is
// returned through Updates and applied once, after the step.
//
// Non-goals: kernels (a tensor.Backend), gradients (autodiff), losses and optimizers (nn/loss,
// nn/optim), whole architectures (nn/models), tracing, layers that shape themselves on first use.
//
// Invariants:
//  1. A layer has no mode and no hidden state: two Forward calls with equal Ctx, parameters and
//     input give equal bytes, and a pass whose Updates are not applied leaves no trace.
//  2. Params yields every *Param a module can reach, under PyTorch's name, in a fixed order
//     (nn/nntest checks it by reflection).
//  3. Activations are NHWC, convolution weights OHWI, linear weights [out in].
//
// Comes from: autodiff (Values) and tensor (memory, random numbers). Goes to: nn/models and gan,
// which assemble layers; nn/optim, which moves parameters; nn/checkpoint's files by nn/models.
package nn
