package bench

import (
	"cmp"
	"fmt"
	"slices"

	"afterimage/autodiff"
	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/models"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/cpu/conv"
)

// A net is one of the networks whose shapes the kernels are measured on.
type net struct {
	name  string
	batch int
	build func() nn.Module
	run   func(c *nn.Ctx, s *tensor.Scope, m nn.Module)
}

// biggan is the 32-pixel network of BigGAN's authors conditioned on the scores of ten classes.
func biggan(ch int) gan.Config { return gan.BigGAN32(ch, scenesClasses) }

// scenesClasses is how many classes the inverted classifier has: as CIFAR-10's.
const scenesClasses = 10

// nets lists the networks at the batch sizes they are trained with. BigGAN's discriminator sees
// real and painted images in one batch.
func nets() []net {
	return []net{
		classifierNet("resnet20-cifar", 128),
		classifierNet("resnet18-cifar", 64),
		classifierNet("resnet50", 8),
		{"biggan32-ch64 G", 64, func() nn.Module { return gan.NewGenerator(biggan(64)) }, runGenerator},
		{"biggan32-ch64 D", 128, func() nn.Module { return gan.NewDiscriminator(biggan(64)) },
			runDiscriminator},
	}
}

func classifierNet(arch string, batch int) net {
	return net{arch, batch, func() nn.Module {
		m, err := models.New(arch, models.Options{})
		if err != nil {
			panic(err) // a name of the registry, written above
		}
		return m
	}, func(c *nn.Ctx, s *tensor.Scope, m nn.Module) {
		k := m.(*models.Classifier)
		k.Forward(c, c.Graph.Zeros(tensor.F32, 1, k.InputSize(), k.InputSize(), k.Channels()))
	}}
}

func runGenerator(c *nn.Ctx, s *tensor.Scope, m nn.Module) {
	g := m.(*gan.Generator)
	g.Forward(c, c.Graph.Zeros(tensor.F32, 1, g.Config.ZDim),
		c.Graph.Zeros(tensor.F32, 1, g.Config.Cond))
}

func runDiscriminator(c *nn.Ctx, s *tensor.Scope, m nn.Module) {
	d := m.(*gan.Discriminator)
	d.Forward(c, c.Graph.Zeros(tensor.F32, 1, d.Config.Size, d.Config.Size, 3),
		c.Graph.Zeros(tensor.F32, 1, d.Config.Cond))
}

// A spy is a backend that notes the convolutions a network asks for and computes none: shapes
// follow from shapes.
type spy struct {
	*cpu.Backend
	seen []conv.Shape
}

// Conv2D notes the shape.
func (s *spy) Conv2D(y, x, w *tensor.Tensor, p tensor.ConvParams) {
	s.Conv2DBiasAct(y, x, w, nil, nil, false, p)
}

// Conv2DBiasAct notes the shape: every layer's convolution comes here. What reads a filter of even
// size with stride 2 is a 3×3 convolution joined with the mean behind it, and stands for that.
func (s *spy) Conv2DBiasAct(y, x, w, bias, res *tensor.Tensor, relu bool, p tensor.ConvParams) {
	a, o := x.Shape(), w.Shape()
	c := conv.Shape{N: a[0], H: a[1], W: a[2], C: a[3], O: o[0], KH: o[1], KW: o[2],
		StrideH: p.StrideH, StrideW: p.StrideW, PadTop: p.PadTop, PadLeft: p.PadLeft,
		PadBottom: p.PadBottom, PadRight: p.PadRight, DilH: p.DilH, DilW: p.DilW, Groups: p.Groups}
	if c.KH%2 == 0 && c.StrideH == 2 {
		c.KH, c.KW, c.StrideH, c.StrideW = c.KH-1, c.KW-1, 1, 1
	}
	s.seen = append(s.seen, c)
	s.Fill(y, 0)
}

// Conv2DInputGrad notes the 3×3 convolution of an enlarged image that it stands for in a forward
// pass: see autodiff.UpsampledFilter.
func (s *spy) Conv2DInputGrad(dx, dy, w *tensor.Tensor, p tensor.ConvParams) {
	a, k := dx.Shape(), w.Shape()[1]-1
	pad := k - 1 - p.PadTop
	s.seen = append(s.seen, conv.Square(a[0], a[1], a[2], dy.Shape()[3], a[3], k, 1, pad))
	s.Fill(dx, 0)
}

// A convCase is a shape with how often each network's forward pass has it.
type convCase struct {
	conv.Shape
	uses map[string]int
}

// convShapes lists every distinct convolution of the networks, network by network, from large
// images and few channels to small ones and many: an order that does not change when a network
// computes the same in another one.
func convShapes() []convCase {
	b := cpu.Open(1)
	defer b.Close()
	var all []convCase
	for _, n := range nets() {
		for _, s := range n.convs(b) {
			s.N = n.batch
			i := slices.IndexFunc(all, func(c convCase) bool { return c.Shape == s })
			if i < 0 {
				i = len(all)
				all = append(all, convCase{s, map[string]int{}})
			}
			all[i].uses[n.name]++
		}
	}
	return all
}

// convs runs the network on one image without gradients and returns its convolutions.
func (n net) convs(b *cpu.Backend) []conv.Shape {
	spy := &spy{Backend: b}
	s := tensor.NewScope(spy)
	defer s.Close()
	g := autodiff.NewGraph(spy)
	defer g.Close()
	m := n.build()
	for _, p := range m.Params() {
		p.T = s.Zeros(tensor.F32, p.Shape...) // values do not matter for shapes
	}
	g.NoGrad(func() { n.run(nn.NewCtx(g, nn.Eval), s, m) })
	slices.SortStableFunc(spy.seen, func(a, b conv.Shape) int {
		return cmp.Or(cmp.Compare(b.H, a.H), cmp.Compare(a.C, b.C), cmp.Compare(a.O, b.O),
			cmp.Compare(a.KH, b.KH), cmp.Compare(a.StrideH, b.StrideH))
	})
	return spy.seen
}

// A linearCase is a linear layer's product: x [rows in] times the transpose of w [out in].
type linearCase struct {
	rows, out, in int
	uses          map[string]int
}

// linearShapes lists every distinct linear layer of the networks with more than one output.
func linearShapes() []linearCase {
	var all []linearCase
	for _, n := range nets() {
		for _, p := range nn.List(n.build()) {
			s := p.Param.Shape
			if len(s) != 2 || s[0] == 1 {
				continue
			}
			i := slices.IndexFunc(all, func(c linearCase) bool {
				return c.rows == n.batch && c.out == s[0] && c.in == s[1]
			})
			if i < 0 {
				i = len(all)
				all = append(all, linearCase{n.batch, s[0], s[1], map[string]int{}})
			}
			all[i].uses[n.name]++
		}
	}
	return all
}

// describe returns "128×32²×16 → 16  3×3", with /2 for stride 2.
func describe(s conv.Shape) string {
	text := fmt.Sprintf("%d×%d²×%d → %d  %d×%d", s.N, s.H, s.C, s.O, s.KH, s.KW)
	if s.StrideH > 1 {
		text += fmt.Sprintf("/%d", s.StrideH)
	}
	return text
}
