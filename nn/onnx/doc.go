// Package onnx reads ONNX files into frozen, differentiable functions on this engine, and writes
// networks of this engine as ONNX files.
//
// [Open] reads a file, [Import] makes a [Graph] of it, whose Run computes on autodiff values, so
// that gradients of any order flow through someone else's network. [NewClassifier] wraps a Graph of
// an image classifier for attacks and inversion, and can be saved with all that it was told.
// [Export] goes the other way for a classifier; a [Writer] puts any graph together.
//
// # What files are read
//
// What torch.onnx.export writes, with dynamo=True and False, tried with operator sets 13, 17, 18
// and 20; and ONNX's own cases of operators (package cases). Weights lie in the file or beside it.
//
//	layers      Conv and ConvTranspose in one to three dimensions, with groups; DeformConv;
//	            MaxPool, AveragePool, LpPool and their global forms; Gemm, MatMul, Einsum,
//	            Attention, RotaryEmbedding; batch, instance, group, layer, RMS and Lp
//	            normalisation, LRN
//	arithmetic  elementwise, comparisons, Reduce operators, Softmax, ArgMax, TopK, CumSum, and
//	            activations from Relu to Gelu, Mish, HardSwish, Swish and PRelu
//	shapes      Reshape to Gather, Scatter, Slice, Pad, Resize and Upsample, DepthToSpace, Where,
//	            shapes computed from shapes
//
// Not quantised, recurrent, random or control-flow operators: the error says what to export
// instead. The whole list is in ops.go.
//
// Read open.go (from bytes to a Model), import.go (to a Graph), layout.go and permute.go (channels
// last), run.go, and an op_*.go; classifier.go stands on these.
//
// Non-goals: training imported networks (their weights are constants), control flow, sequences,
// strings, recurrent and quantised operators, checking a file beyond what is needed to run it.
//
// Invariants:
//  1. A file is read with every size checked against its bytes; memory stays within a small
//     multiple of the file.
//  2. Semantics are ONNX's, channels first. Explicit permutes stand around the kernels of this
//     engine, which put channels last; a pass cancels them, and results do not depend on it.
//  3. An operator either computes what ONNX defines, with its derivative, or the error names it,
//     its node and what could be done. No gradient is dropped silently: operators whose derivative
//     is zero wherever it exists (Floor, comparisons) are constants, others that have none here
//     refuse an operand that asks for one.
//
// A graph computes in the types that its file declares, also where networks of package nn compute
// on BF16: operators take operands of one type, and those of constants and casts are the file's.
// Products of F32 tensors round as the backend's products do.
//
// Integers and booleans, which are about shapes and indices, live on the host; floating-point
// tensors flow through autodiff. Panics inside operators are turned into errors once, in Run.
//
// Comes from: files of PyTorch and others, and nn for what is exported. Goes to: gan, gan/study and
// cmd, as a classifier that nn/attack can attack.
package onnx
