package onnx

import (
	"fmt"
	"iter"
	"math"
	"path/filepath"
	"slices"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
)

// ClassifierOptions say what a foreign classifier expects of its images, which the file does not.
type ClassifierOptions struct {
	// Name of the network in reports; empty: the file's.
	Name string `json:"name"`
	// Mean and Std normalise each channel of images in [0, 1], before Scale; nil: not at all.
	Mean []float64 `json:"mean"`
	Std  []float64 `json:"std"`
	// Scale multiplies the (normalised) images, 255 for a network on [0, 255]; 0 means 1.
	Scale float64 `json:"scale"`
	// BGR reverses the order of the channels behind the normalisation.
	BGR bool `json:"bgr"`
	// ChannelsLast says that the file's own input is [N H W C], as TensorFlow's exports have it.
	ChannelsLast bool `json:"channels_last"`
	// InputSize is needed when the file leaves height and width open.
	InputSize int `json:"input_size"`
	// Output is the name of the output that holds the logits; empty: the one called "logits", or else
	// the first.
	Output string `json:"output"`
	// KeepSoftmax takes the graph's output as the logits even if a Softmax or a
	// LogSoftmax makes it.
	KeepSoftmax bool `json:"keep_softmax"`
	// DType of the computation: F32 (also the zero value) or F64.
	DType tensor.DType `json:"-"`
}

// A Classifier is an imported network that maps images [N H W C] in [0, 1] to logits [N Classes].
// Like models.Classifier it may be attacked and inverted; it has no parameters to train.
type Classifier struct {
	graph    *Graph
	model    *Model // as it was read
	file     string
	input    string
	output   string
	penult   string // what the last linear layer reads; empty where there is none
	norm     nn.Normalize
	opts     ClassifierOptions
	size     int
	channels int
	classes  int
	features int  // width of penult; 0 without one
	batch    int  // images that the graph takes at a time; 0: any number
	declared int  // what the file says of that, −1 if it leaves it open
	kept     bool // the backend keeps what it derives from the weights
	notes    []string
}

// largestImage bounds the extent of the images, so that a number in a damaged file does not ask for
// all memory: many times what classifiers take.
const largestImage = 1 << 12

// largestBatch bounds the numbers in the images that a file may ask for at a time, as largestImage
// does: 400 images of 224 pixels.
const largestBatch = 1 << 26

// probeBatch is the number of images with which NewClassifier tries the graph: more than one, so
// that a graph made for single images shows.
const probeBatch = 2

// NewClassifier imports a model with one image as input, with its weights in s. The number of
// classes is found by running it once, and so is the width of the features: see Features. The
// error says what does not fit an image classifier.
func NewClassifier(s *tensor.Scope, m *Model, o ClassifierOptions) (*Classifier, error) {
	if o.DType == tensor.Invalid {
		o.DType = tensor.F32
	}
	if o.Scale == 0 {
		o.Scale = 1
	}
	if o.Name == "" {
		o.Name = filepath.Base(m.file)
	}
	c := &Classifier{model: m, file: m.file, opts: o, norm: nn.Normalize{
		Mean: slices.Clone(o.Mean), Std: slices.Clone(o.Std)}}
	if err := c.describeInput(m); err != nil {
		return nil, err
	}
	m, err := c.head(m)
	if err != nil {
		return nil, err
	}
	c.graph, err = Import(s, m, Options{DType: o.DType, ChannelsLast: !o.ChannelsLast})
	if err != nil {
		return nil, err
	}
	if err := c.probe(s.Backend()); err != nil {
		return nil, err
	}
	c.graph.settle(s)
	c.graph.activate()
	c.graph.hold(s)
	return c, nil
}

func (c *Classifier) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

func (c *Classifier) wrong(next, format string, args ...any) *Error {
	return &Error{File: c.file, Op: "NewClassifier", Reason: fmt.Sprintf(format, args...),
		Next: next}
}

// about names the option that would help.
func (e *Error) about(option string) *Error {
	e.Option = option
	return e
}

// describeInput finds the image among the inputs.
func (c *Classifier) describeInput(m *Model) error {
	ins := m.Inputs()
	if len(ins) == 1 && len(ins[0].Shape) == 4 && !ins[0].Elem.IsFloat() {
		return c.wrong("export it for floating-point images, without the cast at its beginning",
			"expected floating-point images, got %v", ins[0])
	}
	if len(ins) != 1 || len(ins[0].Shape) != 4 {
		return c.wrong("export the part of the network that maps one batch of images to logits",
			"expected one floating-point input [N C H W], got %v", ins)
	}
	if ins[0].Elem == Double && c.opts.DType != tensor.F64 {
		return c.wrong("set DType to F64", "the input is double").about("DType")
	}
	s := ins[0].Shape
	c.input, c.declared = ins[0].Name, s[0]
	ch, h, w := s[1], s[2], s[3]
	if c.opts.ChannelsLast {
		ch, h, w = s[3], s[1], s[2]
	}
	if h <= 0 && w <= 0 && c.opts.InputSize > 0 {
		h, w = c.opts.InputSize, c.opts.InputSize
	}
	switch {
	case h <= 0 || w <= 0:
		return c.wrong("set InputSize", "its images are %d×%d, −1 where the file leaves it open", h,
			w).about("InputSize")
	case h != w:
		return c.wrong("if its axes are in another order, change ChannelsLast; else export it for "+
			"square images", "expected square images, got %d×%d", h, w).about("ChannelsLast")
	case ch <= 0 && len(c.opts.Mean) == 0:
		return c.wrong("give Mean and Std",
			"the file leaves the number of channels open").about("Mean")
	case ch <= 0:
		ch = len(c.opts.Mean)
	case ch > 4:
		return c.wrong("try ChannelsLast", "%d channels are more than an image has",
			ch).about("ChannelsLast")
	case h > largestImage:
		return c.wrong("export the network for smaller images",
			"its images are %d×%[1]d pixels: expected at most %d", h, largestImage)
	}
	if n := len(c.opts.Mean); n != len(c.opts.Std) || n != 0 && n != ch {
		return c.wrong("give one number for each channel, or none",
			"%d means and %d standard deviations for %d channels", n, len(c.opts.Std), ch)
	}
	positive := func(v float64) bool { return v > 0 && !math.IsInf(v, 1) }
	if !positive(c.opts.Scale) || slices.ContainsFunc(c.opts.Std, func(s float64) bool {
		return !positive(s)
	}) {
		return c.wrong("", "the standard deviations %v and the scale %g must be positive",
			c.opts.Std, c.opts.Scale)
	}
	if slices.ContainsFunc(c.opts.Mean, func(v float64) bool {
		return math.IsNaN(v) || math.IsInf(v, 0)
	}) {
		return c.wrong("", "the means %v must be finite", c.opts.Mean)
	}
	c.size, c.channels = h, ch
	return nil
}

// run evaluates the graph on one batch and returns its logits and, where it has them, features.
func (c *Classifier) run(
	ctx *nn.Ctx, x *autodiff.Value,
) (features, logits *autodiff.Value, err error) {
	y := c.norm.Forward(ctx, x)
	if c.opts.Scale != 1 {
		y = autodiff.Scale(y, c.opts.Scale)
	}
	if c.opts.BGR {
		last := c.channels - 1
		y = autodiff.Slice(y, []int{0, 0, 0, last},
			[]int{y.Dim(0), y.Dim(1), y.Dim(2), -1}, []int{1, 1, 1, -1})
	}
	out, err := c.graph.Run(x.Graph(), map[string]*Value{c.input: Of(y)})
	if y != x {
		y.Done()
	}
	if err != nil {
		return nil, nil, err
	}
	if logits = out[c.output].dev; logits == nil {
		return nil, nil, c.wrong("export the network up to its logits",
			"output %q does not depend on the image", c.output)
	}
	if c.penult != "" {
		features = out[c.penult].dev
	}
	return features, logits, nil
}

// Forward returns the logits [N Classes] of images x [N H W C] in [0, 1]. Panics with *tensor.Error
// if x has another shape, or with the importer's reason if the graph fails on it.
func (c *Classifier) Forward(ctx *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	_, logits := c.Features(ctx, x)
	return logits
}

// Features returns what the graph's last linear layer reads, [N FeatureDim], and the logits
// [N Classes]. The features are nil where the logits are not a linear function of one tensor: then
// FeatureDim is 0. Panics as Forward does.
func (c *Classifier) Features(
	ctx *nn.Ctx, x *autodiff.Value,
) (penultimate, logits *autodiff.Value) {
	want := tensor.Shape{c.size, c.size, c.channels}
	if s := x.Shape(); len(s) != 4 || !s[1:].Equal(want) {
		panic(&tensor.Error{Op: "onnx.Classifier",
			Operands: []tensor.Operand{tensor.Describe("x", x.Tensor())},
			Reason:   fmt.Sprintf("expected images [N %d %d %d]", want[0], want[1], want[2])})
	}
	out := ctx.Planned(planKey{c, x.Dim(0)}, x, func() []*autodiff.Value { return c.all(ctx, x) })
	if c.features > 0 {
		penultimate = out[1]
	}
	return penultimate, out[0]
}

// A planKey names passes of a Classifier with so many images.
type planKey struct {
	c *Classifier
	n int
}

// all returns the logits of all images and, where there are any, the features.
func (c *Classifier) all(ctx *nn.Ctx, x *autodiff.Value) []*autodiff.Value {
	parts := c.batches(x)
	features := make([]*autodiff.Value, len(parts))
	for i, p := range parts {
		f, y, err := c.run(ctx, p)
		if err != nil {
			panic(&tensor.Error{Op: "onnx.Classifier", Reason: err.Error(),
				Operands: []tensor.Operand{tensor.Describe("x", x.Tensor())}})
		}
		parts[i] = autodiff.Reshape(y, p.Dim(0), c.classes)
		if c.features > 0 {
			features[i] = autodiff.Reshape(f, p.Dim(0), c.features)
		}
	}
	logits := joined(parts, x.Dim(0))
	if c.features == 0 {
		return []*autodiff.Value{logits}
	}
	return []*autodiff.Value{logits, joined(features, x.Dim(0))}
}

// batches cuts x into batches of as many images as the graph takes; the last one is filled up with
// the last image.
func (c *Classifier) batches(x *autodiff.Value) []*autodiff.Value {
	n := x.Dim(0)
	if c.batch == 0 || n == c.batch || n == 0 {
		return []*autodiff.Value{x}
	}
	if lack := (c.batch - n%c.batch) % c.batch; lack > 0 {
		last := autodiff.SliceAxis(x, 0, n-1, n)
		x = autodiff.Concat(0, append([]*autodiff.Value{x}, slices.Repeat([]*autodiff.Value{last},
			lack)...)...)
	}
	return autodiff.Split(x, 0, slices.Repeat([]int{c.batch}, x.Dim(0)/c.batch)...)
}

// joined puts batches one behind another, and leaves out what is behind the first n rows.
func joined(parts []*autodiff.Value, n int) *autodiff.Value {
	y := parts[0]
	if len(parts) > 1 {
		y = autodiff.Concat(0, parts...)
	}
	if y.Dim(0) == n {
		return y
	}
	return autodiff.SliceAxis(y, 0, 0, n)
}

// Params yields nothing: an imported network is frozen.
func (c *Classifier) Params() iter.Seq2[string, *nn.Param] { return nn.Params(nil).Params() }

// Arch returns the network's name: the file's, unless the options had another.
func (c *Classifier) Arch() string { return c.opts.Name }

// Classes returns the number of logits.
func (c *Classifier) Classes() int { return c.classes }

// InputSize returns the height and width of the images.
func (c *Classifier) InputSize() int { return c.size }

// Channels returns the number of channels of the images.
func (c *Classifier) Channels() int { return c.channels }

// Inference opens an Inference. A graph's weights are constants of its own, of which the backend
// may keep packed forms from then on, as it does of a network's own layers.
func (c *Classifier) Inference(b tensor.Backend) *nn.Inference {
	if k, ok := b.(tensor.ConstantKeeper); ok && !c.kept {
		c.graph.keepKernels(k)
		c.kept = true
	}
	return nn.NewInference(b)
}

// FeatureDim returns the width of the features, 0 if there are none: see Features.
func (c *Classifier) FeatureDim() int { return c.features }

// Options returns what the classifier was made with, defaults filled in.
func (c *Classifier) Options() ClassifierOptions {
	o := c.opts
	o.Mean, o.Std, o.InputSize = slices.Clone(o.Mean), slices.Clone(o.Std), c.size
	return o
}

// Outputs returns the names of all outputs of the file, of which one holds the logits.
func (c *Classifier) Outputs() []string {
	var names []string
	for _, o := range c.model.Outputs() {
		names = append(names, o.Name)
	}
	return names
}

// Notes returns what was assumed about the file, for printing.
func (c *Classifier) Notes() []string { return slices.Clone(c.notes) }

// Graph returns the imported graph.
func (c *Classifier) Graph() *Graph { return c.graph }
