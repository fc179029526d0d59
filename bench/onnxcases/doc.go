// Command onnxcases runs ONNX's operator cases on the reference backend.
//
//	go run ./bench/onnxcases [-v] [-run REGEXP] [-f64] DIR
//
// It finds every folder below DIR that holds model.onnx and test_data_set_*/{input,output}_*.pb,
// prints each failure and each unsupported case with its reason, and as its last line "N passed, N
// failed, N unsupported". It exits with 1 if a case failed, with 2 on wrong use or when no case is
// found.
//
// Non-goals: timing, other backends (nn/onnx/cases takes any), gradients.
//
// Invariants:
//  1. Cases run in the order of their paths, each by itself.
//  2. A case that is not supported is never counted as passed.
//  3. The exit status and the last line agree.
//
// Comes from: nn/onnx/cases. Goes to: people who want to check operators without trusting us.
package main
