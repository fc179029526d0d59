// Package metrics measures reconstructions: how close they are to the image whose code they were
// painted from, how much they vary with the noise, and how sure each number is.
//
// Read images.go (a batch with its range), estimate.go and bootstrap.go (a number and how sure it
// is), then a measure: psnr.go, ssim.go, retrieval.go, frechet.go.
//
// Non-goals: running networks. Logits, features and reconstructions arrive as host memory;
// this package does not know which network made them. LPIPS, which needs one, is gan/metrics/lpips.
//
// Invariants:
//  1. A batch of images carries its range, and a measure takes batches of either range and gives
//     the same number for both: errors are stated in units of [0, 1] throughout.
//  2. Every random choice (resamples, random features, subsets) is a pure function of a
//     tensor.Key, so the same inputs and key give the same bits.
//  3. A number that is not defined (an empty class, no images) is NaN, prints as "n/a" and is
//     JSON null; it never becomes a plausible value.
//
// Misuse (shapes that do not fit, pixels outside their range, NaN) panics with *tensor.Error.
//
// Comes from: gan and nn/train (images, logits, features), gan/explore (draws).
// Goes to: gan/report (estimates, statistics) and the metrics files of a run.
package metrics
