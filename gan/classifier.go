package gan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/attack"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/nn/onnx"
	"afterimage/tensor"
)

// A Classifier is a frozen network whose answers an inverter is trained on, wherever it comes from:
// *models.Classifier, with this program's layers, and *onnx.Classifier, an imported graph, are
// such. Its normalisation is inside: images are [N InputSize InputSize Channels] in [0, 1].
type Classifier interface {
	nn.Module    // weights, to be checked; an imported graph yields none
	attack.Model // Forward returns the logits [N Classes], differentiable

	// Features returns what the last linear layer reads, [N FeatureDim], and the logits. The
	// features are nil where FeatureDim is 0.
	Features(c *nn.Ctx, x *autodiff.Value) (penultimate, logits *autodiff.Value)
	// FeatureDim returns the width of the features; 0 for a network without such.
	FeatureDim() int
	Classes() int
	InputSize() int
	Channels() int
	// Arch returns the architecture's name, or the file's where there is none.
	Arch() string
	// Inference opens an Inference for passes of the classifier alone. It owns the weights where they
	// can be read again from the file they came from, which must stay as it is (nn.Inference.Own).
	Inference(b tensor.Backend) *nn.Inference
	// Save writes stem and the extension of the classifier's format, a file that OpenClassifier
	// reads, and returns its path. Weights are stored as dt, F32 or F16, where the format has a
	// choice.
	Save(stem string, dt tensor.DType) (file string, err error)
}

// The names of a classifier's file beside its inverter: stem, and the file for networks of this
// program. That of an imported graph ends in onnx.Ext.
const (
	classifierStem     = "classifier"
	InverterClassifier = classifierStem + models.Ext
)

// ClassifierFile returns the path of the classifier in a folder that holds an inverter, or in a
// run's folder of checkpoints.
func ClassifierFile(dir string) string {
	if imported := filepath.Join(dir, classifierStem+onnx.Ext); isFile(imported) {
		return imported
	}
	return filepath.Join(dir, InverterClassifier)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// saveClassifier writes a classifier into dir, in place of one of either format, and returns the
// file's path.
func saveClassifier(dir string, m Classifier, dt tensor.DType) (file string, err error) {
	file, err = m.Save(filepath.Join(dir, classifierStem), dt)
	if err != nil {
		return "", err
	}
	for _, ext := range []string{models.Ext, onnx.Ext} {
		if other := filepath.Join(dir, classifierStem+ext); other != file {
			if err := os.Remove(other); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", fmt.Errorf("gan: %w", err)
			}
		}
	}
	return file, nil
}

// OpenClassifier reads a classifier that says itself how it is to be used: what Classifier.Save
// wrote, or an ONNX file, whose images are taken to be in [0, 1] if it does not say otherwise.
func OpenClassifier(s *tensor.Scope, file string) (Classifier, error) {
	return onDisk(filepath.Dir(file)).classifier(s, filepath.Base(file))
}

// A folder is where an inverter's files lie.
type folder struct {
	open func(name string) (*checkpoint.File, error)
	read func(name string) ([]byte, error)
	path func(name string) string // for messages
}

func onDisk(dir string) folder {
	at := func(name string) string { return filepath.Join(dir, name) }
	return folder{
		open: func(name string) (*checkpoint.File, error) { return checkpoint.Open(at(name)) },
		read: func(name string) ([]byte, error) { return os.ReadFile(at(name)) },
		path: at,
	}
}

func inFS(fsys fs.FS, dir string) folder {
	read := func(name string) ([]byte, error) { return fs.ReadFile(fsys, path.Join(dir, name)) }
	return folder{
		open: func(name string) (*checkpoint.File, error) {
			raw, err := read(name)
			if err != nil {
				return nil, err
			}
			return checkpoint.Decode(name, raw)
		},
		read: read,
		path: func(name string) string { return name },
	}
}

// inverted reads the classifier beside an inverter.
func (d folder) inverted(s *tensor.Scope) (Classifier, error) {
	m, err := d.classifier(s, classifierStem+onnx.Ext)
	if errors.Is(err, fs.ErrNotExist) {
		return d.classifier(s, InverterClassifier)
	}
	return m, err
}

// classifier reads the file called name, by its extension.
func (d folder) classifier(s *tensor.Scope, name string) (Classifier, error) {
	if !IsONNX(name) {
		f, err := d.open(name)
		if err != nil {
			return nil, err
		}
		return models.FromFile(s, f)
	}
	raw, err := d.read(name)
	if err != nil {
		return nil, fmt.Errorf("gan: %w", err)
	}
	m, err := onnx.Decode(d.path(name), raw)
	if err != nil {
		return nil, err
	}
	o, _, err := m.StoredOptions()
	if err != nil {
		return nil, err
	}
	return onnx.NewClassifier(s, m, o)
}

// IsONNX reports whether a file is an ONNX file by its name.
func IsONNX(file string) bool { return strings.EqualFold(filepath.Ext(file), onnx.Ext) }
