// Package gan inverts classifiers: it trains a BigGAN generator that paints an image back from what
// a frozen classifier says of it, and holds the networks, the conditioning and the trained result.
//
// The method is Teterwak, Zhang, Krishnan and Mozer, "Understanding invariance via feedforward
// inversion of discriminatively trained classifiers" (ICML 2021). An image x gives logits
// y = Φ(x). The generator G(z, y) sees y and noise z and never x; the discriminator D(x, y) sees
// pairs. Nothing but the hinge losses ties a painting to its original: what comes back is what the
// logits kept, and what changes from one z to the next is what they threw away. PAPER.md, beside
// this file, marks every choice as stated in the paper, inferred, or ours.
//
// Read config.go (the switches), classifier.go (what Φ must be), condition.go (what is asked of
// it), generator.go and discriminator.go (G and D), step.go (the method, one page), trainer.go
// (what is around it), inverter.go (what is left at the end), export.go (how it leaves).
//
// Non-goals: classifiers and their training (nn/models, nn/train), measuring reconstructions
// (gan/metrics, gan/explore), laying out pages (gan/report), class-conditional synthesis as an end
// in itself, losses on pixels or features.
//
// Invariants:
//  1. The classifier is a constant: evaluation mode, no gradient, no update. An inverter keeps
//     its own copy, so what was inverted cannot change behind its back.
//  2. A network changes in its own step only. The other's pass computes the same updates (running
//     statistics, power iterations) and drops them.
//  3. A step is a pure function of the state a checkpoint holds and the step's number: batch,
//     condition and noise follow from (seed, step). A killed run resumes to the same bytes.
//
// Comes from: nn (layers), nn/models and nn/onnx (the classifier), nn/data (images), nn/loss,
// nn/optim and nn/train (the run directory). Goes to: gan/explore, which questions a finished
// Inverter, gan/study, which trains several to compare, and cmd/afterimage.
package gan
