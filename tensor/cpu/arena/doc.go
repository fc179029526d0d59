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
// Non-goals: moving blocks, and giving memory back to the system before a limit or Close asks for
// it. The limit is on what is in use; what lies free between comes on top.
//
// Invariants:
//  1. Blocks in use never overlap; each begins at a cache line, large ones at a page's distance.
//  2. What a sequence of calls returns depends on the sequence alone.
//  3. The same sequence of calls, repeated from a state with the same blocks in use, takes no more
//     memory from the system once it has been served without.
//
// Comes from: the sizes that tensors and kernels ask for. Goes to: tensor/cpu, whose buffers are
// blocks, and par, which lends large scratch memory.
package arena
