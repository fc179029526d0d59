//go:build linux && amd64 && cgo

package cuda

import (
	"math"
	"testing"

	"afterimage/cuda/kernels"
	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/loss"
	"afterimage/nn/models"
	"afterimage/nn/optim"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// halfLoss is how far losses of networks that compute in BF16 may be from those in F32 in the first
// steps, relative to 1 + themselves: what rounding to 2⁻⁸ behind each of some ten layers makes of
// them, with room for a ReLU that falls otherwise and for the weights, which by then differ.
const halfLoss = 5e-2

// near makes the same steps on the CPU in F32 and on the fake device in bf16 and compares losses.
func near(t *testing.T, o Options, steps int,
	start func(b tensor.Backend) (func(i int) []float64, func())) {
	t.Helper()
	host, device := cpu.Open(2), open(t, o)
	defer host.Close()
	stepHost, closeHost := start(host)
	defer closeHost()
	stepDevice, closeDevice := start(device)
	defer closeDevice()
	worst := 0.0
	for i := range steps {
		want, got := stepHost(i), stepDevice(i)
		for k, w := range want {
			d := math.Abs(got[k]-w) / (1 + math.Abs(w))
			if worst = max(worst, d); !(d <= halfLoss) {
				t.Errorf("step %d, loss %d: %.6g, in F32 on the CPU %.6g", i, k, got[k], w)
			}
		}
	}
	if worst < 1e-6 {
		t.Error("nothing was rounded")
	}
	if err := device.Sync(); err != nil {
		t.Error(err)
	}
	t.Logf("%d steps, losses within %.1e", steps, worst)
}

// TestTrainHalf trains a residual network and both players of a BigGAN with attention on BF16
// activations.
func TestTrainHalf(t *testing.T) {
	if testing.Short() {
		t.Skip("short: a minute under the emulator")
	}
	t.Run("resnet", func(t *testing.T) {
		near(t, Options{Precision: tensor.BF16}, 2,
			func(b tensor.Backend) (func(i int) []float64, func()) {
				cfg := train.ClassifierConfig{Kind: "classifier", Arch: "resnet8", Dataset: "scenes",
					TrainImages: 16, ValImages: 2, TestImages: 2, Batch: 4, Epochs: 2, LR: 0.02, Momentum: 0.9,
					WeightDecay: 5e-4, Schedule: "constant", Flip: true, Seed: 3, Best: 1}
				c, err := train.NewClassifier(b, cfg)
				if err != nil {
					t.Fatal(err)
				}
				return func(i int) []float64 {
					l, err := c.Step(i, c.Loader().Batch(i))
					if err != nil {
						t.Fatal(err)
					}
					return []float64{l}
				}, c.Close
			})
	})
	t.Run("biggan", func(t *testing.T) {
		near(t, Options{Precision: tensor.BF16}, 2,
			func(b tensor.Backend) (func(i int) []float64, func()) {
				p, step := players(t, b, 4, attentive(10))
				return step, p.Close
			})
	})
}

// attentive is a small BigGAN with attention in both players.
func attentive(cond int) gan.Config {
	c := gan.Slim32(4, cond)
	c.GAttention, c.DAttention = 16, 8
	return c
}

// players returns a GAN's training on given images and conditions.
func players(t *testing.T, b tensor.Backend, batch int, net gan.Config) (*gan.Trainer,
	func(i int) []float64) {
	t.Helper()
	cfg := gan.DefaultInverter()
	cfg.Batch, cfg.Seed, cfg.Net = batch, 5, net
	cfg.Net.Init = "normal" // faster to draw
	p, err := gan.NewPlayers(b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := tensor.NewScope(b)
	t.Cleanup(s.Close)
	x, cond := s.New(tensor.F32, batch, net.Size, net.Size, 3), s.New(tensor.F32, batch, net.Cond)
	zero := tensor.FromSlice(s, []int32{0}, 1)
	b.Random(tensor.Uniform, tensor.NewKey(7, "x"), x, zero)
	b.Random(tensor.Normal, tensor.NewKey(7, "cond"), cond, zero)
	return p, func(i int) []float64 {
		d, err := p.DiscriminatorStep(i, x, cond)
		if err != nil {
			t.Fatal(err)
		}
		g, err := p.GeneratorStep(i, cond)
		if err != nil {
			t.Fatal(err)
		}
		return []float64{d.D, d.Real, d.Fake, g.G}
	}
}

// A ghost is a device on which nothing runs: it counts launches, and the bytes that tensors and
// scratch memory of our own kernels take, so that a step of a large network can be measured without
// a card.
type ghost struct {
	kernels.Methods
	activations tensor.DType
	composed    bool // no kernel of attention is used
	live, peak  int
	made        int // bytes of all tensors and scratch memory
	largest     int // bytes of one
	next        uint64
	launches    map[string]int // by the kernel's name
	cast        int            // bytes that casts have read and written
}

type ghostBuffer struct {
	address uint64
	bytes   int
}

// Bytes returns the size that was asked for.
func (b *ghostBuffer) Bytes() int { return b.bytes }

// count is how many kernels were launched.
func (g *ghost) count() int {
	all := 0
	for _, n := range g.launches {
		all += n
	}
	return all
}

func newGhost(activations tensor.DType) *ghost {
	g := &ghost{activations: activations, next: 1 << 20, launches: map[string]int{}}
	g.Methods = kernels.NewMethods(func(encode func(e *kernels.Encoder)) {
		before := g.live
		count := func(l kernels.Launch) { g.launches[l.Entry]++ }
		encode(&kernels.Encoder{Emit: count, Scratch: func(bytes int) uint64 {
			return g.take(bytes).address
		}})
		g.live = before
	}, func(b tensor.Buffer) uint64 { return b.(*ghostBuffer).address })
	return g
}

// Cast counts the bytes.
func (g *ghost) Cast(dst, x *tensor.Tensor) {
	if dst.DType() != x.DType() {
		g.cast += dst.Bytes() + x.Bytes()
	}
	g.Methods.Cast(dst, x)
}

func (g *ghost) take(bytes int) *ghostBuffer {
	const align = 256
	b := &ghostBuffer{g.next, bytes}
	g.next += uint64(bytes+align-1) / align * align
	g.live += bytes
	g.made += bytes
	g.largest = max(g.largest, bytes)
	g.peak = max(g.peak, g.live)
	return b
}

func (g *ghost) Name() string                           { return "ghost" }
func (g *ghost) Activations() tensor.DType              { return g.activations }
func (g *ghost) Alloc(bytes int) (tensor.Buffer, error) { return g.take(bytes), nil }
func (g *ghost) Free(b tensor.Buffer)                   { g.live -= b.Bytes() }
func (g *ghost) Upload(tensor.Buffer, []byte)           {}
func (g *ghost) Download(dst []byte, src tensor.Buffer) { clear(dst) }
func (g *ghost) FusesAttention(q, k, v *tensor.Tensor) bool {
	return !g.composed && g.Methods.FusesAttention(q, k, v)
}
func (g *ghost) Sync() error { return nil }

// TestHalfMemory counts a step's bytes: in BF16 a step takes little more than half of what it takes
// in F32, the rest being weights, gradients and the optimizer's state.
func TestHalfMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("short: make test counts it")
	}
	for _, n := range []struct {
		name  string
		most  float64 // share of the F32 step's peak
		start func(t *testing.T, b tensor.Backend)
	}{
		{"resnet50, 64 images of 224 pixels", 0.56, func(t *testing.T, b tensor.Backend) {
			classify(t, b, "resnet50", 64, 224, 1000)
		}},
		{"resnet18-cifar, 128 images of 32 pixels", 0.65, func(t *testing.T, b tensor.Backend) {
			classify(t, b, "resnet18-cifar", 128, 32, 10)
		}},
		{"biggan32 ch 64, 64 images", 0.65, func(t *testing.T, b tensor.Backend) {
			p, step := players(t, b, 64, gan.BigGAN32(64, 10))
			defer p.Close()
			step(0)
		}},
	} {
		t.Run(n.name, func(t *testing.T) {
			if testing.Short() && n.name[:6] == "biggan" {
				t.Skip("short: draws millions of weights")
			}
			wide, half := newGhost(tensor.F32), newGhost(tensor.BF16)
			n.start(t, wide)
			n.start(t, half)
			t.Logf("peak %.0f MB in F32, %.0f MB in BF16: %.2f", float64(wide.peak)/1e6,
				float64(half.peak)/1e6, float64(half.peak)/float64(wide.peak))
			if share := float64(half.peak) / float64(wide.peak); !(share <= n.most) {
				t.Errorf("%.2f of the memory in F32, expected at most %.2f", share, n.most)
			}
		})
	}
}

// classify makes a training step of a classifier on images without contents.
func classify(t *testing.T, b tensor.Backend, arch string, batch, size, classes int) {
	t.Helper()
	step, done := classifying(t, b, arch, batch, size, classes)
	defer done()
	step()
}

// classifying returns what makes one such step after another, and what ends them.
func classifying(t *testing.T, b tensor.Backend, arch string, batch, size, classes int) (step,
	done func()) {
	t.Helper()
	s := tensor.NewScope(b)
	m, err := models.New(arch, models.Options{Classes: classes, InputSize: size})
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, m, 1)
	opt := optim.NewSGD(s, nn.Trainable(m), optim.SGDConfig{Momentum: 0.9})
	x, labels := s.New(tensor.F32, batch, size, size, 3), s.New(tensor.I32, batch)
	move := train.NewMove(b)
	return func() {
		move.Measure(b, nil, opt.Targets(), func(p *train.Pass) {
			p.Minimise(loss.CrossEntropy(m.Forward(p.Ctx, p.Graph.Const(x)), labels, 0))
		})
		opt.Begin(1, 0.1)
		move.Update(func(p *train.Pass) { opt.Update(p.Gradients()) })
	}, func() { move.Close(); s.Close() }
}

// TestHalfLaunches counts a step's launches and its casts. Once the optimizer writes what passes
// read of weights, the image's remains, that of the gradient where activations are F32 again, and
// that of the maximum's gradient, which is added up in F32.
func TestHalfLaunches(t *testing.T) {
	if testing.Short() {
		t.Skip("short: make test counts them")
	}
	const convolutions, others = 53, 3
	const most = 562 // launches: some ten a convolution, what batch norms keep once for all
	g := newGhost(tensor.BF16)
	step, done := classifying(t, g, "resnet50", 64, 224, 1000)
	defer done()
	for i, want := range []int{2*convolutions + others, others} { // first for the pass and the shadow
		clear(g.launches)
		g.cast = 0
		step()
		t.Logf("step %d: %d launches, casts move %.1f MB", i+1, g.count(), float64(g.cast)/1e6)
		if got := g.count(); i == 1 && got > most {
			t.Errorf("%d launches, at most %d expected", got, most)
		}
		if got := g.launches["cast_bf16_f32"]; got != want {
			t.Errorf("step %d: %d casts to bf16, want %d", i+1, got, want)
		}
	}
}
