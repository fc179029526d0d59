package bench

import (
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

// A spy is a backend that notes the convolutions a network asks for, so that the list of shapes
// cannot fall behind the networks.
type spy struct {
	*cpu.Backend
	seen []conv.Shape
}

// Conv2DBiasAct notes the shape and computes: every layer's convolution comes here.
func (s *spy) Conv2DBiasAct(y, x, w, bias, res *tensor.Tensor, relu bool, p tensor.ConvParams) {
	a, o := x.Shape(), w.Shape()
	s.seen = append(s.seen, conv.Shape{N: a[0], H: a[1], W: a[2], C: a[3], O: o[0], KH: o[1],
		KW:      o[2],
		StrideH: p.StrideH, StrideW: p.StrideW, PadTop: p.PadTop, PadLeft: p.PadLeft,
		PadBottom: p.PadBottom,
		PadRight:  p.PadRight, DilH: p.DilH, DilW: p.DilW, Groups: p.Groups})
	s.Backend.Conv2DBiasAct(y, x, w, bias, res, relu, p)
}

// A convCase is a shape with the networks it occurs in.
type convCase struct {
	conv.Shape
	nets []string
}

// convShapes lists every distinct convolution of the three networks of the main job, in order of
// first use, at the batch sizes they are trained with: ResNet-20 (128), ResNet-18-CIFAR (64), and
// both networks of the slim 32-pixel BigGAN (32; the discriminator sees 64).
func convShapes(b *cpu.Backend) []convCase {
	var all []convCase
	for _, n := range []struct {
		name  string
		batch int
		run   func(c *nn.Ctx, s *tensor.Scope)
	}{
		{"resnet20-cifar", 128, runClassifier("resnet20-cifar")},
		{"resnet18-cifar", 64, runClassifier("resnet18-cifar")},
		{"biggan32-slim16 G", 32, runGenerator},
		{"biggan32-slim16 D", 64, runDiscriminator},
	} {
		for _, s := range convsOf(b, n.run) {
			s.N = n.batch
			i := slices.IndexFunc(all, func(c convCase) bool { return c.Shape == s })
			if i < 0 {
				i = len(all)
				all = append(all, convCase{Shape: s})
			}
			if !slices.Contains(all[i].nets, n.name) {
				all[i].nets = append(all[i].nets, n.name)
			}
		}
	}
	return all
}

// convsOf runs a network on one image without gradients and returns its convolutions.
func convsOf(b *cpu.Backend, run func(c *nn.Ctx, s *tensor.Scope)) []conv.Shape {
	spy := &spy{Backend: b}
	s := tensor.NewScope(spy)
	defer s.Close()
	g := autodiff.NewGraph(spy)
	defer g.Close()
	g.NoGrad(func() { run(nn.NewCtx(g, false), s) })
	return spy.seen
}

// The values of weights do not matter for shapes: zeros cost nothing to make.
func zeroWeights(s *tensor.Scope, m nn.Module) {
	for _, p := range m.Params() {
		p.T = s.Zeros(tensor.F32, p.Shape...)
	}
}

func runClassifier(arch string) func(c *nn.Ctx, s *tensor.Scope) {
	return func(c *nn.Ctx, s *tensor.Scope) {
		m, err := models.New(arch, models.Options{})
		if err != nil {
			panic(err) // a name of the registry, written above
		}
		zeroWeights(s, m)
		m.Forward(c, c.Graph.Zeros(tensor.F32, 1, m.InputSize(), m.InputSize(), m.Channels()))
	}
}

// slim is the configuration of the inverter's networks.
func slim() gan.Config { return gan.Slim32(16, scenesClasses) }

func runGenerator(c *nn.Ctx, s *tensor.Scope) {
	cfg := slim()
	m := gan.NewGenerator(cfg)
	zeroWeights(s, m)
	m.Forward(c, c.Graph.Zeros(tensor.F32, 1, cfg.ZDim), c.Graph.Zeros(tensor.F32, 1, cfg.Cond))
}

func runDiscriminator(c *nn.Ctx, s *tensor.Scope) {
	cfg := slim()
	m := gan.NewDiscriminator(cfg)
	zeroWeights(s, m)
	m.Forward(c, c.Graph.Zeros(tensor.F32, 1, cfg.Size, cfg.Size, 3), c.Graph.Zeros(tensor.F32, 1,
		cfg.Cond))
}

// describe returns "128×32²×16 → 16 3×3", with /2 for stride 2.
func describe(s conv.Shape) string {
	text := fmt.Sprintf("%d×%d²×%d → %d  %d×%d", s.N, s.H, s.C, s.O, s.KH, s.KW)
	if s.StrideH > 1 {
		text += fmt.Sprintf("/%d", s.StrideH)
	}
	return text
}
