package cuda

import (
	"encoding/binary"
	"math"

	"afterimage/cuda/driver"
	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// Our own kernels for compute capability 9.0 (kernels/WGMMA.md) were written without such a card.
// So they are left out unless Options.Hopper asks for them, and then one may compete for a shape
// only when it has made, on this card, from operands drawn for that, the result of the kernel that
// every card runs.

// hopperMode stands for such a kernel in a choice, in place of a mode of the heuristics.
const hopperMode = -2

// hopperLeast is the least number of rows and columns for which the kernel competes: of a tile of
// 128×128 a smaller result leaves more than three quarters unused.
const hopperLeast = 64

// hopperBound is how much an element may differ from the other kernel's, as a part of the root of
// the mean square: the two add up the same exact products, rounded to 24 bits, in other orders. A
// wrong element is off by about 1.
const hopperBound = 1e-3

// A product in work: what computes result from two operands of the same types and shapes.
type ownWork struct {
	result, left, right kernels.Array
	run                 func(e *kernels.Encoder, result, left, right kernels.Array)
}

// onHopper encodes the work with Hopper's instructions.
func (w ownWork) onHopper(e *kernels.Encoder) {
	e.Hopper = true
	defer func() { e.Hopper = false }()
	w.run(e, w.result, w.left, w.right)
}

// plain encodes the work with the kernel for every card.
func (w ownWork) plain(e *kernels.Encoder) { w.run(e, w.result, w.left, w.right) }

// hopperOffer returns the work of m rows and n columns on Hopper's instructions as an offer, if it
// is asked for, the card has them, the kernel fits, and its result is right.
func (b *Backend) hopperOffer(w ownWork, m, n int) (offer, bool) {
	c := b.ctx.API().Found(driver.NVRTC)
	if !b.hopper || b.mods.arch != "sm_90a" || c.Err != nil || w.left.DType != tensor.BF16 ||
		min(m, n) < hopperLeast || !b.hopperAgrees(w) {
		return offer{}, false
	}
	return offer{choice{Mode: hopperMode}, 0, func(uint64) { w.onHopper(&b.enc) }, func() {}}, true
}

// hopperAgrees computes the work on drawn operands by both kernels and compares. What it lacks
// memory for does not agree.
func (b *Backend) hopperAgrees(w ownWork) bool {
	var worst, sum kernels.Array
	if tensor.Try(func() { worst, sum = b.compareHopper(w) }) != nil || b.x.err() != nil {
		return false
	}
	number := func(a kernels.Array) float64 {
		raw := make([]byte, 4)
		if b.download(raw, a.Ptr) != nil {
			return math.NaN()
		}
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	}
	d, square := number(worst), number(sum)
	agrees := d <= hopperBound*math.Sqrt(square/float64(w.result.Shape.Size()))
	if b.x.err() == nil {
		b.compared[agrees]++
	}
	return agrees
}

// compareHopper encodes both kernels, and returns where the greatest difference and the sum of the
// squares of the plain kernel's result will lie.
func (b *Backend) compareHopper(w ownWork) (worst, sum kernels.Array) {
	e := &b.enc
	like := func(t kernels.Array, dt tensor.DType, shape ...int) kernels.Array {
		n := tensor.Shape(shape).Size()
		return kernels.Array{Ptr: e.Scratch(max(n, 1) * dt.Size()), DType: dt, Shape: shape}
	}
	zero := like(w.left, tensor.I32, 1)
	e.Fill(zero, 0)
	drawn := w
	drawn.left, drawn.right = like(w.left, w.left.DType, w.left.Shape...),
		like(w.right, w.right.DType, w.right.Shape...)
	drawn.result = like(w.result, w.result.DType, w.result.Shape...)
	for i, t := range []kernels.Array{drawn.left, drawn.right} {
		e.Random(tensor.Normal, tensor.NewKey(uint64(i), "cuda: hopper"), t, zero)
	}
	drawn.plain(e)
	n := w.result.Shape.Size()
	flat := drawn.result
	flat.Shape = tensor.Shape{n}
	worst, sum = like(flat, tensor.F32, 1), like(flat, tensor.F32, 1)
	e.SquaredNorm(sum, []kernels.Array{flat})
	other := drawn
	other.result = like(w.result, w.result.DType, w.result.Shape...)
	other.onHopper(e)
	off := other.result
	off.Shape = flat.Shape
	e.Binary(tensor.Sub, off, off, flat)
	e.Unary(tensor.Abs, tensor.Attr{}, off, off)
	e.Reduce(tensor.MaxOf, worst, off, []int{0})
	return worst, sum
}

// HopperKernels returns for how many shapes our own kernels for compute capability 9.0 made the
// result of the kernel that every card runs, and for how many they did not, on this card and since
// the backend was opened; where they did not they are not used. chosen is for how many shapes they
// were the fastest.
func (b *Backend) HopperKernels() (right, wrong, chosen int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dnn != nil {
		for _, p := range b.dnn.plans {
			if p != nil && p.choice.Mode == hopperMode {
				chosen++
			}
		}
	}
	if b.lt != nil {
		for _, p := range b.lt.plans {
			if p != nil && p.choice.Mode == hopperMode {
				chosen++
			}
		}
	}
	return b.compared[true], b.compared[false], chosen
}
