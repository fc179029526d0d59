package study

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"text/tabwriter"

	"afterimage/gan"
	"afterimage/gan/report"
	"afterimage/nn"
	"afterimage/nn/models"
	"afterimage/nn/onnx"
	"afterimage/tensor"
)

// A Description states what a study would take, from the shapes alone: nothing is allocated.
type Description struct {
	Study       string                  `json:"study"`
	Dataset     string                  `json:"dataset"`
	Classifiers []ClassifierDescription `json:"classifiers"`
	Inverters   []InverterDescription   `json:"inverters"`
	// on two cores; 0: not made for them
	Seconds float64 `json:"budget_seconds"`
}

// A ClassifierDescription states a classifier's size and the cost of its training.
type ClassifierDescription struct {
	Name       string  `json:"name"`
	Arch       string  `json:"arch"`
	Parameters int     `json:"parameters"`
	MACs       int     `json:"macs_per_image,omitempty"` // 0: not known, of an ONNX file
	FLOPs      float64 `json:"training_flops"`
	Memory     float64 `json:"weight_bytes"` // weights, gradients, momentum, F32
	Budget     float64 `json:"budget_seconds"`
}

// An InverterDescription states an inverter's size and the cost of its training.
type InverterDescription struct {
	Name        string  `json:"name"`
	GParameters int     `json:"generator_parameters"`
	DParameters int     `json:"discriminator_parameters"`
	GMACs       int     `json:"generator_macs_per_image"`
	DMACs       int     `json:"discriminator_macs_per_image"`
	StepFLOPs   float64 `json:"flops_per_step"`
	TotalFLOPs  float64 `json:"training_flops"`
	// both networks, average, gradients, Adam's moments, F32
	WeightBytes  float64 `json:"weight_bytes"`
	ActiveBytes  float64 `json:"activation_bytes"` // estimate of the largest pass, F32
	Batch, Steps int     `json:"-"`
	Budget       float64 `json:"budget_seconds"`
}

// Describe constructs every network of the study and states parameters, FLOPs and memory. ONNX
// files are looked for in folder, Options.Data of Run; one that is not there is an error only where
// an inverter takes its features.
//
// FLOPs count 2 for a multiply-accumulate of convolutions and linear layers: 6·MACs an image for
// forward and backward, 4·MACs where only the input's gradient is wanted (attacks; the
// discriminator in a generator step). Activation memory is an estimate: the tensors that the blocks
// keep for the backward pass.
func (s *Spec) Describe(folder string) (*Description, error) {
	d := &Description{Study: s.Name, Dataset: s.Dataset, Seconds: s.Budget()}
	images, classes, size := s.TrainImages, s.Classes, s.Size
	if known, ok := knownSets()[s.Dataset]; ok {
		if images == 0 {
			images = known.images
		}
		classes, size = known.classes, known.size
	}
	networks := map[string]counted{}
	for _, c := range s.Classifiers {
		m, err := count(c, classes, size, folder)
		if err != nil {
			return nil, fmt.Errorf("study: %s: %w", c.Name, err)
		}
		networks[c.Name] = m
		x := ClassifierDescription{Name: c.Name, Arch: m.arch, Parameters: m.parameters, MACs: m.macs,
			Memory: 12 * float64(m.parameters), Budget: c.Budget}
		x.FLOPs = c.Epochs * float64(images) * float64(m.macs) * float64(6+4*c.Attack.Steps)
		d.Classifiers = append(d.Classifiers, x)
	}
	for _, i := range s.Inverters {
		m := networks[i.Classifier]
		cond := classes
		if i.Condition == gan.Features {
			if cond = m.features; cond == 0 {
				return nil, tensor.Refuse("study: %s: the width of the features of %s is not known: %s",
					i.Name(), m.arch, m.why)
			}
		}
		cfg, err := s.Inverter(i, cond, "")
		if err != nil {
			return nil, fmt.Errorf("study: %s: %w", i.Name(), err)
		}
		if err := cfg.Validate(); err != nil {
			return nil, fmt.Errorf("study: %s: %w", i.Name(), err)
		}
		if size != 0 && cfg.Net.Size != size {
			return nil, tensor.Refuse("study: %s: the generator paints %d pixels, the images of %s have "+
				"%d: both must agree", i.Name(), cfg.Net.Size, s.Dataset, size)
		}
		d.Inverters = append(d.Inverters, describeInverter(i, cfg, m.macs))
	}
	return d, nil
}

// A counted classifier is what is known of it without computing anything.
type counted struct {
	arch                       string
	parameters, macs, features int
	why                        string // it has no features
}

func count(c ClassifierSpec, classes, size int, folder string) (counted, error) {
	if c.imported() {
		return countONNX(c, folder)
	}
	m, err := models.New(c.Arch, models.Options{Classes: classes, InputSize: size, Mean: c.Mean,
		Std: c.Std})
	if err != nil {
		return counted{}, err
	}
	return counted{arch: c.Arch, parameters: nn.Count(m), macs: m.MACs(), features: m.FeatureDim(),
		why: "it has none"}, nil
}

// countONNX reads what an ONNX file says of its size. Its MACs would take a run.
func countONNX(c ClassifierSpec, folder string) (counted, error) {
	n := counted{arch: filepath.Base(c.Weights)}
	m, err := onnx.Open(filepath.Join(folder, c.Weights))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		n.why = err.Error()
		return n, nil
	case err != nil:
		return n, err
	}
	n.parameters, n.features = m.Parameters(), m.FeatureDim()
	n.why = "its logits are not made by a linear layer with its weight in the file"
	return n, nil
}

func describeInverter(i InverterSpec, c gan.InverterConfig, classifier int) InverterDescription {
	g, d := gan.NewGenerator(c.Net), gan.NewDiscriminator(c.Net)
	x := InverterDescription{Name: i.Name(), GParameters: nn.Count(g), DParameters: nn.Count(d),
		GMACs: g.MACs(), DMACs: d.MACs(),
		Batch: c.Batch, Steps: c.Steps, Budget: i.Budget}
	n, dSteps := float64(c.Batch), float64(c.DSteps)
	gm, dm := float64(x.GMACs), float64(x.DMACs)
	// A discriminator step: the classifier and G forward, D forward and backward on real and
	// painted images. A generator step: G forward and backward, D forward and the gradient of its
	// input.
	x.StepFLOPs = n * (dSteps*(2*float64(classifier)+2*gm+12*dm) + 6*gm + 4*dm)
	x.TotalFLOPs = x.StepFLOPs * float64(c.Steps)
	gp, dp := float64(x.GParameters), float64(x.DParameters)
	x.WeightBytes = 4 * (gp*(1+1+2+1) + dp*(1+2+1)) // weight, average, moments, gradient
	x.ActiveBytes = 4 * max(2*n*discriminatorValues(c.Net),
		n*(generatorValues(c.Net)+discriminatorValues(c.Net)))
	return x
}

// generatorValues estimates the numbers a generator keeps for one image: for each block, its
// input's normalised and enlarged form, and four maps of its output's size.
func generatorValues(c gan.Config) float64 {
	sum, size := 0.0, 4
	for i := range len(c.GMult) - 1 {
		in, out := float64(c.GMult[i]*c.ChG), float64(c.GMult[i+1]*c.ChG)
		small, large := float64(size*size), float64(4*size*size)
		sum += 2*small*in + large*in + 4*large*out
		size *= 2
	}
	return sum
}

// discriminatorValues estimates the numbers a discriminator keeps for one image: for each block,
// its rectified input, three maps at its resolution, and its output.
func discriminatorValues(c gan.Config) float64 {
	sum, size, in := 0.0, c.Size, 3.0
	for i, m := range c.DMult {
		out, area := float64(m*c.ChD), float64(size*size)
		sum += area*in + 3*area*out
		if c.DDown[i] {
			size /= 2
		}
		sum += float64(size*size) * out
		in = out
	}
	return sum
}

// A knownSet is what is known of a data set before it is opened.
type knownSet struct{ images, classes, size int }

// knownSets lists the sets data.Open knows; images are those trained on: of CIFAR's 50,000 and of
// MNIST's 60,000, data.HeldOut takes 5,000; scenes are drawn, none held out of them.
func knownSets() map[string]knownSet {
	return map[string]knownSet{
		"cifar-10":      {45000, 10, 32},
		"cifar-100":     {45000, 100, 32},
		"mnist":         {55000, 10, 28},
		"fashion-mnist": {55000, 10, 28},
		"scenes":        {20000, 10, 32},
	}
}

// Write prints the description as text.
func (d *Description) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	unknown := false // some MACs
	fmt.Fprintf(t, "study %s on %s\n\n", d.Study, d.Dataset)
	fmt.Fprintf(t, "classifier\tarchitecture\tparameters\tMACs/image\ttraining\tweights and "+
		"optimizer\tbudget\n")
	for _, c := range d.Classifiers {
		parameters, macs, memory := thousands(c.Parameters), si(float64(c.MACs), ""),
			si(c.Memory, "B")
		if c.Parameters == 0 {
			parameters, memory = "–", "–"
		}
		if c.MACs == 0 {
			macs, unknown = "–", true
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, c.Arch, parameters, macs,
			training(c.FLOPs), memory, report.Duration(c.Budget))
	}
	fmt.Fprintf(t, "\ninverter\tG parameters\tD "+
		"parameters\tFLOP/step\tbatch\tsteps\ttraining\tweights and optimizer\tactivations, "+
		"about\tbudget\n")
	for _, i := range d.Inverters {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", i.Name, thousands(i.GParameters),
			thousands(i.DParameters), si(i.StepFLOPs, ""),
			i.Batch, thousands(i.Steps), si(i.TotalFLOPs, "FLOP"), si(i.WeightBytes, "B"),
			si(i.ActiveBytes, "B"), report.Duration(i.Budget))
	}
	if unknown {
		fmt.Fprintf(t, "\nMACs of an ONNX file are not known: the work of its inverters is stated "+
			"without it\n")
	}
	if d.Seconds > 0 {
		fmt.Fprintf(t, "\nall stages together, on two cores: about %s\n", report.Duration(d.Seconds))
	}
	return t.Flush()
}

func training(flops float64) string {
	if flops == 0 {
		return "weights given"
	}
	return si(flops, "FLOP")
}

// si formats v with a decimal prefix: 1.04 P.
func si(v float64, unit string) string {
	prefixes := []string{"", "k", "M", "G", "T", "P", "E", "Z"}
	k := 0
	for v >= 1000 && k < len(prefixes)-1 {
		v, k = v/1000, k+1
	}
	return fmt.Sprintf("%.3g %s%s", v, prefixes[k], unit)
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
