package nn_test

import (
	"math"
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/loss"
	"afterimage/nn/models"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// halfway is a backend that keeps activations in BF16; on a CPU tensor/ref computes with them.
type halfway struct{ *cpu.Backend }

func (halfway) Activations() tensor.DType { return tensor.BF16 }

// What a loss, relative to 1 + itself, and a gradient, as the norm of the difference of all
// parameters' together over the norm, may be off by when activations are rounded to 2⁻⁸ of
// themselves behind each layer. The gradient's bound is that of nine layers with batch
// normalisation over as few as 64 numbers, whose gradients are small differences; without
// normalisation networks stay within a third of it.
const (
	halfLoss     = 2e-2
	halfGradient = 0.15
)

// A halved is what one pass of a network gives.
type halved struct {
	loss  float64
	grads []float64
}

// pass runs f, a network with parameters m, and takes its gradients.
func pass(t *testing.T, b tensor.Backend, m nn.Module, recompute bool,
	f func(c *nn.Ctx) *autodiff.Value) (r halved) {
	t.Helper()
	g := autodiff.NewGraph(b)
	defer g.Close()
	learn := nn.Trainable(m)
	c := nn.NewCtx(g, nn.Train, learn)
	c.Updates, c.Recompute = nn.NewUpdates(b), recompute
	defer c.Updates.Discard()
	y := f(c)
	if y.DType() != tensor.F32 {
		t.Fatalf("the loss is %v", y.DType())
	}
	for i, d := range autodiff.Grad(y, c.Values(learn)) {
		if d.DType() != tensor.F32 {
			t.Errorf("the gradient of %s is %v", learn[i].Name, d.DType())
		}
		r.grads = append(r.grads, d.Tensor().Floats()...)
	}
	r.loss = y.Item()
	return r
}

// halfNets are a classifier of each family and both players of a GAN, with attention.
func halfNets(t *testing.T, s *tensor.Scope) map[string]struct {
	m nn.Module
	f func(c *nn.Ctx) *autodiff.Value
} {
	type net = struct {
		m nn.Module
		f func(c *nn.Ctx) *autodiff.Value
	}
	draw := func(name string, shape ...int) *tensor.Tensor {
		x := s.New(tensor.F32, shape...)
		s.Backend().Random(tensor.Uniform, tensor.NewKey(1, name), x,
			tensor.FromSlice(s, []int32{0}, 1))
		return x
	}
	all, labels := map[string]net{}, []int32{0, 1, 4, 2, 0, 1, 2, 3, 4, 2, 3, 1, 0, 3, 1, 4}
	for arch, size := range map[string]int{"resnet8": 8, "resnet2b": 8, "convnet-mnist": 12} {
		m, err := models.New(arch, models.Options{Classes: 5, Channels: 3, InputSize: size,
			Mean: []float64{0.4, 0.5, 0.6}, Std: []float64{0.2, 0.3, 0.4}})
		if err != nil {
			t.Fatal(err)
		}
		x, target := draw("x", len(labels), size, size, 3), tensor.FromSlice(s, labels, len(labels))
		all[arch] = net{m, func(c *nn.Ctx) *autodiff.Value {
			return loss.CrossEntropy(m.Forward(c, c.Graph.Const(x)), target, 0)
		}}
	}
	cfg := gan.Slim32(4, 5)
	cfg.GAttention, cfg.DAttention = 16, 16
	cfg.ChG, cfg.ChD = 8, 8
	g, d := gan.NewGenerator(cfg), gan.NewDiscriminator(cfg)
	x, z, y := draw("x", 2, 32, 32, 3), draw("z", 2, cfg.ZDim), draw("y", 2, 5)
	all["generator"] = net{nn.Join(nn.Prefixed("g", g), nn.Prefixed("d", d)),
		func(c *nn.Ctx) *autodiff.Value {
			v := c.Graph.Const
			return loss.HingeGenerator(d.Forward(c, g.Forward(c, v(z), v(y)), v(y)))
		}}
	all["discriminator"] = net{d, func(c *nn.Ctx) *autodiff.Value {
		v := c.Graph.Const
		s := d.Forward(c, v(x), v(y))
		return loss.HingeDiscriminator(s, autodiff.Neg(s))
	}}
	return all
}

// TestHalfActivations compares losses and gradients of networks that compute in BF16 with those in
// F32, and recomputation with keeping, bit for bit.
func TestHalfActivations(t *testing.T) {
	if testing.Short() {
		t.Skip("short: tensor/ref computes in BF16")
	}
	b := cpu.Open(2)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	for name, n := range halfNets(t, s) {
		t.Run(name, func(t *testing.T) {
			nn.Init(s, n.m, 3)
			for _, p := range nn.List(n.m) { // attention begins with none
				if p.Param.Shape.Equal(tensor.Shape{1}) {
					p.Param.T.SetFloats([]float64{0.5})
				}
			}
			want, got := pass(t, b, n.m, false, n.f), pass(t, halfway{b}, n.m, false, n.f)
			if d := math.Abs(got.loss - want.loss); !(d <= halfLoss*(1+math.Abs(want.loss))) || d == 0 {
				t.Errorf("loss %.6g, in F32 %.6g", got.loss, want.loss)
			}
			d, norm := 0.0, 0.0
			for i, w := range want.grads {
				d, norm = d+(got.grads[i]-w)*(got.grads[i]-w), norm+w*w
			}
			if off := math.Sqrt(d / norm); !(off <= halfGradient) {
				t.Errorf("the gradient is off by %.2g of its norm", off)
			} else {
				t.Logf("loss off by %.1e, gradient by %.1e", got.loss-want.loss, off)
			}
			again := pass(t, halfway{b}, n.m, true, n.f)
			if again.loss != got.loss || !slices.Equal(again.grads, got.grads) {
				t.Error("recomputed, loss or gradients have other bits")
			}
		})
	}
}

// TestHalfInference wants a lasting pass, a single one and one in which gradients could be asked
// for to give the same logits, and the weights untouched.
func TestHalfInference(t *testing.T) {
	b := halfway{cpu.Open(2)}
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	m := newWide()
	nn.Init(s, m, 1)
	x := s.Full(tensor.F32, 0.5, 1, 8, 8, 3)
	run := func(c *nn.Ctx) []float64 {
		return m.Forward(c, c.Enter(c.Graph.Const(x))).Tensor().Floats()
	}
	g := autodiff.NewGraph(b)
	defer g.Close()
	want := run(nn.NewCtx(g, nn.Eval, nn.Trainable(m)))
	var once []float64
	g.NoGrad(func() { once = run(nn.NewCtx(g, nn.Eval)) })
	if !slices.Equal(once, want) {
		t.Errorf("without gradients %v, with %v", once, want)
	}
	i := nn.NewInference(b)
	defer i.Close()
	for range 2 {
		i.Pass(func(c *nn.Ctx) {
			if got := run(c); !slices.Equal(got, want) {
				t.Errorf("lasting %v, else %v", got, want)
			}
		})
	}
}
