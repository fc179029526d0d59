//go:build !linux

package arena

// leastRegion is what the first region takes. Each further one doubles what there is, so that a
// network of any size comes to a few regions, whose seams are few.
const leastRegion = 4 << 20

// system returns a region of at least size bytes, where there are total bytes already.
func system(size, total, _ int) *region {
	return &region{mem: aligned(max(size, total, leastRegion))}
}

// unmap leaves the region to the collector.
func (r *region) unmap() { r.mem = nil }

// watch has nothing to do: the collector takes what nobody refers to.
func (r *region) watch() {}

// dry and shut cannot give up parts of the Go heap.
func (r *region) dry([]byte) bool  { return false }
func (r *region) shut(*Block) bool { return false }
func (r *region) open(*Block)      {}
