package study

import (
	"cmp"
	"slices"
	"strings"

	"afterimage/gan/explore"
)

// An order is the one in which a page shows what belongs to inverters and classifiers, whatever the
// spec's: first what the study is about, the two that it compares.
type order []string

// rank returns the place of an inverter, or of a classifier: A and B of the comparison, the others
// of A's classifier, the rest, and last the controls that are told a label alone.
func (o order) rank(name string) int {
	of := func(inverter string) bool {
		classifier, _, _ := strings.Cut(inverter, "-")
		return name == classifier || strings.HasPrefix(name, classifier+"-")
	}
	switch {
	case isLabel(name):
		return 4
	case len(o) != 2:
		return 0
	case name == o[0]:
		return 0
	case name == o[1]:
		return 1
	case of(o[0]):
		return 2
	}
	return 3
}

// compare orders two names.
func (o order) compare(a, b string) int { return cmp.Compare(o.rank(a), o.rank(b)) }

// inOrder puts everything on the page into its order. The study's result keeps the spec's.
func (p *page) inOrder() {
	var o order
	if p.Compared != nil {
		o = order{p.Compared.A, p.Compared.B}
	}
	res := *p.Result
	res.Accuracies = slices.Clone(res.Accuracies)
	res.Evaluations = slices.Clone(res.Evaluations)
	res.Experiments = slices.Clone(res.Experiments)
	p.Result, p.curves = &res, slices.Clone(p.curves)
	slices.SortStableFunc(res.Accuracies, func(a, b Accuracy) int {
		return o.compare(a.Classifier, b.Classifier)
	})
	slices.SortStableFunc(res.Evaluations, func(a, b *explore.Evaluation) int {
		return o.compare(a.Name, b.Name)
	})
	slices.SortStableFunc(res.Experiments, func(a, b *explore.Result) int {
		return o.compare(a.Subject, b.Subject)
	})
	slices.SortStableFunc(p.curves, func(a, b curve) int {
		return o.compare(a.trained(), b.trained())
	})
}
