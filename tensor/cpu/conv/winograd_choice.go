package conv

import "fmt"

// A Direction is one of the three linear maps that a convolution consists of.
type Direction int

// The directions, by what they compute.
const (
	DirForward    Direction = iota // y from x and w
	DirInputGrad                   // dx from dy and w
	DirWeightGrad                  // dw from x and dy
)

const (
	// winogradChannels is the number of channels from which the savings outweigh the maps: at 8
	// the direct kernels are as fast, at 16 these take two thirds to all of their time, at 64 less
	// than half.
	winogradChannels = 16
	// winogradTiles is the number of tiles over all images from which mapping the weights pays, and
	// streamedTiles that from which it pays where they are mapped on the way (winograd_stream.go).
	winogradTiles = 16
	streamedTiles = 8
)

// Winograd reports whether F(4×4, 3×3) applies and is faster than the direct kernel: a 3×3 filter
// with stride 1, no dilation, one group and at most two pixels of padding; at least 16 channels to
// sum over (for the gradient of the weights, on both sides); an output that fills its 4×4 tiles
// well enough, and at least 16 tiles in the batch, or 8 where both sides have 32 channels (but not
// for the gradient of the weights); and more than four channels to produce. The answer depends on
// nothing but the shape, of which the number of images is a part.
func (s Shape) Winograd(d Direction) bool {
	if !s.winogradApplies() || d != DirWeightGrad && s.planar(d) {
		return false
	}
	h, w, k := s.OutH(), s.OutW(), s.C
	switch d {
	case DirInputGrad:
		h, w, k = s.H, s.W, s.O
	case DirWeightGrad:
		k = min(s.C, s.O)
	}
	least := winogradTiles
	if d != DirWeightGrad && min(s.C, s.O) >= streamChannels {
		least = streamedTiles
	}
	tiles := ceil(h, 4) * ceil(w, 4)
	return k >= winogradChannels && 2*tiles*positions <= 9*h*w && s.N*tiles >= least
}

// WinogradFLOPs counts one direction in Winograd's form: two operations for each of the
// multiplications that sum over channels, or over tiles for the weights; its maps, additions for
// the most part, are not counted. A tile covers 4×4 pixels with 36 positions where the direct form
// multiplies 16·9 times, so this is a quarter of FLOPs and more if tiles reach over the edge.
func (s Shape) WinogradFLOPs(d Direction) float64 {
	h, w := s.OutH(), s.OutW()
	if d == DirInputGrad {
		h, w = s.H, s.W
	}
	tiles := s.N * ceil(h, 4) * ceil(w, 4)
	return 2 * positions * float64(tiles) * float64(s.C) * float64(s.O)
}

func (s Shape) winogradApplies() bool {
	return s.KH == 3 && s.KW == 3 && s.StrideH == 1 && s.StrideW == 1 && s.DilH == 1 &&
		s.DilW == 1 && s.Groups == 1 && max(s.PadTop, s.PadLeft, s.PadBottom, s.PadRight) <= 2
}

func (s Shape) mustWinograd(op string) {
	if !s.winogradApplies() {
		panic(fmt.Sprintf("conv: %s: not a shape for F(4x4, 3x3): %+v", op, s))
	}
}
