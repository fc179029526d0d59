package data

import (
	"slices"

	"afterimage/tensor"
)

// heldOutMax is the number of training images held out for validation, 5,000 of CIFAR's 50,000
// (He et al., "Deep residual learning for image recognition", 2016, section 4.2).
const heldOutMax = 5000

// HeldOut returns the indices, in increasing order, of the training images held out for
// validation among n: min(5000, n/10) of them, by a draw that depends on n alone, so that every
// user and every seed holds out the same ones.
func HeldOut(n int) []int {
	perm := tensor.NewRNG(tensor.NewKey(0, "data/heldout"), 0).Perm(n)
	held := perm[:min(heldOutMax, n/10)]
	slices.Sort(held)
	return held
}

// newSet splits the training images into Train and Val by HeldOut.
func newSet(name string, train, test Dataset) *Set {
	held := HeldOut(train.Len())
	rest := make([]int, 0, train.Len()-len(held))
	for i, k := 0, 0; i < train.Len(); i++ {
		if k < len(held) && held[k] == i {
			k++
			continue
		}
		rest = append(rest, i)
	}
	return &Set{name, Subset(train, rest), Subset(train, held), test, train}
}

// newFolderSet draws a tenth of the images for testing and splits the rest by newSet. It serves
// folders that come without splits of their own.
func newFolderSet(name string, all Dataset) *Set {
	n := all.Len()
	perm := tensor.NewRNG(tensor.NewKey(0, "data/test"), 0).Perm(n)
	test, rest := perm[:n/10], perm[n/10:]
	slices.Sort(test)
	slices.Sort(rest)
	return newSet(name, Subset(all, rest), Subset(all, test))
}

// limit keeps the first train, val and test images of the splits; 0 keeps all.
func (s *Set) limit(train, val, test int) *Set {
	keep := func(ds Dataset, n int) Dataset {
		if n <= 0 {
			return ds
		}
		return First(ds, n)
	}
	s.Train, s.Val, s.Test = keep(s.Train, train), keep(s.Val, val), keep(s.Test, test)
	return s
}
