// Package atomicfile replaces files whole: whoever reads one, also after a crash, finds what it
// held before or what was written, never half of it.
//
// Non-goals: locks between programs that write the same file, appending (a log or a download does
// that itself; Rename puts what has grown in its place), folders.
//
// Invariants:
//  1. The old file stays until the new one is on the disk.
//  2. A write that fails removes what it has written; a program that is killed leaves at most a
//     hidden file .NAME.….tmp beside NAME.
//  3. What a file is, and how a symbolic link leads to it, stays: its permissions are kept.
//
// Comes from: whatever keeps something. Goes to: the disk.
package atomicfile
