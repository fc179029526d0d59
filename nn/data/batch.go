package data

import "iter"

// A Range says which numbers pixels 0 to 255 become.
type Range int

// The ranges: v/127.5 − 1, what generators make, and v/255, what foreign classifiers expect
// before their own normalisation.
const (
	Signed Range = iota // [−1, 1]
	Unit                // [0, 1]
)

// Float returns pixel v in this range.
func (r Range) Float(v uint8) float32 {
	if r == Unit {
		return float32(v) / 255
	}
	return float32(v)/127.5 - 1
}

// table returns Float for all 256 pixel values.
func (r Range) table() *[256]float32 {
	t := new([256]float32)
	for v := range t {
		t[v] = r.Float(uint8(v))
	}
	return t
}

// A Batch is a block of images with their labels.
type Batch struct {
	Step    int       // the batch's number
	Epoch   int       // Step / batches per epoch (0 in Eval)
	H, W, C int       // size of an image
	X       []float32 // pixels [N H W C] in the loader's range
	Labels  []int32   // [N], −1 for unlabeled
	Index   []int32   // [N], where the images lie in the dataset

	// Filled, if not nil, is called by the goroutine of Loader.Stream when it has filled the batch and
	// before it hands it over: for whoever can carry the images further while others are at work.
	Filled func()
}

// N returns the number of images.
func (b *Batch) N() int { return len(b.Labels) }

// Shape returns the shape of X, [N H W C].
func (b *Batch) Shape() []int { return []int{b.N(), b.H, b.W, b.C} }

// resize makes room for n images of the dataset, reusing what is there.
func (b *Batch) resize(ds Dataset, n int) {
	b.H, b.W, b.C = ds.Size()
	grow := func(s []int32) []int32 {
		if cap(s) < n {
			return make([]int32, n)
		}
		return s[:n]
	}
	b.Labels, b.Index = grow(b.Labels), grow(b.Index)
	if size := n * b.H * b.W * b.C; cap(b.X) < size {
		b.X = make([]float32, size)
	} else {
		b.X = b.X[:size]
	}
}

// Read returns images index of ds, in that order, without augmentation.
func Read(ds Dataset, r Range, index ...int) *Batch {
	b := new(Batch)
	read(b, ds, r.table(), index, nil)
	return b
}

// read fills b with images index of ds.
func read(b *Batch, ds Dataset, table *[256]float32, index []int, pix []uint8) {
	b.resize(ds, len(index))
	size := b.H * b.W * b.C
	if pix == nil {
		pix = make([]uint8, size)
	}
	for k, i := range index {
		b.Labels[k], b.Index[k] = int32(ds.Read(i, pix)), int32(i)
		x := b.X[k*size : (k+1)*size]
		for p, v := range pix {
			x[p] = table[v]
		}
	}
}

// Eval returns an iterator over ds in order, batchSize images at a time (the last batch may be
// smaller), without augmentation. The batch is overwritten by the next one.
// It panics with *tensor.Error if batchSize < 1.
func Eval(ds Dataset, batchSize int, r Range) iter.Seq2[int, *Batch] {
	if batchSize < 1 {
		misuse("Eval", "batch size %d: expected at least 1", batchSize)
	}
	return func(yield func(int, *Batch) bool) {
		b, table := new(Batch), r.table()
		h, w, c := ds.Size()
		pix, index := make([]uint8, h*w*c), make([]int, 0, batchSize)
		for at := 0; at < ds.Len(); at += batchSize {
			index = index[:0]
			for i := at; i < min(at+batchSize, ds.Len()); i++ {
				index = append(index, i)
			}
			read(b, ds, table, index, pix)
			if b.Step = at / batchSize; !yield(b.Step, b) {
				return
			}
		}
	}
}
