package gan

import (
	"io"
	"maps"
	"path/filepath"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/nn/onnx"
	"afterimage/tensor"
	"afterimage/tensor/atomicfile"
)

// A Format is how networks are written for others.
type Format string

// The formats.
const (
	Native  Format = "native"  // this program's files, which every command opens
	ONNX    Format = "onnx"    // generator.onnx, classifier.onnx
	PyTorch Format = "pytorch" // state_dicts as safetensors, under PyTorch's names
)

// The names of exported files, less their extensions. What a network computes here from a few
// inputs stands beside it, so that whoever loads the export can check it.
const (
	generatorStem = "generator"
	torchSuffix   = "-pytorch"
	exampleSuffix = "-example"
)

// Export writes the inverter and its classifier into dir and returns the paths of the files. dt is
// what weights are stored as: F32 or, in Native alone, F16. meta joins Native's metadata.
//
// Native: inverter.safetensors, classifier.safetensors (or .onnx); see Save. ONNX: generator.onnx,
// classifier.onnx; see ExportONNX and onnx.Export. PyTorch: generator-pytorch.safetensors,
// classifier-pytorch.safetensors; see ExportTorch. A classifier that is an ONNX file stays one.
// Beside the latter two stand generator-example.safetensors and classifier-example.safetensors.
func (v *Inverter) Export(
	s *tensor.Scope, dir string, f Format, dt tensor.DType, meta map[string]string,
) (files []string, err error) {
	if f == Native {
		err := v.Save(dir, dt, meta)
		return []string{filepath.Join(dir, FinalInverter), ClassifierFile(dir)}, err
	}
	if dt != tensor.F32 {
		return nil, f.notIn(dt)
	}
	stem := filepath.Join(dir, generatorStem)
	switch f {
	case ONNX:
		files = []string{stem + onnx.Ext}
		err = atomicfile.Write(files[0], v.ExportONNX)
	case PyTorch:
		var state *checkpoint.File
		if state, err = v.ExportTorch(); err == nil {
			files = []string{stem + torchSuffix + models.Ext}
			err = checkpoint.SaveSafetensors(files[0], state)
		}
	default:
		err = f.unknown()
	}
	if err != nil {
		return nil, err
	}
	example := stem + exampleSuffix + models.Ext
	if err := checkpoint.SaveSafetensors(example, v.example(s)); err != nil {
		return nil, err
	}
	more, err := ExportClassifier(s, dir, v.Conditioner.Model, f, dt)
	return append(append(files, example), more...), err
}

func (f Format) unknown() error {
	return tensor.Refuse("gan: no format %q: expected native, onnx or pytorch", string(f))
}

// notIn is the error for weights that only Native stores.
func (f Format) notIn(dt tensor.DType) error {
	return tensor.Refuse("gan: Export: weights in %v: the format %s has f32 alone: take that, or "+
		"native", dt, f)
}

// ExportClassifier writes a classifier into dir as Inverter.Export does and returns the paths of
// the files. An imported graph has no state_dict: PyTorch writes it as ONNX.
func ExportClassifier(
	s *tensor.Scope, dir string, m Classifier, f Format, dt tensor.DType,
) (files []string, err error) {
	stem := filepath.Join(dir, classifierStem)
	if f == Native {
		file, err := saveClassifier(dir, m, dt)
		return []string{file}, err
	}
	own, ours := m.(*models.Classifier)
	file := stem + onnx.Ext
	switch {
	case f != ONNX && f != PyTorch:
		err = f.unknown()
	case dt != tensor.F32:
		err = f.notIn(dt)
	case !ours:
		file, err = m.Save(stem, dt)
	case f == ONNX:
		err = atomicfile.Write(file, func(w io.Writer) error { return onnx.Export(own, w) })
	default:
		file = stem + torchSuffix + models.Ext
		state := models.Export(own, own.Mapping(), models.OIHW)
		maps.Copy(state.Metadata, own.Export().Metadata)
		delete(state.Metadata, "layout") // PyTorch's needs no name
		state.Metadata["format"] = "pt"
		err = checkpoint.SaveSafetensors(file, state)
	}
	if err != nil {
		return nil, err
	}
	example := stem + exampleSuffix + models.Ext
	return []string{file, example}, checkpoint.SaveSafetensors(example, classifierExample(s, m))
}

// examples is how many inputs stand beside an export: two, so that a mixed-up batch shows.
const examples = 2

// example returns noise, raw conditions and what the generator paints of them, [N 3 S S]. Labels
// are those of the images of classifierExample; logits and features are drawn with the moments that
// they have over the training images, so that the generator is shown what it knows.
func (v *Inverter) example(s *tensor.Scope) *checkpoint.File {
	s = s.Child()
	defer s.Close()
	z := v.Noise(s, tensor.NewKey(1, "export/noise"), 0, examples)
	raw := v.exampleCondition(s)
	cond := raw
	if v.Conditioner.Kind != Label {
		g := autodiff.NewGraph(s.Backend())
		defer g.Close()
		cond = clone(s, v.Conditioner.Of(g, g.Const(raw), g.Const(raw)).Tensor())
	}
	f := checkpoint.NewFile()
	f.Set(ExportNoise, hostArray(z))
	f.Set(string(v.Conditioner.Kind), hostArray(raw))
	f.Set(ExportImages, hostNCHW(v.Paint(s, cond, z)))
	return f
}

// exampleCondition returns conditions before their standardisation.
func (v *Inverter) exampleCondition(s *tensor.Scope) *tensor.Tensor {
	if v.Conditioner.Kind == Label {
		return v.Conditioner.Ask(s, exampleImages(s, v.Conditioner.Model)).Cond
	}
	b := s.Backend()
	raw := s.New(tensor.F32, examples, v.Conditioner.Dim())
	b.Random(tensor.Normal, tensor.NewKey(1, "export/condition"), raw,
		tensor.FromSlice(s, []int32{0}, 1))
	b.Binary(tensor.Mul, raw, raw, v.Conditioner.Std.T)
	b.Binary(tensor.Add, raw, raw, v.Conditioner.Mean.T)
	return raw
}

// classifierExample returns images in [0, 1], [N C H W], and the logits of m.
func classifierExample(s *tensor.Scope, m Classifier) *checkpoint.File {
	s = s.Child()
	defer s.Close()
	x := exampleImages(s, m)
	f := checkpoint.NewFile()
	f.Set(onnx.ExportInput, hostNCHW(x))
	g := autodiff.NewGraph(s.Backend())
	defer g.Close()
	g.NoGrad(func() {
		f.Set(onnx.ExportOutput, hostArray(m.Forward(nn.NewCtx(g, nn.Eval), g.Const(x)).Tensor()))
	})
	return f
}

// exampleImages returns uniform noise as images for m.
func exampleImages(s *tensor.Scope, m Classifier) *tensor.Tensor {
	x := s.New(tensor.F32, examples, m.InputSize(), m.InputSize(), m.Channels())
	s.Backend().Random(tensor.Uniform, tensor.NewKey(1, "export/images"), x,
		tensor.FromSlice(s, []int32{0}, 1))
	return x
}

func hostArray(t *tensor.Tensor) checkpoint.Array {
	return checkpoint.FromFloat32s(t.Shape(), tensor.ToHost[float32](t))
}

func hostNCHW(t *tensor.Tensor) checkpoint.Array { return hostArray(t).Transpose(0, 3, 1, 2) }
