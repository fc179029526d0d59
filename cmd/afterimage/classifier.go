package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"afterimage/gan"
	"afterimage/gan/shipped"
	"afterimage/nn/checkpoint"
	"afterimage/nn/data"
	"afterimage/nn/models"
	"afterimage/nn/onnx"
	"afterimage/nn/train"
	"afterimage/tensor"
)

// A classifierFlags names a classifier: a run of this program, or a file.
type classifierFlags struct {
	Weights string `help:"The classifier, also --classifier: a run directory, a .safetensors file of this program, an ONNX file, a PyTorch .pth/.th/.pt or .safetensors file (then with --arch), or shipped:scenes-robust or shipped:scenes-standard." placeholder:"FILE|DIR" aliases:"classifier"`
	foreignFlags
}

// A foreignFlags says what a file of another program does not say of its classifier.
type foreignFlags struct {
	weightFlags
	onnxFlags
}

// A weightFlags is what a file of weights alone does not say.
type weightFlags struct {
	Arch      string    `help:"Architecture of foreign weights; see afterimage models. An ONNX file needs none." default:"" placeholder:"NAME"`
	Mean      []float64 `help:"Channel means R,G,B the foreign network expects, in [0, 1]." placeholder:"R"`
	Std       []float64 `help:"Channel standard deviations R,G,B the foreign network expects." placeholder:"R"`
	InputSize int       `help:"Height and width of the foreign network's images; 0: the file's, or the architecture's usual one." default:"0" placeholder:"PIXELS"`
}

// An onnxFlags is what an ONNX file does not say beside that.
type onnxFlags struct {
	InputScale float64 `help:"What an ONNX file's pixels are multiplied by, behind --mean and --std if these are given: 255 for a network on [0, 255]." default:"1"`
	BGR        bool    `help:"An ONNX file takes its channels in the order blue, green, red." name:"bgr"`
	ONNXOutput string  `help:"Which of an ONNX file's outputs are the logits; by default the one called logits, or else the first." name:"onnx-output" placeholder:"NAME"`
	Layout     string  `help:"Axes of an ONNX file's images: nchw, nhwc, or auto, which looks where 1 or 3 channels are." default:"auto" enum:"auto,nchw,nhwc"`
}

// kept returns the flags of a classifier that says all of itself.
func kept(file string) classifierFlags {
	return classifierFlags{Weights: file,
		foreignFlags: foreignFlags{onnxFlags: onnxFlags{InputScale: 1, Layout: "auto"}}}
}

// load reads the classifier into s. A file of another program does not say all of how it is to be
// fed: what was assumed is the second result, one line to be printed. set is what the classifier is
// to be used with; nil if it is not known.
func (f classifierFlags) load(
	s *tensor.Scope, set *data.Set,
) (m gan.Classifier, note string, err error) {
	path, err := f.file()
	if err != nil {
		return nil, "", err
	}
	if f.InputSize < 0 {
		return nil, "", tensor.Refuse("--input-size %d: expected a number of pixels, or 0 for the "+
			"usual one", f.InputSize)
	}
	classes := 0
	if set != nil {
		classes = len(set.Classes())
	}
	switch name, isShipped := strings.CutPrefix(path, shipped.Prefix); {
	case isShipped:
		m, err = f.shipped(s, name)
	case gan.IsONNX(path):
		m, note, err = f.imported(s, path, set)
	default:
		m, note, err = f.weights(s, path, classes)
	}
	if err == nil && !gan.IsONNX(path) && (f.BGR || f.InputScale != 1 || f.Layout != "auto" ||
		f.ONNXOutput != "") {
		err = tensor.Refuse("%s: --bgr, --input-scale, --layout and --onnx-output are for ONNX files: "+
			"leave them out; --mean and --std change the normalisation", path)
	}
	if err != nil {
		return nil, "", err
	}
	if err := sound(path, m); err != nil {
		return nil, "", err
	}
	if classes > 0 && m.Classes() != classes {
		return nil, "", tensor.Refuse("%s has %d classes, the data set has %d: give the data set it was "+
			"trained on%s", path, m.Classes(), classes, otherOutputs(m))
	}
	return m, note, nil
}

// otherOutputs is what else to try where an ONNX file has other outputs than the one taken.
func otherOutputs(m gan.Classifier) string {
	c, ok := m.(*onnx.Classifier)
	if !ok || len(c.Outputs()) < 2 {
		return ""
	}
	return fmt.Sprintf(", or with --onnx-output another one of its outputs %q", c.Outputs())
}

// shipped returns the classifier that inverter name of the shipped ones inverts.
func (f weightFlags) shipped(s *tensor.Scope, name string) (gan.Classifier, error) {
	if f.Arch != "" || f.says() {
		return nil, tensor.Refuse("%s%s says all of itself: leave out --arch, --mean, --std and "+
			"--input-size", shipped.Prefix, name)
	}
	v, err := shipped.Open(s, name)
	if err != nil {
		return nil, err
	}
	return v.Conditioner.Model, nil
}

// file returns the classifier's file: of a run directory the one it offers.
func (f classifierFlags) file() (string, error) {
	if f.Weights == "" {
		return "", tensor.Refuse("which classifier? Give --classifier a run directory, a file of " +
			"weights or an ONNX file")
	}
	if isDir(f.Weights) {
		return bestCheckpoint(f.Weights)
	}
	return f.Weights, nil
}

// sound returns an error if a weight is not finite.
func sound(path string, m gan.Classifier) error {
	for name, p := range m.Params() {
		if k := p.T.FirstNonFinite(); k >= 0 {
			return tensor.Refuse("%s: %s is not finite at element %d: the weights are damaged, take "+
				"another checkpoint", path, name, k)
		}
	}
	return nil
}

// weights reads a file of weights, of this program or another; classes is for those that do not say
// how many they have, 0 for the architecture's usual number.
func (f weightFlags) weights(
	s *tensor.Scope, path string, classes int,
) (gan.Classifier, string, error) {
	file, err := checkpoint.Open(path)
	if err != nil {
		return nil, "", err
	}
	if arch := file.Metadata["arch"]; arch != "" {
		if f.says() || f.Arch != "" && f.Arch != arch {
			return nil, "", tensor.Refuse("%s says all of itself, a %s of this program: leave out --arch, "+
				"--mean, --std and --input-size", path, arch)
		}
		m, err := models.FromFile(s, file)
		return m, "", err
	}
	if f.Arch == "" {
		return nil, "", tensor.Refuse("%s does not say its architecture: give --arch one of %s; a "+
			"network that is none of these is read from an ONNX file (torch.onnx.export)", path,
			strings.Join(models.List(), ", "))
	}
	if err := f.paired(); err != nil {
		return nil, "", err
	}
	mean, std, note := f.Mean, f.Std, ""
	if mean == nil && std == nil {
		mean, std = customary(f.Arch)
		note = fmt.Sprintf("input normalisation: mean %v std %v (customary for %s; --mean and --std "+
			"change it)", mean, std, f.Arch)
	}
	m, err := models.New(f.Arch, models.Options{Classes: classes, InputSize: f.InputSize, Mean: mean,
		Std: std})
	if err != nil {
		return nil, "", err
	}
	err = m.Load(s, file)
	if unfit := new(checkpoint.MatchError); errors.As(err, &unfit) && unfit.Prefix == "" {
		err = fmt.Errorf("%w; a network that is not %s is read from an ONNX file (torch.onnx.export)",
			err, f.Arch)
	}
	return m, note, err
}

// says reports whether a flag says how images are fed.
func (f weightFlags) says() bool { return f.Mean != nil || f.Std != nil || f.InputSize != 0 }

// paired returns an error if one of --mean and --std is given without the other.
func (f weightFlags) paired() error {
	given, lacking := "mean", "std"
	switch {
	case (f.Mean == nil) == (f.Std == nil):
		return nil
	case f.Mean == nil:
		given, lacking = lacking, given
	}
	return tensor.Refuse("--%s without --%s: expected both or neither: give --%s, too, a number for "+
		"each channel", given, lacking, lacking)
}

// imported reads an ONNX file. Flags go before what the file says of itself, and that before a
// guess.
func (f foreignFlags) imported(
	s *tensor.Scope, path string, set *data.Set,
) (gan.Classifier, string, error) {
	if f.Arch != "" {
		return nil, "", tensor.Refuse("--arch %s: leave it out: %s is a whole network", f.Arch, path)
	}
	if !(f.InputScale > 0) {
		return nil, "", tensor.Refuse("--input-scale %g must be positive", f.InputScale)
	}
	if err := f.paired(); err != nil {
		return nil, "", err
	}
	model, err := onnx.Open(path)
	if err != nil {
		return nil, "", err
	}
	o, stored, err := model.StoredOptions()
	if err != nil {
		return nil, "", err
	}
	why := "as the file says"
	if !stored {
		o, why = f.guess(model, set)
	}
	if f.Mean != nil || f.Std != nil {
		o.Mean, o.Std, why = f.Mean, f.Std, "as given"
	}
	if f.InputScale != 1 {
		o.Scale = f.InputScale
	}
	if f.InputSize != 0 {
		o.InputSize = f.InputSize
	}
	if f.ONNXOutput != "" {
		o.Output = f.ONNXOutput
	}
	o.BGR = o.BGR || f.BGR
	if f.Layout != "auto" {
		o.ChannelsLast = f.Layout == "nhwc"
	}
	m, err := onnx.NewClassifier(s, model, o)
	if err != nil {
		return nil, "", withFlags(err)
	}
	if f.InputSize != 0 && f.InputSize != m.InputSize() {
		return nil, "", tensor.Refuse("--input-size %d: the images of %s are %d×%[3]d, by the file "+
			"itself: leave it out", f.InputSize, path, m.InputSize())
	}
	return m, describeONNX(m, why), nil
}

// onnxAdvice says with which flags to set an option of onnx.ClassifierOptions that would help.
func onnxAdvice() map[string]string {
	return map[string]string{
		"Mean":         "give --mean and --std",
		"InputSize":    "give --input-size",
		"ChannelsLast": "give --layout nchw or nhwc, or export it for square images of 1 or 3 channels",
		"Output":       "give one of them as --onnx-output",
		"DType":        "export it in single precision",
	}
}

// withFlags puts the names of the flags into an error of onnx.NewClassifier.
func withFlags(err error) error {
	var e *onnx.Error
	if !errors.As(err, &e) {
		return err
	}
	mine := *e
	if mine.Op == "NewClassifier" {
		mine.Op = ""
	}
	if next, ok := onnxAdvice()[e.Option]; ok {
		mine.Next = next
	}
	return &mine
}

// guess returns how an ONNX file that says nothing of it is likely to be fed, and why its
// normalisation is the likely one.
func (f foreignFlags) guess(m *onnx.Model, set *data.Set) (o onnx.ClassifierOptions, why string) {
	name := ""
	if set != nil {
		name = set.Name
		o.InputSize, _, _ = set.Size() // where the file leaves it open
	}
	image := func(channels int) bool { return channels == 1 || channels == 3 }
	channels := 0
	if ins := m.Inputs(); len(ins) == 1 && len(ins[0].Shape) == 4 {
		s := ins[0].Shape
		if o.ChannelsLast = image(s[3]) && !image(s[1]); o.ChannelsLast {
			s[1] = s[3]
		}
		channels = s[1]
	}
	switch {
	case m.Normalises():
		return o, "the graph begins with its own"
	case f.InputScale != 1: // no customary normalisation is followed by a factor
		return o, "pixels in a range of their own"
	case channels == 1:
		return o, "customary for one channel"
	}
	switch name {
	case "cifar-10": // the verification competition's, of which most of its ONNX files are
		o.Mean, o.Std = customary("resnet2b")
	case "cifar-100":
		o.Mean, o.Std = normalisation(name)
	default:
		o.Mean, o.Std = customary("")
		return o, "customary for ImageNet's images"
	}
	return o, "customary for " + name
}

// describeONNX says in a line how an imported network is fed.
func describeONNX(m *onnx.Classifier, why string) string {
	o := m.Options()
	layout, order := "N C H W", "RGB"
	if o.ChannelsLast {
		layout = "N H W C"
	}
	switch {
	case m.Channels() == 1:
		order = "grey"
	case o.BGR:
		order = "BGR"
	}
	norm := "none"
	if len(o.Mean) > 0 {
		norm = fmt.Sprintf("mean %v std %v", o.Mean, o.Std)
	}
	high := 1.0
	if o.Scale != 0 {
		high = o.Scale
	}
	notes := append([]string{fmt.Sprintf("%s: %d×%d %s in [0, %g], %s; normalisation: %s (%s); "+
		"--mean, --std, --input-scale, --bgr, --layout, --onnx-output change it", m.Arch(), m.InputSize(),
		m.InputSize(), order, high, layout, norm, why)}, m.Notes()...)
	return strings.Join(notes, "; ")
}

// customary returns the normalisation that an architecture's published checkpoints were trained
// with, ImageNet's unless known otherwise; none for networks that take [0, 1].
func customary(arch string) (mean, std []float64) {
	switch {
	case arch == "lenet5" || arch == "convnet-mnist":
		return nil, nil
	case arch == "resnet2b":
		return []float64{0.4914, 0.4822, 0.4465}, []float64{0.2471, 0.2435, 0.2616}
	case strings.HasPrefix(arch, "preact"), strings.HasSuffix(arch, "-cifar") && !heCIFAR(arch):
		return []float64{0.4914, 0.4822, 0.4465}, []float64{0.2023, 0.1994, 0.2010}
	}
	return []float64{0.485, 0.456, 0.406}, []float64{0.229, 0.224, 0.225}
}

// heCIFAR reports whether arch is one of He's 6n+2 networks, whose published CIFAR checkpoints use
// ImageNet's normalisation.
func heCIFAR(arch string) bool {
	switch arch {
	case "resnet20-cifar", "resnet32-cifar", "resnet44-cifar", "resnet56-cifar", "resnet110-cifar":
		return true
	}
	return false
}

// bestCheckpoint returns the classifier file a run directory offers: the exported final one, else
// the best by the held-out images.
func bestCheckpoint(dir string) (string, error) {
	if final := filepath.Join(dir, train.CheckpointDir, train.FinalFile); exists(final) {
		return final, nil
	}
	names := byStep(filepath.Join(dir, train.CheckpointDir), "best-", ".safetensors")
	if len(names) == 0 {
		return "", tensor.Refuse("%s holds no trained classifier: expected checkpoints/%s or "+
			"checkpoints/best-*.safetensors: give the run of a classifier, or a file", dir,
			train.FinalFile)
	}
	best, highest := "", math.Inf(-1)
	for _, name := range names { // in the order of their steps: of equal ones the earlier
		f, err := checkpoint.Open(name)
		if err != nil {
			return "", err
		}
		score, err := strconv.ParseFloat(f.Metadata["val_accuracy"], 64)
		if err != nil {
			return "", tensor.Refuse("%s does not say its accuracy on the held-out images: name a file "+
				"instead of the run", name)
		}
		if score > highest {
			best, highest = name, score
		}
	}
	if best == "" {
		return "", tensor.Refuse("%s: no checkpoint has an accuracy that is a number", dir)
	}
	return best, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
