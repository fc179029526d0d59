// Package lpips measures how different two images look: LPIPS v0.1, the learned perceptual image
// patch similarity, on the activations of a network trained on ImageNet.
//
// [Open] reads a backbone (SqueezeNet 1.1, AlexNet or VGG16, torchvision's weights) and the
// published linear weights; [Metric.Distance] compares images in host memory, [Metric.Forward]
// values on a graph, so that the distance can be a loss.
//
// Non-goals: v0.0 (without the input scaling), training the linear weights, resizing images.
// The same sum over another network's features is not LPIPS and must not be called so.
//
// Invariants:
//  1. The result of an image does not depend on the batch it is in, but for rounding on a backend
//     that chooses kernels by shape (below 1e-6 was seen), and
//     Distance(a, b) equals Distance(b, a).
//  2. Images carry their range (metrics.Images), which is converted here: a wrong range cannot be
//     passed silently.
//  3. The gradient is finite everywhere: where all channels of a pixel are 0 it is 0.
//
// The backbone stays F32 where networks compute on BF16 (nn.Ctx.Enter is not called): the distance
// is a sum of squared differences of numbers that are nearly equal in good reconstructions, and an
// error of 2⁻⁸ in each would be most of what is left of them.
//
// Misuse (shapes, channels, images too small for the backbone) panics with *tensor.Error; files
// that do not fit are errors.
//
// Comes from: nn/checkpoint (weights), nn/models (SqueezeNet), gan/metrics (images).
// Goes to: cmd (comparison of images, evaluation of inverters).
package lpips
