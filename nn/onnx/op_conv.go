package onnx

import (
	"math"
	"slices"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// A window holds the attributes that convolution and pooling share, an entry for each spatial axis.
type window struct {
	kernel, stride, dil, before, after []int
	ceil                               bool
}

// window reads the attributes for an image of the given spatial extents and a kernel.
func (c *call) window(image, kernel []int) window {
	r := len(image)
	list := func(name string, def int) []int {
		v := c.near(name)
		if len(v) == 0 {
			return slices.Repeat([]int{def}, r)
		}
		if len(v) != r {
			c.fail("%s %v does not fit %d spatial axes", name, v, r)
		}
		return v
	}
	w := window{kernel: kernel, stride: list("strides", 1), dil: list("dilations", 1),
		before: make([]int, r), after: make([]int, r), ceil: c.attrInt("ceil_mode", 0) == 1}
	if len(kernel) != r || min(slices.Min(kernel), slices.Min(w.stride), slices.Min(w.dil)) < 1 ||
		slices.Max(kernel) > math.MaxInt32 {
		c.fail("kernel %v, strides %v and dilations %v do not fit %d spatial axes", kernel,
			w.stride, w.dil, r)
	}
	switch mode := c.attrString("auto_pad", "NOTSET"); mode {
	case "NOTSET", "":
		if p := c.near("pads"); len(p) == 2*r {
			w.before, w.after = p[:r], p[r:]
		} else if len(p) > 0 {
			c.fail("pads %v do not fit %d spatial axes", p, r)
		}
	case "SAME_UPPER", "SAME_LOWER":
		for i, n := range image {
			// Where the stride exceeds the kernel, nothing is padded and the windows start at pixel 0:
			// so does TensorFlow, whose padding this is, and ONNX speaks of padding only. A negative
			// total drops pixels in ONNX Runtime's SAME_LOWER convolution, not in its pooling, and in
			// ONNX's reference evaluator the other way round, too.
			out := (n + w.stride[i] - 1) / w.stride[i]
			total := max((out-1)*w.stride[i]+w.span(i)-n, 0)
			w.before[i], w.after[i] = total/2, total-total/2
			if mode == "SAME_LOWER" {
				w.before[i], w.after[i] = w.after[i], w.before[i]
			}
		}
		w.ceil = false // the padding makes the extents whole
	case "VALID":
	default:
		c.fail("auto_pad %q is not known", mode)
	}
	return w
}

// near returns a list of integers whose sums and products with the extents of what is in memory fit
// an int, and fails where one is larger.
func (c *call) near(name string) []int {
	v := c.attrInts(name)
	if slices.ContainsFunc(v, func(n int) bool { return n > math.MaxInt32 || n < -math.MaxInt32 }) {
		c.fail("%s %v is out of range", name, v)
	}
	return v
}

// span returns how far the kernel reaches along axis i.
func (w window) span(i int) int { return w.dil[i]*(w.kernel[i]-1) + 1 }

// extents returns the extents of what w makes of an image. With ceil_mode the last window may hang
// over, also where it is the only one, if it starts in the image or in the padding before it. An
// image that no window fits is refused: no axis vanishes unsaid.
func (c *call) extents(w window, image []int) []int {
	out := make([]int, len(image))
	for i, n := range image {
		room := n + w.before[i] + w.after[i] - w.span(i)
		if w.ceil {
			room += w.stride[i] - 1
		}
		if room >= 0 {
			out[i] = room/w.stride[i] + 1
			if w.ceil && (out[i]-1)*w.stride[i] >= n+w.before[i] {
				out[i]--
			}
		}
		if out[i] < 1 {
			c.fail("a window over %d positions does not fit spatial axis %d, %d positions padded by "+
				"%d and %d", w.span(i), i, n, w.before[i], w.after[i])
		}
	}
	return out
}

// tail returns w without its first axis.
func (w window) tail() window {
	return window{w.kernel[1:], w.stride[1:], w.dil[1:], w.before[1:], w.after[1:], w.ceil}
}

// conv2D returns the attributes of a two-dimensional convolution.
func (w window) conv2D(groups int) tensor.ConvParams {
	return tensor.ConvParams{StrideH: w.stride[0], StrideW: w.stride[1], PadTop: w.before[0],
		PadLeft: w.before[1], PadBottom: w.after[0], PadRight: w.after[1],
		DilH: w.dil[0], DilW: w.dil[1], Groups: groups}
}

// toLast moves axis 1, the channels, to the end; toFirst moves the last axis to place 1.
func toLast(x *autodiff.Value) *autodiff.Value {
	perm := append([]int{0}, append(from(2, x.Rank()), 1)...)
	return autodiff.Permute(x, perm...)
}

func toFirst(x *autodiff.Value) *autodiff.Value {
	r := x.Rank()
	perm := append([]int{0, r - 1}, from(1, r-1)...)
	return autodiff.Permute(x, perm...)
}

// asImage inserts axes of extent 1 before the spatial axes of a channels-last tensor until there
// are two.
func asImage(x *autodiff.Value) *autodiff.Value {
	s := x.Shape()
	if len(s) >= 4 {
		return x
	}
	return autodiff.Reshape(x, slices.Concat(s[:1], slices.Repeat([]int{1}, 4-len(s)), s[1:])...)
}

// planar returns w for two spatial axes.
func (w window) planar() window {
	if len(w.kernel) == 1 {
		one := func(v []int, x int) []int { return []int{x, v[0]} }
		return window{one(w.kernel, 1), one(w.stride, 1), one(w.dil, 1), one(w.before, 0),
			one(w.after, 0), w.ceil}
	}
	return w
}

// conv is Conv on [N C …] with one to three spatial axes.
func conv(c *call) []*Value {
	x, w := c.float(0), c.float(1)
	if x.Rank() != w.Rank() || x.Rank() < 3 || x.Rank() > 5 {
		c.refuse("", "a convolution of %v with %v", x.Shape(), w.Shape())
	}
	y := c.convLast(toLast(x), toLast(w))
	return c.out(toFirst(y))
}

// convNHWC is Conv on [N H W C] with a kernel [O KH KW C/groups], and what fuse has put behind it.
func convNHWC(c *call) []*Value {
	x, w := c.float(0), c.float(1)
	if x.Rank() != 4 || w.Rank() != 4 {
		c.fail("expected images and kernels of four axes, got %v and %v", x.Shape(), w.Shape())
	}
	image := x.Shape()
	p := c.params
	if p == nil {
		own := c.window(image[1:3], w.Shape()[1:3]).conv2D(c.attrInt("group", 1))
		p = &own
	}
	oh, ow := p.Out(image[1], image[2], w.Dim(1), w.Dim(2))
	return c.out(c.convolved(x, w, tensor.Shape{image[0], oh, ow, w.Dim(0)}, *p))
}

// prepare reads the attributes of a convolution with a constant kernel once, if no padding depends
// on the image.
func (n *node) prepare(kernel tensor.Shape) {
	if mode := n.attrString("auto_pad", "NOTSET"); len(kernel) != 4 || mode == "SAME_UPPER" ||
		mode == "SAME_LOWER" {
		return
	}
	catch(func() { // what is wrong is found, and named, when the node runs
		p := (&call{node: n}).window(kernel[1:3], kernel[1:3]).conv2D(n.attrInt("group", 1))
		n.params = &p
	})
}

// convLast convolves with channels last and adds operand 2, the bias.
func (c *call) convLast(x, w *autodiff.Value) *autodiff.Value {
	r := x.Rank()
	win := c.window(x.Shape()[1:r-1], w.Shape()[1:r-1])
	groups := c.attrInt("group", 1)
	var y *autodiff.Value
	if r == 5 {
		y = c.conv3D(x, w, win, groups)
	} else {
		y = autodiff.Conv2D(asImage(x), asImage(w), win.planar().conv2D(groups))
		if r == 3 {
			y = autodiff.Reshape(y, y.Dim(0), y.Dim(2), y.Dim(3))
		}
	}
	return c.addBias(y)
}

// addBias adds operand 2, if it is there, along the last axis.
func (c *call) addBias(y *autodiff.Value) *autodiff.Value {
	if !c.has(2) {
		return y
	}
	z := autodiff.Add(y, c.float(2))
	y.Done()
	return z
}

// conv3D sums two-dimensional convolutions over the planes of the kernel: x [N D H W C],
// w [O KD KH KW C/groups].
func (c *call) conv3D(x, w *autodiff.Value, win window, groups int) *autodiff.Value {
	depth := c.extents(win, x.Shape()[1:4])[0]
	v := like(c.arg(0), x)
	var sum *autodiff.Value
	for k := range win.kernel[0] {
		idx := c.positions(depth)
		for i := range idx {
			idx[i] = i*win.stride[0] + k*win.dil[0] - win.before[0]
			if idx[i] < 0 || idx[i] >= x.Dim(1) {
				idx[i] = outside
			}
		}
		planes := c.takeAxis(v, 1, idx, 0).dev
		s := planes.Shape()
		planes = autodiff.Reshape(planes, s[0]*s[1], s[2], s[3], s[4])
		y := autodiff.Conv2D(planes, plane(w, k), win.tail().conv2D(groups))
		if sum != nil {
			y = autodiff.Add(sum, y)
		}
		sum = y
	}
	s := sum.Shape()
	return autodiff.Reshape(sum, x.Dim(0), depth, s[1], s[2], s[3])
}

// plane returns w[:, k] of a kernel [O KD KH KW C].
func plane(w *autodiff.Value, k int) *autodiff.Value {
	s := w.Shape()
	return autodiff.Reshape(autodiff.SliceAxis(w, 1, k, k+1), s[0], s[2], s[3], s[4])
}

// convTranspose is ConvTranspose on [N C …] with one to three spatial axes; the kernel is
// [C O/groups …].
func convTranspose(c *call) []*Value {
	x, w := c.float(0), c.float(1)
	if x.Rank() != w.Rank() || x.Rank() < 3 || x.Rank() > 5 {
		c.refuse("", "a transposed convolution of %v with %v", x.Shape(), w.Shape())
	}
	return c.out(toFirst(c.convTransposeLast(toLast(x), toLast(w))))
}

func convTransposeNHWC(c *call) []*Value {
	return c.out(c.convTransposeLast(c.float(0), c.float(1)))
}

func (c *call) convTransposeLast(x, w *autodiff.Value) *autodiff.Value {
	r := x.Rank()
	image, groups := x.Shape()[1:r-1], c.attrInt("group", 1)
	win, out := c.transposedWindow(image, w.Shape()[1:r-1])
	var y *autodiff.Value
	if r == 5 {
		y = c.convTranspose3D(x, w, win, out, groups)
	} else {
		p := win.planar()
		shape := out
		if r == 3 {
			shape = []int{1, out[0]}
		}
		y = c.convTranspose2D(asImage(x), asImage(w), p, shape, groups)
		if r == 3 {
			y = autodiff.Reshape(y, y.Dim(0), y.Dim(2), y.Dim(3))
		}
	}
	return c.addBias(y)
}

// transposedWindow returns the attributes and the output extents, which are asked for or follow
// from the padding. A negative padding adds zeros.
func (c *call) transposedWindow(image, kernel []int) (window, []int) {
	r := len(image)
	mode := c.attrString("auto_pad", "NOTSET")
	asked := c.near("output_shape")
	if len(asked) > r {
		asked = asked[len(asked)-r:] // old exporters put N and C in front
	}
	extra := c.near("output_padding")
	if len(extra) == 0 {
		extra = make([]int, r)
	}
	plain := *c
	if mode == "SAME_UPPER" || mode == "SAME_LOWER" {
		n := *c.node
		n.attrs = map[string]attrProto{}
		for k, a := range c.attrs {
			if k != "auto_pad" && k != "pads" {
				n.attrs[k] = a
			}
		}
		plain.node = &n
	}
	win := plain.window(image, kernel)
	if len(extra) != r || len(asked) != 0 && len(asked) != r {
		c.fail("output_padding %v or output_shape %v do not fit %d spatial axes", extra, asked, r)
	}
	out := make([]int, r)
	for i, n := range image {
		full := win.stride[i]*(n-1) + extra[i] + win.span(i)
		switch {
		case len(asked) > 0:
			out[i] = asked[i]
		case mode == "SAME_UPPER" || mode == "SAME_LOWER":
			out[i] = n * win.stride[i]
		default:
			out[i] = full - win.before[i] - win.after[i]
			continue
		}
		total := full - out[i]
		win.before[i], win.after[i] = total-total/2, total/2
		if mode == "SAME_UPPER" {
			win.before[i], win.after[i] = total/2, total-total/2
		}
		if total < 0 { // more than the kernel reaches: zeros behind
			win.before[i], win.after[i] = 0, total
		}
	}
	if slices.Min(out) < 1 {
		c.fail("pads %v, %v and output_shape %v do not fit an image of %v: nothing is left, %v",
			win.before, win.after, asked, image, out)
	}
	return win, out
}

// convTranspose2D is the adjoint of the convolution with the same attributes: x [N H W C],
// w [C KH KW O/groups].
func (c *call) convTranspose2D(x, w *autodiff.Value, win window, out []int,
	groups int) *autodiff.Value {
	p := win.conv2D(groups)
	if min(p.PadTop, p.PadLeft, p.PadBottom, p.PadRight) >= 0 && min(out[0], out[1]) > 0 {
		oh, ow := p.Out(out[0], out[1], win.kernel[0], win.kernel[1])
		if oh == x.Dim(1) && ow == x.Dim(2) {
			return autodiff.Conv2DInputGrad(x, w, out[0], out[1], p)
		}
	}
	full := [2]int{}
	for i := range 2 {
		full[i] = win.stride[i]*(x.Dim(1+i)-1) + win.span(i)
	}
	p.PadTop, p.PadLeft, p.PadBottom, p.PadRight = 0, 0, 0, 0
	y := like(c.arg(0), autodiff.Conv2DInputGrad(x, w, full[0], full[1], p))
	for i := range 2 {
		y = c.crop(y, 1+i, win.before[i], out[i])
	}
	return y.dev
}

// crop takes size positions from start on along an axis; what lies outside is 0.
func (c *call) crop(v *Value, axis, start, size int) *Value {
	idx := c.positions(max(size, 0))
	for i := range idx {
		if idx[i] = start + i; idx[i] < 0 || idx[i] >= v.shape[axis] {
			idx[i] = outside
		}
	}
	return c.takeAxis(v, axis, idx, 0)
}

// convTranspose3D adds, for each plane of the kernel, the transposed convolution of every plane of
// x at the place it belongs to: x [N D H W C], w [C KD KH KW O/groups].
func (c *call) convTranspose3D(x, w *autodiff.Value, win window, out []int,
	groups int) *autodiff.Value {
	s := x.Shape()
	flat := autodiff.Reshape(x, s[0]*s[1], s[2], s[3], s[4])
	var sum *autodiff.Value
	for k := range win.kernel[0] {
		y := c.convTranspose2D(flat, plane(w, k), win.tail(), out[1:], groups)
		v := like(c.arg(0), autodiff.Reshape(y, s[0], s[1], y.Dim(1), y.Dim(2), y.Dim(3)))
		idx := c.positions(out[0])
		for i := range idx {
			idx[i] = outside
		}
		for i := range s[1] {
			if at := i*win.stride[0] + k*win.dil[0] - win.before[0]; at >= 0 && at < out[0] {
				idx[at] = i
			}
		}
		y = c.takeAxis(v, 1, idx, 0).dev
		if sum != nil {
			y = autodiff.Add(sum, y)
		}
		sum = y
	}
	return sum
}
