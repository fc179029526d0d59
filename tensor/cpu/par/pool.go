package par

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"afterimage/tensor/cpu/arena"
)

// spinTime is how long an idle worker looks for the next region, and how long Run looks for the
// last worker of its own, before sleeping. About one small layer: long enough that a training step
// never sleeps between its kernels, short enough to give the core away when a step is over.
const spinTime = 150 * time.Microsecond

// pauses is the number of PAUSE instructions between two looks: some tens of nanoseconds.
const pauses = 4

// A Pool is a set of threads that run tiles: the goroutine that calls Run and Threads()-1 workers.
// All methods may be called from any goroutine. A Pool must not be copied.
type Pool struct {
	threads int
	mu      sync.Mutex // held while a region is open; never waited for, only tried

	// The open region. Written by Run while open is false and active is zero, so that a worker
	// which reads open == true after counting itself in active sees them complete.
	f      func(worker, i int)
	lanes  []lane // of each thread: where it looks for tiles first
	open   atomic.Bool
	active atomic.Int64 // workers that may be looking at the region

	epoch   atomic.Uint64 // counts regions; a change is what idle workers look for
	waiting atomic.Bool   // Run sleeps until active falls to zero
	done    chan struct{}
	failure atomic.Pointer[failure]

	workers []*worker
	exited  sync.WaitGroup
	closed  atomic.Bool

	arena   *arena.Arena
	scratch scratch
	memo    sync.Map
}

// A failure is the first panic of a region.
type failure struct{ value any }

// A lane is a run of tiles of the open region. Each thread begins with its own, and thereby mostly
// finds in its cache what it wrote there in the region before; a thread that is through helps the
// others.
type lane struct {
	next atomic.Int64 // next unclaimed tile
	end  int64
	_    [48]byte // a cache line for each
}

// A worker's sleep: parked is set before it blocks on wake, and whoever clears it owes a token.
type worker struct {
	id     int
	parked atomic.Bool
	wake   chan struct{}
}

// New returns a pool of the given number of threads, counting the goroutine that calls Run.
// threads <= 0 means runtime.GOMAXPROCS(0). Close releases its workers.
func New(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{threads: threads, lanes: make([]lane, threads), done: make(chan struct{}, 1),
		arena: arena.New(math.MaxInt)}
	for id := 1; id < threads; id++ {
		w := &worker{id: id, wake: make(chan struct{}, 1)}
		p.workers = append(p.workers, w)
		p.exited.Add(1)
		go p.work(w)
	}
	return p
}

// Arena returns the memory that large scratch buffers come from. It has no limit until somebody
// sets one, and scratch buffers are not refused by it.
func (p *Pool) Arena() *arena.Arena { return p.arena }

// Threads returns the number of threads that a region may use, the caller's included: the range
// of the worker index in RunWorker.
func (p *Pool) Threads() int { return p.threads }

// Close ends the workers, waits for them, and closes the arena. It must not be called during a Run.
// A Run after Close still works, on the calling goroutine alone. Closing twice is allowed.
func (p *Pool) Close() {
	if p.closed.Swap(true) {
		return
	}
	p.epoch.Add(1)
	p.wakeAll()
	p.exited.Wait()
	p.arena.Close()
}

// Run calls f(i) once for every i in [0, n), on any threads and in any order, and returns when all
// calls have returned. n <= 0 does nothing. Each thread takes tiles one by one from its own share,
// the first of them from the first, and then from the others', so unequal tiles, or a thread whose
// core is taken away, even out; a tile should take at least some microseconds.
//
// With one tile or one thread, inside another Run of the same pool, and while another goroutine's
// Run is in progress, the calls are made in order on the calling goroutine.
//
// If a call panics, the tiles not yet begun are dropped and Run panics with the same value after
// the running ones have returned.
func (p *Pool) Run(n int, f func(i int)) {
	p.RunWorker(n, func(_, i int) { f(i) })
}

// RunWorker is Run for tiles that need scratch memory of their own: worker is in [0, Threads()),
// and two calls with the same worker of the same RunWorker never overlap. A nested call numbers
// its workers independently of the outer one.
func (p *Pool) RunWorker(n int, f func(worker, i int)) {
	if n <= 1 || p.threads == 1 || p.closed.Load() || !p.mu.TryLock() {
		for i := range n {
			f(0, i)
		}
		return
	}
	defer p.mu.Unlock()
	p.f = f
	for k := range p.lanes {
		p.lanes[k].next.Store(int64(k * n / p.threads))
		p.lanes[k].end = int64((k + 1) * n / p.threads)
	}
	p.failure.Store(nil) // still set where a tile of the caller panicked too, past the Swap below
	p.open.Store(true)
	p.epoch.Add(1)
	p.wakeAll()
	p.drain()
	if e := p.failure.Swap(nil); e != nil {
		panic(e.value)
	}
}

// drain takes part in the region as worker 0 and closes it, also when a tile of its own panics.
func (p *Pool) drain() {
	defer func() {
		p.drop()
		p.open.Store(false)
		p.join()
		p.f = nil
	}()
	p.claim(0)
}

// claim runs tiles until none is left, those of the worker's own lane first.
func (p *Pool) claim(worker int) {
	f := p.f
	for k := range p.lanes {
		l := &p.lanes[(worker+k)%len(p.lanes)]
		for l.next.Load() < l.end {
			i := l.next.Add(1) - 1
			if i >= l.end {
				break
			}
			f(worker, int(i))
		}
	}
}

// drop leaves no tile to be claimed.
func (p *Pool) drop() {
	for k := range p.lanes {
		p.lanes[k].next.Store(p.lanes[k].end)
	}
}

// join waits until no worker looks at the region any more. open is false by now: a worker that
// counts itself in later will see that and leave the region's fields alone.
func (p *Pool) join() {
	if p.spin(func() bool { return p.active.Load() == 0 }) {
		return
	}
	p.waiting.Store(true)
	if p.active.Load() == 0 && p.waiting.CompareAndSwap(true, false) {
		return
	}
	<-p.done
}

// wakeAll gives a token to every sleeping worker.
func (p *Pool) wakeAll() {
	for _, w := range p.workers {
		if w.parked.Load() && w.parked.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
}

// work is a worker's life: wait for a new epoch, take part, repeat.
func (p *Pool) work(w *worker) {
	defer p.exited.Done()
	var seen uint64
	for {
		changed := func() bool { return p.epoch.Load() != seen }
		if !changed() && !p.spin(changed) {
			w.parked.Store(true)
			// Either this worker takes the flag back, having seen the new epoch itself, or
			// wakeAll took it and the token is on its way.
			if !changed() || !w.parked.CompareAndSwap(true, false) {
				<-w.wake
			}
		}
		if p.closed.Load() {
			return
		}
		seen = p.epoch.Load()
		p.help(w)
	}
}

// help takes part in the open region, if it is still open.
func (p *Pool) help(w *worker) {
	p.active.Add(1)
	normal := false
	defer func() {
		if !normal {
			p.drop()
			e := recover()
			if e == nil {
				e = "par: a tile ended its goroutine (runtime.Goexit)"
			}
			p.failure.CompareAndSwap(nil, &failure{e})
		}
		if p.active.Add(-1) == 0 && p.waiting.CompareAndSwap(true, false) {
			p.done <- struct{}{}
		}
	}()
	if p.open.Load() {
		p.claim(w.id)
	}
	normal = true
}

// spin looks at ready for spinTime and reports whether it came true. When the runtime has fewer
// processors than the pool has threads, spinning would keep the awaited work from running.
func (p *Pool) spin(ready func() bool) bool {
	if runtime.GOMAXPROCS(0) < p.threads {
		return ready()
	}
	start := time.Now()
	for {
		for range 64 {
			if ready() {
				return true
			}
			pause(pauses)
		}
		if time.Since(start) > spinTime {
			return false
		}
	}
}
