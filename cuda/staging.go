package cuda

import (
	"errors"
	"fmt"

	"afterimage/cuda/driver"
	"afterimage/tensor"
)

// Uploads go through a ring of pinned blocks. A copy into the ring returns at once; the block is
// used again when the event behind its last copy has happened.
const (
	stageBlocks = 4
	stageBytes  = 8 << 20
	stageAlign  = 256
)

// A ring is the staging memory of one direction.
type ring struct {
	blocks [stageBlocks]stage
	at     int // the block being filled
	offset int // its bytes that are taken
}

// A stage is one pinned block.
type stage struct {
	mem   driver.Pinned
	event uint64
	busy  bool // an event is recorded behind its copies
}

// open allocates a block when it is first needed.
func (s *stage) open(ctx *driver.Context) (err error) {
	if s.mem.Size > 0 {
		return nil
	}
	if s.event, err = ctx.NewEvent(false); err != nil {
		return err
	}
	s.mem, err = ctx.HostAlloc(stageBytes)
	return err
}

// place returns n ≤ stageBytes bytes of pinned memory that no queued copy uses. It may have to
// wait for the device.
func (b *Backend) place(n int) (mem []byte, address uint64, err error) {
	r := &b.ring
	n = (n + stageAlign - 1) / stageAlign * stageAlign
	if r.offset+n > stageBytes {
		s := &r.blocks[r.at]
		b.batch.Record(s.event)
		b.batch.names = append(b.batch.names, "")
		s.busy = true
		r.at, r.offset = (r.at+1)%stageBlocks, 0
	}
	s := &r.blocks[r.at]
	if err := s.open(b.ctx); err != nil {
		return nil, 0, err
	}
	if s.busy {
		b.flush()
		if err := b.x.do(func() error { return b.ctx.SyncEvent(s.event) }); err != nil {
			return nil, 0, err
		}
		s.busy = false
	}
	mem = s.mem.Bytes()[r.offset : r.offset+n]
	address = s.mem.Address + uint64(r.offset)
	r.offset += n
	return mem, address, nil
}

// closeRing gives the pinned memory back.
func (b *Backend) closeRing() {
	for i := range b.ring.blocks {
		if s := &b.ring.blocks[i]; s.mem.Size > 0 {
			b.ctx.HostFree(s.mem)
			b.ctx.DestroyEvent(s.event)
		}
	}
	if b.back.Size > 0 {
		b.ctx.HostFree(b.back)
	}
}

// staged is pinned memory in somebody else's hands.
type staged struct {
	b   *Backend
	mem driver.Pinned
}

var _ tensor.Stager = (*Backend)(nil)

// Stage returns pinned memory for a loader to fill, which saves the copy that Upload makes.
func (b *Backend) Stage(bytes int) (tensor.Staged, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	mem, err := b.ctx.HostAlloc(max(bytes, 1))
	if err != nil {
		return nil, fmt.Errorf("%s: Stage: %w", b.name, err)
	}
	mem.Size = bytes
	return &staged{b, mem}, nil
}

// Bytes returns the memory.
func (s *staged) Bytes() []byte { return s.mem.Bytes() }

// Send queues the copy into a buffer of that size.
func (s *staged) Send(dst tensor.Buffer) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.b.graph != nil {
		s.b.graph.fail("Send")
		return
	}
	s.b.command("")
	s.b.batch.CopyIn(dst.(*buffer).address, s.mem.Address, s.mem.Size)
}

// Close waits for the device and gives the memory back.
func (s *staged) Close() error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.b.closed {
		return nil
	}
	err := s.b.settle()
	return errors.Join(err, s.b.ctx.HostFree(s.mem))
}
