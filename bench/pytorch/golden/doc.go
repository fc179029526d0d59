// Package golden holds computations against values that PyTorch computed.
//
// A golden file is a safetensors file in a package's testdata that bench/pytorch/goldens.py wrote;
// its metadata says with which version of PyTorch and which seed. It holds cases: inputs, value,
// gradient, and the gradient of a random product with the gradient. Each repeats them on the
// reference backend in double and on the CPU backend in single precision, and logs the largest
// error of a file, which "go test -v -run Golden ./..." prints for all of them.
//
// Non-goals: making goldens, tolerances per case, being part of a program; tests import it.
//
// Invariants:
//  1. A file that cannot be read, a case without a test and a test without a case fail.
//  2. Inputs come from the file alone: no random number is drawn here.
//  3. An error is the largest difference of two tensors over max(1, the largest magnitude of
//     PyTorch's), so that a sum's cancelling terms do not count as disagreement.
//
// Comes from: autodiff, nn/checkpoint, both CPU backends. Goes to: the golden tests of autodiff,
// nn, nn/loss, nn/optim, nn/attack and gan.
package golden
