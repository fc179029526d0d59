package onnx

import (
	"math"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// hostLimit is the size up to which floating-point constants keep a copy on the host, where
// arithmetic among them happens: shape computations such as the scales of a Resize.
const hostLimit = 1024

// A unaryOp is an elementwise function of one operand. dev is its differentiable form; without it
// the function is evaluated on the host, which is right for constants and, if flat is set, for
// functions whose derivative is zero wherever it exists.
type unaryOp struct {
	dev  func(c *call, x *autodiff.Value) *autodiff.Value
	f    func(float64) float64
	i    func(int64) int64
	flat bool
}

func (o unaryOp) run(c *call) []*Value {
	v := c.arg(0)
	if v.elem.IsFloat() && o.dev != nil && (v.host == nil || o.f == nil) {
		return c.out(o.dev(c, c.upload(v)))
	}
	if v.needsGrad() && !o.flat {
		c.refuse("replace the operator, or attack the part of the network behind it",
			"%s has no derivative here, and its operand depends on the input", c.op)
	}
	a := v.Array()
	out := newArray(a.Elem, a.Shape...)
	switch {
	case a.F != nil && o.f != nil:
		for i, x := range a.F {
			out.F[i] = round(a.Elem, o.f(x))
		}
	case a.F == nil && o.i != nil:
		for i, x := range a.I {
			out.I[i] = a.Elem.wrap(o.i(x))
		}
	default:
		c.refuse("cast the operand to float", "%s is not defined here for %v", c.op, a.Elem)
	}
	return hostOut(out)
}

// round gives v the precision of its type, ties to even; integers pass.
func round(e Elem, v float64) float64 {
	switch e {
	case Float:
		return float64(float32(v))
	case BFloat16:
		return roundBits(v, 8, -126, math.MaxFloat32)
	case Float16:
		return roundBits(v, 11, -14, 65504)
	}
	return v
}

// roundBits rounds to so many significant bits, fewer below the exponent of the smallest normal
// number; what rounds beyond the largest number is infinite.
func roundBits(v float64, bits, smallest int, largest float64) float64 {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return v
	}
	_, exp := math.Frexp(v) // v = m·2^exp with ½ ≤ |m| < 1
	unit := max(exp-1, smallest) - (bits - 1)
	v = math.Ldexp(math.RoundToEven(math.Ldexp(v, -unit)), unit)
	if math.Abs(v) > largest {
		return math.Inf(int(math.Copysign(1, v)))
	}
	return v
}

// A binaryOp is an elementwise function of two operands, broadcast by NumPy's rule.
type binaryOp struct {
	dev func(c *call, x, y *autodiff.Value) *autodiff.Value
	f   func(x, y float64) float64
	i   func(x, y int64) int64
}

// apply computes the function on the device if an operand is there, else on the host.
func (o binaryOp) apply(c *call, x, y *Value) *Value {
	if x.elem != y.elem {
		c.fail("operands have types %v and %v", x.elem, y.elem)
	}
	if x.elem.IsFloat() && o.dev != nil && (x.host == nil || y.host == nil || o.f == nil) {
		return like(x, o.dev(c, c.upload(x), c.upload(y)))
	}
	if x.needsGrad() || y.needsGrad() {
		c.refuse("replace the operator", "%s has no derivative here, and an operand depends on "+
			"the input", c.op)
	}
	a, b := c.pair(x.Array(), y.Array())
	out := newArray(x.elem, a.Shape...)
	switch {
	case out.F != nil && o.f != nil:
		for i := range out.F {
			out.F[i] = round(x.elem, o.f(a.F[i], b.F[i]))
		}
	case out.F == nil && o.i != nil:
		for i := range out.I {
			out.I[i] = x.elem.wrap(o.i(a.I[i], b.I[i]))
		}
	default:
		c.refuse("cast the operands", "%s is not defined here for %v", c.op, x.elem)
	}
	return Host(out)
}

func (o binaryOp) run(c *call) []*Value {
	x, y := c.arg(0), c.legacyBroadcast(c.arg(0), c.arg(1))
	return []*Value{o.apply(c, x, y)}
}

// fold applies the function to all operands from left to right.
func (o binaryOp) fold(c *call) *Value {
	acc := c.arg(0)
	for i := 1; i < len(c.args); i++ {
		acc = o.apply(c, acc, c.arg(i))
	}
	return acc
}

// legacyBroadcast applies the attributes broadcast and axis, with which operators before opset 7
// aligned their second operand.
func (c *call) legacyBroadcast(x, y *Value) *Value {
	if c.opset >= 7 || c.attrInt("broadcast", 0) == 0 || !c.hasAttr("axis") {
		return y
	}
	at := c.axis(c.attrInt("axis", 0), len(x.shape))
	shape := y.shape.Clone()
	for len(shape)+at < len(x.shape) {
		shape = append(shape, 1)
	}
	return c.reshape(y, shape...)
}

// pair broadcasts two host arrays to one shape.
func (c *call) pair(a, b *Array) (*Array, *Array) {
	shape, ok := tensor.Broadcast(a.Shape, b.Shape)
	if !ok {
		c.fail("shapes %v and %v do not broadcast", a.Shape, b.Shape)
	}
	return a.broadcast(shape), b.broadcast(shape)
}

// A compareOp compares two operands into a Bool array. Its derivative is zero wherever it exists.
type compareOp struct {
	f func(x, y float64) bool
	i func(x, y int64) bool
}

func (o compareOp) run(c *call) []*Value {
	x, y := c.arg(0), c.legacyBroadcast(c.arg(0), c.arg(1))
	if x.elem != y.elem {
		c.fail("operands have types %v and %v", x.elem, y.elem)
	}
	a, b := c.pair(x.Array(), y.Array())
	out := newArray(Bool, a.Shape...)
	for i := range out.I {
		var r bool
		if a.F != nil {
			if o.f == nil {
				c.fail("expected booleans, got %v", a.Elem)
			}
			r = o.f(a.F[i], b.F[i])
		} else {
			r = o.i(a.I[i], b.I[i])
		}
		out.I[i] = btoi(r)
	}
	return hostOut(out)
}

// comparisons lists the operators with a boolean result.
func comparisons() map[string]compareOp {
	return map[string]compareOp{
		"Equal": {func(x, y float64) bool { return x == y },
			func(x, y int64) bool { return x == y }},
		"Greater": {func(x, y float64) bool { return x > y },
			func(x, y int64) bool { return x > y }},
		"Less": {func(x, y float64) bool { return x < y }, func(x, y int64) bool { return x < y }},
		"GreaterOrEqual": {func(x, y float64) bool { return x >= y },
			func(x, y int64) bool { return x >= y }},
		"LessOrEqual": {func(x, y float64) bool { return x <= y },
			func(x, y int64) bool { return x <= y }},
		"And": {nil, func(x, y int64) bool { return x != 0 && y != 0 }},
		"Or":  {nil, func(x, y int64) bool { return x != 0 || y != 0 }},
		"Xor": {nil, func(x, y int64) bool { return (x != 0) != (y != 0) }},
	}
}

// binaries lists the arithmetic operators of two operands.
func binaries() map[string]binaryOp {
	lift := func(f func(x, y *autodiff.Value) *autodiff.Value) func(*call, *autodiff.Value,
		*autodiff.Value) *autodiff.Value {
		return func(_ *call, x, y *autodiff.Value) *autodiff.Value { return f(x, y) }
	}
	return map[string]binaryOp{
		"Add": {lift(autodiff.Add), func(x, y float64) float64 { return x + y },
			func(x, y int64) int64 { return x + y }},
		"Sub": {lift(autodiff.Sub), func(x, y float64) float64 { return x - y },
			func(x, y int64) int64 { return x - y }},
		"Mul": {lift(autodiff.Mul), func(x, y float64) float64 { return x * y },
			func(x, y int64) int64 { return x * y }},
		"Div": {lift(autodiff.Div), func(x, y float64) float64 { return x / y }, divide},
		"Max": {lift(autodiff.Maximum), math.Max, func(x, y int64) int64 { return max(x, y) }},
		"Min": {lift(autodiff.Minimum), math.Min, func(x, y int64) int64 { return min(x, y) }},
	}
}

// divide truncates toward zero, as ONNX does.
func divide(x, y int64) int64 {
	if y == 0 {
		panic(bad("an integer is divided by zero"))
	}
	return x / y
}

// modulo follows Python's sign rule (that of the divisor), or with fmod C's.
func modulo(c *call) []*Value {
	cLike := c.attrInt("fmod", 0) == 1
	o := binaryOp{
		f: func(x, y float64) float64 {
			r := math.Mod(x, y)
			if !cLike && r != 0 && (r < 0) != (y < 0) {
				r += y
			}
			return r
		},
		i: func(x, y int64) int64 {
			if y == 0 {
				panic(bad("an integer is divided by zero"))
			}
			r := x % y
			if !cLike && r != 0 && (r < 0) != (y < 0) {
				r += y
			}
			return r
		}}
	return o.run(c)
}
