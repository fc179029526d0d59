// Package loss holds training losses: functions from network outputs to one number that Grad can
// differentiate, to any order where their operations can.
//
// Non-goals: weight decay (nn/optim), adversarial search (nn/attack), metrics that are only read
// (gan/metrics).
//
// Invariants:
//  1. A function named Each… returns one value for each sample, [N]; the others return
//     their mean, [].
//  2. Labels are I32 [N] tensors on the device; nothing is read back to the host.
//  3. A loss has no parameters and no state.
//
// Comes from: logits and images out of nn and gan. Goes to: autodiff.Grad in nn/train, nn/attack
// and gan.
package loss
