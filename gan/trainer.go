package gan

import (
	"fmt"
	"math"
	"slices"

	"afterimage/autodiff"
	"afterimage/gan/metrics"
	"afterimage/gan/report"
	"afterimage/nn"
	"afterimage/nn/data"
	"afterimage/nn/optim"
	"afterimage/nn/train"
	"afterimage/tensor"
)

// A Trainer trains an inverter: the paper's method. The classifier is frozen; its answer to a real
// image stands in for the label in both networks; the losses are the hinge losses and nothing else,
//
//	L_D = E[max(0, 1 − D(x, y))] + E[max(0, 1 + D(G(z, y), y))],
//	L_G = −E[D(G(z, y), y)],  y = Φ(x),
//
// so that G is never shown x: only D is, together with y.
//
// Source: Teterwak et al., ICML 2021; PAPER.md, section 2, for what is stated and what inferred.
type Trainer struct {
	Config      InverterConfig
	Set         *data.Set
	Conditioner *Conditioner
	G           *Generator
	D           *Discriminator

	backend    tensor.Backend
	scope      *tensor.Scope
	asking     *nn.Inference // of the classifier, which does not change; nil without one
	loader     *data.Loader
	batches    *data.Feed
	intake     *train.Intake
	cond       *tensor.Tensor // of the last batch, [N Cond]
	moveD      []train.Move   // of each discriminator step
	moveG      train.Move
	optG, optD *optim.Adam
	ema        *optim.EMA
	noise      tensor.Key
	realSpread float64 // mean pairwise distance of 64 real images: what collapse is measured by
	collapsed  *nn.Param
}

// NewTrainer prepares the training of an inverter of m on b: the configuration's data set opened,
// the rest as NewTrainerOn does. Errors: those of opening it, too.
func NewTrainer(b tensor.Backend, m Classifier, c InverterConfig) (*Trainer, error) {
	cond, err := c.fit(m)
	if err != nil {
		return nil, err
	}
	set, err := data.Open(c.Dataset, c.Data, c.Images())
	if err != nil {
		return nil, err
	}
	return trainerOf(b, cond, set, c)
}

// fit fills in Net.Cond for m and validates the rest.
func (c *InverterConfig) fit(m Classifier) (*Conditioner, error) {
	cond, err := NewConditioner(m, c.Condition)
	if err != nil {
		return nil, err
	}
	c.Net.Cond = cond.Dim()
	return cond, c.Validate()
}

// NewTrainerOn prepares the training of an inverter of m on b with the images of set, which is the
// configuration's: both networks drawn from the seed. It fills in the condition's width,
// Config.Net.Cond. m must stay alive as long as the trainer; Close does not free it. Errors: a
// configuration, data set or classifier that does not fit the others.
func NewTrainerOn(
	b tensor.Backend, m Classifier, set *data.Set, c InverterConfig,
) (*Trainer, error) {
	cond, err := c.fit(m)
	if err != nil {
		return nil, err
	}
	return trainerOf(b, cond, set, c)
}

// trainerOf is NewTrainerOn with a configuration that fits the conditioner's classifier.
func trainerOf(
	b tensor.Backend, cond *Conditioner, set *data.Set, c InverterConfig,
) (*Trainer, error) {
	m := cond.Model
	size, _, channels := set.Size()
	if size != c.Net.Size || channels != 3 || size != m.InputSize() || m.Channels() != 3 {
		return nil, tensor.Refuse("gan: %s has %d-pixel images of %d channels, the classifier takes %d "+
			"pixels of %d, the generator paints %d pixels of 3: all must agree",
			c.Dataset, size, channels, m.InputSize(), m.Channels(), c.Net.Size)
	}
	if set.Val.Len() < 2 {
		return nil,
			tensor.Refuse("gan: %s has %d training and %d held-out images: expected 2 or more held-out "+
				"ones to paint as samples; a data set without any of its own needs 20 images", c.Dataset,
				set.Train.Len(), set.Val.Len())
	}
	loader, err := data.NewLoader(set.Train,
		data.LoaderConfig{Batch: c.Batch, Seed: c.Seed, Flip: c.Flip, Range: data.Signed})
	if err != nil {
		return nil, err
	}
	t := newTrainer(b, c, cond.State())
	t.Set, t.Conditioner, t.asking = set, cond, nn.NewInference(b)
	t.loader, t.batches = loader, data.NewFeed(loader, t.intake.Batch)
	return t, nil
}

// NewPlayers returns a trainer without data and classifier, for measuring: DiscriminatorStep and
// GeneratorStep, which are given images and conditions [N Config.Net.Cond], are all that works.
// Errors: a configuration that does not fit.
func NewPlayers(b tensor.Backend, c InverterConfig) (*Trainer, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return newTrainer(b, c, nil), nil
}

// newTrainer draws both networks from the seed and makes what their steps work with. cond is the
// state of the conditions, to be initialised with them.
func newTrainer(b tensor.Backend, c InverterConfig, cond nn.Params) *Trainer {
	t := &Trainer{Config: c, G: NewGenerator(c.Net), D: NewDiscriminator(c.Net),
		backend: b, scope: tensor.NewScope(b), noise: tensor.NewKey(c.Seed, "noise/train"),
		collapsed: &nn.Param{Shape: tensor.Shape{1}, Init: nn.Constant(0), Buffer: true}}
	all := nn.Join(nn.Prefixed("generator", t.G), nn.Prefixed("discriminator", t.D), cond,
		nn.Params{{Name: "collapse.checks", Param: t.collapsed}})
	nn.Init(t.scope, all, c.Seed)
	adam := optim.AdamConfig{Beta1: c.Beta1, Beta2: c.Beta2, Eps: c.AdamEps}
	t.optG = optim.NewAdam(t.scope, nn.Trainable(t.G), adam)
	t.optD = optim.NewAdam(t.scope, nn.Trainable(t.D), adam)
	t.ema = optim.NewEMA(t.scope, t.G, optim.EMAConfig{Decay: c.EMA, WarmUp: true})
	t.prepare()
	return t
}

// prepare makes what steps work with: the same tensors for every step, as recorded ones need them.
func (t *Trainer) prepare() {
	size := t.Config.Net.Size
	t.intake = train.NewIntake(t.scope, t.Config.Batch, size, size, 3)
	t.cond = t.scope.New(tensor.F32, t.Config.Batch, t.Config.Net.Cond)
	t.moveG = *train.NewMove(t.backend)
	for range t.Config.DSteps {
		t.moveD = append(t.moveD, *train.NewMove(t.backend))
	}
}

// Replayed reports whether the device replays recorded steps, each player's, and if it could but
// does not, why. A player that has made no step has no say.
func (t *Trainer) Replayed() (all bool, err error) {
	for _, m := range append(slices.Clone(t.moveD), t.moveG) {
		if !m.Made() {
			continue
		}
		yes, failed := m.Replayed()
		if !yes {
			return false, failed
		}
		all = true
	}
	return all, nil
}

// Loader returns the training batches.
func (t *Trainer) Loader() *data.Loader { return t.loader }

// Close frees the networks and the optimizers' state, not the classifier, and ends the drawing of
// batches.
func (t *Trainer) Close() {
	if t.batches != nil {
		t.batches.Close()
	}
	for i := range t.moveD {
		t.moveD[i].Close()
	}
	t.moveG.Close()
	if t.asking != nil {
		t.asking.Close()
	}
	t.intake.Close()
	t.scope.Close()
}

// State lists everything that a checkpoint holds.
func (t *Trainer) State() nn.Params {
	return nn.Join(nn.Prefixed("generator", t.G), nn.Prefixed("discriminator", t.D),
		nn.Prefixed("optimizer.g", t.optG), nn.Prefixed("optimizer.d", t.optD),
		nn.Prefixed("average", t.ema), t.Conditioner.State(),
		nn.Params{{Name: "collapse.checks", Param: t.collapsed}})
}

// The finished inverter and its checks on the way.
const (
	standingBatches = 16  // the pilot's choice
	standingBatch   = 128 // training images in each
	collapseShare   = 0.1 // of the real images' spread; below it the samples count as collapsed
	collapseChecks  = 3   // so many times running
)

// Inverter returns the inverter as it stands, in s: averaged weights and spectral-norm vectors,
// batch-norm statistics averaged over training conditions. The training is not disturbed.
func (t *Trainer) Inverter(s *tensor.Scope) *Inverter {
	v := &Inverter{Config: t.Config, G: NewGenerator(t.Config.Net), Conditioner: t.Conditioner}
	v.Config.Recompute = false // of the training, and of no consequence
	t.ema.With(func() {
		from := nn.List(t.G)
		for i, p := range nn.List(v.G) {
			p.Param.T = clone(s, from[i].Param.T)
		}
	})
	standing := nn.NewStandingStats(t.backend)
	n := min(standingBatch, t.Set.Train.Len())
	key := tensor.NewKey(t.Config.Seed, "noise/standing")
	for k := range standingBatches {
		inner := tensor.NewScope(t.backend)
		index := make([]int, n)
		for j := range index {
			index[j] = (k*n + j) % t.Set.Train.Len()
		}
		b := data.Read(t.Set.Train, data.Unit, index...)
		cond := t.Conditioner.Ask(inner, tensor.FromSlice(inner, b.X, b.Shape()...)).Cond
		g := autodiff.NewGraph(t.backend)
		g.NoGrad(func() {
			c := nn.NewCtx(g, nn.Eval)
			c.Standing = standing
			v.G.Forward(c, g.Const(v.Noise(inner, key, uint32(k), n)), g.Const(cond))
		})
		g.Close()
		inner.Close()
	}
	standing.Apply()
	return v
}

// Run trains to the end in a run directory, from the last checkpoint on if there is one, and writes
// the finished inverter. stopped is asked after every step: when it says yes a checkpoint is
// written and Run returns an error that wraps train.ErrStopped. Resuming a finished run only writes
// the inverter once more.
func (t *Trainer) Run(r *train.Run, observe func(train.Progress), stopped func() bool) error {
	if observe == nil {
		observe = func(train.Progress) {}
	}
	state := t.State()
	r.On(t.Set)
	first, meta, err := r.Restore(train.LatestFile, FinalInverter, state)
	if err != nil {
		return err
	}
	if first == 0 && !t.Config.Raw {
		t.Conditioner.Standardise(t.scope, t.Set.Train, 250)
	}
	c, clock := t.Config, train.StartClock(meta)
	for i := first; i < c.Steps; i++ {
		l, err := t.Step(i)
		if err != nil {
			return r.Explain(err)
		}
		p := train.Progress{Step: i + 1, Total: c.Steps}
		end, sheet := i+1 == c.Steps, (i+1)%c.SampleEvery == 0
		if (i+1)%logEvery == 0 || end || sheet {
			p.Values = map[string]float64{"step": float64(i + 1), "d_loss": l.D, "g_loss": l.G,
				"d_real": l.Real, "d_fake": l.Fake, "seconds": clock.Seconds()}
		}
		if end || sheet {
			if err := t.sample(r, i+1, p.Values); err != nil {
				return r.Explain(err)
			}
		}
		if p.Values != nil {
			if err := r.Log(p.Values); err != nil {
				return err
			}
		}
		observe(p)
		halt := !end && stopped != nil && stopped()
		if (i+1)%c.SaveEvery == 0 || end || halt {
			if err := r.Save(train.LatestFile, state, i+1, clock.Meta(nil)); err != nil {
				return r.Explain(err)
			}
		}
		if halt {
			return r.Stopped(i+1, c.Steps)
		}
	}
	s := tensor.NewScope(t.backend)
	defer s.Close()
	return t.Inverter(s).Save(r.Path(train.CheckpointDir), tensor.F32, nil)
}

// logEvery is the number of steps between log lines.
const logEvery = 50

// SaveClassifier writes a copy of the inverted classifier into the run. Give it to train.Create,
// which writes it before the directory counts as a run: a resume needs it.
func (t *Trainer) SaveClassifier(r *train.Run) error {
	_, err := saveClassifier(r.Path(train.CheckpointDir), t.Conditioner.Model, tensor.F32)
	return err
}

// sampleImages is how many fixed images a sample sheet shows and the collapse check looks at.
const sampleImages = 64

// sample paints the first held-out images with fixed noise, writes the sheet, and checks for
// collapse.
func (t *Trainer) sample(r *train.Run, step int, values map[string]float64) error {
	s := tensor.NewScope(t.backend)
	defer s.Close()
	index := make([]int, min(sampleImages, t.Set.Val.Len()))
	for i := range index {
		index[i] = i
	}
	b := data.Read(t.Set.Val, data.Unit, index...)
	v := t.Inverter(s)
	cond := t.Conditioner.Ask(s, tensor.FromSlice(s, b.X, b.Shape()...)).Cond
	painted := v.Paint(s, cond, v.Noise(s, tensor.NewKey(t.Config.Seed, "noise/sample"), 0, b.N()))
	real := metrics.NewImages(b.N(), b.H, b.W, b.C, metrics.Unit, b.X)
	fake := metrics.NewImages(b.N(), b.H, b.W, b.C, metrics.Signed,
		tensor.ToHost[float32](painted)).In(metrics.Unit)
	sheet := report.Sheet{Scale: 2}
	left, right := report.Pictures(real), report.Pictures(fake)
	for k := 0; k < len(left); k += 16 {
		e := min(k+16, len(left))
		sheet.Rows = append(sheet.Rows, report.SheetRow{Caption: "real", Images: left[k:e]},
			report.SheetRow{Caption: "painted", Images: right[k:e]})
	}
	if err := report.WritePNG(r.Path(train.SampleDir, train.SampleFile(step)),
		sheet.Draw()); err != nil {
		return err
	}
	if t.realSpread == 0 {
		t.realSpread = metrics.MeanPairwiseDistance(real)
	}
	spread := metrics.MeanPairwiseDistance(fake)
	values["spread"] = spread / t.realSpread
	return t.checkCollapse(step, spread/t.realSpread)
}

// checkCollapse stops a training whose samples have all become alike.
func (t *Trainer) checkCollapse(step int, share float64) error {
	count := 0.0
	if share < collapseShare || math.IsNaN(share) {
		count = t.collapsed.T.Item() + 1
	}
	t.collapsed.T.SetFloats([]float64{count})
	if count >= collapseChecks {
		return fmt.Errorf("gan: step %d: %w: the samples collapsed: their mean pairwise distance is "+
			"%.1f %% of the real images', less than %.0f %% in %d checks running: try a lower lr_g and "+
			"lr_d, or more d_steps", step, train.ErrDiverged, 100*share, 100*collapseShare,
			collapseChecks)
	}
	return nil
}
