package main

import (
	"fmt"
	"math"

	"afterimage/cuda"
	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/models"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// agreement trains a classifier and an inverter for 20 steps on the card and on the CPU and
// compares every loss; before that, products in bf16 with the CPU's in F64.
func agreement(c *check) error {
	n := 20
	if c.tiny {
		n = 1
	}
	if err := c.bf16(); err != nil {
		return err
	}
	for _, o := range arithmetics() {
		if o.TF32 || o.Precision == tensor.BF16 {
			continue // the CPU multiplies in F32
		}
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
