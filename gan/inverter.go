package gan

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/data"
	"afterimage/nn/onnx"
	"afterimage/nn/train"
	"afterimage/tensor"

	"github.com/goccy/go-yaml"
)

// An InverterConfig is all that an inverter's training depends on; it is the run's config.yaml.
type InverterConfig struct {
	Kind        string    `yaml:"kind"` // "inverter"
	Classifier  string    `yaml:"classifier"`
	Condition   Condition `yaml:"condition"`
	Raw         bool      `yaml:"raw"` // logits as they are instead of standardised per dimension
	Dataset     string    `yaml:"dataset"`
	Data        string    `yaml:"data"`
	TrainImages int       `yaml:"train_images"` // 0: all but the held-out ones
	Steps       int       `yaml:"steps"`        // generator steps
	Batch       int       `yaml:"batch"`
	DSteps      int       `yaml:"d_steps"` // discriminator steps for each generator step
	LRG         float64   `yaml:"lr_g"`
	LRD         float64   `yaml:"lr_d"`
	Beta1       float64   `yaml:"beta1"`
	Beta2       float64   `yaml:"beta2"`
	AdamEps     float64   `yaml:"adam_eps"`
	EMA         float64   `yaml:"ema"`
	Flip        bool      `yaml:"flip"` // mirrored images come with their own logits
	Seed        uint64    `yaml:"seed"`
	Recompute   bool      `yaml:"recompute"` // activations inside blocks: less memory, the same result
	SaveEvery   int       `yaml:"save_every"`
	SampleEvery int       `yaml:"sample_every"`
	Net         Config    `yaml:"net"`
}

// DefaultInverter returns the setting that won among those tried on two cores: many cheap steps of
// a slim network (PAPER.md). The condition's width is filled in by NewTrainer.
func DefaultInverter() InverterConfig {
	return InverterConfig{Kind: "inverter", Condition: Logits, Dataset: "scenes", Steps: 8000,
		Batch: 32, DSteps: 1, LRG: 4e-4, LRD: 8e-4, Beta1: 0.5, Beta2: 0.999, AdamEps: 1e-8, EMA: 0.999,
		Flip: true, Seed: 1,
		SaveEvery: 250, SampleEvery: 1000, Net: Slim32(16, 0)}
}

// Images says which images to open: CIFAR's as they are; grey digits, the images of a folder and
// scenes, which have no size that must be theirs, at the generator's.
func (c InverterConfig) Images() data.Options {
	o := data.Options{Train: c.TrainImages}
	if !strings.HasPrefix(c.Dataset, "cifar") {
		o.Size = c.Net.Size
	}
	return o
}

// Bounds that keep products of the configuration's numbers within their types: 2^31 step numbers on
// the device, and networks of a few gigabytes.
const (
	mostSteps  = 1<<31 - 1
	mostWidth  = 1 << 12 // channel unit, noise and embedding
	mostDSteps = 1000
)

// Validate returns an error that names the field that does not fit. Every comparison is written so
// that NaN fails it.
func (c InverterConfig) Validate() error {
	bad := func(format string, args ...any) error {
		return tensor.Refuse("gan: config: "+format, args...)
	}
	positive := func(v float64) bool { return v > 0 && !math.IsInf(v, 1) }
	share := func(v float64) bool { return v >= 0 && v < 1 }
	switch n := c.Net; {
	case c.Batch < 2:
		return bad("batch is %d: expected 2 or more, for the statistics of batch normalisation", c.Batch)
	case c.DSteps < 1 || c.DSteps > mostDSteps:
		return bad("d_steps is %d: expected 1 to %d", c.DSteps, mostDSteps)
	case c.Steps < 1 || c.Steps > mostSteps/(c.DSteps+1):
		return bad("steps is %d: expected 1 to %d", c.Steps, mostSteps/(c.DSteps+1))
	case !positive(c.LRG) || !positive(c.LRD) || !positive(c.AdamEps):
		return bad("lr_g %g, lr_d %g and adam_eps %g: expected more than 0", c.LRG, c.LRD, c.AdamEps)
	case !share(c.Beta1) || !share(c.Beta2) || !share(c.EMA):
		return bad("beta1 %g, beta2 %g and ema %g: expected [0, 1)", c.Beta1, c.Beta2, c.EMA)
	case c.SaveEvery < 1 || c.SampleEvery < 1:
		return bad("save_every %d and sample_every %d: expected 1 or more", c.SaveEvery, c.SampleEvery)
	case c.TrainImages < 0:
		return bad("train_images is %d: expected 0 or more", c.TrainImages)
	case max(n.ChG, n.ChD, n.ZDim, n.Embed) > mostWidth:
		return bad("ch_g %d, ch_d %d, z_dim %d and embed %d: expected at most %d",
			n.ChG, n.ChD, n.ZDim, n.Embed, mostWidth)
	}
	return c.Net.Validate()
}

// An Inverter is a trained generator with the classifier it inverts, ready to paint: averaged
// weights, standing statistics, evaluation mode.
type Inverter struct {
	Config      InverterConfig
	G           *Generator
	Conditioner *Conditioner

	again func(name string) (checkpoint.Array, error) // reads weights; nil if they are of no file
}

// Noise returns n standard normal noise vectors [n ZDim], in s: a pure function of (key, step).
func (v *Inverter) Noise(s *tensor.Scope, key tensor.Key, step uint32, n int) *tensor.Tensor {
	z := s.New(tensor.F32, n, v.Config.Net.ZDim)
	s.Backend().Random(tensor.Normal, key, z, tensor.FromSlice(s, []int32{int32(step)}, 1))
	return z
}

// Paint returns images [n Size Size 3] in [−1, 1], in s, from conditions [n Dim] and noise
// [n ZDim].
func (v *Inverter) Paint(s *tensor.Scope, cond, z *tensor.Tensor) *tensor.Tensor {
	g := autodiff.NewGraph(s.Backend())
	defer g.Close()
	var out *tensor.Tensor
	g.NoGrad(func() {
		out = clone(s, v.G.Forward(nn.NewCtx(g, nn.Eval), g.Const(z), g.Const(cond)).Tensor())
	})
	return out
}

// Inference opens an Inference for PaintWith. It owns the generator's weights if these were read
// from a file, from which they come back should they be needed once more (nn.Inference.Own): the
// file must stay as it is.
func (v *Inverter) Inference(b tensor.Backend) *nn.Inference {
	i := nn.NewInference(b)
	if v.again != nil {
		i.OwnFile(nn.Prefixed("generator", v.G), v.again)
	}
	return i
}

// PaintWith is Paint with an Inference that lasts: from the second call on spectral norms are not
// computed again, for the memory of the weights once more and of packed forms (nn.Inference).
func (v *Inverter) PaintWith(i *nn.Inference, s *tensor.Scope, cond, z *tensor.Tensor,
) *tensor.Tensor {
	var out *tensor.Tensor
	i.Pass(func(c *nn.Ctx) {
		out = clone(s, v.G.Forward(c, c.Graph.Const(z), c.Graph.Const(cond)).Tensor())
	})
	return out
}

// FinalInverter is the file in a run's checkpoints that holds the finished inverter; its classifier
// stands beside it: see ClassifierFile.
const FinalInverter = "inverter.safetensors"

// metaConfig is the metadata key of an inverter's configuration.
const metaConfig = "config"

// Save writes the inverter and its classifier into dir, the numbers as dt: F32, or F16, 2 bytes a
// weight, for files that are shipped. meta joins the inverter's metadata.
func (v *Inverter) Save(dir string, dt tensor.DType, meta map[string]string) error {
	text, err := yaml.Marshal(v.Config)
	if err != nil {
		return fmt.Errorf("gan: %w", err)
	}
	f := checkpoint.NewFile()
	maps.Copy(f.Metadata, meta)
	f.Metadata[metaConfig] = string(text)
	if err := nn.Store(f, v.state()); err != nil {
		return err
	}
	opts := []checkpoint.WriteOption{checkpoint.Sealed()}
	if dt == tensor.F16 {
		opts = append(opts, checkpoint.StoreF16(nil))
	}
	if _, err := saveClassifier(dir, v.Conditioner.Model, dt); err != nil {
		return err
	}
	return checkpoint.SaveSafetensors(filepath.Join(dir, FinalInverter), f, opts...)
}

func (v *Inverter) state() nn.Params {
	return nn.Join(nn.Prefixed("generator", v.G), v.Conditioner.State())
}

// OpenInverter reads an inverter and its classifier into s. at is a run directory, or a folder that
// holds inverter.safetensors and classifier.safetensors or classifier.onnx.
func OpenInverter(s *tensor.Scope, at string) (*Inverter, error) {
	dir := at
	if _, err := os.Stat(filepath.Join(dir, FinalInverter)); err != nil {
		dir = filepath.Join(at, train.CheckpointDir)
	}
	v, err := readInverter(s, onDisk(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, tensor.Refuse("gan: %s holds no finished inverter: expected %s in it or in its %s "+
			"folder: %w", at, FinalInverter, train.CheckpointDir, err)
	}
	return v, err
}

// OpenInverterFS is OpenInverter for a folder of a file system: weights that are part of the
// program.
func OpenInverterFS(s *tensor.Scope, fsys fs.FS, dir string) (*Inverter, error) {
	return readInverter(s, inFS(fsys, dir))
}

func readInverter(s *tensor.Scope, from folder) (*Inverter, error) {
	f, err := from.open(FinalInverter)
	if err != nil {
		return nil, err
	}
	c, err := storedConfig(f)
	if err != nil {
		return nil, err
	}
	m, err := from.inverted(s)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, tensor.Refuse("gan: %s has lost its classifier: expected %s or %s beside it: put "+
			"that back", f.Path, InverterClassifier, classifierStem+onnx.Ext)
	}
	if err != nil {
		return nil, err
	}
	cond, err := NewConditioner(m, c.Condition)
	if err != nil {
		return nil, err
	}
	if c.Net.Cond != cond.Dim() {
		return nil, tensor.Refuse("gan: %s expects a condition of %d numbers, its classifier gives %d",
			f.Path, c.Net.Cond, cond.Dim())
	}
	v := &Inverter{Config: c, G: NewGenerator(c.Net), Conditioner: cond, again: f.Again()}
	return v, v.restore(s, f)
}

// storedConfig returns the configuration that Save left in an inverter's file.
func storedConfig(f *checkpoint.File) (c InverterConfig, err error) {
	text := []byte(f.Metadata[metaConfig])
	if err := train.DecodeYAML(text, &c); err != nil || c.Kind != "inverter" {
		return c, tensor.Refuse("gan: %s: not an inverter this program saved: its metadata %q is "+
			"missing or damaged", f.Path, metaConfig)
	}
	if err := c.Validate(); err != nil {
		return c, tensor.Refuse("%w (in %s)", err, f.Path)
	}
	return c, nil
}

// restore fills the inverter with the weights of f.
func (v *Inverter) restore(s *tensor.Scope, f *checkpoint.File) error {
	for _, p := range v.state() {
		p.Param.T = s.New(tensor.F32, p.Param.Shape...)
	}
	if err := nn.Restore(f, v.state()); err != nil {
		return err
	}
	for _, p := range nn.Join(v.state(), nn.Prefixed("classifier", v.Conditioner.Model)) {
		if k := p.Param.T.FirstNonFinite(); k >= 0 {
			return tensor.Refuse("gan: %s: %s is not finite at element %d: the weights are damaged, "+
				"take another checkpoint", f.Path, p.Name, k)
		}
	}
	return nil
}
