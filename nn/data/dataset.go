package data

import (
	"fmt"

	"afterimage/tensor"
)

// Unlabeled is the label Read returns for an image whose class is not known.
const Unlabeled = -1

// A Dataset is a finite, immutable list of equally sized images with class labels. All methods
// may be called from several goroutines at once.
type Dataset interface {
	// Name returns the name the set was opened under, such as "cifar-10".
	Name() string
	// Len returns the number of images.
	Len() int
	// Classes returns the class names in label order; it is empty for unlabeled images.
	// The caller must not change it.
	Classes() []string
	// Size returns the height, width and number of channels (1 or 3) of every image.
	Size() (h, w, c int)
	// Read copies image i into pix, h·w·c bytes in HWC order, and returns its label in
	// [0, len(Classes())), or Unlabeled. It panics with *tensor.Error if i is outside
	// [0, Len()) or pix has the wrong length.
	Read(i int, pix []uint8) (label int)
}

// A Factored dataset knows the numbers its images were drawn from (see Factors).
type Factored interface {
	Dataset
	// FactorNames returns the names of the columns of FactorVector, "group.part".
	FactorNames() []string
	// FactorVector returns the factors of image i, one number per name.
	FactorVector(i int) []float32
}

// A Set is a dataset with its splits. Validation images are held out of the training files; they
// choose checkpoints and settings, the test images are looked at once at the end.
type Set struct {
	Name     string
	Train    Dataset // what is trained on: without Val
	Val      Dataset // held out of the training images
	Test     Dataset // the official test images, or a tenth of a folder
	TrainVal Dataset // all training images, Train and Val together, in the files' order
}

// Classes returns the class names in label order.
func (s *Set) Classes() []string { return s.Train.Classes() }

// Size returns the height, width and channels of every image.
func (s *Set) Size() (h, w, c int) { return s.Train.Size() }

// Split returns the split called "train", "val", "test" or "trainval".
func (s *Set) Split(name string) (Dataset, error) {
	switch name {
	case "train":
		return s.Train, nil
	case "val":
		return s.Val, nil
	case "test":
		return s.Test, nil
	case "trainval":
		return s.TrainVal, nil
	}
	return nil, tensor.Refuse("data: Split: no split %q: expected train, val, test or trainval", name)
}

// Images are what a Memory is made of.
type Images struct {
	Name    string
	Classes []string // in label order
	H, W, C int      // size of an image; C is 1 or 3
	Pixels  []uint8  // [N H W C]
	Labels  []int32  // [N], in [0, len(Classes)) or Unlabeled
}

// Memory is a Dataset held in one block of memory.
type Memory struct {
	name    string
	classes []string
	h, w, c int
	pix     []uint8 // NHWC
	labels  []int32
}

// NewMemory makes a dataset of images. It keeps their pixels and labels, which must not change
// afterwards. It returns an error if a size or a label does not fit.
func NewMemory(m Images) (*Memory, error) {
	h, w, c := m.H, m.W, m.C
	if h < 1 || w < 1 || c != 1 && c != 3 {
		return nil, fmt.Errorf(
			"data: NewMemory: image size %dx%dx%d: expected at least 1x1 and 1 or 3 channels", h, w, c)
	}
	if len(m.Pixels) != len(m.Labels)*h*w*c {
		return nil, fmt.Errorf("data: NewMemory: pixels do not fit the labels: "+
			"expected %d images of %dx%dx%d = %d bytes, got %d",
			len(m.Labels), h, w, c, len(m.Labels)*h*w*c, len(m.Pixels))
	}
	for i, l := range m.Labels {
		if l != Unlabeled && (l < 0 || int(l) >= len(m.Classes)) {
			return nil, fmt.Errorf("data: NewMemory: label %d of image %d: expected 0 to %d, or %d for none",
				l, i, len(m.Classes)-1, Unlabeled)
		}
	}
	return &Memory{m.Name, m.Classes, h, w, c, m.Pixels, m.Labels}, nil
}

// Name implements Dataset.
func (m *Memory) Name() string { return m.name }

// Len implements Dataset.
func (m *Memory) Len() int { return len(m.labels) }

// Classes implements Dataset.
func (m *Memory) Classes() []string { return m.classes }

// Size implements Dataset.
func (m *Memory) Size() (h, w, c int) { return m.h, m.w, m.c }

// Read implements Dataset.
func (m *Memory) Read(i int, pix []uint8) int {
	n := m.h * m.w * m.c
	checkRead("Memory.Read", i, len(m.labels), len(pix), n)
	copy(pix, m.pix[i*n:(i+1)*n])
	return int(m.labels[i])
}

// checkRead panics unless image i of n exists and the caller's buffer has the right length.
func checkRead(op string, i, n, got, want int) {
	if i < 0 || i >= n {
		misuse(op, "image %d: expected 0 to %d", i, n-1)
	}
	if got != want {
		misuse(op, "pix has %d bytes: expected %d", got, want)
	}
}

// subset is a view of some images of another dataset.
type subset struct {
	Dataset
	index []int
}

// factoredSubset is a subset of a dataset whose factors are known.
type factoredSubset struct {
	subset
	factored Factored
}

// Subset returns the dataset whose image k is image index[k] of ds. It is Factored if ds is.
// It keeps index. It panics with *tensor.Error if an index is outside ds.
func Subset(ds Dataset, index []int) Dataset {
	for _, i := range index {
		if i < 0 || i >= ds.Len() {
			misuse("Subset", "index %d: expected 0 to %d", i, ds.Len()-1)
		}
	}
	s := subset{ds, index}
	if f, ok := ds.(Factored); ok {
		return &factoredSubset{s, f}
	}
	return &s
}

// First returns the first n images of ds, or ds itself if it has no more than n.
func First(ds Dataset, n int) Dataset {
	if n >= ds.Len() {
		return ds
	}
	return Subset(ds, indices(n))
}

// Len implements Dataset.
func (s *subset) Len() int { return len(s.index) }

// Read implements Dataset.
func (s *subset) Read(i int, pix []uint8) int {
	checkRead("Subset.Read", i, len(s.index), len(pix), len(pix))
	return s.Dataset.Read(s.index[i], pix)
}

// FactorNames implements Factored.
func (s *factoredSubset) FactorNames() []string { return s.factored.FactorNames() }

// FactorVector implements Factored.
func (s *factoredSubset) FactorVector(i int) []float32 {
	return s.factored.FactorVector(s.index[i])
}

// concat is the images of two datasets of one size and one list of classes.
type concat struct {
	Dataset
	second Dataset
}

// Len implements Dataset.
func (c *concat) Len() int { return c.Dataset.Len() + c.second.Len() }

// Read implements Dataset.
func (c *concat) Read(i int, pix []uint8) int {
	if n := c.Dataset.Len(); i >= n {
		return c.second.Read(i-n, pix)
	}
	return c.Dataset.Read(i, pix)
}

// Materialize reads all of ds into memory.
func Materialize(ds Dataset) *Memory {
	h, w, c := ds.Size()
	size := h * w * c
	m := &Memory{ds.Name(), ds.Classes(), h, w, c, make([]uint8, ds.Len()*size),
		make([]int32, ds.Len())}
	for i := range m.labels {
		m.labels[i] = int32(ds.Read(i, m.pix[i*size:(i+1)*size]))
	}
	return m
}

// indices returns 0, 1, …, n−1.
func indices(n int) []int {
	index := make([]int, n)
	for i := range index {
		index[i] = i
	}
	return index
}
