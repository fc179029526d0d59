// Package nntest holds checks that tests of layers and models share.
//
// Non-goals: being part of a program; nothing outside tests imports it.
//
// Invariants:
//  1. It reads modules and never changes them.
//  2. A check names what is wrong by the path of struct fields that leads to it.
//  3. It uses reflection, which the engine itself does not.
//
// Comes from: nn. Goes to: the tests of nn, nn/models and gan.
package nntest
