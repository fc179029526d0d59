package onnx

import (
	"math"
	"slices"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// maxPool and averagePool work on [N C …] with any number of spatial axes.
func maxPool(c *call) []*Value {
	x := c.arg(0)
	c.needsImage(x)
	win := c.window(x.shape[2:], c.attrInts("kernel_shape"))
	if !x.elem.IsFloat() {
		return c.maxPoolInts(x, win)
	}
	if p, ok := win.pool2D(false); ok && len(c.node.out) == 1 {
		return c.out(toFirst(autodiff.MaxPool(toLast(c.upload(x)), p)))
	}
	y := []*Value{c.taps(x, win, math.Inf(-1), autodiff.Maximum)}
	if len(c.node.out) > 1 {
		_, indices := c.maxPositions(x.Array(), win)
		y = append(y, Host(indices))
	}
	return y
}

func (c *call) maxPoolInts(x *Value, win window) []*Value {
	from, indices := c.maxPositions(x.Array(), win)
	return []*Value{c.take(x, from, indices.Shape, x.elem.lowest()), Host(indices)}
}

func (c *call) needsImage(x *Value) {
	if len(x.shape) < 3 {
		c.fail("expected [N C …], got %v", x.shape)
	}
}

func maxPoolNHWC(c *call) []*Value {
	x := c.arg(0)
	win := c.window(x.shape[1:3], c.attrInts("kernel_shape"))
	if !x.elem.IsFloat() {
		y := c.maxPoolInts(c.permute(x, toNCHW()...), win)[0]
		return []*Value{c.permute(y, toNHWC()...)}
	}
	if p, ok := win.pool2D(false); ok {
		return c.out(autodiff.MaxPool(c.upload(x), p))
	}
	first := like(x, toFirst(c.upload(x)))
	return c.out(toLast(c.taps(first, win, math.Inf(-1), autodiff.Maximum).dev))
}

func averagePool(c *call) []*Value {
	x := c.arg(0)
	c.needsImage(x)
	win := c.window(x.shape[2:], c.attrInts("kernel_shape"))
	if p, ok := win.pool2D(c.attrInt("count_include_pad", 0) == 1); ok {
		return c.out(toFirst(autodiff.AvgPool(toLast(c.upload(x)), p)))
	}
	return []*Value{c.averageTaps(x, win)}
}

func averagePoolNHWC(c *call) []*Value {
	x := c.arg(0)
	win := c.window(x.shape[1:3], c.attrInts("kernel_shape"))
	if p, ok := win.pool2D(c.attrInt("count_include_pad", 0) == 1); ok {
		return c.out(autodiff.AvgPool(c.upload(x), p))
	}
	first := like(x, toFirst(c.upload(x)))
	return c.out(toLast(c.averageTaps(first, win).dev))
}

// pool2D returns the attributes of this engine's pooling; ok is false where it has no kernel:
// dilation, padding as wide as the window, and other than two spatial axes.
func (w window) pool2D(countPad bool) (p tensor.PoolParams, ok bool) {
	if len(w.kernel) != 2 || slices.Max(w.dil) > 1 {
		return p, false
	}
	for i, k := range w.kernel {
		if max(w.before[i], w.after[i]) >= k || min(w.before[i], w.after[i]) < 0 {
			return p, false
		}
	}
	return tensor.PoolParams{KH: w.kernel[0], KW: w.kernel[1],
		StrideH: w.stride[0], StrideW: w.stride[1], PadTop: w.before[0], PadLeft: w.before[1],
		PadBottom: w.after[0], PadRight: w.after[1], CeilMode: w.ceil, CountPad: countPad}, true
}

// taps pools one position of the window at a time: every tap is a strided slice of the padded
// image, and fold joins them.
func (c *call) taps(x *Value, win window, fill float64,
	fold func(x, y *autodiff.Value) *autodiff.Value) *Value {
	x = like(x, c.upload(x))
	out := c.pooled(x.shape, win)[2:]
	var acc *autodiff.Value
	walk(win.kernel, func(tap []int) {
		v := x
		for i, t := range tap {
			idx := c.positions(out[i])
			for k := range idx {
				idx[k] = k*win.stride[i] + t*win.dil[i] - win.before[i]
				if idx[k] < 0 || idx[k] >= x.shape[2+i] {
					idx[k] = outside
				}
			}
			v = c.takeAxis(v, 2+i, idx, fill)
		}
		if acc == nil {
			acc = v.dev
		} else {
			acc = fold(acc, v.dev)
		}
	})
	return like(x, acc)
}

// mostTaps bounds the positions of a window that are pooled one by one: 256×256, above what images
// of networks have.
const mostTaps = 1 << 16

// pooled returns the shape that pooling one position at a time makes of x [N C …].
func (c *call) pooled(x tensor.Shape, win window) tensor.Shape {
	if n, ok := tensor.Shape(win.kernel).CheckedSize(); !ok || n > mostTaps {
		c.refuse("", "a window of %v positions is too large", win.kernel)
	}
	shape := slices.Concat(x[:2], tensor.Shape(c.extents(win, x[2:])))
	c.fits(shape...)
	return shape
}

// averageTaps divides the sum over the taps by the number of positions inside the image, or with
// count_include_pad inside the padded image.
func (c *call) averageTaps(x *Value, win window) *Value {
	sum := c.taps(x, win, 0, autodiff.Add) // which refuses windows and results that are too large
	out := tensor.Shape(c.extents(win, x.shape[2:]))
	pad := c.attrInt("count_include_pad", 0) == 1
	counts := make([][]float64, len(out))
	for i := range out {
		lo, hi := 0, x.shape[2+i]
		if pad {
			lo, hi = -win.before[i], hi+win.after[i]
		}
		counts[i] = make([]float64, out[i])
		for k := range counts[i] {
			for t := range win.kernel[i] {
				if at := k*win.stride[i] + t*win.dil[i] - win.before[i]; at >= lo && at < hi {
					counts[i][k]++
				}
			}
		}
	}
	var inv []float64
	walk(out, func(at []int) {
		n := 1.0
		for i, k := range at {
			n *= counts[i][k]
		}
		inv = append(inv, 1/n)
	})
	return like(x, autodiff.Mul(sum.dev, c.constant(sum.dev.DType(), inv, out...)))
}

// maxPositions returns where the maxima of the windows are, from as flat positions in x and indices
// as the operator's second result has them: with storage_order 1 it counts the last two axes column
// by column. The first maximum and the first NaN win; a window wholly in padding is outside.
func (c *call) maxPositions(x *Array, win window) (from []int, indices *Array) {
	spatial := x.Shape[2:]
	indices = newArray(Int64, c.pooled(x.Shape, win)...)
	stride := spatial.Strides()
	order := slices.Clone(stride)
	if r := len(spatial); c.attrInt("storage_order", 0) == 1 && r >= 2 {
		order[r-2], order[r-1] = 1, spatial[r-2]
	}
	walk(indices.Shape, func(at []int) {
		base := (at[0]*x.Shape[1] + at[1]) * spatial.Size()
		best, counted, value := outside, outside, 0.0
		walk(win.kernel, func(tap []int) {
			flat, other := base, base
			for i, t := range tap {
				p := at[2+i]*win.stride[i] + t*win.dil[i] - win.before[i]
				if p < 0 || p >= spatial[i] {
					return
				}
				flat, other = flat+p*stride[i], other+p*order[i]
			}
			if v := x.at(flat); best == outside || v > value || v != v && value == value {
				best, counted, value = flat, other, v
			}
		})
		indices.I[len(from)] = int64(counted)
		from = append(from, best)
	})
	return from, indices
}

// lpPool is the p-norm of each window, padding counting as 0. The derivative of a root at 0 is
// infinite, as everywhere.
func lpPool(c *call) []*Value {
	x, p := c.arg(0), c.attrFloatOrInt("p", 2)
	c.needsImage(x)
	win := c.window(x.shape[2:], c.attrInts("kernel_shape"))
	sum := c.taps(like(x, powers(c.upload(x), p)), win, 0, autodiff.Add)
	return c.out(autodiff.Pow(sum.dev, 1/p))
}

func globalLpPool(c *call) []*Value {
	x, p := c.float(0), c.attrFloatOrInt("p", 2)
	if x.Rank() < 3 {
		c.fail("expected [N C …], got %v", x.Shape())
	}
	return c.out(autodiff.Pow(autodiff.SumKeep(powers(x, p), from(2, x.Rank())...), 1/p))
}

// powers computes |x|ᵖ.
func powers(x *autodiff.Value, p float64) *autodiff.Value {
	if p == 2 {
		return autodiff.Square(x)
	}
	return autodiff.Pow(autodiff.Abs(x), p)
}

// globalPool reduces all spatial axes to 1.
func globalPool(reduce func(x *autodiff.Value, axes ...int) *autodiff.Value) opFunc {
	return func(c *call) []*Value {
		x := c.float(0)
		if x.Rank() < 3 {
			c.fail("expected [N C …], got %v", x.Shape())
		}
		return c.out(reduce(x, from(2, x.Rank())...))
	}
}

// globalAveragePoolNHWC averages the pixels of [N H W C] into [N 1 1 C].
func globalAveragePoolNHWC(c *call) []*Value {
	return c.out(autodiff.MeanKeep(c.float(0), 1, 2))
}
