package cuda

import "afterimage/cuda/driver"

// offers is how many of a library's answers for one shape are timed.
const offers = 5

// faster is how much less time an answer must take than one before it to be preferred: differences
// below it are noise.
const faster = 0.97

// refused is the time of work that the library would not do.
const refused = -1

// encoded returns the commands that f appends, which are few, without handing them over. f may
// panic, when there is no scratch memory for it.
func (b *Backend) encoded(f func()) *driver.Batch {
	mine, others := &batch{}, b.batch
	defer func() { b.batch = others }()
	b.batch = mine
	f()
	return &mine.Batch
}

// timeEach returns the microseconds that one run of each list of commands takes, by the device's
// own clock: the least of several, after one that is not counted; refused where a library refuses.
// nil: nothing could be timed, or the device has failed.
func (b *Backend) timeEach(work []*driver.Batch) (micros []float64) {
	b.flush()
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
		for _, w := range work {
			t, err := b.timeOne(w, begin, end)
			if err != nil && !transient(err) {
				return err
			}
			if err != nil {
				t = refused
			}
			micros = append(micros, t)
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return micros
}

// timeOne times one list of commands. It runs on the device's thread.
func (b *Backend) timeOne(w *driver.Batch, begin, end uint64) (float64, error) {
	const runs = 4
	var before, after driver.Batch
	before.Record(begin)
	after.Record(end)
	best := 0.0
	for i := range runs {
		for _, c := range []*driver.Batch{&before, w, &after} {
			if _, err := b.ctx.Run(b.x.stream, c); err != nil {
				return 0, err
			}
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

// fastest returns the place of the answer to take: the first one unless a later one is clearly
// faster. −1: all were refused. Without times it is the first.
func fastest(micros []float64) int {
	if micros == nil {
		return 0
	}
	picked := -1
	for i, t := range micros {
		if t != refused && (picked < 0 || t < faster*micros[picked]) {
			picked = i
		}
	}
	return picked
}
