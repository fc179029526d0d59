package onnx

import (
	"math"
	"slices"

	"afterimage/autodiff"
)

// A resampling is how Resize treats one axis.
type resampling struct {
	in, out    int
	scale      float64
	start, end float64 // region of interest, in fractions of the axis
}

// resize is Resize and Upsample: each axis is resampled by itself, a nearest neighbour by picking,
// linear and cubic interpolation as a product with a matrix of weights.
func resize(c *call) []*Value {
	x := c.arg(0)
	axes, plan := c.resizePlan(x)
	y := x
	inside := make([][]bool, len(axes))
	for i, axis := range axes {
		p := plan[i]
		if p.out > maxHost {
			c.refuse("", "an axis of %d positions is too large", p.out)
		}
		coords := make([]float64, p.out)
		inside[i] = make([]bool, p.out)
		for k := range coords {
			coords[k] = float64(c.source(p, k))
			inside[i][k] = coords[k] >= 0 && coords[k] <= float64(p.in-1)
		}
		switch {
		case p.in == p.out && p.scale == 1 && !c.crops():
		case c.attrString("mode", "nearest") == "nearest":
			y = c.takeAxis(y, axis, c.nearest(p, coords), 0)
		default:
			m := c.weights(p, coords)
			x := c.upload(y)
			w := c.constant(x.DType(), m, p.in, p.out)
			y = like(c.arg(0), c.alongLast(x, axis, func(x *autodiff.Value) *autodiff.Value {
				shape := x.Shape().Clone()
				flat := autodiff.Reshape(x, shape[:len(shape)-1].Size(), p.in)
				shape[len(shape)-1] = p.out
				return autodiff.Reshape(autodiff.MatMul(flat, w, false, false), shape...)
			}))
		}
	}
	if c.crops() {
		y = c.extrapolate(y, axes, inside)
	}
	return []*Value{y}
}

func (c *call) crops() bool {
	return c.attrString("coordinate_transformation_mode", "") == "tf_crop_and_resize"
}

// resizePlan reads scales or sizes, for the axes they belong to.
func (c *call) resizePlan(x *Value) ([]int, []resampling) {
	axes := from(0, len(x.shape))
	if c.hasAttr("axes") {
		axes = c.axes(c.attrInts("axes"), len(x.shape))
	}
	var scales []float64
	var sizes []int
	switch scaleAt := 2; {
	case c.op == "Upsample" && c.opset < 9:
		scales = c.attrs["scales"].floats
	case c.op == "Upsample" || c.opset < 11:
		scaleAt = 1
		fallthrough
	case c.has(scaleAt) && c.arg(scaleAt).shape.Size() > 0:
		scales = c.hostConst(scaleAt).floats()
	default:
		sizes = c.ints(3)
	}
	if len(scales) != len(axes) && len(sizes) != len(axes) {
		c.fail("scales %v or sizes %v do not fit the axes of %v", scales, sizes, x.shape)
	}
	plan := make([]resampling, len(axes))
	for i, a := range axes {
		plan[i] = resampling{in: x.shape[a], start: 0, end: 1}
	}
	if c.crops() {
		roi := c.hostConst(1).floats()
		if len(roi) != 2*len(axes) {
			c.fail("roi %v does not fit the axes of %v", roi, x.shape)
		}
		for i := range axes {
			plan[i].start, plan[i].end = roi[i], roi[len(axes)+i]
		}
	}
	c.resizeExtents(plan, scales, sizes)
	return axes, plan
}

// resizeExtents fills in output extents and scales.
func (c *call) resizeExtents(plan []resampling, scales []float64, sizes []int) {
	if sizes == nil {
		for i := range plan {
			p := &plan[i]
			p.scale = scales[i]
			// In 32 bits, as the scales are: 10·0.3 must not fall below 3.
			size := float32(p.in) * float32(p.end-p.start) * float32(p.scale)
			if !(p.scale > 0) || !(size >= 0 && size < math.MaxInt32) {
				c.fail("scale %g of extent %d", p.scale, p.in)
			}
			p.out = int(math.Floor(float64(size)))
		}
		return
	}
	policy := c.attrString("keep_aspect_ratio_policy", "stretch")
	common := 0.0
	for i, p := range plan {
		if s := float64(sizes[i]) / float64(p.in); i == 0 || policy == "not_larger" && s < common ||
			policy == "not_smaller" && s > common {
			common = s
		}
	}
	for i := range plan {
		p := &plan[i]
		p.out = sizes[i]
		if wanted := math.Floor(common*float64(p.in) + 0.5); policy != "stretch" {
			p.out = int(min(wanted, math.MaxInt32))
		}
		if p.out < 0 || p.in == 0 && p.out > 0 {
			c.fail("extent %d cannot become %d", p.in, p.out)
		}
		if p.scale = float64(p.out) / float64(p.in); policy != "stretch" {
			p.scale = common
		}
	}
}

// source returns the coordinate in the input that position k of the output reads. It is computed in
// 32 bits, as PyTorch and ONNX Runtime do: a scale is a float, 1/0.2 in 64 bits of it is
// 4.9999999, and a nearest neighbour rounded down would be pixel 4 instead of 5.
func (c *call) source(p resampling, k int) float32 {
	x, in, out := float32(k), float32(p.in), float32(p.out)
	scale, start, end := float32(p.scale), float32(p.start), float32(p.end)
	mode := "half_pixel"
	if c.op == "Upsample" || c.opset < 11 {
		mode = "asymmetric"
	}
	switch mode = c.attrString("coordinate_transformation_mode", mode); mode {
	case "half_pixel":
		return (x+0.5)/scale - 0.5
	case "half_pixel_symmetric":
		return float32(in/2*(1-out/float32(scale*in))) + (x+0.5)/scale - 0.5
	case "pytorch_half_pixel":
		if p.out <= 1 {
			return 0
		}
		return (x+0.5)/scale - 0.5
	case "align_corners":
		if p.out <= 1 {
			return 0
		}
		// The last pixel meets the last one, as in ONNX's text, PyTorch and ONNX Runtime. ONNX's
		// reference evaluator divides by scale·in − 1, which is less where scale·in was rounded.
		return x * (in - 1) / (out - 1)
	case "asymmetric":
		return x / scale
	case "tf_half_pixel_for_nn":
		return (x + 0.5) / scale
	case "tf_crop_and_resize":
		if p.out <= 1 {
			return 0.5 * (start + end) * (in - 1)
		}
		return float32(start*(in-1)) + float32(x*(end-start)*(in-1)/(out-1))
	default:
		c.refuse("export with half_pixel or align_corners", "coordinates by %q", mode)
	}
	return 0
}

// nearest rounds coordinates to pixels.
func (c *call) nearest(p resampling, coords []float64) []int {
	mode := "round_prefer_floor"
	if c.op == "Upsample" || c.opset < 11 {
		mode = "floor"
	}
	mode = c.attrString("nearest_mode", mode)
	idx := make([]int, len(coords))
	for i, x := range coords {
		switch mode {
		case "round_prefer_floor":
			x = math.Ceil(x - 0.5)
		case "round_prefer_ceil":
			x = math.Floor(x + 0.5)
		case "floor":
			x = math.Floor(x)
		case "ceil":
			x = math.Ceil(x)
		default:
			c.refuse("export with round_prefer_floor", "rounding by %q", mode)
		}
		idx[i] = int(min(max(x, 0), float64(p.in-1)))
	}
	return idx
}

// weights returns the matrix [in out] of interpolation weights. A pixel outside stands for the one
// at the edge or, with exclude_outside, is left out; with antialias and a scale below 1 the filter
// is stretched to the pixels that one output covers.
func (c *call) weights(p resampling, coords []float64) []float64 {
	kernel, support := triangle, 1.0
	switch mode := c.attrString("mode", "nearest"); mode {
	case "linear", "bilinear":
	case "cubic":
		a := c.attrFloat("cubic_coeff_a", -0.75)
		kernel, support = func(t float64) float64 { return keys(t, a) }, 2
	default:
		c.refuse("export with nearest, linear or cubic", "interpolation %q", mode)
	}
	squeeze, exclude := 1.0, c.attrInt("exclude_outside", 0) == 1
	if c.attrInt("antialias", 0) == 1 {
		squeeze = min(p.scale, 1)
	}
	m := newArray(Double, p.in, p.out).F
	for k, x := range coords {
		sum := 0.0
		reach := support / squeeze
		for i := int(math.Ceil(x - reach)); float64(i) <= x+reach; i++ {
			w := kernel((float64(i) - x) * squeeze)
			at := min(max(i, 0), p.in-1)
			if exclude && at != i {
				continue
			}
			m[at*p.out+k] += w
			sum += w
		}
		if exclude || squeeze < 1 {
			for i := range p.in {
				m[i*p.out+k] /= sum
			}
		}
	}
	return m
}

// triangle is the kernel of linear interpolation.
func triangle(t float64) float64 { return max(1-math.Abs(t), 0) }

// keys is the cubic convolution kernel. Source: Keys 1981, equation (4), with parameter a.
func keys(t, a float64) float64 {
	t = math.Abs(t)
	switch {
	case t <= 1:
		return ((a+2)*t-(a+3))*t*t + 1
	case t < 2:
		return ((a*t-5*a)*t+8*a)*t - 4*a
	}
	return 0
}

// extrapolate writes extrapolation_value wherever a coordinate left the input.
func (c *call) extrapolate(y *Value, axes []int, inside [][]bool) *Value {
	hit := make([]bool, 0, y.shape.Size())
	walk(y.shape, func(at []int) {
		ok := true
		for i, a := range axes {
			ok = ok && inside[i][at[a]]
		}
		hit = append(hit, ok)
	})
	if !slices.Contains(hit, false) {
		return y
	}
	v := c.upload(y)
	return like(y, c.where(hit, y.shape, v, c.scalarLike(v, c.attrFloat("extrapolation_value", 0))))
}
