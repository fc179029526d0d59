package data

import (
	"iter"
	"math"
)

// A Feed gives a loader's batches by number and draws those that follow while the caller is at work
// on the one it has. It is for a training step that knows its number and nothing else: batch i is a
// pure function of i, so what was prepared for the wrong number is only lost time. A Feed belongs
// to one goroutine.
type Feed struct {
	loader *Loader
	empty  func() *Batch
	made   []*Batch // used again by a fresh start
	next   func() (int, *Batch, bool)
	stop   func()
	at     int // number of the batch that next returns
}

// neverAsked is not the number of a batch.
const neverAsked = math.MinInt

// NewFeed returns a feed of l into batches that empty makes, LoaderConfig.Prefetch+1 of them, whose
// memory need not be Go's; Close it. Nothing is drawn before the first call of Batch.
func NewFeed(l *Loader, empty func() *Batch) *Feed { return &Feed{loader: l, empty: empty} }

// Batch returns batch i ≥ 0, which may be used until the next call. It waits for nothing where i is
// one more than in the call before and drawing is faster than the caller: at most
// LoaderConfig.Prefetch batches are ready, and one more is being drawn. Any other i starts afresh
// there. It panics where Loader.Batch would, whoever drew the batch.
func (f *Feed) Batch(i int) *Batch {
	if f.next == nil || i != f.at {
		f.Close()
		f.next, f.stop = iter.Pull2(f.loader.StreamInto(i, f.again()))
	}
	f.at = neverAsked // should drawing panic, the next call starts afresh
	_, b, _ := f.next()
	f.at = i + 1
	return b
}

// again returns a function that hands out the batches made so far, then new ones.
func (f *Feed) again() func() *Batch {
	k := 0
	return func() *Batch {
		if k == len(f.made) {
			f.made = append(f.made, f.empty())
		}
		k++
		return f.made[k-1]
	}
}

// Close ends the drawing and waits for the batch being drawn. A Batch after it starts afresh.
func (f *Feed) Close() {
	if f.next != nil {
		f.stop()
		f.next, f.stop = nil, nil
	}
}
