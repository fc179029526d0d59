package lpips

import (
	"fmt"
	"iter"
	"strconv"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/models"
	"afterimage/tensor"
)

// A Net names a backbone.
type Net string

// The backbones of LPIPS. AlexNet is the original's default for measuring, VGG16 for losses;
// SqueezeNet needs the fewest weights. Their distances are not comparable with each other.
const (
	Squeeze Net = "squeeze" // SqueezeNet 1.1, seven taps
	Alex    Net = "alex"    // AlexNet, five taps
	VGG     Net = "vgg"     // VGG16, five taps
)

// Nets returns the names Open knows.
func Nets() []Net { return []Net{Squeeze, Alex, VGG} }

// Title returns the metric's version and the backbone, for tables and results.
func (n Net) Title() string { return "LPIPS v0.1 " + string(n) }

// Smallest returns the extent of the smallest image that the backbone can take. It panics if there
// is no such net.
func (n Net) Smallest() int { return n.spec().smallest }

// Channels returns the channels of the backbone's taps. It panics if there is no such net.
func (n Net) Channels() []int { return n.spec().channels }

// A spec is what the package knows about a backbone.
type spec struct {
	smallest int
	channels []int // of the taps
	build    func() backbone
	stem     string // how names of files with torchvision's weights begin
}

func (n Net) spec() spec {
	switch n {
	case Squeeze:
		return spec{models.SqueezeSmallest, []int{64, 128, 256, 384, 384, 512, 512},
			func() backbone { return models.NewSqueezeNetFeatures(3) }, "squeezenet1_1"}
	case Alex:
		return spec{31, []int{64, 192, 384, 256, 256}, newAlexNet, "alexnet"}
	case VGG:
		return spec{16, []int{64, 128, 256, 512, 512}, newVGG16, "vgg16"}
	}
	panic(&tensor.Error{Op: "lpips", Reason: fmt.Sprintf(
		"no network is called %q: expected one of %v", string(n), Nets())})
}

func (n Net) known() bool { return n == Squeeze || n == Alex || n == VGG }

// A backbone is a network without its classifier whose parameters have torchvision's names.
type backbone interface {
	nn.Module
	// Taps returns the activations that are compared, for normalised images [N H W 3].
	Taps(c *nn.Ctx, x *autodiff.Value) []*autodiff.Value
}

// A chain is a backbone without branches: convolutions with ReLU, and pools between them.
type chain struct {
	links []link
	pool  tensor.PoolParams
}

// A link is a convolution with its position in torchvision's "features".
type link struct {
	at     int
	conv   *nn.Conv2D
	pooled bool // behind a pool
	tap    bool
}

// Params yields features.0, ….
func (b *chain) Params() iter.Seq2[string, *nn.Param] {
	var ps nn.Params
	for _, l := range b.links {
		ps = append(ps, nn.Prefixed("features."+strconv.Itoa(l.at), l.conv)...)
	}
	return ps.Params()
}

// Taps returns the activations behind the ReLU of the links that are taps.
func (b *chain) Taps(c *nn.Ctx, x *autodiff.Value) (taps []*autodiff.Value) {
	h, tapped := x, true // the image is the caller's
	step := func(y *autodiff.Value) {
		if !tapped {
			h.Done()
		}
		h, tapped = y, false
	}
	for _, l := range b.links {
		if l.pooled {
			step(autodiff.MaxPool(h, b.pool))
		}
		step(l.conv.Forward(c, h))
		step(autodiff.ReLU(h))
		if l.tap {
			taps, tapped = append(taps, h), true
		}
	}
	return taps
}

// newAlexNet declares the convolutions of torchvision's AlexNet; pools are 3×3/2.
//
// Source: Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
// arXiv 1404.5997, in torchvision's form.
func newAlexNet() backbone {
	conv := func(in, out, k, stride, pad int) *nn.Conv2D {
		return nn.NewConv2D(nn.ConvConfig{In: in, Out: out, Kernel: k, Stride: stride, Pad: pad})
	}
	return &chain{pool: nn.Window(3, 2, 0), links: []link{
		{0, conv(3, 64, 11, 4, 2), false, true},
		{3, conv(64, 192, 5, 1, 2), true, true},
		{6, conv(192, 384, 3, 1, 1), true, true},
		{8, conv(384, 256, 3, 1, 1), false, true},
		{10, conv(256, 256, 3, 1, 1), false, true},
	}}
}

// newVGG16 declares the convolutions of VGG16, all 3×3; pools are 2×2/2; taps stand at the end of
// each block.
//
// Source: Simonyan and Zisserman, ICLR 2015, table 1, configuration D.
func newVGG16() backbone {
	b := &chain{pool: nn.Window(2, 2, 0)}
	in, at := 3, 0
	for block, convs := range []int{2, 2, 3, 3, 3} {
		out := min(64<<block, 512)
		for i := range convs {
			b.links = append(b.links, link{at: at, pooled: block > 0 && i == 0, tap: i == convs-1,
				conv: nn.NewConv2D(nn.ConvConfig{In: in, Out: out, Kernel: 3, Pad: 1})})
			in, at = out, at+2 // convolution, ReLU
		}
		at++ // pool
	}
	return b
}
