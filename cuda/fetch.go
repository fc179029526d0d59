package cuda

import (
	"errors"
	"fmt"
	"sync"

	"afterimage/cuda/driver"
	"afterimage/tensor"
)

// Batches of a loader come over the bus on a stream of their own, beside the step before, into
// device memory of their own. The step that they are for copies them from there, on its own stream,
// to where it always reads them: at the speed of the card's memory, some fifty times that of the
// bus. Two events keep the streams apart:
//
//	copies:  wait(used)  host → slot  record(ready)
//	work:    step i−1 …  wait(ready)  slot → tensor  record(used)  step i …
//
// A copy from the host is never part of a recording; one may begin while the other thread records.

// staged is pinned memory in somebody else's hands.
type staged struct {
	b           *Backend
	mem         driver.Pinned
	slot        uint64 // as much device memory, 0 if there was none left: Send copies from the host
	ready, used uint64 // events

	mu      sync.Mutex // taken after the backend's
	started bool       // the slot holds, or is getting, what the memory holds
	closed  bool
}

var _ tensor.Stager = (*Backend)(nil)

// Stage returns pinned memory for a loader to fill, which saves the copy that Upload makes, and
// reserves as much memory of the device, so that its bytes can be fetched beside other work.
func (b *Backend) Stage(bytes int) (tensor.Staged, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.x.err(); err != nil {
		return nil, fmt.Errorf("%s: Stage: %w", b.name, err)
	}
	mem, err := b.ctx.HostAlloc(max(bytes, 1))
	if err != nil {
		return nil, fmt.Errorf("%s: Stage: %w", b.name, err)
	}
	mem.Size = bytes
	s := &staged{b: b, mem: mem}
	if bytes > 0 {
		s.reserve()
	}
	b.lent[s] = true
	return s, nil
}

// reserve makes what fetching beside other work takes; without all of it there is no slot.
func (s *staged) reserve() {
	b := s.b
	var err error
	if b.copies == 0 {
		if b.copies, err = b.ctx.NewStream(); err != nil {
			return
		}
	}
	if s.ready, err = b.ctx.NewEvent(false); err != nil {
		return
	}
	if s.used, err = b.ctx.NewEvent(false); err != nil {
		return
	}
	s.slot = b.mem.reserve(s.mem.Size)
}

// Bytes returns the memory.
func (s *staged) Bytes() []byte { return s.mem.Bytes() }

// Start begins to fetch the memory into the slot. It leaves the backend's lock and its thread
// alone, which the work that it runs beside may hold; that the backend was closed shows in the
// executor's error.
//
// What orders it after the copy out of the slot is the contract: the memory is filled again only
// when something after its Send has been read back. The wait for the event adds nothing to that, as
// the event knows nothing of a Send whose batch has not been executed yet. If the same bytes are
// begun once more it mostly keeps the device from reading the slot while it writes the same there.
func (s *staged) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slot == 0 || s.closed || s.b.x.err() != nil {
		return
	}
	var c driver.Batch
	c.Wait(s.used)
	c.CopyIn(s.slot, s.mem.Address, s.mem.Size)
	c.Record(s.ready)
	if _, err := s.b.ctx.Run(s.b.copies, &c); err != nil {
		s.b.x.stick(err)
		return
	}
	s.started = true
}

// Send queues the copy into a buffer of that size.
func (s *staged) Send(dst tensor.Buffer) {
	b := s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.graph != nil {
		b.graph.fail("Send")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	to := dst.(*buffer).address
	if !s.started {
		b.command("")
		b.batch.CopyIn(to, s.mem.Address, s.mem.Size)
		return
	}
	b.command("")
	b.batch.Wait(s.ready)
	b.command("")
	b.batch.Copy(to, s.slot, s.mem.Size)
	b.command("")
	b.batch.Record(s.used)
	s.started = false
}

// Close waits for the device and gives the memory back.
func (s *staged) Close() error {
	b := s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.closed {
		return nil
	}
	return errors.Join(b.settle(), s.giveBack())
}

// giveBack gives the memory, the slot and the events back.
func (s *staged) giveBack() (err error) {
	b := s.b
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	delete(b.lent, s)
	if b.copies != 0 {
		err = b.ctx.SyncStream(b.copies)
	}
	if s.slot != 0 {
		b.mem.unreserve(s.slot, s.mem.Size)
	}
	for _, e := range []uint64{s.ready, s.used} {
		if e != 0 {
			err = errors.Join(err, b.ctx.DestroyEvent(e))
		}
	}
	return errors.Join(err, b.ctx.HostFree(s.mem))
}
