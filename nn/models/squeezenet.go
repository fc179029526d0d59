package models

import (
	"fmt"
	"iter"
	"strconv"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
)

// A fire module squeezes with a 1×1 convolution and expands with a 1×1 and a 3×3 one, whose outputs
// stand side by side:
//
//	s = relu(squeeze(x)),  y = [relu(expand1x1(s)), relu(expand3x3(s))].
//
// Source: Iandola et al., "SqueezeNet", arXiv 1602.07360, figure 1; names are torchvision's.
type fire struct{ squeeze, expand1, expand3 *nn.Conv2D }

// newFire declares a module of in channels that squeezes to mid and expands to 2·half.
func newFire(in, mid, half int) *fire {
	return &fire{squeezeConv(in, mid, 1, 1, 0), squeezeConv(mid, half, 1, 1, 0),
		squeezeConv(mid, half, 3, 1, 1)}
}

// squeezeConv declares a biased convolution with torchvision's initialisation of this network.
func squeezeConv(in, out, k, stride, pad int) *nn.Conv2D {
	return nn.NewConv2D(nn.ConvConfig{In: in, Out: out, Kernel: k, Stride: stride, Pad: pad,
		Init: nn.KaimingUniform{}, BiasInit: nn.Constant(0)})
}

// Params yields squeeze, expand1x1, expand3x3.
func (f *fire) Params() iter.Seq2[string, *nn.Param] {
	return nn.Join(nn.Prefixed("squeeze", f.squeeze), nn.Prefixed("expand1x1", f.expand1),
		nn.Prefixed("expand3x3", f.expand3)).Params()
}

// Forward applies the module.
func (f *fire) Forward(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	return c.Block(func() *autodiff.Value {
		s := f.squeeze.ForwardReLU(c, x, nil)
		e1, e3 := f.expand1.ForwardReLU(c, s, nil), f.expand3.ForwardReLU(c, s, nil)
		s.Done()
		y := autodiff.Concat(3, e1, e3)
		e1.Done()
		e3.Done()
		return y
	})
}

func (f *fire) macs(h, w int) int {
	m0, _, _ := f.squeeze.MACs(h, w)
	m1, _, _ := f.expand1.MACs(h, w)
	m3, _, _ := f.expand3.MACs(h, w)
	return m0 + m1 + m3
}

// The positions of SqueezeNet 1.1's layers in torchvision's "features": a convolution at 0, maximum
// pooling at 2, 5 and 8, fire modules everywhere else from 3 to 12.
const squeezeFirstFire, squeezeLast = 3, 12

func squeezePools(i int) bool { return i == 2 || i == 5 || i == 8 }

// SqueezeTaps is the number of activations that SqueezeNetFeatures gives.
const SqueezeTaps = 7

// SqueezeSmallest is the extent of the smallest image that SqueezeNet 1.1 can take.
const SqueezeSmallest = 17

// SqueezeNetFeatures is SqueezeNet 1.1 without its classifier: 3×3/2 convolution, eight fire
// modules, three 3×3/2 maximum pools that round extents up. Its parameters are "features.0.weight"
// to "features.12.expand3x3.bias".
//
// Source: the network of forresti/SqueezeNet, v1.1; names, order and the rounding are
// torchvision's.
type SqueezeNetFeatures struct {
	conv  *nn.Conv2D
	fires [squeezeLast + 1]*fire // by position; nil where there is none
}

// NewSqueezeNetFeatures declares the network for images of the given number of channels.
func NewSqueezeNetFeatures(channels int) *SqueezeNetFeatures {
	f := &SqueezeNetFeatures{conv: squeezeConv(channels, 64, 3, 2, 0)}
	in, at := 64, squeezeFirstFire
	for _, w := range [][2]int{{16, 64}, {16, 64}, {32, 128}, {32, 128}, {48, 192}, {48, 192},
		{64, 256}, {64, 256}} {
		if squeezePools(at) {
			at++
		}
		f.fires[at] = newFire(in, w[0], w[1])
		in = 2 * w[1]
		at++
	}
	return f
}

// Params yields features.0, features.3, ….
func (f *SqueezeNetFeatures) Params() iter.Seq2[string, *nn.Param] {
	ps := nn.Prefixed("features.0", f.conv)
	for i, m := range f.fires {
		if m != nil {
			ps = append(ps, nn.Prefixed("features."+strconv.Itoa(i), m)...)
		}
	}
	return ps.Params()
}

// Taps returns the SqueezeTaps activations, all behind a ReLU, in front of each pool and behind
// each of the last four fire modules, for normalised images x [N H W C]. Their channels are 64,
// 128, 256, 384, 384, 512, 512; the last is the network's output. Extents are those of a
// convolution of stride 2 without padding, halved (rounding up) by each pool.
// Panics with *tensor.Error if x is smaller than SqueezeSmallest.
func (f *SqueezeNetFeatures) Taps(c *nn.Ctx, x *autodiff.Value) []*autodiff.Value {
	if x.Rank() != 4 || min(x.Dim(1), x.Dim(2)) < SqueezeSmallest {
		panic(&tensor.Error{Op: "SqueezeNetFeatures",
			Operands: []tensor.Operand{tensor.Describe("x", x.Tensor())},
			Reason:   fmt.Sprintf("expected images of at least %d×%[1]d", SqueezeSmallest)})
	}
	h := f.conv.ForwardReLU(c, x, nil)
	taps := make([]*autodiff.Value, 0, SqueezeTaps)
	for i := 2; i <= squeezeLast; i++ {
		if squeezePools(i) {
			taps = append(taps, h)
			h = autodiff.MaxPool(h, squeezePool(h.Dim(1), h.Dim(2)))
			continue
		}
		y := f.fires[i].Forward(c, h)
		if i > 9 { // h came from the module before: a tap of its own
			taps = append(taps, h)
		} else {
			h.Done()
		}
		h = y
	}
	return append(taps, h)
}

// squeezePool returns the 3×3/2 maximum pool that rounds up. Where a side has two pixels the window
// overhangs it; the maximum is that of a window cut to the image.
func squeezePool(h, w int) tensor.PoolParams {
	p := nn.Window(3, 2, 0)
	p.CeilMode, p.KH, p.KW = true, min(3, h), min(3, w)
	return p
}

func (f *SqueezeNetFeatures) macs(h, w int) (macs, oh, ow int) {
	macs, h, w = f.conv.MACs(h, w)
	for i := 2; i <= squeezeLast; i++ {
		if squeezePools(i) {
			h, w = squeezePool(h, w).Out(h, w)
			continue
		}
		macs += f.fires[i].macs(h, w)
	}
	return macs, h, w
}

// A squeezeNet is SqueezeNet 1.1: its features, a 1×1 convolution to the classes, ReLU, and the
// mean over the image. The dropout in front of that convolution is left out: this package's
// networks have no random layers.
type squeezeNet struct {
	*SqueezeNetFeatures
	head *nn.Conv2D
}

func newSqueezeNet(o Options) network {
	return &squeezeNet{NewSqueezeNetFeatures(o.Channels), nn.NewConv2D(nn.ConvConfig{In: 512,
		Out: o.Classes, Kernel: 1, Init: nn.NormalInit{Std: 0.01}, BiasInit: nn.Constant(0)})}
}

// Params yields features.0 …, classifier.1.
func (n *squeezeNet) Params() iter.Seq2[string, *nn.Param] {
	return nn.Join(nn.List(n.SqueezeNetFeatures), nn.Prefixed("classifier.1", n.head)).Params()
}

// features returns the mean over the image of what the last convolution reads, [N 512], and the
// logits [N K]. The logits are no linear function of that mean: a ReLU stands in between.
func (n *squeezeNet) features(c *nn.Ctx, x *autodiff.Value) (pooled, logits *autodiff.Value) {
	h := c.Graph.Tidy(func() *autodiff.Value { return n.Taps(c, x)[SqueezeTaps-1] }).Then(c.Leave)
	pooled = autodiff.GlobalAvgPool(h)
	scores := n.head.ForwardReLU(c, h, nil)
	h.Done()
	logits = autodiff.GlobalAvgPool(scores)
	scores.Done()
	return pooled, logits
}

func (n *squeezeNet) macs(h, w int) int {
	total, h, w := n.SqueezeNetFeatures.macs(h, w)
	m, _, _ := n.head.MACs(h, w)
	return total + m
}

func (n *squeezeNet) flattened() map[string][3]int { return nil }
