// Command imported runs networks from ONNX files for bench/pytorch/imported.py, which has PyTorch
// and ONNX Runtime do the same in turn.
//
//	imported [-threads N]
//
// A request is a line of JSON on standard input, the answer a line on standard output:
//
//	{"op":"open","file":"NAME.onnx"}                    {"size":224,"classes":1000}
//	{"op":"values","images":"a.safetensors",            {}, with logits [N Classes] and gradient
//	 "out":"b.safetensors"}                             [N H W C] of Σ logits² in the file out
//	{"op":"time","batch":8,"gradient":false,            {"seconds":[…]} of each run
//	 "least":2,"seconds":0.2}
//
// An answer with "error" refuses. The end of the input ends the program.
//
// Non-goals: reading anything but what the script asks for; comparing and reporting, which the
// script does; our own networks (afterimage bench).
//
// Invariants:
//  1. A forward pass is timed as a program that paints or evaluates makes it, in an nn.Inference; a
//     pass with the gradient of the images as an attack makes it, on a graph of its own.
//  2. Images [N H W C] in [0, 1] go in without normalisation: what is timed is the file's network.
//  3. The images lie in a tensor before, as those of PyTorch and ONNX Runtime do. A first run,
//     which packs weights, is not timed.
//
// Comes from: nn/onnx, on tensor/cpu. Goes to: bench/pytorch/imported.py.
package main
