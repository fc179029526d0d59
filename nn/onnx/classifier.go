package onnx

import (
	"fmt"
	"iter"
	"slices"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
)

// ClassifierOptions say what a foreign classifier expects of its images, which the file does not.
type ClassifierOptions struct {
	// Mean and Std normalise each channel of images in [0, 1], before Scale; nil: not at all.
	Mean, Std []float64
	// Scale multiplies the (normalised) images, 255 for a network on [0, 255]; 0 means 1.
	Scale float64
	// BGR reverses the order of the channels behind the normalisation.
	BGR bool
	// ChannelsLast says that the file's own input is [N H W C], as TensorFlow's exports have it.
	ChannelsLast bool
	// InputSize is needed when the file leaves height and width open.
	InputSize int
	// KeepSoftmax takes the graph's output as the logits even if a Softmax makes it.
	KeepSoftmax bool
	// DType of the computation: F32 (also the zero value) or F64.
	DType tensor.DType
}

// A Classifier is an imported network that maps images [N H W C] in [0, 1] to logits [N Classes].
// Like models.Classifier it may be attacked and inverted; it has no parameters to train.
type Classifier struct {
	graph    *Graph
	file     string
	input    string
	output   string
	norm     nn.Normalize
	opts     ClassifierOptions
	size     int
	channels int
	classes  int
	single   bool // the graph only takes batches of one
	notes    []string
}

// probeBatch is the number of images with which NewClassifier tries the graph: more than one, so
// that a graph made for single images shows.
const probeBatch = 2

// NewClassifier imports a model with one image as input, with its weights in s. The number of
// classes is found by running it once. The error says what does not fit an image classifier.
func NewClassifier(s *tensor.Scope, m *Model, o ClassifierOptions) (*Classifier, error) {
	if o.DType == tensor.Invalid {
		o.DType = tensor.F32
	}
	if o.Scale == 0 {
		o.Scale = 1
	}
	c := &Classifier{file: m.file, opts: o, norm: nn.Normalize{Mean: slices.Clone(o.Mean),
		Std: slices.Clone(o.Std)}}
	if err := c.describeInput(m); err != nil {
		return nil, err
	}
	m, err := c.logits(m)
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
	if len(o.Mean) == 0 && !normalises(m, c.input) {
		c.note("the graph starts without a normalisation: if the network was trained on normalised " +
			"images, give their mean and standard deviation")
	}
	c.note("input: %d×%d pixels, %d channels in [0, 1], mean %v, std %v, scale %g, BGR %v", c.size,
		c.size, c.channels, o.Mean, o.Std, o.Scale, o.BGR)
	return c, nil
}

func (c *Classifier) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

func (c *Classifier) wrong(next, format string, args ...any) *Error {
	return &Error{File: c.file, Op: "NewClassifier", Reason: fmt.Sprintf(format, args...),
		Next: next}
}

// describeInput finds the image among the inputs.
func (c *Classifier) describeInput(m *Model) error {
	ins := m.Inputs()
	if len(ins) != 1 || ins[0].Elem != Float && ins[0].Elem != Double || len(ins[0].Shape) != 4 {
		return c.wrong("export the part of the network that maps one batch of images to logits",
			"expected one floating-point input [N C H W], got %v", ins)
	}
	if ins[0].Elem == Double && c.opts.DType != tensor.F64 {
		return c.wrong("set DType to F64", "the input is double")
	}
	s := ins[0].Shape
	c.input = ins[0].Name
	ch, h, w := s[1], s[2], s[3]
	if c.opts.ChannelsLast {
		ch, h, w = s[3], s[1], s[2]
	}
	if h <= 0 && w <= 0 && c.opts.InputSize > 0 {
		h, w = c.opts.InputSize, c.opts.InputSize
	}
	switch {
	case h != w || h <= 0:
		return c.wrong("set InputSize", "expected square images, got %d×%d (−1 is open)", h, w)
	case ch <= 0 && len(c.opts.Mean) == 0:
		return c.wrong("give Mean and Std", "the file leaves the number of channels open")
	case ch <= 0:
		ch = len(c.opts.Mean)
	case ch > 4:
		return c.wrong("try ChannelsLast", "%d channels are more than an image has", ch)
	}
	if n := len(c.opts.Mean); n != len(c.opts.Std) || n != 0 && n != ch {
		return c.wrong("give one number for each channel, or none",
			"Mean has %d and Std %d values for %d channels", n, len(c.opts.Std), ch)
	}
	if slices.ContainsFunc(c.opts.Std, func(s float64) bool { return !(s > 0) }) {
		return c.wrong("", "Std %v must be positive", c.opts.Std)
	}
	c.size, c.channels = h, ch
	return nil
}

// logits returns the model with the operand of a last Softmax as its output: gradients of
// probabilities vanish where the network is sure, and an inverter reads logits.
func (c *Classifier) logits(m *Model) (*Model, error) {
	outs := m.proto.graph.outputs
	if len(outs) == 0 {
		return nil, c.wrong("", "the graph has no output")
	}
	c.output = outs[0].name
	if len(outs) > 1 {
		c.note("the graph has %d outputs; the first one, %q, is taken", len(outs), c.output)
	}
	for _, n := range m.proto.graph.nodes {
		if n.op != "Softmax" || c.opts.KeepSoftmax || len(n.in) != 1 || len(n.out) != 1 ||
			n.out[0] != c.output {
			continue
		}
		c.output = n.in[0]
		g, p := *m.proto.graph, *m.proto
		g.outputs = []valueInfo{{name: c.output, elem: Float, kind: 1}}
		p.graph = &g
		c.note("the last Softmax is left out: its operand are the logits")
		return &Model{file: m.file, proto: &p}, nil
	}
	return m, nil
}

// normalises reports whether every node that reads the input does arithmetic on it, as exported
// normalisations do.
func normalises(m *Model, input string) bool {
	for _, n := range m.proto.graph.nodes {
		arithmetic := slices.Contains([]string{"Sub", "Add", "Mul", "Div", "BatchNormalization"}, n.op)
		if slices.Contains(n.in, input) && !arithmetic {
			return false
		}
	}
	return true
}

// probe runs the graph on grey images to learn the number of classes and whether it takes batches.
func (c *Classifier) probe(b tensor.Backend) error {
	try := func(n int) (tensor.Shape, error) {
		g := autodiff.NewGraph(b)
		defer g.Close()
		x := g.Const(g.Scope().Full(c.opts.DType, 0.5, n, c.size, c.size, c.channels))
		y, err := c.run(nn.NewCtx(g, false), x)
		if err != nil {
			return nil, err
		}
		return y.Shape().Clone(), nil
	}
	one, err := try(1)
	if err != nil {
		return err
	}
	if one.Size() == 0 || one[0] != 1 {
		return c.wrong("export the network up to its logits",
			"one image gives %v, expected [1 Classes]", one)
	}
	c.classes = one.Size()
	two, err := try(probeBatch)
	if err != nil || len(two) == 0 || two[0] != probeBatch || two.Size() != probeBatch*c.classes {
		c.single = true
		c.note("the graph only takes single images: batches are run one image at a time; " +
			"export it with a dynamic batch axis to be faster")
	}
	return nil
}

// run evaluates the graph on one batch.
func (c *Classifier) run(ctx *nn.Ctx, x *autodiff.Value) (*autodiff.Value, error) {
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
		return nil, err
	}
	v := out[c.output]
	if v.dev == nil {
		return nil, c.wrong("export the network up to its logits",
			"output %q does not depend on the image", c.output)
	}
	return v.dev, nil
}

// Forward returns the logits [N Classes] of images x [N H W C] in [0, 1]. Panics with *tensor.Error
// if x has another shape, or with the importer's reason if the graph fails on it.
func (c *Classifier) Forward(ctx *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	want := tensor.Shape{c.size, c.size, c.channels}
	if s := x.Shape(); len(s) != 4 || !s[1:].Equal(want) {
		panic(&tensor.Error{Op: "onnx.Classifier",
			Operands: []tensor.Operand{tensor.Describe("x", x.Tensor())},
			Reason:   fmt.Sprintf("expected images [N %d %d %d]", want[0], want[1], want[2])})
	}
	parts := []*autodiff.Value{x}
	if c.single && x.Dim(0) > 1 {
		parts = autodiff.Split(x, 0, slices.Repeat([]int{1}, x.Dim(0))...)
	}
	for i, p := range parts {
		y, err := c.run(ctx, p)
		if err != nil {
			panic(&tensor.Error{Op: "onnx.Classifier", Reason: err.Error(),
				Operands: []tensor.Operand{tensor.Describe("x", x.Tensor())}})
		}
		parts[i] = autodiff.Reshape(y, p.Dim(0), c.classes)
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return autodiff.Concat(0, parts...)
}

// Params yields nothing: an imported network is frozen.
func (c *Classifier) Params() iter.Seq2[string, *nn.Param] { return nn.Params(nil).Params() }

// Classes returns the number of logits.
func (c *Classifier) Classes() int { return c.classes }

// InputSize returns the height and width of the images.
func (c *Classifier) InputSize() int { return c.size }

// Channels returns the number of channels of the images.
func (c *Classifier) Channels() int { return c.channels }

// Notes returns what was assumed about the file, for printing.
func (c *Classifier) Notes() []string { return slices.Clone(c.notes) }

// Graph returns the imported graph.
func (c *Classifier) Graph() *Graph { return c.graph }
