// Package bench measures kernels and whole training steps, and says how far each is from what the
// machine can do.
//
// A rate alone says little: it moves with the clock, the neighbours and the size of the caches.
// Every row therefore stands beside a bound measured next to it in the same process: the
// multiply-add peak of the pool's threads for what computes, a copy of as many bytes for what moves
// memory; and a step beside its roofline, which is both, call by call.
//
// Read spec.go (what can be measured), catalogue.go (what is), measure.go (how), compare.go (beside
// whom).
//
// Non-goals: correctness (tensor/backendtest, the packages' tests), statistics over machines,
// choosing algorithms.
//
// Invariants:
//  1. A row's work (FLOPs, bytes) follows from shapes alone, by the convention written at its
//     place; it never depends on which algorithm ran.
//  2. The bound of a row is measured next to it: the peak between its runs, a copy directly before
//     and directly after them.
//  3. Inputs are random numbers of a fixed seed; a row repeats exactly the same work in every run.
//
// What is measured is a list of Specs that follows from the networks (NewCatalogue). Measure does
// one in this process, Serve does what is asked for line by line, and Compare makes two programs
// that answer such lines, this one and PyTorch (bench/pytorch), take turns.
//
// Comes from: cmd/afterimage (bench, doctor), which opens a backend and passes it down. Goes to: a
// table for people, JSON for programs, pictures, and LOG.md.
package bench
