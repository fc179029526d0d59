package bench

import (
	"iter"

	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/data"
	"afterimage/nn/models"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// newClassifier returns the training that args describe, adversarial if they say so, on images of
// noise.
func newClassifier(b tensor.Backend, s Spec, images int) (*train.Classifier, error) {
	n, size, classes := s.Args["n"], s.Args["h"], s.Args["classes"]
	cfg := train.ClassifierConfig{Kind: "classifier", Arch: s.Arch, Dataset: "random",
		Epochs: 1000, Batch: n, LR: 1e-3, Momentum: 0.9, WeightDecay: 5e-4, Schedule: "constant",
		Seed: seed, Recompute: s.Args["recompute"] == 1, Flip: true, Crop: s.Args["crop"]}
	if steps := s.Args["pgd"]; steps > 0 {
		cfg.Attack = train.Adversary{Norm: "linf", Eps: 8.0 / 255, StepSize: 2.0 / 255, Steps: steps}
	}
	set, err := randomSet(images, size, classes)
	if err != nil {
		return nil, err
	}
	return train.NewClassifierOn(b, cfg, set)
}

// openClassifier is train.Classifier's step on a batch that is there.
func openClassifier(b tensor.Backend, s Spec) (job, error) {
	t, err := newClassifier(b, s, s.Args["n"])
	if err != nil {
		return job{}, err
	}
	d, i := randomBatch(s.Args["n"], s.Args["h"], s.Args["classes"]), 0
	return job{run: func() error {
		_, err := t.Step(i, d)
		i++
		return err
	}, close: t.Close}, nil
}

// openTraining is train.Classifier's step on batches that are drawn meanwhile, cropped and
// mirrored.
func openTraining(b tensor.Backend, s Spec) (job, error) {
	t, err := newClassifier(b, s, s.Args["images"])
	if err != nil {
		return job{}, err
	}
	next, stop := iter.Pull2(t.Batches(0))
	return job{waited: t.Loader().Waited, run: func() error {
		i, d, _ := next()
		_, err := t.Step(i, d)
		return err
	}, close: func() { stop(); t.Close() }}, nil
}

// netOf returns the configuration of BigGAN that args describe.
func netOf(s Spec) gan.Config {
	a := s.Args
	c := gan.BigGAN32(a["ch"], a["cond"])
	c.Size, c.ZDim, c.Embed = a["h"], a["z"], a["embed"]
	c.GMult, c.DMult, c.DDown = s.Lists["g_mult"], s.Lists["d_mult"], nil
	for _, d := range s.Lists["d_down"] {
		c.DDown = append(c.DDown, d == 1)
	}
	return c
}

// newTrainer returns a trainer of the inverter that args describe; close frees it.
func newTrainer(b tensor.Backend, s Spec) (t *gan.Trainer, close func(), err error) {
	scope := tensor.NewScope(b)
	cfg := gan.DefaultInverter()
	n := s.Args["n"]
	cfg.Net, cfg.Batch, cfg.TrainImages, cfg.Seed = netOf(s), n, 64*n, seed
	cfg.Recompute = s.Args["recompute"] == 1
	m, err := models.New(slimClassifier, models.Options{Classes: s.Args["cond"]})
	if err != nil {
		return nil, nil, err
	}
	nn.Init(scope, m, seed)
	if t, err = gan.NewTrainer(b, m, cfg); err != nil {
		scope.Close()
		return nil, nil, err
	}
	return t, func() { t.Close(); scope.Close() }, nil
}

// openPlayer is one player's half of gan.Trainer's step on given images and conditions.
func openPlayer(b tensor.Backend, s Spec) (job, error) {
	t, done, err := newTrainer(b, s)
	if err != nil {
		return job{}, err
	}
	n, size := s.Args["n"], s.Args["h"]
	scope := tensor.NewScope(b)
	x, cond := draw(scope, "images", n, size, size, 3), draw(scope, "cond", n, s.Args["cond"])
	i := 0
	run := func() error {
		var err error
		if s.Kind == "gan-d" {
			_, err = t.DiscriminatorStep(i, x, cond)
		} else {
			_, err = t.GeneratorStep(i, cond)
		}
		i++
		return err
	}
	return job{run: run, close: func() { scope.Close(); done() }}, nil
}

// openInverter is gan.Trainer's whole step, the drawing of the batch's scenes included.
func openInverter(b tensor.Backend, s Spec) (job, error) {
	t, done, err := newTrainer(b, s)
	if err != nil {
		return job{}, err
	}
	i := 0
	return job{waited: t.Loader().Waited, run: func() error {
		_, err := t.Step(i)
		i++
		return err
	}, close: done}, nil
}

// openInference is a classifier's forward pass in evaluation mode.
func openInference(b tensor.Backend, s Spec) (job, error) {
	n, size := s.Args["n"], s.Args["h"]
	m, err := models.New(s.Arch, models.Options{InputSize: size, Classes: s.Args["classes"]})
	if err != nil {
		return job{}, err
	}
	scope := tensor.NewScope(b)
	nn.Init(scope, m, seed)
	x := draw(scope, "x", n, size, size, 3)
	return inference(b, scope, m, func(i *nn.Inference) {
		i.Pass(func(c *nn.Ctx) { m.Forward(c, c.Graph.Const(x)) })
	}), nil
}

// openPaint is gan.Inverter's painting of one image.
func openPaint(b tensor.Backend, s Spec) (job, error) {
	scope, net := tensor.NewScope(b), netOf(s)
	v := &gan.Inverter{Config: gan.InverterConfig{Net: net}, G: gan.NewGenerator(net)}
	nn.Init(scope, v.G, seed)
	n := s.Args["n"]
	cond, z := draw(scope, "cond", n, net.Cond), draw(scope, "z", n, net.ZDim)
	return inference(b, scope, v.G, func(i *nn.Inference) {
		inner := tensor.NewScope(b)
		defer inner.Close()
		v.PaintWith(i, inner, cond, z)
	}), nil
}

// openLoader takes batches out of a stream that goes on from run to run.
func openLoader(_ *cpu.Backend, s Spec) (job, error) {
	set, err := randomSet(s.Args["images"], s.Args["h"], scenesClasses)
	if err != nil {
		return job{}, err
	}
	l, err := data.NewLoader(set.Train, data.LoaderConfig{Batch: s.Args["n"], Seed: seed, Flip: true,
		Crop: s.Args["crop"], Range: data.Unit})
	if err != nil {
		return job{}, err
	}
	next, stop := iter.Pull2(l.Stream(0))
	return job{run: func() error {
		for range s.Args["batches"] {
			next()
		}
		return nil
	}, close: stop}, nil
}

// randomSet returns n images of noise with labels 0, 1, …, classes−1, 0, … as every split.
func randomSet(n, size, classes int) (*data.Set, error) {
	x := make([]float32, n*size*size*3)
	uniform(x[:min(len(x), period)], "pixels")
	pix, labels := make([]uint8, len(x)), make([]int32, n)
	for i := range pix {
		pix[i] = uint8(256 * x[i%min(len(x), period)])
	}
	for i := range labels {
		labels[i] = int32(i % classes)
	}
	m, err := data.NewMemory(data.Images{Name: "random", Classes: make([]string, classes),
		H: size, W: size, C: 3, Pixels: pix, Labels: labels})
	if err != nil {
		return nil, err
	}
	return &data.Set{Name: "random", Train: m, Val: m, Test: m, TrainVal: m}, nil
}

// randomBatch returns n images of uniform noise in [0, 1] with labels 0, 1, …, classes−1, 0, ….
func randomBatch(n, size, classes int) *data.Batch {
	d := &data.Batch{H: size, W: size, C: 3, X: make([]float32, n*size*size*3),
		Labels: make([]int32, n), Index: make([]int32, n)}
	uniform(d.X, "images")
	for i := range d.Labels {
		d.Labels[i], d.Index[i] = int32(i%classes), int32(i)
	}
	return d
}
