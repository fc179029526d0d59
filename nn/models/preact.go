package models

import (
	"iter"

	"afterimage/autodiff"
	"afterimage/nn"
)

// A preactBlock is conv3×3(relu(bn(conv3×3(a)))) + shortcut with a = relu(bn(x)). There are two
// published forms: kuangliu/pytorch-cifar projects a and has no normalisation before the pooling;
// locuslab/fast_adversarial projects the raw x and normalises at the end. The identity shortcut is
// the raw x in both.
//
// Source: He et al., "Identity mappings in deep residual networks", ECCV 2016.
type preactBlock struct {
	bn1   *nn.BatchNorm2D
	conv1 *nn.Conv2D
	bn2   *nn.BatchNorm2D
	conv2 *nn.Conv2D
	short *nn.Conv2D // 1×1 where the shape changes; else nil
	raw   bool       // the projection reads x instead of a
}

func newPreact(raw bool) newBlock {
	return func(u unit) block {
		b := &preactBlock{
			bn1: nn.NewBatchNorm2D(u.in), conv1: conv(u.in, u.out, 3, u.stride, u.init),
			bn2: nn.NewBatchNorm2D(u.out), conv2: conv(u.out, u.out, 3, 1, u.init), raw: raw}
		if u.reshapes() {
			b.short = conv(u.in, u.out, 1, u.stride, u.init)
		}
		return b
	}
}

// Params yields bn1, conv1, bn2, conv2, shortcut.0.
func (b *preactBlock) Params() iter.Seq2[string, *nn.Param] {
	ps := nn.Join(nn.Prefixed("bn1", b.bn1), nn.Prefixed("conv1", b.conv1),
		nn.Prefixed("bn2", b.bn2), nn.Prefixed("conv2", b.conv2))
	if b.short != nil {
		ps = append(ps, nn.Prefixed("shortcut.0", b.short)...)
	}
	return ps.Params()
}

// Forward applies the block.
func (b *preactBlock) Forward(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	return c.Block(func() *autodiff.Value {
		a := b.bn1.ForwardReLU(c, x, nil)
		res := x
		if b.short != nil && b.raw {
			res = b.short.Forward(c, x)
		} else if b.short != nil {
			res = b.short.Forward(c, a)
		}
		h := nn.ConvNormReLU(c, b.conv1, b.bn2, a, nil)
		a.Done()
		y := b.conv2.ForwardAdd(c, h, res)
		h.Done()
		if res != x {
			res.Done()
		}
		return y
	})
}

func (b *preactBlock) macs(h, w int) (macs, oh, ow int) {
	return pairMACs(b.conv1, b.conv2, b.short, h, w)
}
