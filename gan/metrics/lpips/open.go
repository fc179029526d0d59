package lpips

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/tensor"
)

// Open reads the metric's weights into memory of s: the backbone from a file of torchvision's
// weights (of which only "features." is read) and the linear weights from the file of LPIPS v0.1
// for the same net. Both may be PyTorch or safetensors files; F16 is widened.
//
// The error names the file and what does not fit; it is a *checkpoint.MatchError inside when names
// or shapes are other ones.
func Open(s *tensor.Scope, backboneFile, linFile string, net Net) (*Metric, error) {
	if !net.known() {
		return nil, tensor.Refuse("lpips: Open: no network is called %q: expected one of %v",
			string(net), Nets())
	}
	m := New(s.Backend(), net)
	body, err := checkpoint.Open(backboneFile)
	if err != nil {
		return nil, fmt.Errorf("lpips: Open: backbone: %w", err)
	}
	if body, err = featuresOnly(body); err != nil {
		return nil, fmt.Errorf("lpips: Open: backbone: %w", err)
	}
	lin, err := checkpoint.Open(linFile)
	if err != nil {
		return nil, fmt.Errorf("lpips: Open: linear weights: %w", err)
	}
	if err := load(s, m.Backbone(), body, "features.0.weight"); err != nil {
		return nil, fmt.Errorf("lpips: Open: %s's backbone: %w", net, err)
	}
	if err := load(s, m.Linear(), lin, "lin0.model.1.weight"); err != nil {
		return nil, fmt.Errorf("lpips: Open: linear weights of %s: %w", net, err)
	}
	return m, nil
}

// load is models.LoadFile with every value checked: a NaN would make all distances NaN.
func load(s *tensor.Scope, m nn.Params, f *checkpoint.File, known string) error {
	if err := models.LoadFile(s, m, f, models.Mapping{}); err != nil {
		if _, ok := f.Get(known); !ok {
			return tensor.Refuse("%w; the file has no %s: give weights of this network", err, known)
		}
		return err
	}
	for _, p := range m {
		if k := p.Param.T.FirstNonFinite(); k >= 0 {
			return tensor.Refuse("%s: %s is not finite at element %d: take an undamaged file",
				f.Path, p.Name, k)
		}
	}
	return nil
}

// featuresOnly returns f without what does not belong to torchvision's "features", such as the
// classifier.
func featuresOnly(f *checkpoint.File) (*checkpoint.File, error) {
	f, err := f.StripPrefix("module.")
	if err != nil {
		return nil, err
	}
	out := checkpoint.NewFile()
	out.Format, out.Path, out.Metadata = f.Format, f.Path, f.Metadata
	for name, a := range f.All() {
		if strings.HasPrefix(name, "features.") {
			out.Set(name, a)
		}
	}
	return out, nil
}

// ErrNoWeights is what Find returns when a folder does not hold the weights of a net.
var ErrNoWeights = errors.New("no LPIPS weights")

// Files are the two files of a metric.
type Files struct{ Backbone, Linear string }

// Find looks for a net's files below dir: the linear weights NET.pth (or .pt, .safetensors) in dir,
// v0.1, weights/v0.1 or lpips/weights/v0.1, the backbone, whose name begins as torchvision's do
// (squeezenet1_1, alexnet, vgg16), in dir or models/imagenet. Of several backbones the first by
// name is taken. An error that is ErrNoWeights says what was not found.
func Find(dir string, net Net) (Files, error) {
	if !net.known() {
		return Files{}, tensor.Refuse("lpips: Find: no network is called %q: expected one of %v",
			string(net), Nets())
	}
	if _, err := os.Stat(dir); err != nil {
		var p *fs.PathError
		errors.As(err, &p)
		return Files{}, fmt.Errorf("lpips: Find: %s: %w; give the folder that holds the weights",
			dir, p.Err)
	}
	var f Files
	for _, sub := range []string{"", "v0.1", "weights/v0.1", "lpips/weights/v0.1"} {
		f.Linear = first(f.Linear, filepath.Join(dir, filepath.FromSlash(sub)), string(net)+".")
	}
	for _, sub := range []string{"", "models/imagenet"} {
		f.Backbone = first(f.Backbone, filepath.Join(dir, filepath.FromSlash(sub)), net.spec().stem)
	}
	switch {
	case f.Linear == "":
		return Files{}, tensor.Refuse("lpips: Find: %w in %s: expected %s.pth, LPIPS v0.1's linear "+
			"weights, in it or in weights/v0.1; the Python package lpips holds them in "+
			"lpips/weights/v0.1", ErrNoWeights, dir, net)
	case f.Backbone == "":
		return Files{}, tensor.Refuse("lpips: Find: %w in %s: expected torchvision's backbone, a "+
			"file %s*.pth or .safetensors, in it or in models/imagenet; torchvision fetches it as "+
			"the weights of its network of that name", ErrNoWeights, dir, net.spec().stem)
	}
	return f, nil
}

// first returns found, or else the first file of weights in dir whose name begins with prefix.
func first(found, dir, prefix string) string {
	if found != "" {
		return found
	}
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return ""
	}
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".pth", ".pt", ".safetensors":
			if strings.HasPrefix(e.Name(), prefix) && !e.IsDir() {
				return filepath.Join(dir, e.Name())
			}
		}
	}
	return ""
}
