// Package train holds what every training has in common - the run directory with its exact resume,
// the metrics log, the checks that stop a run that went wrong - and the training of classifiers.
//
// Read config.go (what a training depends on), classifier.go (the training), move.go (half of a
// step), run.go (the directory), restore.go (its checkpoints).
//
// Non-goals: a framework of callbacks. A trainer is a readable function; the loop around it is
// ordinary code in the same file.
//
// Invariants:
//  1. A run killed at any moment and resumed ends with the bytes of an undisturbed one: all that
//     a step depends on is the checkpoint and the step's number.
//  2. Files are written whole (temporary file, fsync, rename, fsync of the directory);
//     metrics.jsonl is cut back to the checkpoint before a run goes on. A directory with a
//     config.yaml is a run; on Linux one process at a time writes to it.
//  3. Held-out training images choose; the test set is never read here.
//
// The environment of a run - program, revision, processor, kernels, threads - is recorded at
// every start, as a line of environment.jsonl. The number of threads changes nothing; another
// instruction set changes the last bits from then on, and whoever resumes is warned (Run.Continue).
//
// A step is made of moves (Move), one an optimizer, each in two halves with the host's check in
// between; an Intake brings batches to the device. They are where a device that can record a step
// and replay it, or fetch batches from the host's memory by itself, is made use of: the bytes are
// the same.
//
// A run may keep an event file for TensorBoard (Run.TensorBoard): it says what the log and the
// sample sheets say and is brought to their state at every start.
//
// Comes from: nn/data (batches), nn/models, nn/loss, nn/optim, nn/attack. Goes to: gan, which
// trains its inverters in the same run directories, and cmd/afterimage.
package train
