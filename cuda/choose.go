package cuda

import (
	"time"

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

// none is the choice of a convolution that our own kernel computes.
func none() choice { return choice{Mode: -1} }

// own reports whether our own kernel computes the shape: it was faster if Micros says how fast,
// else no offer served.
func (c choice) own() bool { return c.Mode == none().Mode }

// listingTime is how long plans of one convolution are built before those that are there must do:
// cuDNN compiles some of them while they are built, which takes seconds.
const listingTime = time.Second

// A race is the work of one convolution by each way of computing it.
type race struct {
	plan func(p *convPlan, room uint64) // appends a plan's commands
	own  func()                         // appends those of our kernel
}

// choose returns the plan of a convolution, nil if our own kernel computes it. A choice that the
// run or the cache keeps is taken again. Otherwise the first offers of the heuristics that add in a
// fixed order, and our own kernel, are timed on the call's own operands, whose result the chosen
// one then overwrites, and the fastest is kept. While work is recorded no plan can be made, since
// the library may load code or allocate for it, which ends a recording: that is a fault of the
// work, which must have run call by call before.
func (b *Backend) choose(s convSpec, r race) *convPlan {
	if b.graph != nil {
		b.graph.fail("a convolution of a new shape")
		return nil
	}
	kept, known := b.dnn.book.get(s.String())
	if known && kept.own() {
		return nil
	}
	limit := offers
	if known {
		limit = 1
	}
	var found []*convPlan
	b.x.do(func() error { // a refusal leaves the device whole; our kernel does it then
		found = b.listOffers(s, kept, known, limit)
		return nil
	})
	if b.x.err() != nil {
		return nil // and nothing is to be kept of it
	}
	if known && len(found) == 0 { // the library answers otherwise than it did
		b.dnn.book.forget(s.String())
		return b.choose(s, r)
	}
	best, picked := kept, 0
	if !known {
		best, picked = b.fastestOf(found, r)
		if b.x.err() == nil {
			if err := b.dnn.book.put(s.String(), best); err != nil {
				b.x.stick(err)
			}
		}
	}
	return b.keepOne(found, picked)
}

// fastestOf times the offers and our own kernel and returns the choice and its place, −1 for our own.
func (b *Backend) fastestOf(found []*convPlan, r race) (choice, int) {
	if len(found) == 0 {
		return none(), -1
	}
	most := 0
	for _, p := range found {
		most = max(most, p.workspace)
	}
	room := b.workspace(most)
	var work []*driver.Batch
	for _, p := range found {
		work = append(work, b.encoded(func() { r.plan(p, room) }))
	}
	if !b.dnn.alone {
		work = append(work, b.encoded(r.own))
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

// keepOne gives all plans back but the one at a place, which it returns; nil if that is −1.
func (b *Backend) keepOne(found []*convPlan, picked int) (plan *convPlan) {
	b.x.do(func() error {
		for i, p := range found {
			if i == picked {
				plan = p
			} else {
				p.close(b.ctx)
			}
		}
		return nil
	})
	return plan
}

// listOffers describes the convolution and builds up to limit plans that serve, in the heuristics'
// order; with known, the one that kept names alone.
func (b *Backend) listOffers(s convSpec, kept choice, known bool, limit int) (found []*convPlan) {
	begin := time.Now()
	for _, mode := range []int64{heurModeA, heurModeFallback} {
		if known && mode != kept.Mode || len(found) > 0 {
			continue
		}
		for place := 0; place < mostConfigs && len(found) < limit; place++ {
			if known && place != kept.Place {
				continue
			}
			if len(found) > 0 && time.Since(begin) > listingTime {
				break
			}
			p, more := b.offer(s, mode, place)
			if !more {
				break
			}
			if p != nil && known && p.choice.Engine != kept.Engine {
				p.close(b.ctx)
				p = nil
			}
			if p != nil {
				found = append(found, p)
			}
		}
	}
	return found
}

// offer builds the plan at one place of the heuristics' answer, with descriptors of its own; nil if
// it does not serve. more reports whether the answer reaches that far.
func (b *Backend) offer(s convSpec, mode int64, place int) (p *convPlan, more bool) {
	g := &describing{ctx: b.ctx, on: b.dnn.on}
	defer g.close()
	configs := g.configs(g.convolution(s), mode)
	if place >= len(configs) {
		return nil, false
	}
	engine, number := g.engine(configs[place])
	if !g.serves(engine, s, b.mode) {
		return nil, true
	}
	if p = g.plan(configs[place]); p != nil {
		p.behind, g.made = g.made, nil
		p.choice = choice{Mode: mode, Place: place, Engine: number}
	}
	return p, true
}
