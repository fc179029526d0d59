// Package tensorboard writes the event files that TensorBoard shows: curves and pictures.
//
// A file is a sequence of records, each a protocol buffer in TFRecord's frame (length, its
// checksum, the bytes, their checksum). [Event] is one of them, and [Sync] makes a file hold given
// events and goes on from there.
//
// Non-goals: reading event files, histograms, graphs, being the record of a training (that is
// metrics.jsonl, from which the file can be made again at any time).
//
// Invariants:
//  1. The same events give the same bytes.
//  2. After Sync the file holds the events given and nothing else, whatever it held before: a
//     training that goes on from a checkpoint leaves no event of the future it lost.
//  3. What Sync leaves in place is not written again, so that a TensorBoard that reads along goes
//     on.
//
// Comes from: nn/train, which turns the lines of its log into events. Goes to: TensorBoard.
package tensorboard
