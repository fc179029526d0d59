package models

import (
	"iter"
	"strconv"

	"afterimage/autodiff"
	"afterimage/nn"
)

// A plainBlock is a basic block with biased convolutions and no normalisation.
type plainBlock struct {
	conv1, conv2 *nn.Conv2D
	short        *nn.Conv2D // 1×1 where the shape changes; else nil
}

func biased(in, out, k, stride, pad int) *nn.Conv2D {
	return nn.NewConv2D(nn.ConvConfig{In: in, Out: out, Kernel: k, Stride: stride, Pad: pad})
}

// Params yields conv1, conv2, shortcut.0.
func (b *plainBlock) Params() iter.Seq2[string, *nn.Param] {
	ps := nn.Join(nn.Prefixed("conv1", b.conv1), nn.Prefixed("conv2", b.conv2))
	if b.short != nil {
		ps = append(ps, nn.Prefixed("shortcut.0", b.short)...)
	}
	return ps.Params()
}

// Forward applies the block.
func (b *plainBlock) Forward(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	return c.Block(func() *autodiff.Value {
		h := b.conv1.ForwardReLU(c, x, nil)
		res := x
		if b.short != nil {
			res = b.short.Forward(c, x)
		}
		return b.conv2.ForwardReLU(c, h, res)
	})
}

func (b *plainBlock) macs(h, w int) (macs, oh, ow int) {
	return pairMACs(b.conv1, b.conv2, b.short, h, w)
}

// pairMACs is the work of a block of two convolutions beside a shortcut, which may be nil.
func pairMACs(conv1, conv2, short *nn.Conv2D, h, w int) (macs, oh, ow int) {
	m1, oh, ow := conv1.MACs(h, w)
	m2, oh, ow := conv2.MACs(oh, ow)
	if short != nil {
		m, _, _ := short.MACs(h, w)
		m1 += m
	}
	return m1 + m2, oh, ow
}

// A resnet2b is the small residual network of the neural network verification competition 2021: one
// strided stem, two blocks, two linear layers, no normalisation.
//
// Source: stanleybak/vnncomp2021, benchmarks/cifar10_resnet.
type resnet2b struct {
	conv1            *nn.Conv2D
	blocks           [2]*plainBlock
	linear1, linear2 *nn.Linear
	side             int // extent of the last activations
}

func newResNet2b(o Options) network {
	side := (o.InputSize + 3) / 4 // two strides of 2, rounding up
	return &resnet2b{
		conv1: biased(o.Channels, 8, 3, 2, 1),
		blocks: [2]*plainBlock{
			{biased(8, 16, 3, 2, 1), biased(16, 16, 3, 1, 1), biased(8, 16, 1, 2, 0)},
			{biased(16, 16, 3, 1, 1), biased(16, 16, 3, 1, 1), nil}},
		linear1: nn.NewLinear(nn.LinearConfig{In: 16 * side * side, Out: 100}),
		linear2: nn.NewLinear(nn.LinearConfig{In: 100, Out: o.Classes}),
		side:    side,
	}
}

// Params yields conv1, layer1.0, layer1.1, linear1, linear2.
func (r *resnet2b) Params() iter.Seq2[string, *nn.Param] {
	ps := nn.Prefixed("conv1", r.conv1)
	for i, b := range r.blocks {
		ps = append(ps, nn.Prefixed("layer1."+strconv.Itoa(i), b)...)
	}
	return nn.Join(ps,
		nn.Prefixed("linear1", r.linear1), nn.Prefixed("linear2", r.linear2)).Params()
}

func (r *resnet2b) features(c *nn.Ctx, x *autodiff.Value) (hidden, logits *autodiff.Value) {
	h := r.conv1.ForwardReLU(c, x, nil)
	for _, b := range r.blocks {
		h = b.Forward(c, h)
	}
	hidden = autodiff.ReLU(r.linear1.Forward(c, nn.Flatten(h.Then(c.Leave))))
	return hidden, r.linear2.Forward(c, hidden)
}

func (r *resnet2b) macs(h, w int) int {
	total, h, w := r.conv1.MACs(h, w)
	for _, b := range r.blocks {
		m, oh, ow := b.macs(h, w)
		total, h, w = total+m, oh, ow
	}
	return total + r.linear1.MACs() + r.linear2.MACs()
}

func (r *resnet2b) flattened() map[string][3]int {
	return map[string][3]int{"linear1.weight": {16, r.side, r.side}}
}

// A lenet is LeNet-5 with ReLU and maximum pooling: 5×5 convolutions to 6, 16 and 120 channels,
// then 84 and the classes. It wants 32×32 images.
//
// Source: LeCun et al. 1998; names are csinva/gan-vae-pretrained-pytorch's.
type lenet struct {
	c1, c3, c5 *nn.Conv2D
	f6, f7     *nn.Linear
	side       int // extent behind c5: 1 for 32×32 images
}

func newLeNet(o Options) network {
	side := ((o.InputSize-4)/2-4)/2 - 4
	return &lenet{
		c1: biased(o.Channels, 6, 5, 1, 0), c3: biased(6, 16, 5, 1, 0),
		c5:   biased(16, 120, 5, 1, 0),
		f6:   nn.NewLinear(nn.LinearConfig{In: 120 * side * side, Out: 84}),
		f7:   nn.NewLinear(nn.LinearConfig{In: 84, Out: o.Classes}),
		side: side}
}

// Params yields convnet.c1, convnet.c3, convnet.c5, fc.f6, fc.f7.
func (l *lenet) Params() iter.Seq2[string, *nn.Param] {
	return nn.Join(nn.Prefixed("convnet.c1", l.c1), nn.Prefixed("convnet.c3", l.c3),
		nn.Prefixed("convnet.c5", l.c5),
		nn.Prefixed("fc.f6", l.f6), nn.Prefixed("fc.f7", l.f7)).Params()
}

func (l *lenet) features(c *nn.Ctx, x *autodiff.Value) (hidden, logits *autodiff.Value) {
	pool := nn.Window(2, 2, 0)
	h := autodiff.MaxPool(l.c1.ForwardReLU(c, x, nil), pool)
	h = autodiff.MaxPool(l.c3.ForwardReLU(c, h, nil), pool)
	h = l.c5.ForwardReLU(c, h, nil)
	hidden = autodiff.ReLU(l.f6.Forward(c, nn.Flatten(h.Then(c.Leave))))
	return hidden, l.f7.Forward(c, hidden)
}

func (l *lenet) macs(h, w int) int {
	m1, h, w := l.c1.MACs(h, w)
	m3, h, w := l.c3.MACs(h/2, w/2)
	m5, _, _ := l.c5.MACs(h/2, w/2)
	return m1 + m3 + m5 + l.f6.MACs() + l.f7.MACs()
}

func (l *lenet) flattened() map[string][3]int {
	return map[string][3]int{"fc.f6.weight": {120, l.side, l.side}}
}

// A convnet is the usual small MNIST network of robust training: two strided 4×4 convolutions
// and two linear layers, with indices as names.
//
// Source: Wong et al., "Fast is better than free", ICLR 2020, locuslab/fast_adversarial.
type convnet struct {
	conv0, conv2 *nn.Conv2D
	fc5, fc7     *nn.Linear
	side         int
}

func newConvNet(o Options) network {
	side := o.InputSize / 2 / 2
	return &convnet{conv0: biased(o.Channels, 16, 4, 2, 1), conv2: biased(16, 32, 4, 2, 1),
		fc5:  nn.NewLinear(nn.LinearConfig{In: 32 * side * side, Out: 100}),
		fc7:  nn.NewLinear(nn.LinearConfig{In: 100, Out: o.Classes}),
		side: side}
}

// Params yields 0, 2, 5, 7.
func (n *convnet) Params() iter.Seq2[string, *nn.Param] {
	return nn.Join(nn.Prefixed("0", n.conv0), nn.Prefixed("2", n.conv2),
		nn.Prefixed("5", n.fc5), nn.Prefixed("7", n.fc7)).Params()
}

func (n *convnet) features(c *nn.Ctx, x *autodiff.Value) (hidden, logits *autodiff.Value) {
	h := n.conv0.ForwardReLU(c, x, nil)
	h = n.conv2.ForwardReLU(c, h, nil)
	hidden = autodiff.ReLU(n.fc5.Forward(c, nn.Flatten(h.Then(c.Leave))))
	return hidden, n.fc7.Forward(c, hidden)
}

func (n *convnet) macs(h, w int) int {
	m0, h, w := n.conv0.MACs(h, w)
	m2, _, _ := n.conv2.MACs(h, w)
	return m0 + m2 + n.fc5.MACs() + n.fc7.MACs()
}

func (n *convnet) flattened() map[string][3]int {
	return map[string][3]int{"5.weight": {32, n.side, n.side}}
}
