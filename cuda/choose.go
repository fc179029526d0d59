package cuda

import "afterimage/cuda/driver"

// A choice names one of cuDNN's offers for a convolution. The heuristics answer alike for one card
// and one version of the library, so that another process finds the same plan in the same place;
// the engine's number shows whether it did.
type choice struct {
	Mode   int64   `json:"mode"`                   // of the heuristics
	Place  int     `json:"place"`                  // in their answer
	Engine int64   `json:"engine"`                 // the library's number for what stood there
	Micros float64 `json:"microseconds,omitempty"` // of one run, if offers were timed
}

// none is the choice of a convolution that our own kernel computes, since no offer serves.
func none() choice { return choice{Mode: -1} }

// offers is how many plans of one convolution are timed.
const offers = 5

// faster is how much less time an offer must take than one before it in the heuristics' order to
// be preferred: differences below it are noise.
const faster = 0.97

// choose returns the plan of a convolution, nil if our own kernel computes it. A choice that the
// run or the cache keeps is taken again. Otherwise the first offers of the heuristics that add in a
// fixed order are timed on the call's own operands, whose result the chosen one then overwrites,
// and the fastest is kept. While a step is recorded nothing can be timed: the heuristics' first
// offer serves, and is not kept.
func (b *Backend) choose(s convSpec, operands []uint64) *convPlan {
	kept, known := b.dnn.book.get(s)
	if known && kept.Mode == none().Mode {
		return nil
	}
	limit := offers
	if known || b.graph != nil {
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
		b.dnn.book.forget(s)
		return b.choose(s, operands)
	}
	if len(found) > 1 {
		b.timeOffers(found, operands)
	}
	best, picked := none(), -1
	for i, p := range found {
		if p.choice.Micros == refused {
			continue
		}
		if picked < 0 || p.choice.Micros < faster*best.Micros {
			best, picked = p.choice, i
		}
	}
	if b.graph == nil && !known && b.x.err() == nil {
		if err := b.dnn.book.put(s, best); err != nil {
			b.x.stick(err)
		}
	}
	var plan *convPlan
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
	for _, mode := range []int64{heurModeA, heurModeFallback} {
		if known && mode != kept.Mode || len(found) > 0 {
			continue
		}
		for place := 0; place < mostConfigs && len(found) < limit; place++ {
			if known && place != kept.Place {
				continue
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
	g := &describing{ctx: b.ctx}
	defer g.close()
	configs := g.configs(g.convolution(b.dnn.handle, s), mode)
	if place >= len(configs) {
		return nil, false
	}
	engine, number := g.engine(configs[place])
	if !g.serves(engine, s, b.mode) {
		return nil, true
	}
	if p = g.plan(b.dnn.handle, configs[place]); p != nil {
		p.behind, g.made = g.made, nil
		p.choice = choice{Mode: mode, Place: place, Engine: number}
	}
	return p, true
}

// timeOffers writes into each plan's choice how long one run takes: the least of several, after one
// that is not counted.
func (b *Backend) timeOffers(found []*convPlan, operands []uint64) {
	most := 0
	for _, p := range found {
		most = max(most, p.workspace)
	}
	room := b.workspace(most)
	err := b.x.do(func() error {
		begin, err := b.ctx.NewEvent(true)
		if err != nil {
			return err
		}
		defer b.ctx.DestroyEvent(begin)
		end, err := b.ctx.NewEvent(true)
		if err != nil {
			return err
		}
		defer b.ctx.DestroyEvent(end)
		for _, p := range found {
			p.choice.Micros, err = b.timeOffer(p, room, operands, begin, end)
			if err != nil && !transient(err) {
				return err
			}
			if err != nil {
				p.choice.Micros = refused
			}
		}
		return nil
	})
	if err != nil { // no events, or the device has failed: the heuristics' order stands
		for _, p := range found {
			p.choice.Micros = 0
		}
	}
}

// refused is the time of a plan that the library would not run.
const refused = -1

// timeOffer returns the microseconds of one run of a plan.
func (b *Backend) timeOffer(
	p *convPlan, room uint64, operands []uint64, begin, end uint64,
) (float64, error) {
	const runs = 4
	best := 0.0
	for i := range runs {
		var c driver.Batch
		c.Record(begin)
		c.DNN(b.dnn.handle, p.plan, room, []int64{idX, idW, idY}, operands)
		c.Record(end)
		if _, err := b.ctx.Run(b.x.stream, &c); err != nil {
			return 0, err
		}
		if err := b.ctx.SyncEvent(end); err != nil {
			return 0, err
		}
		ms, err := b.ctx.Elapsed(begin, end)
		if err != nil {
			return 0, err
		}
		if i == 1 || i > 1 && ms*1e3 < best {
			best = ms * 1e3
		}
	}
	return best, nil
}
