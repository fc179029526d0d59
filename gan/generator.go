package gan

import (
	"fmt"
	"iter"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
)

// A Generator paints an image from noise z [N ZDim] and a condition y [N Cond] (a one-hot label,
// logits or features):
//
//	e = y·Eᵀ;  h = Linear(z₀) as [N 4 4 w₀];  h = blockᵢ(h, (e, zᵢ)) doubling the image;
//	x = tanh(conv3×3(ReLU(BN(h)))), [N Size Size 3] in [−1, 1].
//
// E has neither bias nor spectral norm. Parameters are named as in BigGAN's authors' code, but
// for block numbering: "shared", "linear", "blocks.0.…", "output.…", "attention.…".
//
// Source: Brock et al., ICLR 2019, appendix B; PAPER.md for the choices.
type Generator struct {
	Config    Config
	Embed     *nn.Linear // nil: the condition goes to the blocks as it is
	First     *nn.Linear
	Blocks    []*GBlock
	Attention *nn.SelfAttention // nil without
	Norm      *nn.BatchNorm2D
	Last      *nn.Conv2D
}

// NewGenerator declares a generator; nn.Init gives it memory. Panics if the configuration is
// invalid.
func NewGenerator(c Config) *Generator {
	c.mustValidate("NewGenerator")
	first, _ := c.chunk()
	init := c.initializer()
	g := &Generator{Config: c}
	if c.Embed > 0 {
		g.Embed = nn.NewLinear(nn.LinearConfig{In: c.Cond, Out: c.Embed, NoBias: true, Init: init})
	}
	g.First = nn.NewLinear(nn.LinearConfig{In: first, Out: c.GMult[0] * c.ChG * 16, Spectral: true,
		Eps: c.SNEps, Init: init, BiasInit: nn.Constant(0)})
	size := 4
	for i := range len(c.GMult) - 1 {
		g.Blocks = append(g.Blocks, newGBlock(c, c.GMult[i]*c.ChG, c.GMult[i+1]*c.ChG))
		if size *= 2; size == c.GAttention {
			g.Attention = nn.NewSelfAttention(c.GMult[i+1]*c.ChG, c.SNEps, init)
		}
	}
	last := c.GMult[len(c.GMult)-1] * c.ChG
	g.Norm = nn.NewBatchNorm2D(last)
	g.Norm.Eps = c.BNEps
	g.Last = c.conv(last, 3, 3)
	return g
}

// Params yields the parameters in the order of the forward pass.
func (g *Generator) Params() iter.Seq2[string, *nn.Param] {
	var lists []nn.Params
	if g.Embed != nil {
		lists = append(lists, nn.Prefixed("shared", g.Embed))
	}
	lists = append(lists, nn.Prefixed("linear", g.First))
	for i, b := range g.Blocks {
		lists = append(lists, nn.Prefixed(fmt.Sprintf("blocks.%d", i), b))
	}
	if g.Attention != nil {
		lists = append(lists, nn.Prefixed("attention", g.Attention))
	}
	lists = append(lists, nn.Prefixed("output.0", g.Norm), nn.Prefixed("output.1", g.Last))
	return nn.Join(lists...).Params()
}

// Forward paints images, [N Size Size 3] in [−1, 1], from z [N ZDim] and y [N Cond].
func (g *Generator) Forward(c *nn.Ctx, z, y *autodiff.Value) *autodiff.Value {
	if z.Dim(-1) != g.Config.ZDim || y.Dim(-1) != g.Config.Cond {
		panic(&tensor.Error{Op: "Generator", Operands: []tensor.Operand{
			{Name: "z", Shape: z.Shape(), DType: z.DType()},
			{Name: "y", Shape: y.Shape(), DType: y.DType()}},
			Reason: fmt.Sprintf("expected z [N %d] and y [N %d]", g.Config.ZDim, g.Config.Cond)})
	}
	nn.PowerIterate(c, g)
	if g.Embed != nil {
		y = g.Embed.Forward(c, y)
	}
	first, chunk := g.Config.chunk()
	n, size := z.Dim(0), 4
	h := autodiff.Reshape(g.First.Forward(c, columns(z, 0, first)), n, 4, 4,
		g.Config.GMult[0]*g.Config.ChG).Then(c.Enter)
	for i, b := range g.Blocks {
		cond := y
		if chunk > 0 {
			from := first + i*chunk
			cond = autodiff.Concat(1, y, columns(z, from, from+chunk))
		}
		h = h.Then(func(x *autodiff.Value) *autodiff.Value {
			return c.Block(func() *autodiff.Value { return b.Forward(c, x, cond) })
		})
		if size *= 2; size == g.Config.GAttention {
			h = h.Then(func(x *autodiff.Value) *autodiff.Value { return g.Attention.Forward(c, x) })
		}
	}
	return h.Then(func(x *autodiff.Value) *autodiff.Value {
		return c.Block(func() *autodiff.Value { return g.output(c, x) })
	})
}

// output is the last layer, from x [N Size Size w] to the image.
func (g *Generator) output(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	a := g.Norm.ForwardReLU(c, x, nil)
	y := g.Last.Forward(c, a).Then(c.Leave)
	a.Done()
	return y.Then(autodiff.Tanh)
}

// columns returns z[:, from:to].
func columns(z *autodiff.Value, from, to int) *autodiff.Value {
	if from == 0 && to == z.Dim(1) {
		return z
	}
	return autodiff.Slice(z, []int{0, from}, []int{z.Dim(0), to}, []int{1, 1})
}

// MACs returns the multiply-accumulates of convolutions and linear layers for one image;
// attention's matrix products are not counted.
func (g *Generator) MACs() int {
	n := g.First.MACs()
	if g.Embed != nil {
		n += g.Embed.MACs()
	}
	size := 4
	for _, b := range g.Blocks {
		n += b.macs(size)
		size *= 2
	}
	m, _, _ := g.Last.MACs(size, size)
	return n + m
}

// A GBlock doubles the image: conditional BN, ReLU, ×2, conv3×3, conditional BN, ReLU, conv3×3,
// plus the skip ×2, conv1×1. A 1×1 convolution and nearest upsampling commute, so the skip's runs
// at the low resolution.
type GBlock struct {
	Norm1, Norm2 *nn.ConditionalBatchNorm
	Conv1, Conv2 *nn.Conv2D
	Skip         *nn.Conv2D // nil where the skip rule has none
	zero         bool       // zero insertion instead of nearest neighbour
}

func newGBlock(c Config, in, out int) *GBlock {
	norm := func(ch int) *nn.ConditionalBatchNorm {
		return nn.NewConditionalBatchNorm(nn.CondNormConfig{Channels: ch, Cond: c.blockCond(),
			Spectral: c.CondSN, SNEps: c.SNEps, PlainGain: c.PlainGain, Eps: c.BNEps, Init: c.initializer()})
	}
	zero := c.Upsample == "zero"
	b := &GBlock{Norm1: norm(in), Conv1: c.resampledConv(in, out, 3, !zero), Norm2: norm(out),
		Conv2: c.conv(out, out, 3), zero: zero}
	if in != out || c.SkipRule == "always" {
		b.Skip = c.conv(in, out, 1)
	}
	return b
}

// Params yields the block's parameters.
func (b *GBlock) Params() iter.Seq2[string, *nn.Param] {
	lists := []nn.Params{nn.Prefixed("bn1", b.Norm1), nn.Prefixed("conv1", b.Conv1),
		nn.Prefixed("bn2", b.Norm2), nn.Prefixed("conv2", b.Conv2)}
	if b.Skip != nil {
		lists = append(lists, nn.Prefixed("conv_sc", b.Skip))
	}
	return nn.Join(lists...).Params()
}

// Forward maps x [N H W In] under cond [N D] to [N 2H 2W Out].
func (b *GBlock) Forward(c *nn.Ctx, x, cond *autodiff.Value) *autodiff.Value {
	h := b.first(c, x, cond)
	h2 := b.Norm2.ForwardReLU(c, h, cond)
	h.Done()
	defer h2.Done()
	if b.Skip == nil {
		return b.Conv2.Forward(c, h2)
	}
	skip := b.skip(c, x)
	defer skip.Done()
	return b.Conv2.ForwardAdd(c, h2, skip)
}

// first normalises x, doubles it and convolves it.
func (b *GBlock) first(c *nn.Ctx, x, cond *autodiff.Value) *autodiff.Value {
	if b.zero || b.Conv1.JoinsUpsampling(c, x) {
		small := b.Norm1.ForwardReLU(c, x, cond)
		defer small.Done()
		return b.conv1(c, small)
	}
	up := b.Norm1.ForwardReLUUpsampled(c, x, cond, 2)
	defer up.Done()
	return b.Conv1.Forward(c, up)
}

// conv1 doubles x and convolves it.
func (b *GBlock) conv1(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	if !b.zero {
		return b.Conv1.ForwardUpsampled(c, x)
	}
	up := b.upsample(x)
	defer up.Done()
	return b.Conv1.Forward(c, up)
}

// skip is the second way of x, 1×1 and doubled.
func (b *GBlock) skip(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	if b.zero { // a bias does not commute with inserted zeros
		return b.Skip.Forward(c, b.upsample(x))
	}
	return b.upsample(b.Skip.Forward(c, x))
}

// upsample doubles x, by repetition or with zeros between its pixels.
func (b *GBlock) upsample(x *autodiff.Value) *autodiff.Value {
	if !b.zero {
		return autodiff.Upsample(x, 2)
	}
	n, h, w, c := x.Dim(0), x.Dim(1), x.Dim(2), x.Dim(3)
	apart := autodiff.Pad(autodiff.Reshape(x, n, h, 1, w, 1, c), make([]int, 6),
		[]int{0, 0, 1, 0, 1, 0})
	return autodiff.Reshape(apart, n, 2*h, 2*w, c)
}

func (b *GBlock) macs(size int) int {
	m1, _, _ := b.Conv1.MACs(2*size, 2*size)
	m2, _, _ := b.Conv2.MACs(2*size, 2*size)
	n := m1 + m2
	for _, l := range []*nn.ConditionalBatchNorm{b.Norm1, b.Norm2} {
		n += l.Gain.MACs() + l.Shift.MACs()
	}
	if b.Skip != nil {
		s := size
		if b.zero {
			s = 2 * size
		}
		m, _, _ := b.Skip.MACs(s, s)
		n += m
	}
	return n
}
