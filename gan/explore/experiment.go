package explore

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"afterimage/gan"
	"afterimage/gan/metrics"
	"afterimage/gan/report"
	"afterimage/nn/data"
	"afterimage/tensor"

	"gonum.org/v1/gonum/mat"
)

// A Subject is what an experiment is made with. Zero counts mean the defaults.
type Subject struct {
	Name        string       // for the report: "robust"
	Network     Network      // a Painter, but for the probe, which needs a classifier alone
	Test        data.Dataset // the first Images of it are used
	Train       data.Dataset // for the probe's fit
	Images      int          // 0: 500
	TrainImages int          // 0: 10,000
	Draws       int          // of the noise experiment; 0: 16
	Pictures    int          // test images on the sheet; 0: 8
	Seed        uint64
	Independent Network // whose features measure content; nil: 8×8 means alone
}

// A Result is what an experiment found for one subject.
type Result struct {
	Experiment string        `json:"experiment"`
	Subject    string        `json:"subject"`
	Images     int           `json:"images"`
	Seed       uint64        `json:"seed"`
	Stats      []Stat        `json:"stats"`
	Curves     []Curve       `json:"curves,omitempty"`
	Sheet      *report.Sheet `json:"-"` // test images 0, 1, 2, … unselected
}

// A Stat is one number of a result.
type Stat struct {
	Name   string `json:"name"`
	Unit   string `json:"unit,omitempty"`
	Better string `json:"better,omitempty"` // "lower", "higher" or nothing
	// to be compared by the ratio of means, or the difference of medians, instead of means
	Ratio    bool             `json:"ratio,omitempty"`
	Median   bool             `json:"median,omitempty"`
	Estimate metrics.Estimate `json:"estimate"`
	// where images of several subjects may be paired
	Values Values `json:"per_image,omitempty"`
}

// A Curve is a statistic over the levels of a manipulation.
type Curve struct {
	Name   string             `json:"name"`
	XLabel string             `json:"x_label"`
	YLabel string             `json:"y_label"`
	LogX   bool               `json:"log_x,omitempty"`
	X      []float64          `json:"x"`
	Y      []metrics.Estimate `json:"y"`
}

// An Experiment describes one experiment.
type Experiment struct {
	Name    string
	Title   string // of its section
	Text    string // what is done, and how to read it: prose for a report
	Painter bool   // it needs an inverter
	Logits  bool   // it changes logits
	run     func(*lab) (*Result, error)
}

// Takes reports whether the experiment says anything of an inverter that is told c: changed logits
// reach only one that is told logits.
func (e Experiment) Takes(c gan.Condition) bool { return !e.Logits || c == gan.Logits }

// Experiments returns all experiments in the order a report shows them. All but the probe look for
// a finding of the paper; gan/PAPER.md, section 5, lists them.
func Experiments() []Experiment {
	return []Experiment{
		{"probe", "What a small regression recovers", probeText, false, false, probe},
		{"noise", "New noise, same logits", noiseText, true, false, noise},
		{"misclassified", "Misclassified images", misclassifiedText, true, false, misclassified},
		{"shift", "A constant added to all logits", shiftText, true, true, shift},
		{"scale", "Logits multiplied", scaleText, true, true, scale},
		{"perturb", "Noise added to the logits", perturbText, true, true, perturb},
	}
}

// Names returns the experiments' names.
func Names() []string {
	var out []string
	for _, e := range Experiments() {
		out = append(out, e.Name)
	}
	return out
}

// Find returns the experiment called name, or an error that lists those there are.
func Find(name string) (Experiment, error) {
	for _, e := range Experiments() {
		if e.Name == name {
			return e, nil
		}
	}
	return Experiment{}, tensor.Refuse("explore: no experiment %q: expected one of %s", name,
		strings.Join(Names(), ", "))
}

// Run makes the experiment called name. It returns an error if there is no such experiment or the
// subject does not allow it.
func Run(name string, s Subject) (*Result, error) {
	e, err := Find(name)
	if err != nil {
		return nil, err
	}
	l, err := prepare(e, s)
	if err != nil {
		return nil, err
	}
	r, err := e.run(l)
	if err != nil {
		return nil, err
	}
	r.Experiment, r.Subject, r.Images, r.Seed = e.Name, s.Name, l.Images, s.Seed
	return r, nil
}

// A lab is a subject with its images loaded and asked about.
type lab struct {
	Subject
	painter Painter
	images  metrics.Images
	labels  []int32
	answer  Answer
}

func prepare(e Experiment, s Subject) (*lab, error) {
	l := &lab{Subject: s}
	l.painter, _ = s.Network.(Painter)
	if e.Painter && l.painter == nil {
		return nil, tensor.Refuse("explore: %s needs an inverter, not a classifier alone", e.Name)
	}
	set := func(v *int, fallback int) {
		if *v == 0 {
			*v = fallback
		}
	}
	set(&l.Images, 500)
	set(&l.Draws, 16)
	set(&l.Pictures, 8)
	l.Images = min(l.Images, s.Test.Len())
	l.Pictures = min(l.Pictures, l.Images)
	if l.Images < 4 || l.Draws < 2 {
		return nil, tensor.Refuse("explore: %s: %d images, %d draws: expected at least 4 and 2",
			e.Name, l.Images, l.Draws)
	}
	if h, w, _ := s.Test.Size(); h%metrics.Grid != 0 || w%metrics.Grid != 0 {
		return nil, tensor.Refuse("explore: %s: images of %dx%d: expected sides divisible by %d",
			e.Name, h, w, metrics.Grid)
	}
	if err := canJudge(s.Independent, s.Test); err != nil {
		return nil, fmt.Errorf("explore: %s: %w", e.Name, err)
	}
	l.images, l.labels = Load(s.Test, 0, l.Images)
	l.answer = s.Network.Ask(l.images)
	return l, nil
}

// canJudge returns an error if the independent network has no features to judge by.
func canJudge(n Network, test data.Dataset) error {
	if n == nil {
		return nil
	}
	if m, _ := Load(test, 0, 1); n.Ask(m).Features == nil {
		return tensor.Refuse("the independent network has no features to judge by: its logits are not " +
			"made by a linear layer from one vector an image; give another one")
	}
	return nil
}

// sameClasses returns an error if the images' labels are not the classes that the network which
// answers tells apart.
func sameClasses(a Answer, test data.Dataset) error {
	if have, want := len(test.Classes()), width(a.Logits); have != want {
		return tensor.Refuse("answers are compared with labels: expected images of the classifier's %d "+
			"classes, %s has %d: give the data set it was trained on", want, test.Name(), have)
	}
	return nil
}

func (l *lab) key(name string) tensor.Key { return bootstrapKey(l.Seed, name) }

// stat returns the mean of values, one for each image, as a Stat that can be paired.
func (l *lab) stat(name, unit, better string, values []float64) Stat {
	return Stat{Name: name, Unit: unit, Better: better, Values: values,
		Estimate: metrics.Mean(metrics.Defined(values), l.key(name))}
}

// paint paints all images from changed logits with the first noise draw.
func (l *lab) paint(logits *mat.Dense) metrics.Images {
	return l.painter.Paint(Answer{logits, l.answer.Features}, Noise{l.Seed, 0}).In(metrics.Unit)
}

// spread returns the standard deviation of each logit over the images.
func (l *lab) spread() []float64 {
	n, k := l.answer.Logits.Dims()
	out := make([]float64, k)
	for c := range k {
		mean, sq := 0.0, 0.0
		for i := range n {
			mean += l.answer.Logits.At(i, c) / float64(n)
		}
		for i := range n {
			d := l.answer.Logits.At(i, c) - mean
			sq += d * d / float64(n)
		}
		out[c] = math.Sqrt(sq)
	}
	return out
}

// content measures how far the content of pictures a and b is apart, for each image: by 8×8 means,
// and, with an independent network, by its features, in units of the mean squared distance between
// two real images.
type content struct {
	lab  *lab
	unit float64
}

func (l *lab) content() content {
	if l.Independent == nil {
		return content{lab: l}
	}
	f := l.Independent.Ask(l.images).Features
	n, d := f.Dims()
	total := 0.0
	for c := range d {
		mean := mat.Sum(f.ColView(c)) / float64(n)
		for i := range n {
			v := f.At(i, c) - mean
			total += 2 * v * v / float64(n-1)
		}
	}
	return content{l, total}
}

// features returns what byFeatures compares, so that a fixed side is asked about once; nil without
// an independent network.
func (c content) features(m metrics.Images) *mat.Dense {
	if c.lab.Independent == nil {
		return nil
	}
	return c.lab.Independent.Ask(m).Features
}

func (c content) byFeatures(a, b *mat.Dense) []float64 {
	out := metrics.RowMSE(a, b)
	d := float64(width(a))
	for i := range out {
		out[i] *= d / c.unit
	}
	return out
}

// Compare returns a − b, paired over images, for each number both results have for the same images;
// a / b for those marked Ratio, medians for those marked Median.
func Compare(a, b *Result, seed uint64) []Difference {
	var out []Difference
	for _, s := range a.Stats {
		i := slices.IndexFunc(b.Stats, func(t Stat) bool { return t.Name == s.Name })
		if i < 0 || len(s.Values) == 0 || len(s.Values) != len(b.Stats[i].Values) {
			continue
		}
		var x, y []float64
		for k, v := range s.Values {
			if w := b.Stats[i].Values[k]; finite(v) && finite(w) {
				x, y = append(x, v), append(y, w)
			}
		}
		d := Difference{Name: s.Name, Unit: s.Unit, Better: s.Better}
		key := tensor.NewKey(seed, "explore/compare/"+s.Name)
		switch {
		case s.Ratio:
			d.Unit, d.Estimate = "ratio", metrics.PairedRatio(x, y, key)
		case s.Median:
			d.Estimate = metrics.PairedMedian(x, y, key)
		default:
			d.Estimate = metrics.PairedMean(x, y, key)
		}
		out = append(out, d)
	}
	return out
}
