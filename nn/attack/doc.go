// Package attack searches for small changes of an image that change a classifier's answer.
//
// Conventions (MadryLab/robustness): images are NHWC in [0, 1]; the model normalises inside, so
// that Eps and StepSize are in pixel units; batch normalisation is in evaluation mode during the
// search; results lie in the Eps-ball and in [0, 1].
//
// Non-goals: training loops (nn/train), certificates, attacks with a minimal norm, AutoAttack's
// exact procedure (PGD and Square here are its simpler relatives; do not call them AutoAttack).
//
// Invariants:
//  1. An attack is a pure function of (model, images, labels, Config, Key, step).
//  2. PGD reads nothing back to the host: a captured training step may contain it.
//  3. Every iteration's memory is given back before the next; only the result is allocated in the
//     caller's scope.
//
// Comes from: nn/models and nn/loss. Goes to: nn/train (adversarial training) and gan (evaluation).
package attack
