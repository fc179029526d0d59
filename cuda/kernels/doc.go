// Package kernels holds the CUDA kernels, as text, and the plans that turn a call of tensor.Backend
// into launches of them.
//
// A file X.cu computes the family of tensor/ref's X.go. Each is complete but for port.h (what a
// kernel may use), rows.h (threads that share a row), tile.h (the inner loops of a blocked matrix
// product) and wgmma.h (the same on Hopper's instructions, see WGMMA.md); Text inlines them, so
// that NVRTC needs neither headers nor paths, and the emulator of cuda/internal/ksim compiles the
// same text as host C++. An entry point takes one struct by value: name_args in the .cu, nameArgs
// beside the plan that fills it.
//
// Methods are the contract's methods over an Encoder, for a backend to embed. PTX holds all kernels
// once more, translated, for machines without a compiler.
//
// Non-goals: a driver, memory, compilation, choosing between these kernels and a vendor's library.
//
// Invariants:
//  1. The result of a plan is a pure function of its operands' values, shapes and addresses modulo
//     16: reductions are split by shape alone and joined in a fixed order, and there are no
//     atomics.
//  2. A plan depends on shapes alone: never on values, never on the card. What only some cards can
//     run is planned where the caller asks for it (Encoder.Hopper).
//  3. Every other launch fits each card since Ampere: at most 48 KB of shared memory unless
//     Launch.Shared says more, at most 4 KB of arguments.
//
// To add a kernel: write its argument struct and entry points in the .cu and, in the .go of the
// same stem, the struct's mirror and the plan; name the mirror in export_test.go. TestLayout then
// compares the two structs, the emulator runs what a test encodes (backendtest for the contract,
// beyond_test.go for the rest). Then make ptx compiles it for the cards, writes its line in
// REGISTERS.md and its PTX: TestPTXCurrent fails until that is done.
//
// Comes from: tensor, whose contract it plans for. Goes to: package cuda, which compiles and
// launches.
package kernels
