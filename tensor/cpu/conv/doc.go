// Package conv convolves float32 images directly, without building a matrix of patches.
//
// # Tap offsets
//
// Activations are NHWC and weights OHWI: the channels of a pixel are contiguous. A convolution is
//
//	y[n, oh, ow, o] = sum over kh, kw, c of x[n, oh*s+kh-pad, ow*s+kw-pad, c] * w[o, kh, kw, c]
//
// Fix one tap (kh, kw). What remains is a matrix product: pixels × channels times channels ×
// outputs. Its left operand is the input itself, only that it begins at another pixel, so a tap is
// a single number, an offset into x. A tile of y, up to 14 neighbouring pixels of a row by 32
// output channels, stays in registers while the kernel walks through the taps; x is read where it
// lies, one element at a time, and the weights come in vectors from panels
// [outputs/32][tap][channel][32]. These are packed at each call, which costs a hundredth of one
// with many pixels and more of one with few; where weights stay the same a caller keeps their
// packed and mapped forms from call to call (Epilogue.Kept).
//
// # Padding
//
// Padding is not stored and not computed with. A tap that falls outside the image for a whole tile
// is left out of the tile's list, and the kernel has inner loops that leave out the first or the
// last pixel of a tile. Tiles are cut so that nothing else is needed. On 4×4 images 31 % of the
// taps of a 3×3 filter lie outside, and that share of the work disappears.
//
// Where rows are narrow, six pixels or less, and images many, the rows of a tile are images instead
// of pixels, the same one of each, with nothing left out; see stack.go.
//
// # The three directions
//
// The gradient with respect to the input is the same loop with the roles of x and y exchanged and
// the taps reversed. With stride s an input pixel sees only the taps that agree with its position
// modulo s, so it splits into s² phases, each an ordinary stride-1 convolution that writes every
// s-th pixel: no zeros are inserted. The gradient with respect to the weights is, for each tap, the
// product dyᵀ·x over all pixels; there a segment of the kernel is a row of pixels.
//
// # Few channels
//
// An image has three channels and a vector sixteen lanes. Forward and InputGrad have a second form
// for results of up to four channels, which multiplies with all taps first and adds afterwards; see
// planar.go. WeightGrad has one for when either side has up to four, or x up to sixteen, whose rows
// are a row of taps; see weightgrad_few.go.
//
// # A filter for each channel
//
// Depthwise convolution sums over taps alone and takes channels for lanes, in all three directions;
// see depthwise.go.
//
// # Fewer multiplications
//
// 3×3 filters of stride 1, most of the work of the networks here, have a second implementation by
// Winograd's algorithm, in functions of their own because it rounds differently; see winograd.go,
// and winograd_stream.go for images so small that there is more of the weights than of them.
//
// # Half the bits
//
// On processors with AVX512_BF16 all three directions have a form in bfloat16, for which the same
// tiles read pairs of numbers; see bf16.go and bf16_weightgrad.go.
//
// # What follows a convolution
//
// A bias, a residual and a ReLU are applied before an output leaves the cache; see epilogue.go. The
// bias enters with the sum, in the kernel; the rest is done in the registers of Winograd's last
// map, or to a block of rows that has just been finished.
//
// Read shape.go (a convolution in numbers), forward.go (the functions), taps.go (what a tile sums)
// and pass.go (how tiles cover the output); every other file is one of the forms above.
//
// Non-goals: other layouts and types, transposed convolution as an operation of its own (it is
// InputGrad), tuning at run time. Other grouped convolution is right but not fast.
//
// Invariants:
//
//  1. The bits of a result depend on the operands and the Shape, not on the number of threads.
//     Functions that compute y or dx give an image the same bits whatever the batch it is in. Which
//     function is the faster one may depend on the batch: Shape.Winograd asks for tiles enough, so
//     that whoever follows it rounds a few small images otherwise than many.
//  2. In the direct functions only products of an input pixel inside the image enter a sum, and
//     every such product does: NaN and infinities propagate exactly to the outputs whose window
//     holds them. Winograd's spread over a tile.
//  3. Every element of the result is written, and nothing else.
//
// Comes from: tensor/cpu. Goes to: packages gemm, gemm/micro and vec.
package conv
