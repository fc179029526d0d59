// Package data turns image files, and scenes drawn by the program itself, into batches.
//
// It has one interface, Dataset, for CIFAR-10, CIFAR-100, MNIST, Fashion-MNIST, folders of
// PNG and JPEG files and the synthetic scenes; one Loader that shuffles, augments, normalises
// and prefetches; and Get, which downloads the public sets. Everything here lives in host
// memory: pixels are uint8 NHWC, batches float32 NHWC.
//
// Read dataset.go (the interface), loader.go (batches), split.go (what is held out), then a source:
// cifar.go, idx.go, folder.go, or scenes.go and painter.go.
//
// Non-goals: contact sheets and reports (gan/report), anything about tensors or devices, and
// any dataset that does not fit in memory.
//
// Invariants:
//
//  1. A dataset is immutable once opened, and Read may be called from any number of goroutines.
//  2. Batch i is a pure function of (dataset, seed, i). No loader has a position; prefetching,
//     stopping and resuming cannot change a byte.
//  3. The test split is never shuffled, augmented or used to choose anything: validation images
//     are held out of the training files by one fixed draw, the same for every user and seed.
//
// Comes from: files on disk, public mirrors, or (seed, index) for the scenes.
// Goes to: nn/train and gan, which copy a Batch to a device; gan/metrics, which compares
// reconstructions with Read's pixels and recovered factors with Factored's vectors.
package data
