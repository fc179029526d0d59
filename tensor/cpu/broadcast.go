package cpu

import (
	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// A repeated operand of Binary is one that broadcasting stretches: element i of dst, counted in
// row-major order, takes the one that its strides lead to, 0 along a stretched axis.
type repeated struct {
	from         []float32
	size, stride []int // of dst's axes, neighbours joined where they can be
}

// operand describes x beside dst; whole reports whether nothing is repeated.
func operand(dst, x *tensor.Tensor) (r repeated, whole bool) {
	out := dst.Shape()
	own, shape := x.Shape().Strides(), x.Shape()
	st := make([]int, len(out))
	for i, d := range shape {
		if d != 1 {
			st[len(out)-len(shape)+i] = own[i]
		}
	}
	r = repeated{from: host(x)}
	r.size, r.stride, _ = merge(out, st, st)
	return r, x.Size() == dst.Size()
}

// piece writes what elements lo, lo+1, … of dst take to to.
func (r repeated) piece(to []float32, lo int) {
	last := len(r.size) - 1
	idx := make([]int, last+1)
	from := 0
	for i, k := last, lo; i >= 0; i-- {
		idx[i] = k % r.size[i]
		k /= r.size[i]
		from += idx[i] * r.stride[i]
	}
	for {
		n := min(r.size[last]-idx[last], len(to))
		if r.stride[last] == 0 {
			vec.Fill(to[:n], r.from[from])
		} else {
			copy(to[:n], r.from[from:])
		}
		if to = to[n:]; len(to) == 0 {
			return
		}
		from -= idx[last] * r.stride[last]
		idx[last] = 0
		for i := last - 1; ; i-- {
			if idx[i]++; idx[i] < r.size[i] {
				from += r.stride[i]
				break
			}
			from -= (r.size[i] - 1) * r.stride[i]
			idx[i] = 0
		}
	}
}

// broadcastPiece is how many numbers of a repeated operand are laid out at a time: two operands and
// their result stay in the first-level cache.
const broadcastPiece = 2 << 10

// broadcast computes dst = f(x, y) for any operands that stretch to dst, to the bits of operands
// laid out in full: each tile lays its own pieces out.
func (b *Backend) broadcast(f func(dst, x, y []float32), dst, x, y *tensor.Tensor) {
	d := host(dst)
	xs, wholeX := operand(dst, x)
	ys, wholeY := operand(dst, y)
	b.split(len(d), chunk, func(lo, hi int) {
		scratch := b.pool.Borrow(2 * broadcastPiece)
		lay := func(r repeated, whole bool, to []float32, lo, hi int) []float32 {
			if whole {
				return r.from[lo:hi]
			}
			r.piece(to[:hi-lo], lo)
			return to[:hi-lo]
		}
		for ; lo < hi; lo += broadcastPiece {
			end := min(lo+broadcastPiece, hi)
			f(d[lo:end], lay(xs, wholeX, scratch[:broadcastPiece], lo, end),
				lay(ys, wholeY, scratch[broadcastPiece:], lo, end))
		}
		b.pool.Return(scratch)
	})
}
