package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/nn/train"
	"afterimage/tensor"
)

// A classifierFlags names a classifier: a run of this program, or a file of weights.
type classifierFlags struct {
	Weights string    `help:"Weights of the classifier: a run directory, a .safetensors file of this program, or a PyTorch .pth/.th/.pt or .safetensors file (then with --arch)." placeholder:"FILE|DIR"`
	Arch    string    `help:"Architecture of foreign weights; see afterimage models." default:"" placeholder:"NAME"`
	Mean    []float64 `help:"Channel means R,G,B the foreign network expects, in [0, 1]." placeholder:"R"`
	Std     []float64 `help:"Channel standard deviations R,G,B the foreign network expects." placeholder:"R"`
}

// load reads the classifier into s. Foreign weights say neither their architecture nor their
// normalisation: --arch is required, and the customary normalisation of the architecture's
// published checkpoints is taken, and reported by the second result, when --mean and --std are not
// given.
func (f classifierFlags) load(
	s *tensor.Scope, classes, channels int,
) (m *models.Classifier, note string, err error) {
	path := f.Weights
	if path == "" {
		return nil, "",
			errors.New("which classifier? Give --weights a run directory or a file of weights")
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if path, err = bestCheckpoint(path); err != nil {
			return nil, "", err
		}
	}
	file, err := checkpoint.Open(path)
	if err != nil {
		return nil, "", err
	}
	if file.Metadata["arch"] != "" {
		m, err = models.FromFile(s, file)
	} else {
		m, note, err = f.foreign(s, file, classes, channels)
	}
	if err != nil {
		return nil, "", err
	}
	for name, p := range m.Params() {
		if k := p.T.FirstNonFinite(); k >= 0 {
			return nil, "", fmt.Errorf("%s: %s is not finite at element %d: the weights are damaged, take "+
				"another checkpoint", path, name, k)
		}
	}
	if classes > 0 && m.Classes() != classes {
		return nil, "", fmt.Errorf("%s has %d classes, the data set has %d: give the data set it was "+
			"trained on", path, m.Classes(), classes)
	}
	return m, note, nil
}

func (f classifierFlags) foreign(
	s *tensor.Scope, file *checkpoint.File, classes, channels int,
) (*models.Classifier, string, error) {
	if f.Arch == "" {
		return nil, "", fmt.Errorf("%s does not say its architecture: give --arch one of %s", f.Weights,
			strings.Join(models.List(), ", "))
	}
	mean, std, note := f.Mean, f.Std, ""
	if mean == nil && std == nil {
		mean, std = customary(f.Arch)
		note = fmt.Sprintf("input normalisation: mean %v std %v (customary for %s; --mean and --std "+
			"change it)", mean, std, f.Arch)
	}
	m, err := models.New(f.Arch, models.Options{Classes: classes, Channels: channels, Mean: mean,
		Std: std})
	if err != nil {
		return nil, "", err
	}
	return m, note, m.Load(s, file)
}

// customary returns the normalisation that an architecture's published checkpoints were trained
// with; none for networks that take [0, 1].
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
	names, err := filepath.Glob(filepath.Join(dir, train.CheckpointDir, "best-*.safetensors"))
	if err != nil || len(names) == 0 {
		return "", fmt.Errorf("%s holds no trained classifier: expected checkpoints/%s or "+
			"checkpoints/best-*.safetensors", dir, train.FinalFile)
	}
	best, highest := "", math.Inf(-1)
	for _, name := range names { // in the order of their steps: of equal ones the earlier
		f, err := checkpoint.Open(name)
		if err != nil {
			return "", err
		}
		score, err := strconv.ParseFloat(f.Metadata["val_accuracy"], 64)
		if err != nil {
			return "", fmt.Errorf("%s does not say its accuracy on the held-out images: name a file "+
				"instead of the run", name)
		}
		if score > highest {
			best, highest = name, score
		}
	}
	if best == "" {
		return "", fmt.Errorf("%s: no checkpoint has an accuracy that is a number", dir)
	}
	return best, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
