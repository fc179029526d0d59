package main

import (
	_ "embed"
	"fmt"
	"math"

	"afterimage/autodiff"
	"afterimage/cuda"
	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/loss"
	"afterimage/nn/models"
	"afterimage/nn/optim"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// script is PyTorch doing the same.
//
//go:embed pytorch.py
var script string

// agreement trains a classifier and an inverter for 20 steps on the card and on the CPU and
// compares every loss.
func agreement(c *check) error {
	n := 20
	if c.tiny {
		n = 1
	}
	for _, o := range []struct {
		name string
		cuda.Options
	}{{"own", cuda.Options{Own: true}}, {"libraries", cuda.Options{}}} {
		for name, start := range map[string]func(tensor.Backend, bool) (func(i int) ([]float64, error),
			func(), error){"classifier": classifierSteps, "inverter": inverterSteps} {
			if c.tiny && name == "inverter" {
				continue // minutes under the emulator
			}
			worst, err := c.follow(o.Options, n, start)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			const tolerance = 1e-2 // 20 steps of two engines that round differently drift apart
			c.say(line{Stage: "agreement", Name: name + ", " + o.name, OK: worst <= tolerance,
				Values: map[string]any{"steps": n, "worst_relative": worst}})
		}
	}
	return nil
}

// follow returns the largest difference of a loss relative to 1 + |loss|.
func (c *check) follow(o cuda.Options, n int, start func(tensor.Backend, bool) (
	func(i int) ([]float64, error), func(), error)) (worst float64, err error) {
	device, err := c.open(o)
	if err != nil {
		return 0, err
	}
	defer device.Close()
	host := cpu.Open(0)
	defer host.Close()
	onHost, closeHost, err := start(host, c.tiny)
	if err != nil {
		return 0, err
	}
	defer closeHost()
	onDevice, closeDevice, err := start(device, c.tiny)
	if err != nil {
		return 0, err
	}
	defer closeDevice()
	for i := range n {
		want, err := onHost(i)
		if err != nil {
			return 0, err
		}
		got, err := onDevice(i)
		if err != nil {
			return 0, err
		}
		for k, w := range want {
			worst = max(worst, math.Abs(got[k]-w)/(1+math.Abs(w)))
		}
	}
	return worst, nil
}

func classifierSteps(b tensor.Backend, tiny bool) (func(i int) ([]float64, error), func(), error) {
	cfg := train.ClassifierConfig{Kind: "classifier", Arch: "resnet20-cifar", Dataset: "scenes",
		TrainImages: 256, ValImages: 2, TestImages: 2, Batch: 32, Epochs: 100, LR: 0.05, Momentum: 0.9,
		WeightDecay: 5e-4, Schedule: "constant", Seed: 3, Best: 1}
	if tiny {
		cfg.Arch, cfg.TrainImages, cfg.Batch = "lenet5", 4, 2
	}
	t, err := train.NewClassifier(b, cfg)
	if err != nil {
		return nil, nil, err
	}
	return func(i int) ([]float64, error) {
		l, err := t.Step(i, t.Loader().Batch(i))
		return []float64{l}, err
	}, t.Close, nil
}

func inverterSteps(b tensor.Backend, _ bool) (func(i int) ([]float64, error), func(), error) {
	s := tensor.NewScope(b)
	m, err := models.New("resnet8", models.Options{Classes: 10})
	if err != nil {
		return nil, nil, err
	}
	nn.Init(s, m, 3)
	cfg := gan.DefaultInverter()
	cfg.Net, cfg.Batch, cfg.TrainImages, cfg.Seed = gan.Slim32(8, 0), 16, 128, 5
	t, err := gan.NewTrainer(b, m, cfg)
	if err != nil {
		return nil, nil, err
	}
	return func(i int) ([]float64, error) {
		l, err := t.Step(i)
		return []float64{l.D, l.G}, err
	}, func() { t.Close(); s.Close() }, nil
}

// steps times ResNet-50's training step, call by call and replayed from a recording.
func steps(c *check) error {
	arch, size, batches := "resnet50", 224, []int{64, 128}
	if c.tiny {
		arch, size, batches = "lenet5", 32, []int{1}
	}
	for _, tf32 := range []bool{false, true} {
		for _, batch := range batches {
			if err := c.step(arch, size, batch, cuda.Options{TF32: tf32}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *check) step(arch string, size, batch int, o cuda.Options) error {
	b, err := c.open(o)
	if err != nil {
		return err
	}
	defer b.Close()
	m, err := models.New(arch, models.Options{Classes: 10, InputSize: size, Channels: 3})
	if err != nil {
		return err
	}
	s := tensor.NewScope(b)
	defer s.Close()
	nn.Init(s, m, 3)
	opt := optim.NewSGD(s, nn.Trainable(m), optim.SGDConfig{Momentum: 0.9, WeightDecay: 1e-4})
	x, labels := random(s, "images", batch, size, size, 3), s.Zeros(tensor.I32, batch)
	opt.Begin(1, 1e-4)
	step := func() {
		g := autodiff.NewGraph(b)
		defer g.Close()
		ctx := nn.NewCtx(g, true, opt.Targets())
		ctx.Updates = nn.NewUpdates(b)
		defer ctx.Updates.Discard()
		l := loss.CrossEntropy(m.Forward(ctx, g.Const(x)), labels, 0)
		opt.Update(autodiff.Grad(l, ctx.Values(opt.Targets())))
		ctx.Updates.Apply()
	}
	eager, err := timed(b, step)
	if err != nil {
		return err
	}
	v := map[string]any{"batch": batch, "tf32": o.TF32, "eager_images_per_s": float64(batch) / eager}
	graph, err := b.Record(step)
	if err != nil {
		return err
	}
	defer graph.Close()
	replayed, err := timed(b, graph.Replay)
	if err != nil {
		return err
	}
	v["replayed_images_per_s"], v["launches"] = float64(batch)/replayed, graph.Nodes()
	v["memory"] = b.Memory()
	c.say(line{Stage: "steps", Name: arch, OK: true, Values: v})
	return nil
}
