package main

import (
	"errors"
	"fmt"

	"afterimage/cuda"
	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/loss"
	"afterimage/nn/models"
	"afterimage/nn/optim"
	"afterimage/nn/train"
	"afterimage/tensor"
)

// A stepCase is one training step to be timed.
type stepCase struct {
	name  string
	batch int
	start starter
}

// A starter prepares a training on b.
type starter func(b tensor.Backend, batch int, tiny bool) (training, error)

// A training is what is timed.
type training struct {
	step     func(i int) error    // makes step i
	replayed func() (bool, error) // whether steps are replayed, or why not
	done     func()               // frees it
}

// steps times whole training steps of ResNet-50 and of BigGAN, call by call and replayed, with the
// joules that an image takes where gpumon tells.
func steps(c *check) error {
	cases := []stepCase{{"resnet50", 128, resnetSteps},
		{"biggan128 ch96", 32, playerSteps(gan.BigGAN128(96, 1000))},
		{"biggan32 ch64", 64, playerSteps(gan.BigGAN32(64, 10))}, {"resnet50", 64, resnetSteps}}
	if c.tiny {
		cases = []stepCase{{"resnet50", 1, resnetSteps}, {"biggan32", 2, playerSteps(gan.Slim32(1, 4))}}
	}
	for _, o := range arithmetics() {
		if o.Own || c.tiny && o.Precision != tensor.BF16 {
			continue
		}
		for _, s := range cases {
			if err := c.step(s, o); err != nil { // one that does not fit must not hide the others
				c.say(line{Stage: "steps", Name: s.name, Error: err.Error(),
					Values: map[string]any{"batch": s.batch, "arithmetic": o.name}})
			}
		}
	}
	return nil
}

// callByCall hides that a backend can record and stage.
type callByCall struct{ kernelAbilities }

// kernelAbilities are what a backend with kernels of its own for some things still has.
type kernelAbilities interface {
	tensor.AttentionFuser
	tensor.LossFuser
	tensor.LayerNormer
	tensor.Viewer
	tensor.ManySpectralFuser
	tensor.Shadower
	tensor.ManyScaler
	tensor.SumMasker
	Activations() tensor.DType
	NormUpsample(y, x, scale, shift *tensor.Tensor, relu bool, k int)
}

// step times one case.
func (c *check) step(s stepCase, o arithmetic) error {
	b, err := c.open(o.Options)
	if err != nil {
		return err
	}
	defer b.Close()
	v := map[string]any{"batch": s.batch, "arithmetic": o.name}
	for _, way := range []struct {
		name string
		on   tensor.Backend
	}{{"replayed", b}, {"eager", callByCall{b}}} { // first what memory is asked of
		t, err := s.start(way.on, s.batch, c.tiny)
		if err != nil {
			return err
		}
		if err := c.timeSteps(b, t.step, s.batch, way.name, v); err != nil {
			t.done()
			return err
		}
		if way.name == "replayed" {
			err = firstOf(replays(t), c.memory(b, v))
		}
		t.done()
		if err != nil {
			return err
		}
	}
	v["by_cudnn"], v["by_own"] = b.ConvolutionsBy()
	c.say(line{Stage: "steps", Name: s.name, OK: true, Values: v})
	return nil
}

// memory writes what a training has taken so far into v: at most from the device, free blocks
// included, as PyTorch's allocator counts what it has reserved, and of the whole device now, by the
// driver.
func (c *check) memory(b *cuda.Backend, v map[string]any) error {
	free, total, err := b.DeviceMemory()
	v["memory_reserved"], v["device_used"] = b.Memory().Peak, total-free
	return err
}

// replays is an error if what should be replayed is not: its time would be that of steps made call
// by call.
func replays(t training) error {
	yes, err := t.replayed()
	if !yes && err == nil {
		err = errors.New("nothing was recorded")
	}
	if err != nil {
		return fmt.Errorf("steps are not replayed: %w", err)
	}
	return nil
}

// timeSteps makes steps and writes what one takes into v.
func (c *check) timeSteps(b *cuda.Backend, step func(i int) error, batch int, way string,
	v map[string]any,
) (err error) {
	i := 0
	next := func() {
		if e := step(i); e != nil && err == nil {
			err = e
		}
		i++
	}
	for range 3 { // chooses plans, then records, then replays
		next()
	}
	seconds, e := c.timed(b, next)
	if e != nil || err != nil {
		return firstOf(err, e)
	}
	v[way+"_images_per_s"] = float64(batch) / seconds
	if way == "eager" { // seconds that the other cases can use
		return nil
	}
	if joules, ok := c.joules(b, seconds, next); ok {
		v[way+"_joules_per_image"] = joules / float64(batch)
	}
	return err
}

func firstOf(errs ...error) error {
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	return nil
}

// resnetSteps trains ResNet-50 at 224 pixels.
func resnetSteps(b tensor.Backend, batch int, tiny bool) (training, error) {
	if tiny {
		return networkSteps(b, "lenet5", batch, 32)
	}
	return networkSteps(b, "resnet50", batch, 224)
}

// networkSteps trains a classifier on images drawn on the device and labels drawn here. There are
// as many classes as PyTorch's ResNet-50 has.
func networkSteps(b tensor.Backend, arch string, batch, size int) (training, error) {
	const classes = 1000
	m, err := models.New(arch, models.Options{Classes: classes, InputSize: size, Channels: 3})
	if err != nil {
		return training{}, err
	}
	s := tensor.NewScope(b)
	nn.Init(s, m, 3)
	opt := optim.NewSGD(s, nn.Trainable(m), optim.SGDConfig{Momentum: 0.9, WeightDecay: 1e-4})
	rng, drawn := tensor.NewRNG(tensor.NewKey(1, "gpucheck/labels"), 0), make([]int32, batch)
	for i := range drawn {
		drawn[i] = int32(rng.IntN(classes))
	}
	x, labels := random(s, "images", batch, size, size, 3), tensor.FromSlice(s, drawn, batch)
	move := train.NewMove(b)
	step := func(i int) error {
		got := move.Measure(b, nil, opt.Targets(), func(p *train.Pass) {
			p.Minimise(loss.CrossEntropy(m.Forward(p.Ctx, p.Graph.Const(x)), labels, 0))
		})
		if err := move.Check(i+1, got[0], got[1]); err != nil {
			return err
		}
		opt.Begin(i+1, 1e-4)
		move.Update(func(p *train.Pass) { opt.Update(p.Gradients()) })
		return nil
	}
	return training{step, move.Replayed, func() { move.Close(); s.Close() }}, nil
}

// playerSteps makes a discriminator step and a generator step of a network on images and conditions
// drawn on the device: what an image of a batch takes.
func playerSteps(net gan.Config) starter {
	return func(b tensor.Backend, batch int, _ bool) (training, error) {
		cfg := gan.DefaultInverter()
		cfg.Net, cfg.Batch, cfg.DSteps, cfg.LRD, cfg.LRG = net, batch, 1, 1e-6, 1e-6
		t, err := gan.NewPlayers(b, cfg)
		if err != nil {
			return training{}, fmt.Errorf("BigGAN: %w", err)
		}
		s := tensor.NewScope(b)
		x, cond := random(s, "images", batch, net.Size, net.Size, 3), random(s, "cond", batch, net.Cond)
		step := func(i int) error {
			if _, err := t.DiscriminatorStep(i, x, cond); err != nil {
				return err
			}
			_, err := t.GeneratorStep(i, cond)
			return err
		}
		return training{step, t.Replayed, func() { t.Close(); s.Close() }}, nil
	}
}
