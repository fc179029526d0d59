package cuda

import "afterimage/cuda/driver"

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
