package ref

import "afterimage/tensor"

// broadcastStrides returns the element strides with which a tensor of shape s walks over the
// shape out that it is broadcast to: aligned at the last axis, 0 where s does not vary.
func broadcastStrides(s, out tensor.Shape) []int {
	st := make([]int, len(out))
	off := len(out) - len(s)
	for i, v := range s.Strides() {
		if s[i] != 1 {
			st[off+i] = v
		}
	}
	return st
}

// eachRow walks over shape in row-major order, a row of the last axis at a time. It calls
// f(n, a, b, da, db): a row of n elements begins at offsets a and b and steps by da and db.
// The offsets of the walk's origin are a0 and b0.
func eachRow(shape tensor.Shape, a0, b0 int, sa, sb []int, f func(n, a, b, da, db int)) {
	if shape.Size() == 0 {
		return
	}
	last := len(shape) - 1
	if last < 0 {
		f(1, a0, b0, 0, 0)
		return
	}
	idx := make([]int, last)
	for a, b := a0, b0; ; {
		f(shape[last], a, b, sa[last], sb[last])
		k := last - 1
		for ; k >= 0; k-- { // an odometer over the outer axes
			idx[k]++
			a, b = a+sa[k], b+sb[k]
			if idx[k] < shape[k] {
				break
			}
			a, b = a-shape[k]*sa[k], b-shape[k]*sb[k]
			idx[k] = 0
		}
		if k < 0 {
			return
		}
	}
}

// Permute computes dst = x with its axes reordered: dst axis i is x axis perm[i]. Any dtype.
func (b *Backend) Permute(dst, x *tensor.Tensor, perm []int) {
	xs := x.Shape().Strides()
	st := make([]int, len(perm))
	for i, p := range perm {
		st[i] = xs[p]
	}
	moveStrided(dst, x, dst.Shape(), 0, 0, dst.Shape().Strides(), st)
}

// CopyRegion copies the box r from x into dst; elements of dst outside the box stay. Any dtype.
func (b *Backend) CopyRegion(dst, x *tensor.Tensor, r tensor.Region) {
	dst0, x0 := 0, 0
	ds, xs := dst.Shape().Strides(), x.Shape().Strides()
	for i := range r.Size {
		dst0 += r.DstStart[i] * ds[i]
		x0 += r.SrcStart[i] * xs[i]
		ds[i] *= r.DstStep[i]
		xs[i] *= r.SrcStep[i]
	}
	moveStrided(dst, x, tensor.Shape(r.Size), dst0, x0, ds, xs)
}

// CopyView copies elements from the places of a view to those of another; see tensor.Viewer. Any
// dtype.
func (b *Backend) CopyView(dst, src tensor.View) {
	moveStrided(dst.T, src.T, src.Shape, dst.Offset, src.Offset, dst.Strides, src.Strides)
}

func moveStrided(dst, x *tensor.Tensor, shape tensor.Shape, d0, x0 int, ds, xs []int) {
	switch dst.DType().Size() {
	case 1:
		moveLoop(words[uint8](dst), words[uint8](x), shape, d0, x0, ds, xs)
	case 2:
		moveLoop(words[uint16](dst), words[uint16](x), shape, d0, x0, ds, xs)
	case 4:
		moveLoop(words[uint32](dst), words[uint32](x), shape, d0, x0, ds, xs)
	case 8:
		moveLoop(words[uint64](dst), words[uint64](x), shape, d0, x0, ds, xs)
	default:
		panic(badDType("Copy", dst, x))
	}
}

func moveLoop[T any](dst, x []T, shape tensor.Shape, d0, x0 int, ds, xs []int) {
	eachRow(shape, d0, x0, ds, xs, func(n, d, s, dd, dx int) {
		for range n {
			dst[d] = x[s]
			d, s = d+dd, s+dx
		}
	})
}
