package cuda

import (
	"time"

	"afterimage/cuda/driver"
)

// listingTime is how long plans of one convolution are built before those that are there must do:
// cuDNN compiles some of them while they are built, which takes seconds.
const listingTime = time.Second

// listPlans describes the convolution and builds the first plans that serve, in the heuristics'
// order; with known, the one that kept names alone. failed is the last error for which there is one
// less, other than that the library does not offer it.
func (b *Backend) listPlans(s convSpec, kept choice, known bool) (found []*convPlan, failed error) {
	limit, begin := offers, time.Now()
	if known {
		limit = 1
	}
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
			p, more, err := b.planAt(s, mode, place)
			if err != nil && !driver.NotOffered(err) {
				failed = err
			}
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
	return found, failed
}

// planAt builds the plan at one place of the heuristics' answer, with descriptors of its own; nil
// if it does not serve. more reports whether the answer reaches that far, err what the library
// would not do.
func (b *Backend) planAt(s convSpec, mode int64, place int) (p *convPlan, more bool, err error) {
	g := &describing{ctx: b.ctx, on: b.dnn.on}
	defer g.close()
	configs := g.configs(g.convolution(s), mode)
	if place >= len(configs) {
		return nil, false, g.err
	}
	engine, number := g.engine(configs[place])
	if !g.serves(engine, s, b.mode) {
		return nil, true, g.err
	}
	if p = g.plan(configs[place]); p != nil {
		p.behind, g.made = g.made, nil
		p.choice = choice{Mode: mode, Place: place, Engine: number}
	}
	return p, true, g.err
}
