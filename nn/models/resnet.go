package models

import (
	"fmt"
	"iter"

	"afterimage/autodiff"
	"afterimage/nn"
)

// A block is one residual unit.
type block interface {
	nn.Layer
	macs(h, w int) (macs, oh, ow int)
}

// A shortcut is what a residual unit adds its branch to; nil is the identity.
type shortcut interface {
	nn.Layer
	macs(h, w int) int
}

// A residual network: stem, stages of blocks, global average pool, linear head.
type resnet struct {
	names resnetNames
	conv1 *nn.Conv2D
	bn1   *nn.BatchNorm2D // nil in a pre-activation network
	pool  bool            // 3×3/2 maximum after the stem
	stage [][]block
	norm  *nn.BatchNorm2D // of a pre-activation network with a final normalisation; else nil
	head  *nn.Linear
}

// resnetNames holds what differs between published parameter names.
type resnetNames struct{ head, down string }

var (
	torchvisionNames = resnetNames{head: "fc", down: "downsample"}
	cifarNames       = resnetNames{head: "linear", down: "shortcut"}
)

// Params yields conv1, bn1, layer1.0 …, (bn,) head.
func (r *resnet) Params() iter.Seq2[string, *nn.Param] {
	ps := nn.Prefixed("conv1", r.conv1)
	if r.bn1 != nil {
		ps = append(ps, nn.Prefixed("bn1", r.bn1)...)
	}
	for s, blocks := range r.stage {
		for i, b := range blocks {
			ps = append(ps, nn.Prefixed(fmt.Sprintf("layer%d.%d", s+1, i), b)...)
		}
	}
	if r.norm != nil {
		ps = append(ps, nn.Prefixed("bn", r.norm)...)
	}
	return append(ps, nn.Prefixed(r.names.head, r.head)...).Params()
}

// features returns the pooled activations [N F] and the logits [N K].
func (r *resnet) features(c *nn.Ctx, x *autodiff.Value) (pooled, logits *autodiff.Value) {
	h := c.Block(func() *autodiff.Value { return r.stem(c, x) })
	for _, blocks := range r.stage {
		for _, b := range blocks {
			h = h.Then(func(x *autodiff.Value) *autodiff.Value { return b.Forward(c, x) })
		}
	}
	if r.norm != nil {
		h = h.Then(func(x *autodiff.Value) *autodiff.Value { return r.norm.ForwardReLU(c, x, nil) })
	}
	pooled = h.Then(c.Leave).Then(autodiff.GlobalAvgPool)
	return pooled, r.head.Forward(c, pooled)
}

func (r *resnet) stem(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	var h *autodiff.Value
	if r.bn1 != nil {
		h = nn.ConvNormReLU(c, r.conv1, r.bn1, x, nil)
	} else {
		h = r.conv1.Forward(c, x)
	}
	if !r.pool {
		return h
	}
	return h.Then(func(x *autodiff.Value) *autodiff.Value {
		return autodiff.MaxPool(x, nn.Window(3, 2, 1))
	})
}

func (r *resnet) macs(h, w int) int {
	total, h, w := r.conv1.MACs(h, w)
	if r.pool {
		h, w = nn.Window(3, 2, 1).Out(h, w)
	}
	for _, blocks := range r.stage {
		for _, b := range blocks {
			m, oh, ow := b.macs(h, w)
			total, h, w = total+m, oh, ow
		}
	}
	return total + r.head.MACs()
}

func (r *resnet) flattened() map[string][3]int { return nil }

// conv declares a bias-free k×k convolution that keeps the extents but for the stride.
func conv(in, out, k, stride int, init nn.Initializer) *nn.Conv2D {
	return nn.NewConv2D(nn.ConvConfig{In: in, Out: out, Kernel: k, Stride: stride, Pad: k / 2,
		NoBias: true, Init: init})
}

// A basicBlock is relu(bn(conv3×3(relu(bn(conv3×3(x))))) + shortcut(x)).
//
// Source: He et al., "Deep residual learning", CVPR 2016, figure 5 left.
type basicBlock struct {
	down  string // the shortcut's name
	conv1 *nn.Conv2D
	bn1   *nn.BatchNorm2D
	conv2 *nn.Conv2D
	bn2   *nn.BatchNorm2D
	short shortcut
}

func newBasic(u unit) block {
	return &basicBlock{down: u.down,
		conv1: conv(u.in, u.out, 3, u.stride, u.init), bn1: nn.NewBatchNorm2D(u.out),
		conv2: conv(u.out, u.out, 3, 1, u.init), bn2: nn.NewBatchNorm2D(u.out), short: u.short}
}

// Params yields conv1, bn1, conv2, bn2, shortcut.
func (b *basicBlock) Params() iter.Seq2[string, *nn.Param] {
	return nn.Join(nn.Prefixed("conv1", b.conv1), nn.Prefixed("bn1", b.bn1),
		nn.Prefixed("conv2", b.conv2), nn.Prefixed("bn2", b.bn2),
		shortcutParams(b.down, b.short)).Params()
}

// Forward applies the block.
func (b *basicBlock) Forward(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	return c.Block(func() *autodiff.Value {
		h := nn.ConvNormReLU(c, b.conv1, b.bn1, x, nil)
		return addShortcut(c, b.conv2, b.bn2, h, x, b.short)
	})
}

func (b *basicBlock) macs(h, w int) (macs, oh, ow int) {
	m1, oh, ow := b.conv1.MACs(h, w)
	m2, oh, ow := b.conv2.MACs(oh, ow)
	return m1 + m2 + shortcutMACs(b.short, h, w), oh, ow
}

// A bottleneck is 1×1, 3×3 (which carries the stride), 1×1 with four times the channels, each
// followed by batch normalisation.
//
// Source: He et al. 2016, figure 5 right, with torchvision's place for the stride ("v1.5").
type bottleneck struct {
	down  string
	conv1 *nn.Conv2D
	bn1   *nn.BatchNorm2D
	conv2 *nn.Conv2D
	bn2   *nn.BatchNorm2D
	conv3 *nn.Conv2D
	bn3   *nn.BatchNorm2D
	short shortcut
}

// expansion is a bottleneck's ratio of output to inner channels.
const expansion = 4

func newBottleneck(u unit) block {
	mid := u.out / expansion
	return &bottleneck{down: u.down,
		conv1: conv(u.in, mid, 1, 1, u.init), bn1: nn.NewBatchNorm2D(mid),
		conv2: conv(mid, mid, 3, u.stride, u.init), bn2: nn.NewBatchNorm2D(mid),
		conv3: conv(mid, u.out, 1, 1, u.init), bn3: nn.NewBatchNorm2D(u.out), short: u.short}
}

// Params yields conv1, bn1, conv2, bn2, conv3, bn3, shortcut.
func (b *bottleneck) Params() iter.Seq2[string, *nn.Param] {
	return nn.Join(nn.Prefixed("conv1", b.conv1), nn.Prefixed("bn1", b.bn1),
		nn.Prefixed("conv2", b.conv2), nn.Prefixed("bn2", b.bn2),
		nn.Prefixed("conv3", b.conv3), nn.Prefixed("bn3", b.bn3),
		shortcutParams(b.down, b.short)).Params()
}

// Forward applies the block.
func (b *bottleneck) Forward(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	return c.Block(func() *autodiff.Value {
		h := nn.ConvNormReLU(c, b.conv1, b.bn1, x, nil)
		h2 := nn.ConvNormReLU(c, b.conv2, b.bn2, h, nil)
		h.Done()
		return addShortcut(c, b.conv3, b.bn3, h2, x, b.short)
	})
}

func (b *bottleneck) macs(h, w int) (macs, oh, ow int) {
	m1, oh, ow := b.conv1.MACs(h, w)
	m2, oh, ow := b.conv2.MACs(oh, ow)
	m3, oh, ow := b.conv3.MACs(oh, ow)
	return m1 + m2 + m3 + shortcutMACs(b.short, h, w), oh, ow
}

// addShortcut returns relu(bn(conv(h)) + short(x)) and gives up h.
func addShortcut(c *nn.Ctx, conv *nn.Conv2D, bn *nn.BatchNorm2D, h, x *autodiff.Value,
	short shortcut) *autodiff.Value {
	res := x
	if short != nil {
		res = short.Forward(c, x)
	}
	y := nn.ConvNormReLU(c, conv, bn, h, res)
	h.Done()
	if res != x {
		res.Done()
	}
	return y
}

func shortcutParams(name string, s shortcut) nn.Params {
	if s == nil {
		return nil
	}
	return nn.Prefixed(name, s)
}

func shortcutMACs(s shortcut, h, w int) int {
	if s == nil {
		return 0
	}
	return s.macs(h, w)
}

// A projection is the shortcut of option B: 1×1 convolution and, unless bn is nil, batch
// normalisation, under the names "0" and "1".
type projection struct {
	conv *nn.Conv2D
	bn   *nn.BatchNorm2D
}

// Params yields 0, 1.
func (p *projection) Params() iter.Seq2[string, *nn.Param] {
	ps := nn.Prefixed("0", p.conv)
	if p.bn != nil {
		ps = append(ps, nn.Prefixed("1", p.bn)...)
	}
	return ps.Params()
}

// Forward applies the projection.
func (p *projection) Forward(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	if p.bn == nil {
		return p.conv.Forward(c, x)
	}
	return nn.ConvNorm(c, p.conv, p.bn, x)
}

func (p *projection) macs(h, w int) int {
	m, _, _ := p.conv.MACs(h, w)
	return m
}

// A subsample is the parameter-free shortcut of option A: every stride-th pixel, and zero channels,
// half of them before and half behind.
//
// Source: He et al. 2016, section 4.2; the placement of the zeros is
// akamaster/pytorch_resnet_cifar10's.
type subsample struct{ in, out, stride int }

// Params yields nothing.
func (s *subsample) Params() iter.Seq2[string, *nn.Param] { return nn.Params(nil).Params() }

// Forward returns [N ⌈H/stride⌉ ⌈W/stride⌉ out].
func (s *subsample) Forward(_ *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	before := (s.out - s.in) / 2
	return autodiff.SlicePad(x, []int{0, 0, 0, 0}, x.Shape(), []int{1, s.stride, s.stride, 1},
		[]int{0, 0, 0, before}, []int{0, 0, 0, s.out - s.in - before})
}

func (s *subsample) macs(int, int) int { return 0 }
