// Package checkpoint reads and writes the files that weights travel in.
//
// Read: safetensors, PyTorch (.pt, .pth, .th, .ckpt; the zip format and the legacy one before it),
// NumPy (.npy, .npz). Written: safetensors and .npy. [Open] tells the formats apart by their
// content. Everything is a [File]: an ordered map from names to host arrays, string metadata, and
// the scalar fields a training script stored beside its weights.
//
// Read array.go and file.go (what every format becomes), open.go (which format it is), then a
// reader: safetensors.go is the plainest, pickle.go the strangest.
//
// Non-goals: running what a pickle asks to run (classes and functions outside a short list become
// inert placeholders), files larger than memory, quantised and sparse tensors, pickles of whole
// modules, knowing what a network looks like (that is [Match]'s caller), and devices: nothing here
// depends on tensor.Tensor.
//
// Invariants:
//  1. Bytes are hostile. A size is checked against the file before memory is taken for it, and what
//     a reader allocates is bounded by a small multiple of the file (maxExpansion for tensor data).
//     A reader returns an error; it never panics and never calls what the file names.
//  2. An [Array] is little-endian, row-major and contiguous, whatever the file held.
//  3. Writing is deterministic: the same arrays and metadata give the same bytes, and a failed
//     write leaves the old file as it was.
//
// Comes from: files of other programs, and nn, gan for what is saved. Goes to: nn/models, gan,
// cmd (which copy arrays to a device), and the disk.
package checkpoint
