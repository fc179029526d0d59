package onnx

import (
	"math"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// deformConv is a two-dimensional convolution whose taps are moved by operand 2, offsets
// [N G·KH·KW·2 OH OW] in pixels (y, x), and weighted by operand 4, [N G·KH·KW OH OW], if it is
// there. Taps between pixels are interpolated linearly; outside the image is 0. The derivative with
// respect to an offset is that of the interpolation, one-sided where a tap meets a pixel.
//
// Every tap is moved for itself and joined by a 1×1 convolution.
func deformConv(c *call) []*Value {
	x, w := c.arg(0), c.float(1)
	if len(x.shape) != 4 || w.Rank() != 4 {
		c.refuse("", "a deformable convolution of %v", x.shape)
	}
	win := c.window(x.shape[2:], w.Shape()[2:])
	out, g := c.extents(win, x.shape[2:]), c.attrInt("offset_group", 1)
	taps := win.kernel[0] * win.kernel[1]
	offs := c.float(2)
	want := tensor.Shape{x.shape[0], g * taps * 2, out[0], out[1]}
	if g < 1 || x.shape[1]%g != 0 || !offs.Shape().Equal(want) {
		c.fail("offsets %v do not fit: expected %v", offs.Shape(), want)
	}
	offs = autodiff.Reshape(offs, want[0], g, taps, 2, out[0]*out[1])
	one := window{[]int{1, 1}, []int{1, 1}, []int{1, 1}, []int{0, 0}, []int{0, 0}, false}
	var sum *autodiff.Value
	for t := range taps {
		v := c.movedTap(x, offs, win, out, t, g)
		if c.has(4) {
			m := autodiff.Reshape(c.float(4), want[0], g, taps, out[0]*out[1])
			m = autodiff.Reshape(autodiff.SliceAxis(m, 2, t, t+1), want[0], g, 1, out[0]*out[1])
			v = autodiff.Mul(v, m)
		}
		img := toLast(autodiff.Reshape(v, x.shape[0], x.shape[1], out[0], out[1]))
		kh, kw := t/win.kernel[1], t%win.kernel[1]
		kernel := toLast(autodiff.SliceAxis(autodiff.SliceAxis(w, 2, kh, kh+1), 3, kw, kw+1))
		y := autodiff.Conv2D(img, kernel, one.conv2D(c.attrInt("group", 1)))
		if sum != nil {
			y = autodiff.Add(sum, y)
		}
		sum = y
	}
	if c.has(3) {
		sum = autodiff.Add(sum, c.float(3))
	}
	return c.out(toFirst(sum))
}

// movedTap reads x where tap t of each output pixel was moved to: [N G C/G OH·OW].
func (c *call) movedTap(x *Value, offs *autodiff.Value, win window, out []int, t,
	g int) *autodiff.Value {
	n, ch, size := x.shape[0], x.shape[1], out[0]*out[1]
	var floor [2][]float64 // of the position, [N G size]
	var frac [2]*autodiff.Value
	tap := [2]int{t / win.kernel[1], t % win.kernel[1]}
	for a := range 2 {
		o := autodiff.SliceAxis(autodiff.SliceAxis(offs, 2, t, t+1), 3, a, a+1)
		o = autodiff.Reshape(o, n, g, 1, size)
		base := make([]float64, size)
		for i := range base {
			k := [2]int{i / out[1], i % out[1]}[a]
			base[i] = float64(k*win.stride[a] - win.before[a] + tap[a]*win.dil[a])
		}
		p := autodiff.Add(o, c.constant(o.DType(), base, 1, 1, 1, size))
		floor[a] = p.Tensor().Floats()
		for i, v := range floor[a] {
			floor[a][i] = math.Floor(v)
		}
		frac[a] = autodiff.Sub(p, c.constant(o.DType(), floor[a], n, g, 1, size))
	}
	var sum *autodiff.Value
	for corner := range 4 {
		idx := make([]int, 0, n*ch*size)
		for b := range n {
			for k := range ch {
				row := (b*g + k/(ch/g)) * size
				for i := range size {
					idx = append(idx, c.pixel(x.shape, b, k, floor[0][row+i]+float64(corner/2),
						floor[1][row+i]+float64(corner%2)))
				}
			}
		}
		v := c.take(x, idx, tensor.Shape{n, g, ch / g, size}, 0)
		weight := autodiff.Mul(share(frac[0], corner/2), share(frac[1], corner%2))
		y := autodiff.Mul(c.upload(v), weight)
		if sum != nil {
			y = autodiff.Add(sum, y)
		}
		sum = y
	}
	return sum
}

// share is the weight of the lower (0) or upper (1) of two pixels at a fraction between them.
func share(frac *autodiff.Value, upper int) *autodiff.Value {
	if upper == 1 {
		return frac
	}
	return autodiff.Affine(frac, -1, 1)
}

// pixel returns the flat position of a pixel, or outside.
func (c *call) pixel(x tensor.Shape, n, ch int, row, col float64) int {
	if !(row >= 0 && row < float64(x[2]) && col >= 0 && col < float64(x[3])) {
		return outside
	}
	return ((n*x[1]+ch)*x[2]+int(row))*x[3] + int(col)
}
