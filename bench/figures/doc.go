// Package figures lists what others published, and holds measurements against it.
//
// Each [Figure] says who gave it, in what precision, and from what data it is measured. A test that
// measures one calls [Check], which fails outside the figure's bound and reports the measurement as
// a test attribute, so that bench/agreement writes the numbers that the tests saw. [Data] is where
// every test finds other people's files, or is skipped.
//
// Non-goals: measuring, being part of a program; tests and bench/agreement import it.
//
// Invariants:
//  1. A published number stands here and nowhere else in the code.
//  2. A figure is met exactly when its Judge says so, in a test and in bench/AGREEMENT.md alike.
//  3. A figure's bound is the precision of what was published, or the one that its comment defends.
//
// Comes from: the standard library alone. Goes to: the published-figure tests of nn/models,
// nn/onnx, nn/checkpoint, gan/metrics and gan/metrics/lpips, other tests on data, and
// bench/agreement.
package figures
