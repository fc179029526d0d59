package study

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"afterimage/gan"
	"afterimage/gan/explore"
	"afterimage/gan/report"
	"afterimage/nn/data"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/atomicfile"

	"github.com/goccy/go-yaml"
)

// Options say where a study runs and who is told about it.
type Options struct {
	Dir         string // of the study; made if need be
	Data        string // folder of the data sets
	Environment any    // recorded with every training
	Command     string // that repeats the study, for the page
	TensorBoard bool   // trainings keep an event file

	// Facts makes of the environments that the study's trainings recorded, start by start, what the
	// page says of program and machine; may be nil.
	Facts func(trained []json.RawMessage) []report.Fact

	// Former is told the last environment record of every training that is there already, before
	// anything is computed; may be nil.
	Former func(path string, last json.RawMessage)
	// Opened is told every training's directory before its first step; may be nil. An error ends the
	// study.
	Opened  func(r *train.Run) error
	Note    func(stage Stage)                    // told when a stage begins; may be nil
	Remark  func(text string)                    // told what is left out and why; may be nil
	Observe func(stage string, p train.Progress) // told about every training step; may be nil
	Stopped func() bool                          // asked between stages and steps; may be nil
	Waiting func()                               // told when others do all that is left; may be nil

	// CPUSeconds and PeakMemory tell of this process what a stage cost: CPU time so far, and the
	// largest resident memory in bytes since it was last asked. They may be nil.
	CPUSeconds func() float64
	PeakMemory func() int64
}

// A Stage is one step of a study.
type Stage struct {
	Name       string  `json:"stage"`
	Number     int     `json:"-"` // 1 to Of
	Of         int     `json:"-"`
	Budget     float64 `json:"budget_seconds"`        // expected, on two cores
	Seconds    float64 `json:"seconds"`               // spent, all sittings together
	CPUSeconds float64 `json:"cpu_seconds,omitempty"` // likewise
	PeakBytes  int64   `json:"peak_bytes,omitempty"`  // resident in the process that ran it
	Done       bool    `json:"-"`                     // before this run

	run   func() error
	needs []string // files of other stages that it reads
	file  string   // whose presence says that the stage is done
}

// Files of a study directory.
const (
	SpecFile   = "study.yaml"
	StagesFile = "stages.json"
	ResultFile = "study.json"
	ReportFile = "report.html"
	SheetFile  = "sheet.png" // the page's first pictures
	ExploreDir = "explore"
)

// A runner is a study under way.
type runner struct {
	spec    *Spec
	o       Options
	backend tensor.Backend
	set     *data.Set
}

// Run makes a study in o.Dir, from where an earlier run stopped if there was one, and returns what
// study.json holds. It returns train.ErrStopped when o.Stopped asked it to end, and an error if the
// directory belongs to another study.
func Run(b tensor.Backend, s *Spec, o Options) (*Result, error) {
	if s.DescribeOnly {
		return nil, tensor.Refuse("study: %s is of paper scale: it is described (--describe), not run",
			s.Name)
	}
	r := &runner{spec: s, o: o, backend: b}
	var err error
	images := data.Options{Train: s.TrainImages, Test: s.TestImages}
	if r.set, err = data.Open(s.Dataset, o.Data, images); err != nil {
		return nil, err
	}
	if err := s.fits(r.set); err != nil {
		return nil, fmt.Errorf("study: %w", err)
	}
	if err := r.claim(); err != nil {
		return nil, err
	}
	if err := r.former(); err != nil {
		return nil, fmt.Errorf("study: %w", err)
	}
	if _, missing := r.findLPIPS(); missing != nil && o.Remark != nil {
		o.Remark(fmt.Sprintf("LPIPS is left out: %v", missing))
	}
	if err := r.work(r.stages()); err != nil {
		return nil, err
	}
	return r.finish()
}

// fits returns an error if the data set has no labels or nothing to test with, or if the inverters
// paint other images than it holds: known before any training, and not after those of the
// classifiers.
func (s *Spec) fits(set *data.Set) error {
	if len(set.Classes()) == 0 || set.Test.Len() < 2 {
		return tensor.Refuse("%s has %d classes and %d test images: expected images with labels, and "+
			"two or more to test with", s.Dataset, len(set.Classes()), set.Test.Len())
	}
	h, w, channels := set.Size()
	for _, i := range s.Inverters {
		c, err := s.Inverter(i, 1, "")
		if err != nil {
			return err
		}
		if h != c.Net.Size || w != c.Net.Size || channels != 3 {
			return tensor.Refuse("inverter %s paints %d pixels of 3 channels, %s has images of %d×%d "+
				"pixels and %d channels: choose another net or data set", i.Name(), c.Net.Size, s.Dataset, h, w,
				channels)
		}
	}
	return nil
}

// claim makes the directory and its study.yaml, or checks that it is this study's.
func (r *runner) claim() error {
	if _, err := os.Stat(r.path(train.ConfigFile)); err == nil {
		return tensor.Refuse("study: %s holds the run of a training (%s): expected a folder of its own; "+
			"give another --out", r.o.Dir, train.ConfigFile)
	}
	if err := os.MkdirAll(r.path(ExploreDir), 0o755); err != nil {
		return tensor.Refuse("study: %s cannot hold a study: %w; give another --out", r.o.Dir, err)
	}
	text, err := yaml.Marshal(r.spec)
	if err != nil {
		return fmt.Errorf("study: %w", err)
	}
	old, err := os.ReadFile(r.path(SpecFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return atomicfile.WriteBytes(r.path(SpecFile), text)
	case err != nil:
		return fmt.Errorf("study: %w", err)
	case string(old) != string(text):
		return tensor.Refuse("study: %s holds a study with other settings (%s): expected those of "+
			"%s; give another directory, or --preset %s to go on with it", r.o.Dir, SpecFile,
			r.spec.Name, r.path(SpecFile))
	}
	return nil
}

func (r *runner) path(elem ...string) string {
	return filepath.Join(append([]string{r.o.Dir}, elem...)...)
}

// A subject is an inverter that experiments are made with.
type subject struct {
	InverterSpec
	first bool // of its classifier: probes are made once for a classifier
}

func (s *Spec) subjects() []subject {
	var out []subject
	seen := map[string]bool{}
	for _, i := range s.Inverters {
		if i.Condition != gan.Label {
			out = append(out, subject{i, !seen[i.Classifier]})
			seen[i.Classifier] = true
		}
	}
	return out
}

// takes returns the name under which a subject takes part in an experiment; see
// explore.Experiment.Takes.
func (s subject) takes(experiment string) (name string, ok bool) {
	if experiment == "probe" {
		return s.Classifier, s.first
	}
	e, err := explore.Find(experiment)
	return s.Name(), err == nil && e.Takes(s.Condition)
}

func (r *runner) observe(stage string) func(train.Progress) {
	if r.o.Observe == nil {
		return nil
	}
	return func(p train.Progress) { r.o.Observe(stage, p) }
}

func (r *runner) trainClassifier(c ClassifierSpec) error {
	cfg := r.spec.Classifier(c, r.o.Data)
	t, err := train.NewClassifier(r.backend, cfg)
	if err != nil {
		return err
	}
	defer t.Close()
	name := "classifier-" + c.Name
	run, err := r.begin(r.path(name), cfg, new(train.ClassifierConfig))
	if err != nil {
		return err
	}
	defer run.Close()
	return t.Run(run, r.observe(name), r.o.Stopped)
}

func (r *runner) trainInverter(i InverterSpec) error {
	s := tensor.NewScope(r.backend)
	defer s.Close()
	m, err := r.classifier(s, i.Classifier)
	if err != nil {
		return err
	}
	cfg, err := r.spec.Inverter(i, 0, r.o.Data)
	if err != nil {
		return err
	}
	t, err := gan.NewTrainer(r.backend, m, cfg)
	if err != nil {
		return err
	}
	defer t.Close()
	name := "inverter-" + i.Name()
	run, err := r.begin(r.path(name), t.Config, new(gan.InverterConfig))
	if err != nil {
		return err
	}
	defer run.Close()
	if err := t.SaveClassifier(run); err != nil {
		return err
	}
	return t.Run(run, r.observe(name), r.o.Stopped)
}

func (r *runner) evaluate(i InverterSpec) error {
	s := tensor.NewScope(r.backend)
	defer s.Close()
	p, err := r.inverter(s, i.Name())
	if err != nil {
		return err
	}
	e := r.spec.Evaluate
	o := explore.Options{Name: i.Name(), Images: e.Images, Draws: e.Draws, Gallery: e.Gallery,
		TrueClass: e.TrueClass, Seed: r.spec.seed(), Train: r.set.Train, TrainImages: e.TrainImages}
	if o.Independent, o.Space, err = r.judge(s); err != nil {
		return err
	}
	if o.LPIPS, o.LPIPSName, err = r.lpips(s); err != nil {
		return err
	}
	if c := r.spec.control(i); c != "" {
		if o.Control, err = r.inverter(s, c); err != nil {
			return err
		}
	}
	found, err := explore.Evaluate(p, r.set.Test, o)
	if err != nil {
		return err
	}
	return explore.WriteJSON(r.path("evaluation-"+i.Name()+".json"), found)
}

func (r *runner) explore(experiment, name string, sub subject) error {
	s := tensor.NewScope(r.backend)
	defer s.Close()
	x := r.spec.Explore
	q := explore.Subject{Name: name, Test: r.set.Test, Train: r.set.Train, Images: x.Images,
		TrainImages: x.TrainImages, Draws: x.Draws, Pictures: x.Pictures, Seed: r.spec.seed()}
	if experiment == "misclassified" { // few images are: it needs more of them
		q.Images = r.spec.Evaluate.Images
	}
	var err error
	if q.Independent, _, err = r.judge(s); err != nil {
		return err
	}
	if q.Network, err = r.inverter(s, sub.Name()); err != nil {
		return err
	}
	res, err := explore.Run(experiment, q)
	if err != nil {
		return err
	}
	return res.Save(r.path(ExploreDir))
}
