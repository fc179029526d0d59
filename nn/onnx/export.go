package onnx

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/tensor"
)

// The names of an exported classifier's input, images [N C H W] in [0, 1], and output, [N Classes].
const (
	ExportInput  = "images"
	ExportOutput = "logits"
)

// Export writes a classifier as an ONNX file: operator set 17, one input "images" [N C H W] with
// values in [0, 1] (the normalisation is in the file), one output "logits" [N Classes], N open.
// Initialisers have PyTorch's names and layouts. Batch normalisation uses the running statistics.
// The file's metadata says how it is to be fed: see Model.StoredOptions.
//
// It returns an error if a parameter has no values, the architecture is not known here, or w fails.
func Export(m *models.Classifier, w io.Writer) error {
	for name, p := range m.Params() {
		if p.T == nil {
			return tensor.Refuse("onnx: Export: parameter %s has no values: train the classifier or "+
				"load weights first", name)
		}
	}
	e := &exporter{Writer: NewWriter(), weights: models.Export(m, m.Mapping(), models.OIHW),
		used: map[string]bool{}}
	o := m.Options()
	x := e.normalise(e.Input(ExportInput, -1, o.Channels, o.InputSize, o.InputSize), o)
	if err := e.network(m, x); err != nil {
		return err
	}
	for _, name := range e.weights.Names() {
		if !e.used[name] {
			return tensor.Refuse("onnx: Export: %s: parameter %s has no place in the exported graph: "+
				"the exporter does not know this architecture", m.Arch(), name)
		}
	}
	e.Output(ExportOutput, -1, o.Classes)
	text, err := json.Marshal(ClassifierOptions{Name: m.Arch(), Scale: 1, InputSize: o.InputSize})
	if err != nil {
		return fmt.Errorf("onnx: Export: %w", err)
	}
	e.Property(storedKey, string(text))
	return e.Write(w)
}

// An exporter writes down a network layer by layer. Values are named after the layers that make
// them.
type exporter struct {
	*Writer
	weights *checkpoint.File
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
	return e.initializer(t)
}

// normalise writes (x − mean)/std, if the classifier has a normalisation.
func (e *exporter) normalise(x string, o models.Options) string {
	if len(o.Mean) == 0 {
		return x
	}
	vector := func(name string, v []float64) string {
		return e.Floats(name, []int{len(v), 1, 1}, v...)
	}
	x = e.Node("Sub", "normalize/centred", []string{x, vector("normalize.mean", o.Mean)})
	return e.Node("Div", "normalize", []string{x, vector("normalize.std", o.Std)})
}

// conv writes a convolution, with its bias if it has one.
func (e *exporter) conv(x, name string, stride, pad int) string {
	s := e.shape(name + ".weight")
	in := []string{x, e.weight(name + ".weight")}
	if e.has(name + ".bias") {
		in = append(in, e.weight(name+".bias"))
	}
	return e.Node("Conv", name, in, IntsAttr("kernel_shape", s[2], s[3]),
		IntsAttr("strides", stride, stride), IntsAttr("pads", pad, pad, pad, pad))
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
	return e.Node("BatchNormalization", name, in,
		FloatAttr("epsilon", nn.DefaultBatchNormEps))
}

func (e *exporter) relu(x string) string { return e.Node("Relu", x+"/relu", []string{x}) }

func (e *exporter) sum(name, x, y string) string { return e.Node("Add", name, []string{x, y}) }

func (e *exporter) linear(x, name string) string {
	return e.Node("Gemm", name, []string{x, e.weight(name + ".weight"), e.weight(name + ".bias")},
		IntAttr("transB", 1))
}

func (e *exporter) maxPool(x string, k, stride, pad int, more ...Attr) string {
	return e.Node("MaxPool", x+"/pool", []string{x}, append(more, IntsAttr("kernel_shape", k, k),
		IntsAttr("strides", stride, stride), IntsAttr("pads", pad, pad, pad, pad))...)
}

func (e *exporter) flatten(x string) string {
	return e.Node("Flatten", x+"/flat", []string{x}, IntAttr("axis", 1))
}

// finish names the last value as the output.
func (e *exporter) finish(x string) {
	e.Node("Identity", ExportOutput, []string{x})
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
	case arch == "squeezenet1_1":
		write = e.squeezenet
	case strings.HasPrefix(arch, "preactresnet"):
		write = e.preact
	case strings.HasPrefix(arch, "resnet"):
		write = e.resnet
	default:
		return tensor.Refuse("onnx: Export: the exporter does not know the architecture %s; save the "+
			"weights as safetensors instead", arch)
	}
	if err := catch(func() { e.finish(write(x)) }); err != nil {
		return err
	}
	return nil
}
