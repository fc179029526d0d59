package study

import (
	"cmp"
	"slices"
)

// rehearsed is how many images a rehearsal looks at where the study looks at more: two batches of
// every stage, so that a batch's memory is given back and taken again.
const rehearsed = 200

// Rehearsal returns s with every training cut to steps steps, and every measurement to a few images
// and draws, on the whole of the same data and with the same batches: it takes the memory that the
// trainings of s take, and little of the time. trainImages is the size of the training set.
// The results mean nothing.
func (s *Spec) Rehearsal(trainImages, steps int) *Spec {
	r := *s
	r.Classifiers, r.Inverters = slices.Clone(s.Classifiers), slices.Clone(s.Inverters)
	for k := range r.Classifiers {
		c := &r.Classifiers[k]
		perEpoch := max(1, trainImages/cmp.Or(c.Batch, defaultBatch))
		c.Epochs = min(c.Epochs, (float64(steps)+0.5)/float64(perEpoch))
	}
	for k := range r.Inverters {
		i := &r.Inverters[k]
		i.Steps = min(cmp.Or(i.Steps, steps), steps)
		i.SampleEvery = i.Steps
	}
	r.Accuracy.Images = min(r.Accuracy.Images, rehearsed)
	r.Evaluate.Images = min(cmp.Or(r.Evaluate.Images, rehearsed), rehearsed)
	r.Evaluate.Draws, r.Explore.Draws = min(r.Evaluate.Draws, 2), min(r.Explore.Draws, 2)
	r.Explore.Images = min(cmp.Or(r.Explore.Images, rehearsed), rehearsed)
	r.Explore.TrainImages = min(r.Explore.TrainImages, 10*rehearsed)
	return &r
}

// Steps returns how many steps each training of s has, by the name of its stage, on a training set
// of trainImages images.
func (s *Spec) Steps(trainImages int) map[string]int {
	out := map[string]int{}
	for _, c := range s.Classifiers {
		if c.Weights == "" {
			perEpoch := trainImages / cmp.Or(c.Batch, defaultBatch)
			out["classifier-"+c.Name] = max(1, int(c.Epochs*float64(perEpoch)))
		}
	}
	for _, i := range s.Inverters {
		if c, err := s.Inverter(i, 1, ""); err == nil {
			out["inverter-"+i.Name()] = c.Steps
		}
	}
	return out
}
