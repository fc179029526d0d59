package data

import (
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestFeedGivesTheLoadersBatches: in order, again, forwards, backwards, and after Close.
func TestFeedGivesTheLoadersBatches(t *testing.T) {
	l := newLoader(t, counting(t, 50, 8, 8, 3), LoaderConfig{Batch: 8, Seed: 5, Flip: true, Crop: 2})
	f := NewFeed(l, func() *Batch { return new(Batch) })
	defer f.Close()
	for _, i := range []int{0, 1, 2, 3, 3, 17, 18, 5, 6, 7, 0} {
		if d := cmp.Diff(l.Batch(i), f.Batch(i)); d != "" {
			t.Fatalf("batch %d differs from the loader's:\n%s", i, d)
		}
		if i == 18 {
			f.Close()
		}
	}
}

// A gated dataset reports what is read, and panics at one image.
type gated struct {
	Dataset
	read chan int
	bad  int
}

func (g *gated) Read(i int, pix []uint8) int {
	if i == g.bad {
		panic("image is bad")
	}
	g.read <- i
	return g.Dataset.Read(i, pix)
}

// TestWaited: a batch that is not ready when it is asked for counts, one that is does not.
func TestWaited(t *testing.T) {
	const pause, half = 100 * time.Millisecond, 50 * time.Millisecond
	g := &gated{counting(t, 80, 2, 2, 1), make(chan int), -1}
	l := newLoader(t, g, LoaderConfig{Batch: 1})
	go func() {
		time.Sleep(pause)
		for range g.read {
		}
	}()
	for i := range l.Stream(0) {
		switch w := l.Waited(); {
		case i == 0 && w < half:
			t.Errorf("a batch that took %v was waited for %v", pause, w)
		case i == 0:
			time.Sleep(pause) // of work, while the next batch is drawn
			continue
		case w > pause+half:
			t.Errorf("waited for %v in all, expected %v for the first batch and little more", w, pause)
		}
		break
	}
	close(g.read)
}

// TestFeedDrawsAhead: while the caller holds a batch, the next ones are drawn, and no more than
// asked for.
func TestFeedDrawsAhead(t *testing.T) {
	const batch, prefetch = 4, 2
	g := &gated{counting(t, 80, 2, 2, 1), make(chan int, 1000), -1}
	l := newLoader(t, g, LoaderConfig{Batch: batch, Prefetch: prefetch})
	before := runtime.NumGoroutine()
	f := NewFeed(l, func() *Batch { return new(Batch) })
	f.Batch(0)
	// The batch in hand, those that are ready, and one more where its producer waits to hand it over.
	const most = batch * (1 + prefetch + 1)
	for range batch * (1 + prefetch) {
		select {
		case <-g.read:
		case <-time.After(10 * time.Second):
			t.Fatal("nothing is drawn ahead")
		}
	}
	time.Sleep(50 * time.Millisecond)
	if n := batch*(1+prefetch) + len(g.read); n > most {
		t.Errorf("%d images were read, expected at most %d", n, most)
	}
	f.Close()
	f.Close()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines are left, %d were there before", runtime.NumGoroutine(), before)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestFeedDeliversAPanicInItsPlace: batches before the bad one come first, and one can go on.
func TestFeedDeliversAPanicInItsPlace(t *testing.T) {
	g := &gated{counting(t, 80, 2, 2, 1), make(chan int, 1000), -1}
	l := newLoader(t, g, LoaderConfig{Batch: 4})
	g.bad = int(l.Batch(2).Index[1])
	f := NewFeed(l, func() *Batch { return new(Batch) })
	defer f.Close()
	try := func(i int) (failure any) {
		defer func() { failure = recover() }()
		f.Batch(i)
		return nil
	}
	for i := range 2 {
		if e := try(i); e != nil {
			t.Fatalf("batch %d: %v", i, e)
		}
	}
	for range 2 {
		if e := try(2); e != "image is bad" {
			t.Fatalf("batch 2: %v", e)
		}
	}
	if e := try(3); e != nil {
		t.Fatalf("batch 3: %v", e)
	}
}
