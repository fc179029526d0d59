// Package autodiff differentiates computations: reverse mode, any order.
//
// A Value is a tensor together with how it was computed; functions such as MatMul and Conv2D
// compute at once and record what they did on a Graph; Grad walks the record backwards. Every VJP
// is written in the same differentiable functions, so the gradient that Grad returns under
// CreateGraph is a computation like any other, and can be differentiated again.
//
// For a reader who knows PyTorch:
//
//	requires_grad=True            Graph.Leaf; what needs no gradient is Graph.Const
//	torch.autograd.grad           Grad; there is no backward(), no .grad and no zero_grad()
//	create_graph, retain_graph    CreateGraph(), Retain()
//	torch.no_grad()               Graph.NoGrad
//	x.detach()                    Value.Detach
//	torch.utils.checkpoint        Graph.Checkpoint
//	a tensor going out of scope   Graph.Close frees all; Value.Done and Grad free before, Value.Keep
//	                              spares
//
// What differs from PyTorch: a ReLU's derivative is 0 at NaN, not 1; Maximum and Minimum give x the
// whole gradient of a tie, which PyTorch halves, and of a NaN, which PyTorch gives to both; a class
// that both CrossEntropy's target and its logits rule out adds 0, as PyTorch has it for labels, but
// not for rows of targets, where it has NaN.
//
// Read op.go (what an op is, and the one way in which it is applied), graph.go (the tape), grad.go
// (the way back along it), then any op_*.go: op_elementwise.go for the form, op_conv.go for a
// derivation. checkpoint.go gives time for memory; plan.go runs a pass again without composing it.
//
// Non-goals: kernels (a tensor.Backend), parameters and layers (package nn), forward mode,
// compiling (a Plan, plan.go, runs the same ops in the same order again), and fields that
// accumulate gradients: Grad returns them.
//
// Invariants:
//  1. A VJP is exact and differentiable. What is treated as constant in it (the sign of a ReLU's
//     output, the winner of a maximum) is constant wherever the derivative exists.
//  2. A backward pass frees or overwrites only what it made itself, a Checkpoint's inside included,
//     and values that no recorded VJP wants any more. A value is released in a defined place or by
//     Close; using a freed one panics with the name of the op that made it.
//  3. The order of every summation is the order of creation: same program, same bytes.
//
// Misuse panics with *tensor.Error; a public boundary above turns it into an error with tensor.Try.
//
// Comes from: tensor, which computes. Goes to: nn, whose layers are functions of Values, and to
// every training loop, attack and penalty that asks for a gradient.
package autodiff
