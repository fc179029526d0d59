package onnx

import (
	"math"
	"slices"

	"afterimage/tensor"
)

// constantOfShape fills a shape with one value.
func constantOfShape(c *call) []*Value {
	fill := newArray(Float, 1)
	if a, ok := c.attrs["value"]; ok && a.t != nil {
		v, err := a.t.array()
		if err != nil {
			panic(err)
		}
		if v.Shape.Size() != 1 {
			c.fail("value has shape %v where one element is expected", v.Shape)
		}
		fill = v
	}
	shape := tensor.Shape(c.ints(0))
	if slices.ContainsFunc(shape, func(d int) bool { return d < 0 }) {
		c.fail("%v is no shape", shape)
	}
	c.fits(shape...)
	fill.Shape = tensor.Shape{}
	return hostOut(fill.broadcast(shape))
}

// rangeOf counts from start to limit, which is not reached, by delta.
func rangeOf(c *call) []*Value {
	start, limit, delta := c.number(0), c.number(1), c.number(2)
	if delta == 0 {
		c.fail("a Range with step 0 never ends")
	}
	n := math.Max(math.Ceil((limit-start)/delta), 0)
	if !(n <= maxHost) {
		c.refuse("", "a Range of %g elements is too large", n)
	}
	out := newArray(c.arg(0).elem, int(n))
	for i := range int(n) {
		if out.F != nil {
			out.F[i] = round(out.Elem, start+float64(i)*delta)
		} else {
			out.I[i] = int64(start) + int64(i)*int64(delta)
		}
	}
	return hostOut(out)
}

// eyeLike is 1 on diagonal k and 0 elsewhere, in the shape of its operand.
func eyeLike(c *call) []*Value {
	x := c.arg(0)
	if len(x.shape) != 2 {
		c.fail("expected a matrix, got %v", x.shape)
	}
	out := newArray(Elem(c.attrInt("dtype", int(x.elem))), x.shape...)
	k := c.attrInt("k", 0)
	for i := range x.shape[0] {
		if j := i + k; j >= 0 && j < x.shape[1] {
			if out.F != nil {
				out.F[i*x.shape[1]+j] = 1
			} else {
				out.I[i*x.shape[1]+j] = 1
			}
		}
	}
	return hostOut(out)
}

// constant gives a tensor from one of its attributes.
func constant(c *call) []*Value {
	for name, a := range c.attrs {
		var out *Array
		switch name {
		case "value":
			if a.t == nil {
				continue
			}
			v, err := a.t.array()
			if err != nil {
				panic(err)
			}
			out = v
		case "value_int":
			out = &Array{Elem: Int64, Shape: tensor.Shape{}, I: []int64{a.i}}
		case "value_float":
			out = &Array{Elem: Float, Shape: tensor.Shape{}, F: []float64{a.f}}
		case "value_ints":
			out = &Array{Elem: Int64, Shape: tensor.Shape{len(a.ints)}, I: a.ints}
		case "value_floats":
			out = &Array{Elem: Float, Shape: tensor.Shape{len(a.floats)}, F: a.floats}
		default:
			continue
		}
		return hostOut(out)
	}
	c.refuse("replace it by a numeric constant", "the constant has no numeric value")
	return nil
}
