package backendtest

import (
	"fmt"

	"afterimage/tensor"
)

// zone is how many bytes are watched before and after a buffer: several of the widest vector
// stores, and a multiple of the alignment.
const zone = 512

// zonePattern repeats over guard zones. Read as F32 or F64 it is a NaN, so that a kernel which
// reads past an end and uses what it read shows too; its payload differs from any that arithmetic
// makes.
var zonePattern = [4]byte{0xA5, 0xA5, 0xFF, 0xFF}

// unwritten fills fresh buffers: NaN as a float, −1 as an I32.
const unwritten = 0xFF

// guarded wraps a backend: fresh buffers hold NaN, and buffers in host memory lie between two
// guard zones that are inspected when they are freed.
type guarded struct {
	tensor.Backend
	host   bool
	faults []string
}

func newGuarded(b tensor.Backend) *guarded {
	probe, err := b.Alloc(1)
	if err != nil {
		panic(&tensor.Error{Op: "backendtest", Reason: err.Error()})
	}
	_, host := probe.(tensor.HostBuffer)
	b.Free(probe)
	return &guarded{Backend: b, host: host}
}

// guardedBuffer is the middle of a larger host buffer.
type guardedBuffer struct {
	inner tensor.Buffer
	all   []byte
}

// Bytes returns the size without the zones.
func (m *guardedBuffer) Bytes() int { return len(m.all) - 2*zone }

// HostBytes returns the middle.
func (m *guardedBuffer) HostBytes() []byte {
	end := len(m.all) - zone
	return m.all[zone:end:end]
}

// damage returns the first byte outside the buffer that has changed, counted from its start.
func (m *guardedBuffer) damage() (at int, damaged bool) {
	for i := range zone {
		if m.all[i] != zonePattern[i%4] {
			return i - zone, true
		}
	}
	for i := range zone {
		if m.all[zone+m.Bytes()+i] != zonePattern[i%4] {
			return m.Bytes() + i, true
		}
	}
	return 0, false
}

func (g *guarded) Alloc(bytes int) (tensor.Buffer, error) {
	if !g.host {
		inner, err := g.Backend.Alloc(bytes)
		if err == nil {
			fresh := make([]byte, bytes)
			fill(fresh)
			g.Backend.Upload(inner, fresh)
		}
		return inner, err
	}
	inner, err := g.Backend.Alloc(bytes + 2*zone)
	if err != nil {
		return nil, err
	}
	m := &guardedBuffer{inner, inner.(tensor.HostBuffer).HostBytes()}
	for i := range zone {
		m.all[i], m.all[zone+bytes+i] = zonePattern[i%4], zonePattern[i%4]
	}
	fill(m.HostBytes())
	return m, nil
}

// fill writes unwritten over s, by copying ever longer parts: the suite does little else.
func fill(s []byte) {
	if len(s) == 0 {
		return
	}
	s[0] = unwritten
	for n := 1; n < len(s); n *= 2 {
		copy(s[n:], s[:n])
	}
}

func (g *guarded) Free(b tensor.Buffer) {
	m, ok := b.(*guardedBuffer)
	if !ok {
		g.Backend.Free(b)
		return
	}
	if at, damaged := m.damage(); damaged {
		g.faults = append(g.faults, fmt.Sprintf(
			"a kernel wrote outside a buffer of %d bytes, at byte %d", m.Bytes(), at))
	}
	g.Backend.Free(m.inner)
}

func (g *guarded) Upload(dst tensor.Buffer, src []byte) {
	if m, ok := dst.(*guardedBuffer); ok {
		copy(m.HostBytes(), src)
		return
	}
	g.Backend.Upload(dst, src)
}

func (g *guarded) Download(dst []byte, src tensor.Buffer) {
	if m, ok := src.(*guardedBuffer); ok {
		copy(dst, m.HostBytes())
		return
	}
	g.Backend.Download(dst, src)
}

// takeFaults returns what Free found since the last call.
func (g *guarded) takeFaults() []string {
	f := g.faults
	g.faults = nil
	return f
}
