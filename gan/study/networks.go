package study

import (
	"errors"
	"fmt"

	"afterimage/gan"
	"afterimage/gan/explore"
	"afterimage/gan/metrics/lpips"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/nn/onnx"
	"afterimage/tensor"
)

// classifier loads the classifier called name into s.
func (r *runner) classifier(s *tensor.Scope, name string) (gan.Classifier, error) {
	c := r.spec.find(name)
	path := r.network(name)
	if c.Weights == "" {
		return gan.OpenClassifier(s, path)
	}
	size, _, channels := r.set.Size()
	if c.imported() {
		return importClassifier(s, path, c, size)
	}
	f, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	m, err := models.New(c.Arch, models.Options{Classes: len(r.set.Classes()), InputSize: size,
		Channels: channels, Mean: c.Mean, Std: c.Std})
	if err != nil {
		return nil, err
	}
	return m, m.Load(s, f)
}

// importClassifier reads an ONNX file. The specification's normalisation goes before what the file
// says.
func importClassifier(
	s *tensor.Scope, path string, c ClassifierSpec, size int,
) (gan.Classifier, error) {
	m, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	o, stored, err := m.StoredOptions()
	if err != nil {
		return nil, err
	}
	if !stored {
		o.InputSize = size
	}
	if len(c.Mean) > 0 || len(c.Std) > 0 {
		o.Mean, o.Std = c.Mean, c.Std
	}
	return onnx.NewClassifier(s, m, o)
}

func (s *Spec) find(name string) ClassifierSpec {
	for _, c := range s.Classifiers {
		if c.Name == name {
			return c
		}
	}
	return ClassifierSpec{}
}

// judge loads the independent network into s; nil without one.
func (r *runner) judge(s *tensor.Scope) (explore.Network, string, error) {
	if r.spec.Judge == "" {
		return nil, "", nil
	}
	m, err := r.classifier(s, r.spec.Judge)
	if err != nil {
		return nil, "", err
	}
	if m.FeatureDim() == 0 {
		return nil, "", tensor.Refuse("the judge %s has no features to judge by: give another network",
			m.Arch())
	}
	return explore.FromClassifier(s, m), fmt.Sprintf("%d features of the independent %s",
		m.FeatureDim(), m.Arch()), nil
}

// inverter opens a trained inverter in s.
func (r *runner) inverter(s *tensor.Scope, name string) (explore.Painter, error) {
	v, err := gan.OpenInverter(s, r.path("inverter-"+name))
	if err != nil {
		return nil, err
	}
	return explore.FromInverter(s, v), nil
}

// lpips reads LPIPS's weights into s, if the folder of the data has them; else it returns nil.
func (r *runner) lpips(s *tensor.Scope) (explore.Distance, string, error) {
	files, missing := r.findLPIPS()
	if missing != nil {
		return nil, "", nil
	}
	m, err := lpips.Open(s, files.Backbone, files.Linear, lpips.Squeeze)
	if err != nil {
		return nil, "", err
	}
	return m, m.Net().Title(), nil
}

// findLPIPS returns LPIPS's files, or why there will be no LPIPS.
func (r *runner) findLPIPS() (lpips.Files, error) {
	if size, _, _ := r.set.Size(); size < lpips.Squeeze.Smallest() {
		return lpips.Files{}, fmt.Errorf("images of %d pixels are too small for it", size)
	}
	if r.o.Data == "" {
		return lpips.Files{}, errors.New("no folder of data was given in which its weights could lie")
	}
	return lpips.Find(r.o.Data, lpips.Squeeze)
}
