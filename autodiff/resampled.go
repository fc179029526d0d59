package autodiff

import (
	"fmt"

	"afterimage/tensor"
)

// Convolutions of twice-enlarged and of halved images
//
// A nearest-neighbour ×2 before a convolution, or a mean over 2×2 pixels behind it, makes its work
// repeat itself. The mean of neighbouring outputs reads each pixel through two neighbouring taps,
//
//	½(y[2i] + y[2i+1]) = ½ Σ_u w[u]·(x[2i−p+u] + x[2i+1−p+u]) = Σ_k v[k]·x[2i−p+k],
//	v[k] = ½(w[k] + w[k−1]),  k = 0 … K,
//
// so one filter of K+1 taps and stride 2 does both: AvgPool(Conv2D(x, w)) = Conv2D(x, v) with twice
// the stride. For K = 3 in two dimensions it multiplies 16 times a pixel of the result where
// 4·9 = 36 were, and the large tensor between never exists.
//
// The other pair is of the same kind. Pixel q of an enlarged image is pixel ⌊q/2⌋ of x, so
//
//	y[j] = Σ_u w[u]·x[⌊(j−p+u)/2⌋] = Σ_i x[i]·(w[2i+p−j] + w[2i+1+p−j]),
//
// a transposed convolution of stride 2: pixel i paints a filter of K+1 taps that begins at row
// 2i − (K−1−p), and its tap k is w[K−1−k] + w[K−k]: 2·v turned by 180°.
//
// Both filters are compositions of this package's ops, differentiable to any order: v, in both
// dimensions, is what a mean over windows of 2×2 taps, stride 1, hands back where w is its
// gradient. The results differ from those of the two steps by rounding, of fewer operations.

// PooledFilter returns v [O KH+1 KW+1 C] for a kernel w [O KH KW C]: with it, and with twice the
// strides, Conv2D computes the means over windows of 2×2 pixels, stride 2, of its results with w.
// Panics unless w has four axes.
func PooledFilter(w *Value) *Value {
	return spread("PooledFilter", w)
}

// UpsampledFilter returns the kernel [C KH+1 KW+1 O] for a kernel w [O KH KW C] with which
//
//	Conv2D(Upsample(x, 2), w, p) = Conv2DInputGrad(x, UpsampledFilter(w), OH, OW, q)
//
// where OH×OW are the extents of the left side and q is UpsampledParams(KH, KW, p). Panics unless w
// has four axes.
func UpsampledFilter(w *Value) *Value {
	return w.graph.compose(func() *Value {
		v := Scale(spread("UpsampledFilter", w), 4)
		o, kh, kw, c := v.Dim(0), v.Dim(1), v.Dim(2), v.Dim(3)
		turned := Slice(v, []int{0, kh - 1, kw - 1, 0}, []int{o, -1, -1, c}, []int{1, -1, -1, 1})
		return Permute(turned, 3, 1, 2, 0)
	})
}

// UpsampledParams returns the attributes that go with the UpsampledFilter of a kh×kw kernel. Panics
// unless strides, dilations and groups of p are 1 and its paddings smaller than the kernel.
func UpsampledParams(kh, kw int, p tensor.ConvParams) tensor.ConvParams {
	if p.StrideH != 1 || p.StrideW != 1 || p.DilH != 1 || p.DilW != 1 || p.Groups != 1 ||
		max(p.PadTop, p.PadBottom) >= kh || max(p.PadLeft, p.PadRight) >= kw {
		misuse("UpsampledParams", fmt.Sprintf("expected strides, dilations and groups of 1 and "+
			"paddings smaller than the %d×%d kernel: %+v", kh, kw, p), "")
	}
	return tensor.ConvParams{StrideH: 2, StrideW: 2, DilH: 1, DilW: 1, Groups: 1,
		PadTop: kh - 1 - p.PadTop, PadBottom: kh - 1 - p.PadBottom,
		PadLeft: kw - 1 - p.PadLeft, PadRight: kw - 1 - p.PadRight}
}

// spread returns a quarter of the sum of w shifted by 0 and by 1 along both of its spatial axes.
func spread(op string, w *Value) *Value {
	if w.Rank() != 4 {
		misuse(op, "expected a kernel OHWI, four axes", "w", w)
	}
	return AvgPoolGrad(w, w.Dim(1)+1, w.Dim(2)+1,
		tensor.PoolParams{KH: 2, KW: 2, StrideH: 1, StrideW: 1, CountPad: true})
}
