// Package shipped holds trained weights that are part of the program, so that the first command
// shows a real inversion within seconds: two small classifiers of drawn scenes, one standard and
// one adversarially robust, each with the inverter of its logits.
//
// Every folder below weights holds inverter.safetensors and classifier.safetensors, F16, at most 2
// MB each, made by this program. An inverter's configuration is in its file's metadata; the
// commands that repeat all four trainings are in weights/README.md.
//
// Non-goals: weights of others, networks that need their own download.
//
// Invariants:
//  1. What is here was trained by this program, from data the program draws.
//  2. Names of folders are stable: reports and tests use them.
//  3. Opening is the same code as for a user's own runs.
//
// Comes from: gan (training). Goes to: cmd/afterimage (demo, invert).
package shipped
