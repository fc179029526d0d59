package gan

import (
	"testing"

	"afterimage/autodiff"
	"afterimage/bench/pytorch/golden"
	"afterimage/nn"
	"afterimage/nn/loss"
	"afterimage/nn/optim"
	"afterimage/nn/train"
	"afterimage/tensor"
)

// goldenSeed and goldenCond are those of bench/pytorch/biggan.py.
const (
	goldenSeed = 13
	goldenCond = 10
	goldenLR   = 1.0 / (1 << 13) // exact in single precision, as the optimizer holds it
)

// goldenTrainer returns a trainer of BigGAN-32 of four channels without data or classifier: its
// steps are called with images and conditions. Weights are drawn from a normal distribution.
func goldenTrainer(r *golden.Run) *Trainer {
	net := BigGAN32(4, goldenCond)
	net.Init = "normal"
	t := &Trainer{Config: InverterConfig{Batch: 8, DSteps: 1, LRG: goldenLR, LRD: goldenLR, Beta1: 0.5,
		Beta2: 0.999, AdamEps: 1e-6, EMA: 0.999, Net: net},
		G: NewGenerator(net), D: NewDiscriminator(net), backend: r.Backend, scope: r.Scope}
	nn.InitDType(r.Scope, nn.Join(nn.Prefixed("generator", t.G), nn.Prefixed("discriminator", t.D)),
		goldenSeed, r.DType)
	adam := optim.AdamConfig{Beta1: t.Config.Beta1, Beta2: t.Config.Beta2, Eps: t.Config.AdamEps}
	t.optG = optim.NewAdam(r.Scope, nn.Trainable(t.G), adam)
	t.optD = optim.NewAdam(r.Scope, nn.Trainable(t.D), adam)
	t.ema = optim.NewEMA(r.Scope, t.G, optim.EMAConfig{Decay: t.Config.EMA, WarmUp: true})
	return t
}

// goldenDraw fills a tensor from one of biggan.py's streams.
func goldenDraw(r *golden.Run, s *tensor.Scope, d tensor.Dist, name string, step int,
	shape ...int) *tensor.Tensor {
	x := s.New(r.DType, shape...)
	r.Backend.Random(d, tensor.NewKey(goldenSeed, "golden/"+name), x,
		tensor.FromSlice(s, []int32{int32(step)}, 1))
	return x
}

// goldenBatch returns n images in [−1, 1] and the conditions of a step.
func goldenBatch(r *golden.Run, s *tensor.Scope, step, n int) (x, cond *tensor.Tensor) {
	x = goldenDraw(r, s, tensor.Uniform, "images", step, n, 32, 32, 3)
	r.Backend.Unary(tensor.Affine, tensor.Attr{A: 2, B: -1}, x, x)
	return x, goldenDraw(r, s, tensor.Normal, "conditions", step, n, goldenCond)
}

// TestGoldenBigGAN makes twenty steps of the trainer's two players and compares both loss curves
// with those of the network and the step written by hand in PyTorch.
func TestGoldenBigGAN(t *testing.T) {
	if testing.Short() {
		t.Skip("short: twenty steps of both players take seconds")
	}
	golden.OnlySingle(t, "testdata/biggan_curve.safetensors", 1e-4, func(r *golden.Run) {
		d, g := goldenSteps(r, 20, 8)
		r.Curve("d_loss", d)
		r.Curve("g_loss", g)
	})
}

// goldenSteps makes alternating steps on n images each and returns both players' losses.
func goldenSteps(r *golden.Run, steps, n int) (d, g []float64) {
	tr := goldenTrainer(r)
	z := tr.Config.Net.ZDim
	for step := range steps {
		s := tensor.NewScope(r.Backend)
		x, cond := goldenBatch(r, s, step, n)
		var l Losses
		noise := goldenDraw(r, s, tensor.Normal, "noise", 2*step, n, z)
		given := func(*tensor.Scope) (_, _, _ *tensor.Tensor) { return x, cond, noise }
		if err := tr.discriminate(new(train.Move), nil, step, given, &l); err != nil {
			r.T.Fatal(err)
		}
		noise = goldenDraw(r, s, tensor.Normal, "noise", 2*step+1, n, z)
		if err := tr.generate(new(train.Move), nil, step, given, &l); err != nil {
			r.T.Fatal(err)
		}
		d, g = append(d, l.D), append(g, l.G)
		s.Close()
	}
	return d, g
}

// goldenTol: the double-precision bound is that of some fifty operations in a chain. In single
// precision an untrained network's spectral norms, one power iteration old, let activations grow,
// and gradients are differences of larger numbers.
var goldenTol = golden.Tolerances{F64: 1e-13, F32: 2e-5}

// TestGoldenBigGANStep compares both losses, every gradient of both players and some of the
// power iterations' vectors, and then the losses of four of the trainer's steps.
func TestGoldenBigGANStep(t *testing.T) {
	if testing.Short() {
		t.Skip("short: the reference backend takes a second for both networks")
	}
	golden.Each(t, "testdata/biggan_step.safetensors", goldenTol, func(r *golden.Run) {
		tr := goldenTrainer(r)
		z, n := tr.Config.Net.ZDim, 2
		x, cond := goldenBatch(r, r.Scope, 0, n)
		noise := func(k int) *tensor.Tensor {
			return goldenDraw(r, r.Scope, tensor.Normal, "noise", k, n, z)
		}
		goldenPlayer(r, "discriminator", tr.D, []string{"embed.weight_u", "blocks.0.conv1.weight_u"},
			func(g *autodiff.Graph, c *nn.Ctx) *autodiff.Value {
				y := g.Const(cond)
				fake := tr.G.Forward(nn.NewCtx(g, nn.Train), g.Const(noise(0)), y)
				scores := tr.D.Forward(c, autodiff.Concat(0, g.Const(x), fake),
					autodiff.Concat(0, y, y))
				parts := autodiff.Split(scores, 0, n, n)
				return loss.HingeDiscriminator(parts[0], parts[1])
			})
		goldenPlayer(r, "generator", tr.G, []string{"linear.weight_u", "blocks.2.bn1.gain.weight_u"},
			func(g *autodiff.Graph, c *nn.Ctx) *autodiff.Value {
				y := g.Const(cond)
				painted := tr.G.Forward(c, g.Const(noise(1)), y)
				return loss.HingeGenerator(tr.D.Forward(nn.NewCtx(g, nn.Train), painted, y))
			})
		d, g := goldenSteps(r, 4, n)
		r.CompareFloats("steps/d_loss", d)
		r.CompareFloats("steps/g_loss", g)
	})
}

// goldenPlayer compares one player's loss and gradients, and leaves it as it was but for the
// power iterations named in us, which it compares.
func goldenPlayer(r *golden.Run, player string, m nn.Module, us []string,
	f func(g *autodiff.Graph, c *nn.Ctx) *autodiff.Value) {
	r.T.Helper()
	g := autodiff.NewGraph(r.Backend)
	defer g.Close()
	params := nn.Trainable(m)
	c := nn.NewCtx(g, nn.Train, params)
	c.Updates = nn.NewUpdates(r.Backend)
	defer c.Updates.Discard()
	total := f(g, c)
	r.Compare(player+"/loss", total)
	var names []string
	for _, p := range params {
		names = append(names, player+"."+p.Name)
	}
	r.Gradients(names, autodiff.Grad(total, c.Values(params)))
	before := map[string][]float64{}
	for name, p := range m.Params() {
		before[name] = p.T.Floats()
	}
	c.Updates.Apply()
	for name, p := range m.Params() {
		for _, u := range us {
			if u == name {
				r.CompareTensor("u/"+player+"."+u, p.T)
			}
		}
		p.T.SetFloats(before[name])
	}
}
