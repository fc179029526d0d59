package bench

import (
	"fmt"
	"runtime"

	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/data"
	"afterimage/nn/models"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// A work is one kind of training step.
type work struct {
	name   string
	shape  string
	images int
	// open prepares a trainer on b and returns its step, its floating-point operations, and how to
	// close it.
	open func(b *cpu.Backend) (step func(i int) error, flops float64, close func(), err error)
}

// Steps measures whole training steps: forward, backward, update, through the program's own
// trainers, on random images of a fixed seed. The work is 6 × MACs of convolutions and linear
// layers for an image of training, 4 × MACs for one of an attack's iteration, which needs no
// gradient of the weights; nothing else is counted. Each step runs on a backend of its own with b's
// number of threads, so that its peak of tensor memory is its own.
func Steps(b *cpu.Backend, o Options) ([]Row, error) {
	m := newMeter(b, o)
	for _, w := range steps() {
		if !m.wants(w.name, w.shape) {
			continue
		}
		if err := m.step(w); err != nil {
			return m.rows, err
		}
	}
	return m.rows, nil
}

// steps lists the works.
func steps() []work {
	pgd := train.Adversary{Norm: "linf", Eps: 8.0 / 255, StepSize: 2.0 / 255, Steps: 7}
	return []work{
		classifier("resnet20-cifar", 128, train.Adversary{}),
		classifier("resnet18-cifar", 64, train.Adversary{}),
		classifier("resnet20-cifar", 128, pgd),
		inverter(16, 32),
	}
}

// step measures one work.
func (m *meter) step(w work) error {
	b := cpu.Open(m.b.Threads())
	b.SetWinograd(m.b.Winograd())
	defer b.Close()
	run, flops, done, err := w.open(b)
	if err != nil {
		return fmt.Errorf("bench: %s: %w", w.name, err)
	}
	defer done()
	i := 0
	f := func() {
		if e := run(i); e != nil && err == nil {
			err = e
		}
		i++
	}
	r := m.row(w.name, w.shape, flops/1e9, FLOPs, func() Bound { return Peak(b) }, f)
	r.MallocsPerRun = mallocs(f)
	if err != nil {
		return fmt.Errorf("bench: %s: %w", w.name, err)
	}
	r.ImagesPerSecond = float64(w.images) / r.Median
	r.PeakBytes = b.Memory().Peak
	m.add(r)
	return nil
}

// mallocs counts the Go heap objects that one call of f makes.
func mallocs(f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs)
}

// classifier is one step of train.Classifier, of adversarial training if a.Steps > 0.
func classifier(arch string, batch int, a train.Adversary) work {
	name := "step " + arch
	if a.Steps > 0 {
		name += fmt.Sprintf(" PGD-%d", a.Steps)
	}
	return work{name: name, shape: fmt.Sprintf("%d×32×32×3", batch), images: batch,
		open: func(b *cpu.Backend) (func(i int) error, float64, func(), error) {
			t, err := train.NewClassifier(b, train.ClassifierConfig{Kind: "classifier",
				Arch: arch, Dataset: "scenes", TrainImages: batch, TestImages: 1, Epochs: 1000,
				Batch: batch, LR: 1e-3, Momentum: 0.9, WeightDecay: 5e-4, Schedule: "constant",
				Attack: a, Seed: seed})
			if err != nil {
				return nil, 0, nil, err
			}
			d := randomBatch(batch, 32, t.Model.Classes())
			step := func(i int) error {
				_, err := t.Step(i, d)
				return err
			}
			perImage := float64(6+4*a.Steps) * float64(t.Model.MACs())
			return step, perImage * float64(batch), t.Close, nil
		}}
}

// inverter is one step of gan.Trainer with the slim 32-pixel networks: a discriminator and a
// generator step, the drawing of the batch's scenes included. With N images and D, G, C the
// multiply-adds of the discriminator, the generator and the classifier for one image, the
// discriminator's half counts N·(2·6·D + 2·G + 2·C), real and painted images passing together, and
// the generator's N·(6·G + 4·D).
func inverter(ch, batch int) work {
	return work{name: fmt.Sprintf("step Slim BigGAN-32 ch%d", ch),
		shape: fmt.Sprintf("%d×32×32×3", batch), images: batch,
		open: func(b *cpu.Backend) (func(i int) error, float64, func(), error) {
			s := tensor.NewScope(b)
			cfg := gan.DefaultInverter()
			cfg.Net, cfg.Batch, cfg.TrainImages, cfg.Seed = gan.Slim32(ch, 0), batch, 64*batch, seed
			m, err := models.New("resnet8", models.Options{Classes: scenesClasses})
			if err != nil {
				return nil, 0, nil, err
			}
			nn.Init(s, m, seed)
			t, err := gan.NewTrainer(b, m, cfg)
			if err != nil {
				return nil, 0, nil, err
			}
			step := func(i int) error {
				_, err := t.Step(i)
				return err
			}
			perImage := 16*t.D.MACs() + 8*t.G.MACs() + 2*m.MACs()
			return step, float64(batch * perImage), func() { t.Close(); s.Close() }, nil
		}}
}

// scenesClasses is how many classes the classifier of the inverter's step has: as CIFAR-10's.
const scenesClasses = 10

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
