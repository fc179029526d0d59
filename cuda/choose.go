package cuda

import (
	"fmt"

	"afterimage/cuda/driver"
)

// A choice names one of a library's offers for a shape. The heuristics answer alike for one card
// and one version of the library, so that another process finds the same plan in the same place;
// the engine's number shows whether it did.
type choice struct {
	Mode   int64   `json:"mode"`                   // of the heuristics
	Place  int     `json:"place"`                  // in their answer
	Engine int64   `json:"engine"`                 // the library's number for what stood there
	Micros float64 `json:"microseconds,omitempty"` // of one run, if offers were timed
}

// none is the choice of a shape that our own kernel computes.
func none() choice { return choice{Mode: -1} }

// own reports whether our own kernel computes the shape: it was faster if Micros says how fast,
// else no offer served.
func (c choice) own() bool { return c.Mode == none().Mode }

// An offer is one way in which a library would compute a shape.
type offer struct {
	choice    choice
	workspace int               // bytes
	run       func(room uint64) // appends the commands
	close     func()            // gives it back, on the device's thread
}

// A contest is for the work of one shape.
type contest struct {
	shape string // its name among the choices
	// list asks the library for offers that add in a fixed order, on the device's thread: the first
	// ones, or if a choice is known the one that it names, if it still stands there. The error says
	// why there may be more: what failed, not what the library does not offer.
	list func(kept choice, known bool) ([]offer, error)
	own  func() // appends our kernel's commands
	// hopper returns our kernel for compute capability 9.0 as an offer, if it serves.
	hopper func() (offer, bool)
	alone  bool // our kernel does not compete
}

// choose returns the offer that computes a shape, nil if our own kernel does. A choice that the run
// or the cache keeps is taken again. Otherwise the offers and our own kernel are timed on the
// call's own operands, whose result the chosen one then overwrites, and the fastest is kept. A kept
// choice that the library does not offer any more is made anew, and a run's user told; one that
// cannot be had because something failed stays: see withoutKept. While work is recorded nothing can
// be chosen, since a library may load code or allocate for it, which ends a recording: that is a
// fault of the work, which must have run call by call before.
func (b *Backend) choose(c contest) *offer {
	if b.graph != nil {
		b.graph.fail("a product or convolution of a new shape")
		return nil
	}
	kept, known := b.book.get(c.shape)
	if known && kept.own() {
		return nil
	}
	picked := -1
	found, failed := b.offered(c, kept, known)
	defer func() { b.closeOthers(found, picked) }() // also where there is no memory to compete in
	if known && len(found) == 0 && b.x.err() == nil {
		if failed != nil {
			b.withoutKept(c.shape, failed)
			return nil
		}
		b.book.rechoose(c.shape)
		known = false
		found, _ = b.offered(c, kept, known)
	}
	if b.x.err() != nil {
		return nil // and nothing is to be kept of it
	}
	if known {
		picked = 0
	} else if kept, picked = b.compete(c, found); b.x.err() == nil {
		b.book.put(c.shape, kept)
	}
	if picked < 0 {
		return nil
	}
	return &found[picked]
}

// closeOthers gives all offers but one back, on the device's thread.
func (b *Backend) closeOthers(found []offer, picked int) {
	b.x.do(func() error {
		for i := range found {
			if i != picked {
				found[i].close()
			}
		}
		return nil
	})
}

// offered calls list on the device's thread, and asks for our kernel for compute capability 9.0. A
// refusal leaves the device whole; our kernel does it then.
func (b *Backend) offered(c contest, kept choice, known bool) (found []offer, failed error) {
	b.x.do(func() error {
		if !known || kept.Mode != hopperMode {
			found, failed = c.list(kept, known)
		}
		return nil
	})
	if !c.alone && (!known || kept.Mode == hopperMode) {
		if o, ok := c.hopper(); ok {
			found = append(found, o)
		}
	}
	return found, failed
}

// withoutKept is for a kept choice that cannot be had: it failed, and may work again. Outside a run
// our own kernel computes the shape as long as the process lasts. A run would round otherwise from
// here on, so it ends, to be resumed.
func (b *Backend) withoutKept(shape string, failed error) {
	if b.book.run != "" {
		b.x.stick(fmt.Errorf("%s: what %s keeps for it cannot be had: %w: try again when the cause is "+
			"gone, or remove the file to choose afresh, which may change last digits", shape, b.book.run,
			failed))
	}
}

// compete times the offers and our own kernel and returns the choice and its place, −1 for ours.
func (b *Backend) compete(c contest, found []offer) (choice, int) {
	if len(found) == 0 {
		return none(), -1
	}
	most := 0
	for _, o := range found {
		most = max(most, o.workspace)
	}
	room := b.workspace(most)
	var work []*driver.Batch
	for _, o := range found {
		work = append(work, b.encoded(func() { o.run(room) }))
	}
	if !c.alone {
		work = append(work, b.encoded(c.own))
	}
	micros := b.timeEach(work)
	picked := fastest(micros)
	best := none()
	if picked >= 0 && picked < len(found) {
		best = found[picked].choice
	}
	if micros != nil && picked >= 0 {
		best.Micros = micros[picked]
	}
	if picked == len(found) {
		picked = -1
	}
	return best, picked
}
