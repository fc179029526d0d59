package study

import (
	"fmt"
	"math"
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
	Robust     float64 `json:"robust"` // 0 also without an attack

	// 95 % intervals over images, Wilson's
	CleanInterval  *[2]float64 `json:"clean_interval,omitempty"`
	RobustInterval *[2]float64 `json:"robust_interval,omitempty"`
}

// withIntervals fills in what follows from the shares and the numbers of images.
func (a Accuracy) withIntervals() Accuracy {
	a.CleanInterval = wilson(a.Clean, a.Images)
	if a.Attack != "" {
		a.RobustInterval = wilson(a.Robust, a.Attacked)
	}
	return a
}

// wilson returns the 95 % score interval of a share p of n, in [0, 1]; nil for n = 0. Unlike the
// bootstrap's it does not shrink to nothing at a share of 0. Source: E. B. Wilson, J. Am. Stat.
// Assoc. 22 (1927) 209.
func wilson(p float64, n int) *[2]float64 {
	if n == 0 {
		return nil
	}
	const z = 1.959964 // the normal distribution's 97.5 % point
	m := float64(n)
	centre := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return &[2]float64{max(0, centre-half), min(1, centre+half)}
}

func (r *runner) accuracy(c ClassifierSpec) error {
	s := tensor.NewScope(r.backend)
	defer s.Close()
	m, err := r.classifier(s, c.Name)
	if err != nil {
		return err
	}
	const batch = 100
	i := m.Inference(r.backend)
	right, _ := train.Score(i, m, r.set.Test, batch)
	i.Close()
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
