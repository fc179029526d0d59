package study

import (
	"fmt"
	"path/filepath"

	"afterimage/gan/explore"
	"afterimage/nn/attack"
	"afterimage/nn/data"
	"afterimage/nn/train"
	"afterimage/tensor"
)

// An Accuracy is how often a classifier is right.
type Accuracy struct {
	Classifier string  `json:"classifier"`
	Arch       string  `json:"arch"`
	Origin     string  `json:"origin"` // trained here, or a file
	Images     int     `json:"images"`
	Clean      float64 `json:"clean"`
	Attack     string  `json:"attack,omitempty"`
	Attacked   int     `json:"attacked_images,omitempty"`
	Robust     float64 `json:"robust,omitempty"`
}

func (r *runner) accuracy(c ClassifierSpec) error {
	s := tensor.NewScope(r.backend)
	defer s.Close()
	m, err := r.classifier(s, c.Name)
	if err != nil {
		return err
	}
	const batch = 100
	right, _ := train.Score(r.backend, m, r.set.Test, batch)
	a := Accuracy{Classifier: c.Name, Arch: m.Arch(), Origin: "trained here",
		Images: r.set.Test.Len(), Clean: float64(right) / float64(r.set.Test.Len())}
	if c.Weights != "" {
		a.Origin = filepath.Base(c.Weights)
	}
	if p := r.spec.Accuracy; p.Images > 0 {
		cfg := attack.Config{Eps: p.Eps / 255, StepSize: p.StepSize / 255, Steps: p.Steps,
			RandomStart: true}
		ds := data.First(r.set.Test, p.Images)
		a.Attack, a.Attacked = fmt.Sprintf("PGD-%d, L∞ %g/255, step %g/255, random start", p.Steps,
			p.Eps, p.StepSize), ds.Len()
		key := tensor.NewKey(r.spec.seed(), "attack/accuracy")
		stand := 0
		for i, d := range data.Eval(ds, batch, data.Unit) {
			inner := s.Child()
			x, labels := tensor.FromSlice(inner, d.X, d.Shape()...), tensor.FromSlice(inner,
				d.Labels, d.N())
			for _, ok := range attack.Evaluate(inner, m, x, labels, cfg, key,
				i*batch) {
				if ok {
					stand++
				}
			}
			inner.Close()
		}
		a.Robust = float64(stand) / float64(ds.Len())
	}
	return explore.WriteJSON(r.path("accuracy-"+c.Name+".json"), a)
}
