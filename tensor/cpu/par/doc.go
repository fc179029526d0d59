// Package par runs the tiles of one computation on a fixed set of worker goroutines.
//
// A tensor kernel of this program lasts from a few microseconds to a few milliseconds, and there
// are hundreds in a training step. Waking a goroutine on an idle core costs about 150 µs on a
// virtual machine, more than many of these kernels. A worker therefore keeps looking for the next
// region for a bounded time (about one layer's worth) before it goes to sleep; while it looks, it
// joins a region within a fraction of a microsecond. The bound matters as much as the spinning:
// on a shared machine a worker that spins for ever steals the core from whoever could finish the
// work.
//
// Each thread begins with its own share of a region's tiles, the same part of the work in every
// region, and so finds in its cache what it wrote before; a thread that is through helps the
// others.
//
// What tiles need in memory besides their operands is borrowed from the pool for one call (Borrow),
// and what is derived from operands that do not change, packed weights for example, is kept from
// call to call (Kept).
//
// Non-goals: task graphs, priorities, cancellation, work stealing between nested loops. A Run
// inside a Run is simply a loop.
//
// Invariants:
//
//  1. Every tile of a region runs exactly once, and Run returns only when all have returned.
//  2. The pool decides who computes a tile and when, never what: a caller that lets each tile own
//     its outputs gets the same bits for any number of threads.
//  3. A panic in a tile reaches the caller of Run with its original value.
//
// Comes from: tensor/cpu, which opens one Pool for each backend; arena, where large buffers lie.
// Goes to: gemm, conv and vec, which cut their work into tiles, and borrow their scratch memory
// here.
package par
