// Package arena keeps the memory of one backend and hands it out again and again.
//
// A training step asks for the same blocks in the same order every time: activations on the way
// forward, gradients on the way back, scratch memory of single kernels in between. Three things
// decide what that costs. Memory fresh from the system is paid for page by page, so blocks are
// kept. Kept by size, they would add up to the sum over sizes of the most that each ever took; but
// the backward pass frees large activations while it makes small gradients, so large blocks are cut
// from larger ones and grow together again with their neighbours. And pages that are never touched
// cost nothing, so the system is asked for one large region, which is given out from its beginning:
// between two regions there would be a seam across which nothing grows together.
//
// Small blocks, of which there are many and which weigh little, are kept by size class, last in
// first out, because the one given back last is the one still in cache.
//
// What goes back to the system goes at once and where the calls say so, not when the collector has
// run: at the limit, which bounds what is resident (what is in use, and what free blocks may have
// pages for); by Trim; at Close and, of what was in use then, with the last block; and of a block
// whose content can be had again, by Park. Two things come on top of the limit: scratch memory
// (Lend), which is never refused, and the rest of huge pages that are used in part. Where the
// memory is the Go heap's, because the system reserves none, only whole regions go back, and the
// collector decides when.
//
// Non-goals: moving blocks, giving memory back for its own sake while there is room below the
// limit.
//
// Invariants:
//  1. Blocks in use never overlap; each begins at a cache line, large ones at a page's distance.
//  2. What a sequence of calls returns depends on the sequence alone, up to the addresses of
//     regions.
//  3. A large block gets the first place, by address, where it fits, and free places are what the
//     blocks in use leave: how they came to be free does not matter. So a step that gives back all
//     it took finds the same places again when it is repeated, once the largest block is known,
//     which divides the two heaps. It takes no new memory but for what rests below 64 KiB, which
//     are not cut off, may add up to; TestStepsReuse holds it to none.
//
// Comes from: the sizes that tensors and kernels ask for. Goes to: tensor/cpu, whose buffers are
// blocks, and par, which lends large scratch memory.
package arena
