package arena

// Park gives the system the pages of a block in use back, whose content is lost, until Unpark. Its
// addresses stay the block's: slices of it stay valid, and whoever reads or writes through one in
// the meantime ends the program. It reports whether it could; a small block stays as it is, and
// where memory is the Go heap's all do. The block counts as memory in use again from Unpark on.
func (a *Arena) Park(b *Block) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b.free || b.parked || b.region == nil || !b.region.shut(b) {
		return false
	}
	b.parked = true
	a.use.InUse -= len(b.mem)
	return true
}

// Unpark makes a parked block usable again, with undefined content, whatever the limit says.
func (a *Arena) Unpark(b *Block) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !b.parked {
		return
	}
	b.region.open(b)
	b.parked = false
	a.use.InUse += len(b.mem)
	a.hold()
	a.peak()
}
