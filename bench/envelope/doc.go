// Package envelope judges loss curves: whether a training that another program, or another device,
// has made follows the same path, as far as rounding lets it.
//
// Two correct programs that round differently drift apart, the faster the more steps lie between
// them. How fast is measured, not assumed: a training runs as it is, five times from weights
// multiplied by 1 + 1e-7·N(0, 1), which is about single precision's rounding, and once more with
// other roundings throughout. What these runs span at a step is its band.
//
// The band of the five perturbed runs alone, the literal criterion (Judgement.Strict), is one that
// nothing correct keeps in all steps: of six curves that are exchangeable one in particular is the
// first or the last in every third step, and the five share the roundings that a perturbation
// leaves as they are. So the band of all runs, widened on both sides by its own width, is asked
// instead, and LeftOut tells by the runs themselves, each left out and judged by the others, what
// either criterion is worth. Over many steps neither tells a wrong training: chaos makes the band
// wide. Calm is the part before that, where another training leaves it far behind.
// bench/pytorch/README.md has the same for PyTorch.
//
// Non-goals: training; statistics beyond counting.
//
// Invariants:
//  1. A NaN lies outside of every band.
//  2. One rounding of a loss puts nothing outside, however narrow the band.
//  3. The order of the runs does not matter.
//
// Comes from: the standard library alone. Goes to: bench/pytorch/golden, whose runs are PyTorch's,
// and cmd/gpucheck, whose runs are the CPU's and whose curves are a GPU's.
package envelope
