// Command exports writes one network of every kind for PyTorch and ONNX Runtime to check.
//
//	go run ./bench/exports [-run REGEXP] [-large] DIR
//
// DIR gets a folder for each architecture and each choice that a generator's configuration offers,
// with what afterimage export would write of it in both formats: ONNX, PyTorch's state_dict, and
// examples of what this program computes. bench/pytorch/exports.py loads them and compares. Weights
// are random, gains and running statistics too, so that a forgotten or mixed-up one shows.
//
// Non-goals: comparing anything here, trained weights (afterimage export writes those).
//
// Invariants:
//  1. The same bytes every time: all numbers follow from names.
//  2. Every architecture of nn/models is written but those that differ from a written one in depth
//     alone; -large adds these.
//  3. Nothing is written outside DIR.
//
// Comes from: nn/models and gan. Goes to: bench/pytorch/exports.py.
package main
