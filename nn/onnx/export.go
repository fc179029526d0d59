package onnx

import (
	"fmt"
	"io"
	"strings"

	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/tensor"
)

// What exported files declare: operator set 17 is read by every runtime of the last years, and
// version 8 of the file format goes with it.
const (
	exportOpset     = 17
	exportIRVersion = 8
)

// The names of an exported classifier's input, images [N C H W] in [0, 1], and output, [N Classes].
const (
	ExportInput  = "images"
	ExportOutput = "logits"
)

// Export writes a classifier as an ONNX file: operator set 17, one input "images" [N C H W] with
// values in [0, 1] (the normalisation is in the file), one output "logits" [N Classes], N open.
// Initialisers have PyTorch's names and layouts. Batch normalisation uses the running statistics.
//
// It returns an error if a parameter has no values, the architecture is not known here, or w fails.
func Export(m *models.Classifier, w io.Writer) error {
	for name, p := range m.Params() {
		if p.T == nil {
			return fmt.Errorf("onnx: Export: parameter %s has no values: train the classifier or "+
				"load weights first", name)
		}
	}
	e := &exporter{weights: models.Export(m, m.Mapping(), models.OIHW), graph: &graphProto{},
		used: map[string]bool{}}
	x := e.normalise(m.Options())
	if err := e.network(m, x); err != nil {
		return err
	}
	for _, name := range e.weights.Names() {
		if !e.used[name] {
			return fmt.Errorf("onnx: Export: %s: parameter %s has no place in the exported graph: "+
				"the exporter does not know this architecture", m.Arch(), name)
		}
	}
	o := m.Options()
	e.graph.inputs = []valueInfo{{name: ExportInput, elem: Float,
		shape: []int{-1, o.Channels, o.InputSize, o.InputSize}}}
	e.graph.outputs = []valueInfo{{name: ExportOutput, elem: Float, shape: []int{-1, o.Classes}}}
	p := modelProto{irVersion: exportIRVersion, producer: "afterimage", graph: e.graph,
		opsets: map[string]int64{"": exportOpset}}
	_, err := w.Write(p.encode())
	return err
}

// An exporter writes down a network layer by layer. Values are named after the layers that make
// them.
type exporter struct {
	weights *checkpoint.File
	graph   *graphProto
	used    map[string]bool
}

// has reports whether the network has a parameter.
func (e *exporter) has(name string) bool {
	_, ok := e.weights.Get(name)
	return ok
}

// shape returns the extents of a parameter, in PyTorch's layout.
func (e *exporter) shape(name string) []int {
	a, ok := e.weights.Get(name)
	if !ok {
		panic(&Error{Op: "Export", Reason: fmt.Sprintf("the network has no parameter %s", name)})
	}
	return a.Shape
}

// weight makes a parameter an initialiser and returns its name.
func (e *exporter) weight(name string) string {
	if e.used[name] {
		return name
	}
	a, _ := e.weights.Get(name)
	e.used[name] = true
	t := &tensorProto{name: name, elem: Float, raw: a.Data, hasRaw: true}
	for _, d := range e.shape(name) {
		t.dims = append(t.dims, int64(d))
	}
	e.graph.initializers = append(e.graph.initializers, t)
	return name
}

// constant adds an initialiser of this exporter's own.
func (e *exporter) constant(name string, a *Array) string {
	e.graph.initializers = append(e.graph.initializers, a.proto(name))
	return name
}

// add appends a node whose result has the node's name.
func (e *exporter) add(op, name string, in []string, attrs ...attrProto) string {
	e.graph.nodes = append(e.graph.nodes,
		&nodeProto{name: name, op: op, in: in, out: []string{name}, attrs: attrs})
	return name
}

func ints(name string, v ...int) attrProto {
	a := attrProto{name: name, ints: []int64{}}
	for _, x := range v {
		a.ints = append(a.ints, int64(x))
	}
	return a
}

// normalise writes (x − mean)/std, if the classifier has a normalisation.
func (e *exporter) normalise(o models.Options) string {
	if len(o.Mean) == 0 {
		return ExportInput
	}
	vector := func(name string, v []float64) string {
		return e.constant(name, &Array{Elem: Float, Shape: tensor.Shape{len(v), 1, 1}, F: v})
	}
	x := e.add("Sub", "normalize/centred", []string{ExportInput, vector("normalize.mean", o.Mean)})
	return e.add("Div", "normalize", []string{x, vector("normalize.std", o.Std)})
}

// conv writes a convolution, with its bias if it has one.
func (e *exporter) conv(x, name string, stride, pad int) string {
	s := e.shape(name + ".weight")
	in := []string{x, e.weight(name + ".weight")}
	if e.has(name + ".bias") {
		in = append(in, e.weight(name+".bias"))
	}
	return e.add("Conv", name, in, ints("kernel_shape", s[2], s[3]),
		ints("strides", stride, stride), ints("pads", pad, pad, pad, pad))
}

// same is conv with the padding that keeps the extents of an odd kernel but for the stride.
func (e *exporter) same(x, name string, stride int) string {
	return e.conv(x, name, stride, e.shape(name + ".weight")[2]/2)
}

func (e *exporter) norm(x, name string) string {
	in := []string{x}
	for _, p := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
		in = append(in, e.weight(name+p))
	}
	return e.add("BatchNormalization", name, in,
		attrProto{name: "epsilon", f: nn.DefaultBatchNormEps})
}

func (e *exporter) relu(x string) string { return e.add("Relu", x+"/relu", []string{x}) }

func (e *exporter) sum(name, x, y string) string { return e.add("Add", name, []string{x, y}) }

func (e *exporter) linear(x, name string) string {
	return e.add("Gemm", name, []string{x, e.weight(name + ".weight"), e.weight(name + ".bias")},
		attrProto{name: "transB", i: 1})
}

func (e *exporter) maxPool(x string, k, stride, pad int) string {
	return e.add("MaxPool", x+"/pool", []string{x}, ints("kernel_shape", k, k),
		ints("strides", stride, stride), ints("pads", pad, pad, pad, pad))
}

func (e *exporter) flatten(x string) string {
	return e.add("Flatten", x+"/flat", []string{x}, attrProto{name: "axis", i: 1})
}

// finish names the last value as the output.
func (e *exporter) finish(x string) {
	e.add("Identity", ExportOutput, []string{x})
}

// network writes the classifier's architecture behind x.
func (e *exporter) network(m *models.Classifier, x string) error {
	var write func(string) string
	switch arch := m.Arch(); {
	case arch == "lenet5":
		write = e.lenet
	case arch == "convnet-mnist":
		write = e.convnet
	case arch == "resnet2b":
		write = e.resnet2b
	case strings.HasPrefix(arch, "preactresnet"):
		write = e.preact
	case strings.HasPrefix(arch, "resnet"):
		write = e.resnet
	default:
		return fmt.Errorf("onnx: Export: the exporter does not know the architecture %s; save the "+
			"weights as safetensors instead", arch)
	}
	if err := catch(func() { e.finish(write(x)) }); err != nil {
		return err
	}
	return nil
}
