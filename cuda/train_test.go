//go:build linux && amd64 && cgo

package cuda

import (
	"math"
	"strings"
	"testing"

	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/models"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// What two engines that round differently may differ by after some steps: losses relative to
// 1 + |loss|, weights as the norm of the difference over the norm. Rounding is 6e-8 an operation
// and a step chains thousands; Adam's first steps turn the rounding of gradients near zero into
// whole steps of the learning rate, which is what the weights' bound leaves room for.
const (
	lossTolerance   = 1e-4
	weightTolerance = 2e-3
)

// follow makes the same steps on both engines and compares every loss and, at the end, every tensor
// of the training's state.
func follow(t *testing.T, steps int, start func(b tensor.Backend) (func(i int) []float64, nn.Params,
	func())) {
	t.Helper()
	host, device := cpu.Open(2), open(t, Options{})
	defer host.Close()
	stepHost, stateHost, closeHost := start(host)
	defer closeHost()
	stepDevice, stateDevice, closeDevice := start(device)
	defer closeDevice()
	for i := range steps {
		want, got := stepHost(i), stepDevice(i)
		for k := range want {
			if d := math.Abs(got[k] - want[k]); !(d <= lossTolerance*(1+math.Abs(want[k]))) {
				t.Errorf("step %d, loss %d: %.8g, on the CPU %.8g", i, k, got[k], want[k])
			}
		}
	}
	compared, free := 0, 0.0
	for i, p := range stateHost {
		if spared(p.Name) {
			free = max(free, farthest(stateDevice[i].Param.T.Floats(), p.Param.T.Floats()))
		}
	}
	for i, p := range stateHost {
		if spared(p.Name) {
			continue
		}
		want, got := p.Param.T.Floats(), stateDevice[i].Param.T.Floats()
		if meansBiases(p.Name) && farthest(got, want) <= biasesAdded*0.1*free*float64(steps) {
			continue
		}
		if d := distance(got, want); !(d <= weightTolerance) {
			t.Errorf("%s differs by %.2g of its norm", p.Name, d)
		}
		compared += len(want)
	}
	if err := device.Sync(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d steps, %d numbers of state agree; device memory at most %.1f MB", steps, compared,
		mb(device.Memory().Peak))
}

// spared names what cannot agree: a bias in front of a batch normalisation has no effect, so its
// gradient is rounding alone, which Adam turns into steps of the learning rate in either direction.
// The losses show that nothing depends on them.
func spared(name string) bool {
	ours := strings.HasPrefix(name, "generator.blocks.") || strings.HasPrefix(name,
		"average.ema.blocks.") || strings.HasPrefix(name, "optimizer.g.")
	return ours && strings.Contains(name, ".conv") && strings.HasSuffix(name, ".bias")
}

// biasesAdded is how many such biases meet in one mean: those of a block's last convolution and of
// its skip, and along the skips those of the blocks before, three in all.
const biasesAdded = 2 * 3

// meansBiases names running means of what such biases are part of, times the momentum of 0.1, in
// each step.
func meansBiases(name string) bool {
	ours := strings.HasPrefix(name, "generator.") || strings.HasPrefix(name, "average.ema.")
	return ours && strings.HasSuffix(name, ".running_mean")
}

// farthest returns the largest |got − want|.
func farthest(got, want []float64) (d float64) {
	for i, w := range want {
		d = max(d, math.Abs(got[i]-w))
	}
	return d
}

// distance returns ‖got − want‖/‖want‖; a norm below 1e-3 counts as that.
func distance(got, want []float64) float64 {
	d, n := 0.0, 0.0
	for i, w := range want {
		d += (got[i] - w) * (got[i] - w)
		n += w * w
	}
	return math.Sqrt(d) / max(math.Sqrt(n), 1e-3)
}

// TestTrainClassifier trains a small ResNet on drawn scenes, an adversary included.
func TestTrainClassifier(t *testing.T) {
	if testing.Short() {
		t.Skip("short: TestRecordShares runs steps of a network, too")
	}
	cfg := train.ClassifierConfig{Kind: "classifier", Arch: "resnet2b", Dataset: "scenes",
		TrainImages: 8, ValImages: 2, TestImages: 2, Batch: 4, Epochs: 2, LR: 0.1, Momentum: 0.9,
		WeightDecay: 5e-4, Schedule: "triangular", Flip: true, Seed: 3, Best: 1,
		Attack: train.Adversary{Norm: "linf", Eps: 4.0 / 255, StepSize: 5.0 / 255, Steps: 1}}
	follow(t, 3, func(b tensor.Backend) (func(i int) []float64, nn.Params, func()) {
		c, err := train.NewClassifier(b, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return func(i int) []float64 {
			loss, err := c.Step(i, c.Loader().Batch(i))
			if err != nil {
				t.Fatal(err)
			}
			return []float64{loss}
		}, c.State(), c.Close
	})
}

// TestTrainBF16 trains in bf16 and wants losses near those in F32 on the CPU, but not equal: what
// rounding each operand by 2⁻⁸ makes of a loss after a few layers, with room.
func TestTrainBF16(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds under the emulator")
	}
	const tolerance = 2e-2
	host, device := cpu.Open(1), open(t, Options{Precision: tensor.BF16})
	defer host.Close()
	losses := func(b tensor.Backend) (all []float64) {
		c, err := train.NewClassifier(b, robust())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for i := range 4 {
			l, err := c.Step(i, c.Loader().Batch(i))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, l)
		}
		return all
	}
	want, got := losses(host), losses(device)
	same := 0
	for i, w := range want {
		if d := math.Abs(got[i] - w); !(d <= tolerance*(1+math.Abs(w))) {
			t.Errorf("step %d: loss %.6g, in F32 %.6g", i, got[i], w)
		} else if d < 1e-5 {
			same++
		}
	}
	if same == len(want) {
		t.Error("nothing was rounded")
	}
}

// TestTrainInverter trains a small BigGAN that inverts a classifier: spectral norm, conditional
// batch norm, hinge losses, two optimizers, the average of weights.
func TestTrainInverter(t *testing.T) {
	if testing.Short() {
		t.Skip("short: a minute under the emulator")
	}
	cfg := gan.DefaultInverter()
	cfg.TrainImages, cfg.Batch, cfg.Seed = 16, 2, 5
	cfg.Steps, cfg.DSteps = 6, 1
	cfg.Net = attentive(0)
	follow(t, 2, func(b tensor.Backend) (func(i int) []float64, nn.Params, func()) {
		s := tensor.NewScope(b)
		m, err := models.New("convnet-mnist", models.Options{Classes: 10, InputSize: 32, Channels: 3})
		if err != nil {
			t.Fatal(err)
		}
		nn.Init(s, m, 3)
		g, err := gan.NewTrainer(b, m, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return func(i int) []float64 {
			l, err := g.Step(i)
			if err != nil {
				t.Fatal(err)
			}
			return []float64{l.D, l.G, l.Real, l.Fake}
		}, g.State(), func() { g.Close(); s.Close() }
	})
}
