package gan

import (
	"fmt"
	"iter"

	"afterimage/autodiff"
	"afterimage/nn"
)

// A Discriminator scores an image x [N Size Size 3] in [−1, 1] under a condition y [N Cond]: the
// projection discriminator
//
//	h = Σ over pixels of ReLU(blocks(x)),  D(x, y) = w·h + b + (K·y)·h,  [N].
//
// For a one-hot y the last term is the usual inner product with the class's embedding; for logits
// it is the same linear map (PAPER.md, equation 2). K is spectrally normalised as one matrix.
//
// Source: Miyato and Koyama, ICLR 2018; Brock et al., ICLR 2019, appendix B.
type Discriminator struct {
	Config    Config
	Blocks    []*DBlock
	Attention *nn.SelfAttention // nil without
	Linear    *nn.Linear        // w, b
	Project   *nn.Linear        // K
}

// NewDiscriminator declares a discriminator; nn.Init gives it memory. Panics if the configuration
// is invalid.
func NewDiscriminator(c Config) *Discriminator {
	c.mustValidate("NewDiscriminator")
	d := &Discriminator{Config: c}
	in, size := 3, c.Size
	for i, m := range c.DMult {
		out := m * c.ChD
		d.Blocks = append(d.Blocks, newDBlock(c, in, out, c.DDown[i], i > 0))
		if in = out; c.DDown[i] {
			size /= 2
			if size == c.DAttention {
				d.Attention = nn.NewSelfAttention(out, c.SNEps, c.initializer())
			}
		}
	}
	d.Linear = nn.NewLinear(nn.LinearConfig{In: in, Out: 1, Spectral: true, Eps: c.SNEps,
		Init: c.initializer(), BiasInit: nn.Constant(0)})
	d.Project = nn.NewLinear(nn.LinearConfig{In: c.Cond, Out: in, NoBias: true, Spectral: true,
		Eps: c.SNEps, Init: nn.XavierNormal{Gain: 1}})
	return d
}

// Params yields the parameters in the order of the forward pass.
func (d *Discriminator) Params() iter.Seq2[string, *nn.Param] {
	var lists []nn.Params
	for i, b := range d.Blocks {
		lists = append(lists, nn.Prefixed(fmt.Sprintf("blocks.%d", i), b))
	}
	if d.Attention != nil {
		lists = append(lists, nn.Prefixed("attention", d.Attention))
	}
	lists = append(lists, nn.Prefixed("linear", d.Linear), nn.Prefixed("embed", d.Project))
	return nn.Join(lists...).Params()
}

// Forward scores images: x [N Size Size 3] and y [N Cond] to [N].
func (d *Discriminator) Forward(c *nn.Ctx, x, y *autodiff.Value) *autodiff.Value {
	nn.PowerIterate(c, d)
	// The caller keeps x.
	h, size := autodiff.Reshape(x, x.Shape()...).Then(c.Enter), d.Config.Size
	for i, b := range d.Blocks {
		h = h.Then(func(x *autodiff.Value) *autodiff.Value {
			return c.Parts(x, b.atOnce(x), func(x *autodiff.Value) *autodiff.Value {
				return b.Forward(c, x)
			})
		})
		if d.Config.DDown[i] {
			if size /= 2; size == d.Config.DAttention {
				h = h.Then(func(x *autodiff.Value) *autodiff.Value { return d.Attention.Forward(c, x) })
			}
		}
	}
	h = h.Then(autodiff.ReLU).Then(c.Leave).Then(autodiff.GlobalSumPool)
	score := autodiff.Reshape(d.Linear.Forward(c, h), h.Dim(0))
	return autodiff.Add(score, autodiff.Sum(autodiff.Mul(d.Project.Forward(c, y), h), 1))
}

// MACs returns the multiply-accumulates of convolutions and linear layers for one image.
func (d *Discriminator) MACs() int {
	n, size := d.Linear.MACs()+d.Project.MACs(), d.Config.Size
	for _, b := range d.Blocks {
		n += b.macs(size)
		if b.Down {
			size /= 2
		}
	}
	return n
}

// A DBlock is ReLU, conv3×3, ReLU, conv3×3, 2×2 average pooling, plus the skip. The first block of
// a network has no leading ReLU: its input is an image. Pooling and a 1×1 convolution commute, so
// the skip pools first.
type DBlock struct {
	Conv1, Conv2 *nn.Conv2D
	Skip         *nn.Conv2D // nil: identity, or none at all under the skip rule "widening"
	Down         bool
	preact, join bool
}

func newDBlock(c Config, in, out int, down, preact bool) *DBlock {
	b := &DBlock{Conv1: c.conv(in, out, 3), Conv2: c.resampledConv(out, out, 3, down), Down: down,
		preact: preact, join: in != out || c.SkipRule == "always"}
	if in != out || down && c.SkipRule == "always" {
		b.Skip = c.conv(in, out, 1)
	}
	return b
}

// Params yields the block's parameters.
func (b *DBlock) Params() iter.Seq2[string, *nn.Param] {
	lists := []nn.Params{nn.Prefixed("conv1", b.Conv1), nn.Prefixed("conv2", b.Conv2)}
	if b.Skip != nil {
		lists = append(lists, nn.Prefixed("conv_sc", b.Skip))
	}
	return nn.Join(lists...).Params()
}

// Forward maps x [N H W In] to [N H W Out], or half the extents with Down.
func (b *DBlock) Forward(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	h := x
	if b.preact {
		h = autodiff.ReLU(x)
	}
	h1 := b.Conv1.ForwardReLU(c, h, nil)
	if b.preact {
		h.Done()
	}
	forward := b.Conv2.Forward
	if b.Down {
		forward = b.Conv2.ForwardPooled
	}
	y := forward(c, h1)
	h1.Done()
	skip := x
	if !b.join {
		return y
	}
	if b.Down {
		skip = autodiff.AvgPool(x, nn.Window(2, 2, 0))
	}
	if b.Skip != nil {
		skip = b.Skip.Forward(c, skip)
	}
	out := autodiff.Add(y, skip)
	y.Done()
	return out
}

// widestBytes bounds the widest values inside the first block. The backward pass has three of them
// at a time, and later blocks have a quarter of the pixels: beside 128 images of 32 pixels and 256
// channels, 134 MB each, the rest of a recomputed step is small.
const widestBytes = 64 << 20

// atOnce returns how many samples of x pass the block at a time (nn.Ctx.Parts): as many as
// widestBytes allow of a network's first block, whose input is an image; all of any other. There
// the gradients of parts of x would be laid into as many zeros of all of x's size.
func (b *DBlock) atOnce(x *autodiff.Value) int {
	if b.preact {
		return max(1, x.Dim(0))
	}
	each := x.DType().Size() * x.Dim(1) * x.Dim(2) * b.Conv1.Weight.Shape[0]
	return max(1, widestBytes/max(1, each))
}

func (b *DBlock) macs(size int) int {
	m1, _, _ := b.Conv1.MACs(size, size)
	m2, _, _ := b.Conv2.MACs(size, size)
	if b.Skip == nil {
		return m1 + m2
	}
	if b.Down {
		size /= 2
	}
	m, _, _ := b.Skip.MACs(size, size)
	return m1 + m2 + m
}
