package data

import (
	"iter"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"afterimage/tensor"
)

// LoaderConfig says what a Loader makes of a dataset.
type LoaderConfig struct {
	Batch    int    // images per batch
	Seed     uint64 // of order and augmentation
	Flip     bool   // mirror every second image, by chance, left to right
	Crop     int    // pad by so many black pixels on all sides and crop at a random place (CIFAR: 4)
	Range    Range  // of the numbers in Batch.X
	Prefetch int    // batches Stream prepares ahead; 0: 2
}

// A Loader makes training batches. It has no position: batch i is a pure function of (dataset,
// config, i), whatever was asked for before and by whom. Every epoch shows each image at most
// once, in an order of its own; the images left over at its end are dropped (PyTorch's drop_last).
//
// Flip and crop of an image depend on (seed, epoch, image), not on its place in the batch.
// The padding is black pixels, 0 before normalisation, as in torchvision's RandomCrop.
type Loader struct {
	ds    Dataset
	cfg   LoaderConfig
	table *[256]float32
	order atomic.Pointer[epochOrder] // memo of the last epoch asked for

	waited atomic.Int64 // nanoseconds; see Waited
}

type epochOrder struct {
	epoch int
	perm  []int
}

// NewLoader returns a loader, or an error if the dataset cannot fill one batch or the
// config has negative numbers.
func NewLoader(ds Dataset, cfg LoaderConfig) (*Loader, error) {
	if cfg.Batch < 1 || cfg.Batch > ds.Len() {
		return nil, tensor.Refuse("data: NewLoader: batch size: expected 1 to %d (the images of "+
			"%s), got %d", ds.Len(), ds.Name(), cfg.Batch)
	}
	if cfg.Crop < 0 || cfg.Prefetch < 0 || cfg.Range != Signed && cfg.Range != Unit {
		return nil, tensor.Refuse("data: NewLoader: crop %d, prefetch %d, range %d: "+
			"expected no negative number and a known range",
			cfg.Crop, cfg.Prefetch, cfg.Range)
	}
	if cfg.Prefetch == 0 {
		cfg.Prefetch = 2
	}
	return &Loader{ds: ds, cfg: cfg, table: cfg.Range.table()}, nil
}

// Waited returns how long loops over the loader's streams, those of feeds among them, have waited
// for a batch that was not ready yet, all together: what drawing ahead did not hide.
func (l *Loader) Waited() time.Duration { return time.Duration(l.waited.Load()) }

// BatchesPerEpoch returns len(dataset) / batch size, rounded down.
func (l *Loader) BatchesPerEpoch() int { return l.ds.Len() / l.cfg.Batch }

// Batch returns batch step ≥ 0 in memory of its own. It may be called from several goroutines.
// It panics with *tensor.Error if step is negative or its epoch does not fit in 32 bits.
func (l *Loader) Batch(step int) *Batch {
	b := new(Batch)
	l.Fill(b, step)
	return b
}

// Fill is Batch into memory the caller gives and may use again.
func (l *Loader) Fill(b *Batch, step int) {
	epoch := step / l.BatchesPerEpoch()
	if step < 0 || epoch > math.MaxUint32 {
		misuse("Loader.Fill", "step %d: expected 0 or more", step)
	}
	at := step % l.BatchesPerEpoch() * l.cfg.Batch
	index := l.permutation(epoch)[at : at+l.cfg.Batch]
	b.resize(l.ds, len(index))
	b.Step, b.Epoch = step, epoch
	pix := make([]uint8, b.H*b.W*b.C)
	for k, i := range index {
		b.Labels[k], b.Index[k] = int32(l.ds.Read(i, pix)), int32(i)
		l.show(b, k, pix, l.view(epoch, i))
	}
}

// permutation returns the order of an epoch. The memo saves drawing it again for every batch.
func (l *Loader) permutation(epoch int) []int {
	if o := l.order.Load(); o != nil && o.epoch == epoch {
		return o.perm
	}
	r := tensor.NewRNG(tensor.NewKey(l.cfg.Seed, "data/order"), uint32(epoch))
	o := &epochOrder{epoch, r.Perm(l.ds.Len())}
	l.order.Store(o)
	return o.perm
}

// A view is how an image is shown: row y shows the image's row y + dy, a column likewise, and flip
// mirrors what was cropped.
type view struct {
	flip   bool
	dy, dx int
}

// view returns how image i is shown in an epoch.
func (l *Loader) view(epoch, i int) view {
	draw := tensor.NewKey(l.cfg.Seed, "data/augment").Block(uint32(epoch), uint64(i))
	places := uint64(2*l.cfg.Crop + 1)
	return view{
		flip: l.cfg.Flip && draw[0]>>31 == 1,
		dy:   int(uint64(draw[1])*places>>32) - l.cfg.Crop,
		dx:   int(uint64(draw[2])*places>>32) - l.cfg.Crop,
	}
}

// show writes pix as image k of b, as v says.
func (l *Loader) show(b *Batch, k int, pix []uint8, v view) {
	h, w, c := b.H, b.W, b.C
	x, black := b.X[k*len(pix):(k+1)*len(pix)], l.table[0]
	for y := range h {
		row := x[y*w*c : (y+1)*w*c]
		if y+v.dy < 0 || y+v.dy >= h {
			for p := range row {
				row[p] = black
			}
			continue
		}
		from := pix[(y+v.dy)*w*c : (y+v.dy+1)*w*c]
		for j := range w {
			s := j + v.dx
			if v.flip {
				s = w - 1 - j + v.dx
			}
			if s < 0 || s >= w {
				for ch := range c {
					row[j*c+ch] = black
				}
				continue
			}
			for ch := range c {
				row[j*c+ch] = l.table[from[s*c+ch]]
			}
		}
	}
}

// Stream returns the batches from number start ≥ 0 on, without end: (step, batch). One goroutine
// prepares up to Prefetch batches ahead; it ends when the loop does, however it ends. A batch may
// be used until the next one is asked for. The iterator may be used again and starts afresh.
// It panics with *tensor.Error if start is negative; a panic while a batch is drawn reaches the
// loop in that batch's place.
func (l *Loader) Stream(start int) iter.Seq2[int, *Batch] {
	return l.StreamInto(start, func() *Batch { return new(Batch) })
}

// StreamInto is Stream into batches that empty makes, for images in memory that is not Go's.
func (l *Loader) StreamInto(start int, empty func() *Batch) iter.Seq2[int, *Batch] {
	if start < 0 {
		misuse("Loader.Stream", "start %d: expected 0 or more", start)
	}
	return func(yield func(int, *Batch) bool) {
		ready := make(chan drawn, l.cfg.Prefetch)
		free := make(chan *Batch, l.cfg.Prefetch+1)
		for range cap(free) {
			free <- empty()
		}
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { l.produce(start, ready, free, done) })
		defer wg.Wait()
		defer close(done)
		for {
			begin := time.Now()
			d := <-ready
			l.waited.Add(int64(time.Since(begin)))
			if d.failure != nil {
				panic(d.failure)
			}
			if !yield(d.batch.Step, d.batch) {
				return
			}
			free <- d.batch
		}
	}
}

// A drawn is a batch, or what drawing it panicked with.
type drawn struct {
	batch   *Batch
	failure any
}

// draw is Fill, of which the batch hears, that hands a panic over.
func (l *Loader) draw(b *Batch, step int) (d drawn) {
	defer func() { d.failure = recover() }()
	l.Fill(b, step)
	if b.Filled != nil {
		b.Filled()
	}
	return drawn{batch: b}
}

// produce fills free batches in order and hands them over until done is closed or one fails.
func (l *Loader) produce(start int, ready chan<- drawn, free <-chan *Batch, done <-chan struct{}) {
	for step := start; ; step++ {
		var b *Batch
		select {
		case b = <-free:
		case <-done:
			return
		}
		d := l.draw(b, step)
		select {
		case ready <- d:
		case <-done:
			return
		}
		if d.failure != nil {
			return
		}
	}
}
