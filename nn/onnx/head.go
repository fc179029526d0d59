package onnx

import (
	"math"
	"slices"
	"strings"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
)

// head returns the model with the logits as its first output and the features, if there are such,
// as its second. The operand of a last Softmax are the logits: gradients of probabilities vanish
// where the network is sure, and an inverter reads logits. So are those of a last LogSoftmax, which
// takes away what they have in common.
func (c *Classifier) head(m *Model) (*Model, error) {
	outs := m.proto.graph.outputs
	if len(outs) == 0 {
		return nil, c.wrong("", "the graph has no output")
	}
	if err := c.chooseOutput(outs); err != nil {
		return nil, err
	}
	t := trace(m.proto.graph)
	if n := t.made[c.output]; n != nil && (n.op == "Softmax" || n.op == "LogSoftmax") &&
		!c.opts.KeepSoftmax && len(n.in) == 1 && len(n.out) == 1 {
		c.output = n.in[0]
		c.note("the last %s is left out: its operand are the logits", n.op)
	}
	g, p := *m.proto.graph, *m.proto
	g.outputs = []valueInfo{{name: c.output, elem: Float, kind: 1}}
	if n := t.linear(c.output); n != nil && n.in[0] != "" && n.in[0] != c.input &&
		n.in[0] != c.output {
		c.penult = n.in[0]
		g.outputs = append(g.outputs, valueInfo{name: c.penult, elem: Float, kind: 1})
	}
	p.graph = &g
	return &Model{file: m.file, data: m.data, proto: &p}, nil
}

// chooseOutput finds the logits among several outputs.
func (c *Classifier) chooseOutput(outs []valueInfo) error {
	const usual = "logits"
	names := make([]string, len(outs))
	for i, o := range outs {
		names[i] = quote(o.name)
	}
	list := strings.Join(names, ", ")
	find := func(name string) int {
		return slices.IndexFunc(outs, func(o valueInfo) bool { return o.name == name })
	}
	at := max(0, find(usual))
	if c.opts.Output != "" {
		if at = find(c.opts.Output); at < 0 {
			return c.wrong("set Output to one of them", "no output is called %s: it has %s",
				quote(c.opts.Output), list).about("Output")
		}
	} else if len(outs) > 1 {
		c.note("of its outputs %s %q is taken for the logits", list, outs[at].name)
	}
	c.output = outs[at].name
	return nil
}

// A tracer follows values back to where they come from.
type tracer struct {
	made  map[string]*nodeProto // by the names of their results
	fixed map[string]bool       // initialisers
}

func trace(g *graphProto) tracer {
	t := tracer{map[string]*nodeProto{}, map[string]bool{}}
	for _, n := range g.nodes {
		for _, out := range n.out {
			t.made[out] = n
		}
	}
	for _, i := range g.initializers {
		t.fixed[i.name] = true
	}
	return t
}

// farthest bounds how many nodes a search follows back: between a linear layer and the output, or a
// weight and its initialiser, stand a few at most.
const farthest = 8

// constant reports whether a value is an initialiser, or one that was cast or permuted.
func (t tracer) constant(name string) bool {
	for range farthest {
		n := t.made[name]
		switch {
		case t.fixed[name] || n != nil && n.op == "Constant":
			return true
		case n == nil || len(n.in) == 0 || !slices.Contains([]string{"Identity", "Transpose", "Cast"},
			n.op):
			return false
		}
		name = n.in[0]
	}
	return false
}

// linear returns the linear layer that makes the logits, behind nothing but a bias and changes of
// shape, or nil if something else makes them: its operand in[0] are the features. A 1×1 convolution
// is such a layer if its operand turns out to have one pixel.
func (t tracer) linear(logits string) *nodeProto {
	name := logits
	for range farthest {
		n := t.made[name]
		if n == nil || len(n.in) == 0 {
			return nil
		}
		switch n.op {
		case "Identity", "Reshape", "Flatten", "Squeeze", "Dropout", "Cast":
			name = n.in[0]
		case "Add":
			switch {
			case len(n.in) == 2 && t.constant(n.in[1]):
				name = n.in[0]
			case len(n.in) == 2 && t.constant(n.in[0]):
				name = n.in[1]
			default:
				return nil
			}
		case "Gemm", "MatMul", "Conv":
			if len(n.in) < 2 || !t.constant(n.in[1]) || n.op == "Gemm" && n.flag("transA") {
				return nil
			}
			return n
		default:
			return nil
		}
	}
	return nil
}

// flag reports whether an integer attribute is set.
func (n *nodeProto) flag(name string) bool {
	return slices.ContainsFunc(n.attrs, func(a attrProto) bool {
		return a.name == name && a.i != 0
	})
}

// Normalises reports whether every node that reads the pixels of the model's first input, as they
// are, cast or permuted, does arithmetic on them, as exported normalisations do; then images in
// [0, 1] are likely what it expects.
func (m *Model) Normalises() bool {
	ins := m.Inputs()
	if len(ins) == 0 {
		return false
	}
	pixels := []string{ins[0].Name}
	found := false
	for _, n := range m.proto.graph.nodes { // operands stand before what reads them
		if !slices.ContainsFunc(n.in, func(x string) bool { return slices.Contains(pixels, x) }) {
			continue
		}
		switch n.op {
		case "Identity", "Cast", "Transpose":
			pixels = append(pixels, n.out...)
		case "Shape", "Size": // of the images, whatever is in them
		case "Sub", "Add", "Mul", "Div", "BatchNormalization":
			found = true
		default:
			return false
		}
	}
	return found
}

// probe runs the graph on grey images to learn the number of classes, the width of the features and
// whether it takes batches of any size.
func (c *Classifier) probe(b tensor.Backend) error {
	n := 1
	got, err := c.try(b, 1)
	// A graph for a fixed number of images fails on one, or repeats it to as many.
	if fixed := c.declared; (err != nil || got.rows() != 1) && fixed > 1 &&
		fixed <= largestBatch/(c.size*c.size*c.channels) {
		if all, again := c.try(b, fixed); again == nil {
			n, got, err = fixed, all, nil
		}
	}
	if err != nil {
		return err
	}
	if got.logits.Size() == 0 || got.rows() != n {
		return c.wrong("export the network up to its logits",
			"a batch of %d gives %v, expected [%[1]d Classes]", n, got.logits)
	}
	c.classes = got.logits.Size() / n
	if n == 1 {
		two, err := c.try(b, probeBatch)
		if err == nil && two.rows() == probeBatch &&
			two.logits.Size() == probeBatch*c.classes {
			n, got = probeBatch, two
		} else {
			c.batch = 1
			c.note("the graph only takes single images: batches are run one image at a time; " +
				"export it with a dynamic batch axis to be faster")
		}
	} else {
		c.batch = n
		c.note("the graph only takes %d images at a time: other batches are cut or filled up to that; "+
			"export it with a dynamic batch axis to be faster", n)
	}
	f := got.features
	if len(f) < 2 || f[0] != n || len(f) == 4 && f[2]*f[3] != 1 {
		return nil // not one vector an image
	}
	c.features = f.Size() / n
	return nil
}

// notFinite says of a logit v of a grey image what is known: a NaN among the constants, or that the
// graph makes it of numbers. An infinity among them is no fault: masks have them.
func (c *Classifier) notFinite(v float64) error {
	const what = "a logit of a grey image is not finite: %g: "
	if name := c.graph.firstNaN(); name != "" {
		return c.wrong("take another file, or export it again",
			what+"the constant %s holds a NaN", v, quote(name))
	}
	return c.wrong("check how images are to be normalised, or take another file",
		what+"the graph makes it, none of its constants is a NaN", v)
}

// A tried is what a run on grey images gave.
type tried struct{ logits, features tensor.Shape }

// rows returns how many images the logits are of, 0 if there was no run.
func (t tried) rows() int {
	if len(t.logits) == 0 {
		return 0
	}
	return t.logits[0]
}

// try runs the graph on n grey images.
func (c *Classifier) try(b tensor.Backend, n int) (t tried, err error) {
	g := autodiff.NewGraph(b)
	defer g.Close()
	var f, y *autodiff.Value
	misuse := tensor.Try(func() {
		g.NoGrad(func() {
			x := g.Const(g.Scope().Full(c.opts.DType, 0.5, n, c.size, c.size, c.channels))
			f, y, err = c.run(nn.NewCtx(g, nn.Eval), x)
		})
	})
	if misuse != nil {
		return t, misuse
	}
	if err != nil {
		return t, err
	}
	for _, v := range y.Tensor().Floats() {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return t, c.notFinite(v)
		}
	}
	if t.logits = y.Shape().Clone(); f != nil {
		t.features = f.Shape().Clone()
	}
	return t, nil
}
