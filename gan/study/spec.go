package study

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"

	"afterimage/gan"
	"afterimage/gan/explore"
	"afterimage/nn/data"
	"afterimage/nn/models"
	"afterimage/nn/train"
	"afterimage/tensor"
)

// A Spec is all that a study depends on, but for the folder of the data.
type Spec struct {
	Name        string `yaml:"name"`
	Title       string `yaml:"title"` // of the page; empty: made of the name
	Dataset     string `yaml:"dataset"`
	TrainImages int    `yaml:"train_images"` // 0: all; scenes: how many to draw
	TestImages  int    `yaml:"test_images"`  // 0: all
	Classes     int    `yaml:"classes"`      // describe_only: of the data set
	Size        int    `yaml:"size"`         // describe_only: of its images

	DescribeOnly bool             `yaml:"describe_only"` // paper scale: counted, not run
	Seed         uint64           `yaml:"seed"`
	Classifiers  []ClassifierSpec `yaml:"classifiers"`
	Judge        string           `yaml:"judge"` // whose features measure; never inverted
	Inverters    []InverterSpec   `yaml:"inverters"`
	Compare      []string         `yaml:"compare,flow"` // two inverters: the first minus the second
	Accuracy     AccuracySpec     `yaml:"accuracy"`
	Evaluate     EvaluateSpec     `yaml:"evaluate"`
	Explore      ExploreSpec      `yaml:"explore"`
	Sheet        int              `yaml:"sheet"` // test images on the first sheet
}

// A ClassifierSpec is a classifier to train, or one whose weights are given.
type ClassifierSpec struct {
	Name        string          `yaml:"name"`
	Arch        string          `yaml:"arch"`    // none for an ONNX file
	Weights     string          `yaml:"weights"` // a file below the data folder, not trained
	Epochs      float64         `yaml:"epochs"`
	Batch       int             `yaml:"batch"`
	LR          float64         `yaml:"lr"`
	WeightDecay float64         `yaml:"weight_decay"`
	Schedule    string          `yaml:"schedule"`
	Flip        bool            `yaml:"flip"`
	Crop        int             `yaml:"crop"`
	Attack      train.Adversary `yaml:"attack"`
	Seed        uint64          `yaml:"seed"` // 0: the study's
	Mean        []float64       `yaml:"mean,flow"`
	Std         []float64       `yaml:"std,flow"`
	Budget      float64         `yaml:"budget"` // seconds on two cores, for the estimate
}

// An InverterSpec is an inverter to train; what is 0 is gan.DefaultInverter's.
type InverterSpec struct {
	Classifier  string        `yaml:"classifier"`
	Condition   gan.Condition `yaml:"condition"`
	Raw         bool          `yaml:"raw"`
	Net         string        `yaml:"net"` // slim32, biggan32, biggan64 or biggan128
	Ch          int           `yaml:"ch"`
	Steps       int           `yaml:"steps"`
	Batch       int           `yaml:"batch"`
	DSteps      int           `yaml:"d_steps"`
	LRG         float64       `yaml:"lr_g"`
	LRD         float64       `yaml:"lr_d"`
	Beta1       *float64      `yaml:"beta1"`
	EMA         float64       `yaml:"ema"`
	NoFlip      bool          `yaml:"no_flip"`
	SampleEvery int           `yaml:"sample_every"`
	Seed        uint64        `yaml:"seed"` // 0: the study's
	Budget      float64       `yaml:"budget"`
}

// Name returns CLASSIFIER-CONDITION.
func (i InverterSpec) Name() string { return i.Classifier + "-" + string(i.Condition) }

// An AccuracySpec says how robustness is measured: L-infinity PGD with a random start.
type AccuracySpec struct {
	Images   int     `yaml:"images"` // attacked, the first so many; all for clean accuracy
	Eps      float64 `yaml:"eps"`    // in 1/255
	StepSize float64 `yaml:"step_size"`
	Steps    int     `yaml:"steps"`
	Budget   float64 `yaml:"budget"`
}

// An EvaluateSpec is what explore.Options take from a study.
type EvaluateSpec struct {
	Images      int     `yaml:"images"`
	Draws       int     `yaml:"draws"`
	Gallery     int     `yaml:"gallery"`
	TrueClass   bool    `yaml:"true_class"`
	TrainImages int     `yaml:"train_images"`
	Budget      float64 `yaml:"budget"` // for each inverter
}

// An ExploreSpec says which experiments are made.
type ExploreSpec struct {
	Experiments []string `yaml:"experiments,flow"`
	Images      int      `yaml:"images"`
	TrainImages int      `yaml:"train_images"`
	Draws       int      `yaml:"draws"`
	Pictures    int      `yaml:"pictures"`
	Budget      float64  `yaml:"budget"` // for each subject
}

//go:embed presets/*.yaml
var presets embed.FS

// Presets returns the names of the embedded presets, sorted.
func Presets() []string {
	var out []string
	entries, _ := fs.ReadDir(presets, "presets") // embedded: it is there
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return out
}

// Load returns the preset called name, or the Spec in a file whose name ends in .yaml.
func Load(name string) (*Spec, error) {
	text, err := presets.ReadFile("presets/" + name + ".yaml")
	if strings.HasSuffix(name, ".yaml") {
		text, err = tensor.ReadRegular(name)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, tensor.Refuse("study: no preset %q: expected %s, or a .yaml file", name,
			strings.Join(Presets(), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("study: %w", err)
	}
	s, err := Parse(text)
	if err != nil {
		return nil, tensor.Refuse("study: %s: %w", name, err)
	}
	return s, nil
}

// Parse reads a Spec and checks it.
func Parse(text []byte) (*Spec, error) {
	var s Spec
	if err := train.DecodeYAML(text, &s); err != nil {
		return nil, err
	}
	return &s, s.Validate()
}

// Validate returns an error that names the entry that does not fit and what would.
func (s *Spec) Validate() error {
	bad := func(format string, args ...any) error { return tensor.Refuse("spec: "+format, args...) }
	if s.Name == "" || s.Dataset == "" || len(s.Classifiers) == 0 || len(s.Inverters) == 0 {
		return bad("name, dataset, classifiers and inverters are required")
	}
	if !s.DescribeOnly && !slices.Contains(data.Names(), s.Dataset) && !strings.HasPrefix(s.Dataset,
		"folder:") {
		return bad("dataset %q: expected %s or folder:PATH", s.Dataset, strings.Join(data.Names(),
			", "))
	}
	if err := s.validateMeasures(); err != nil {
		return err
	}
	var names []string
	for _, c := range s.Classifiers {
		if !plainName(c.Name) || slices.Contains(names, c.Name) {
			return bad("classifier %q: expected a name of its own of letters and digits", c.Name)
		}
		names = append(names, c.Name)
		switch {
		case c.imported() && c.Arch != "":
			return bad("classifier %s: arch %q: leave it out, %s is a whole network", c.Name, c.Arch,
				c.Weights)
		case !c.imported() && !slices.Contains(models.List(), c.Arch):
			return bad("classifier %s: no architecture %q: expected one of %s", c.Name, c.Arch,
				strings.Join(models.List(), ", "))
		}
		if c.Weights == "" {
			if err := s.Classifier(c, "").Validate(); err != nil {
				return bad("classifier %s: %w", c.Name, err)
			}
		}
	}
	if s.Judge != "" && !slices.Contains(names, s.Judge) {
		return bad("judge %q is not among the classifiers %v", s.Judge, names)
	}
	return s.validateInverters(names)
}

// validateMeasures returns an error that names the number of a measurement that is out of range.
func (s *Spec) validateMeasures() error {
	a, e, x := s.Accuracy, s.Evaluate, s.Explore
	for _, c := range []struct {
		name string
		v    float64
	}{{"train_images", float64(s.TrainImages)}, {"test_images", float64(s.TestImages)},
		{"sheet", float64(s.Sheet)}, {"accuracy: images", float64(a.Images)},
		{"accuracy: step_size", a.StepSize}, {"evaluate: images", float64(e.Images)},
		{"evaluate: draws", float64(e.Draws)}, {"evaluate: gallery", float64(e.Gallery)},
		{"evaluate: train_images", float64(e.TrainImages)}, {"explore: images", float64(x.Images)},
		{"explore: train_images", float64(x.TrainImages)}, {"explore: draws", float64(x.Draws)},
		{"explore: pictures", float64(x.Pictures)}} {
		if !(c.v >= 0) || math.IsInf(c.v, 1) {
			return tensor.Refuse("spec: %s is %g: expected 0 or more", c.name, c.v)
		}
	}
	if a.Images > 0 && (a.Steps < 1 || !(a.Eps > 0) || math.IsInf(a.Eps, 1)) {
		return tensor.Refuse("spec: accuracy: steps %d and eps %g: expected 1 or more steps and a "+
			"radius above 0, in 1/255", a.Steps, a.Eps)
	}
	return nil
}

func (s *Spec) validateInverters(classifiers []string) error {
	var names []string
	for _, i := range s.Inverters {
		switch {
		case !slices.Contains(classifiers, i.Classifier):
			return tensor.Refuse("spec: inverter of %q: expected one of the classifiers %v",
				i.Classifier, classifiers)
		case i.Classifier == s.Judge:
			return tensor.Refuse("spec: inverter of %q: the judge must not be inverted", i.Classifier)
		case !slices.Contains([]gan.Condition{gan.Label, gan.Logits, gan.Features}, i.Condition):
			return tensor.Refuse("spec: inverter of %s: condition %q: expected label, logits or "+
				"features", i.Classifier, i.Condition)
		case slices.Contains(names, i.Name()):
			return tensor.Refuse("spec: two inverters %s", i.Name())
		}
		names = append(names, i.Name())
		c, err := s.Inverter(i, 1, "")
		if err == nil {
			err = c.Validate()
		}
		if err != nil {
			return fmt.Errorf("spec: inverter %s: %w", i.Name(), err)
		}
	}
	if len(s.Compare) != 0 && (len(s.Compare) != 2 || !slices.Contains(names, s.Compare[0]) ||
		!slices.Contains(names, s.Compare[1])) {
		return tensor.Refuse("spec: compare %v: expected two of the inverters %v", s.Compare, names)
	}
	for _, e := range s.Explore.Experiments {
		if _, err := explore.Find(e); err != nil {
			return fmt.Errorf("spec: %w", err)
		}
	}
	return nil
}

func plainName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// imported reports whether the classifier is an ONNX file.
func (c ClassifierSpec) imported() bool { return gan.IsONNX(c.Weights) }

// defaultBatch is the images of a classifier's step where the spec does not say.
const defaultBatch = 128

// Classifier returns the training of a classifier of this study, on the data in folder.
func (s *Spec) Classifier(c ClassifierSpec, folder string) train.ClassifierConfig {
	cfg := train.ClassifierConfig{Kind: "classifier", Arch: c.Arch,
		Dataset: s.Dataset, Data: folder, TrainImages: s.TrainImages, TestImages: s.TestImages,
		Epochs: c.Epochs, Batch: c.Batch, LR: c.LR, Momentum: 0.9, WeightDecay: c.WeightDecay,
		Schedule: c.Schedule, Flip: c.Flip, Crop: c.Crop, Attack: c.Attack, Seed: c.Seed,
		Mean: c.Mean, Std: c.Std, Best: 1}
	if cfg.Seed == 0 {
		cfg.Seed = s.seed()
	}
	if cfg.Batch == 0 {
		cfg.Batch = defaultBatch
	}
	if cfg.Schedule == "" {
		cfg.Schedule = "triangular"
	}
	return cfg
}

// Inverter returns the training of an inverter of this study; cond is the width of the condition.
func (s *Spec) Inverter(i InverterSpec, cond int, folder string) (gan.InverterConfig, error) {
	c := gan.DefaultInverter()
	c.Classifier, c.Condition, c.Raw, c.Dataset, c.Data = "classifier-"+i.Classifier, i.Condition,
		i.Raw, s.Dataset, folder
	c.TrainImages, c.Seed, c.Flip = s.TrainImages, s.seed(), !i.NoFlip
	if i.Seed != 0 {
		c.Seed = i.Seed
	}
	for _, f := range []struct{ to, from *int }{{&c.Steps, &i.Steps}, {&c.Batch, &i.Batch},
		{&c.DSteps, &i.DSteps}, {&c.SampleEvery, &i.SampleEvery}} {
		if *f.from != 0 {
			*f.to = *f.from
		}
	}
	for _, f := range []struct{ to, from *float64 }{{&c.LRG, &i.LRG}, {&c.LRD, &i.LRD},
		{&c.EMA, &i.EMA}} {
		if *f.from != 0 {
			*f.to = *f.from
		}
	}
	if i.Beta1 != nil {
		c.Beta1 = *i.Beta1
	}
	ch := i.Ch
	if ch == 0 {
		ch = 16
	}
	nets := map[string]func(ch, cond int) gan.Config{"": gan.Slim32, "slim32": gan.Slim32,
		"biggan32": gan.BigGAN32, "biggan64": gan.BigGAN64, "biggan128": gan.BigGAN128}
	net, ok := nets[i.Net]
	if !ok {
		return c, tensor.Refuse("net %q: expected slim32, biggan32, biggan64 or biggan128", i.Net)
	}
	c.Net = net(ch, cond)
	return c, nil
}

func (s *Spec) seed() uint64 {
	if s.Seed == 0 {
		return 1
	}
	return s.Seed
}

// control returns the label-conditioned inverter an inverter is compared with: that of the same
// classifier, else any; "" without one or for itself.
func (s *Spec) control(of InverterSpec) string {
	if of.Condition == gan.Label {
		return ""
	}
	found := ""
	for _, i := range s.Inverters {
		if i.Condition == gan.Label && (found == "" || i.Classifier == of.Classifier) {
			found = i.Name()
		}
	}
	return found
}

// Budget returns the seconds that all stages are expected to take on two cores.
func (s *Spec) Budget() float64 {
	sum := 0.0
	subjects := map[string]bool{}
	for _, c := range s.Classifiers {
		sum += c.Budget + s.Accuracy.Budget
	}
	for _, i := range s.Inverters {
		if sum += i.Budget + s.Evaluate.Budget; i.Condition != gan.Label {
			subjects[i.Name()] = true
		}
	}
	return sum + float64(len(subjects))*s.Explore.Budget
}
