package onnx

import (
	"math"

	"afterimage/autodiff"
)

// unaries lists the elementwise operators of one operand without attributes.
func unaries() map[string]unaryOp {
	lift := func(f func(x *autodiff.Value) *autodiff.Value) func(*call,
		*autodiff.Value) *autodiff.Value {
		return func(_ *call, x *autodiff.Value) *autodiff.Value { return f(x) }
	}
	sign := func(x float64) float64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return 0
	}
	return map[string]unaryOp{
		"Abs": {dev: lift(autodiff.Abs), f: math.Abs, i: func(x int64) int64 { return max(x, -x) }},
		"Neg": {dev: lift(autodiff.Neg), f: func(x float64) float64 { return -x },
			i: func(x int64) int64 { return -x }},
		"Sign": {dev: lift(autodiff.Sign), f: sign, flat: true,
			i: func(x int64) int64 { return int64(sign(float64(x))) }},
		"Exp":        {dev: lift(autodiff.Exp), f: math.Exp},
		"Log":        {dev: lift(autodiff.Log), f: math.Log},
		"Sqrt":       {dev: lift(autodiff.Sqrt), f: math.Sqrt},
		"Reciprocal": {dev: lift(autodiff.Recip), f: func(x float64) float64 { return 1 / x }},
		"Erf":        {dev: lift(autodiff.Erf), f: math.Erf},
		"Tanh":       {dev: lift(autodiff.Tanh), f: math.Tanh},
		"Sigmoid":    {dev: lift(autodiff.Sigmoid)},
		"Softplus":   {dev: lift(autodiff.Softplus)},
		"Relu":       {dev: lift(autodiff.ReLU), i: func(x int64) int64 { return max(x, 0) }},
		"Softsign":   {dev: lift(softsign)},
		"Mish":       {dev: lift(mish)},
		"HardSwish":  {dev: lift(autodiff.HardSwish)},
		"Floor":      {f: math.Floor, flat: true},
		"Ceil":       {f: math.Ceil, flat: true},
		"Round":      {f: math.RoundToEven, flat: true},
		"Sin":        {dev: lift(autodiff.Sin), f: math.Sin},
		"Cos":        {dev: lift(autodiff.Cos), f: math.Cos},
		"Tan":        {dev: lift(autodiff.Tan), f: math.Tan},
		"Asin":       {dev: lift(autodiff.Asin), f: math.Asin},
		"Acos":       {dev: lift(autodiff.Acos), f: math.Acos},
		"Atan":       {dev: lift(autodiff.Atan), f: math.Atan},
		"Sinh":       {dev: lift(autodiff.Sinh), f: math.Sinh},
		"Cosh":       {dev: lift(autodiff.Cosh), f: math.Cosh},
		"Asinh":      {dev: lift(autodiff.Asinh), f: math.Asinh},
		"Acosh":      {dev: lift(autodiff.Acosh), f: math.Acosh},
		"Atanh":      {dev: lift(autodiff.Atanh), f: math.Atanh},
		"Not":        {i: func(x int64) int64 { return 1 - x }},
		"BitwiseNot": {i: func(x int64) int64 { return ^x }},
	}
}

func softsign(x *autodiff.Value) *autodiff.Value {
	return autodiff.Div(x, autodiff.AddScalar(autodiff.Abs(x), 1))
}

func mish(x *autodiff.Value) *autodiff.Value {
	return autodiff.Mul(x, autodiff.Tanh(autodiff.Softplus(x)))
}

// activations lists the activations with attributes.
func activations() map[string]func(c *call, x *autodiff.Value) *autodiff.Value {
	return map[string]func(c *call, x *autodiff.Value) *autodiff.Value{
		"LeakyRelu": func(c *call, x *autodiff.Value) *autodiff.Value {
			return c.prelu(x, c.scalarLike(x, c.attrFloat("alpha", 0.01)))
		},
		"Elu": func(c *call, x *autodiff.Value) *autodiff.Value {
			return c.elu(x, c.attrFloat("alpha", 1), 1, 1)
		},
		"Selu": func(c *call, x *autodiff.Value) *autodiff.Value {
			// The fixed point of Klambauer et al. 2017, to the digits of ONNX.
			return c.elu(x, c.attrFloat("alpha", 1.67326319217681884765625), 1,
				c.attrFloat("gamma", 1.05070102214813232421875))
		},
		"Celu": func(c *call, x *autodiff.Value) *autodiff.Value {
			a := c.attrFloat("alpha", 1)
			return c.elu(x, a, a, 1)
		},
		"HardSigmoid": func(c *call, x *autodiff.Value) *autodiff.Value {
			return autodiff.Clamp(
				autodiff.Affine(x, c.attrFloat("alpha", 0.2), c.attrFloat("beta", 0.5)), 0, 1)
		},
		"ThresholdedRelu": func(c *call, x *autodiff.Value) *autodiff.Value {
			above := autodiff.Greater(x, c.scalarLike(x, c.attrFloat("alpha", 1)))
			return autodiff.Where(above, x, c.scalarLike(x, 0))
		},
		"Shrink": shrink,
		"Swish":  swish,
		"Gelu":   gelu,
	}
}

// prelu computes x > 0 ? x : slope·x; the derivative at 0 is the slope.
func (c *call) prelu(x, slope *autodiff.Value) *autodiff.Value {
	return autodiff.Where(autodiff.Step(x), x, autodiff.Mul(x, slope))
}

// elu computes gamma·(x > 0 ? x : alpha·(exp(x/width) − 1)). With t = tanh(u/2) the bracket is
// 2t/(1−t), which loses no digits near 0.
func (c *call) elu(x *autodiff.Value, alpha, width, gamma float64) *autodiff.Value {
	low := autodiff.Minimum(x, c.scalarLike(x, 0))
	t := autodiff.Tanh(autodiff.Scale(low, 0.5/width))
	neg := autodiff.Scale(autodiff.Div(t, autodiff.Affine(t, -1, 1)), 2*alpha*gamma)
	return autodiff.Where(autodiff.Step(x), autodiff.Scale(x, gamma), neg)
}

// shrink computes x + bias below −lambd, x − bias above lambd, and 0 between.
func shrink(c *call, x *autodiff.Value) *autodiff.Value {
	lambd, bias := c.attrFloat("lambd", 0.5), c.attrFloat("bias", 0)
	zero := c.scalarLike(x, 0)
	low := autodiff.Where(autodiff.Greater(c.scalarLike(x, -lambd), x),
		autodiff.AddScalar(x, bias), zero)
	return autodiff.Where(autodiff.Greater(x, c.scalarLike(x, lambd)),
		autodiff.AddScalar(x, -bias), low)
}

// swish computes x·sigmoid(alpha·x).
func swish(c *call, x *autodiff.Value) *autodiff.Value {
	alpha := c.attrFloat("alpha", 1)
	if alpha == 1 {
		return autodiff.SiLU(x)
	}
	return autodiff.Mul(x, autodiff.Sigmoid(autodiff.Scale(x, alpha)))
}

// gelu computes x·Φ(x), or with approximate = "tanh" Hendrycks and Gimpel's approximation.
func gelu(c *call, x *autodiff.Value) *autodiff.Value {
	if c.attrString("approximate", "none") != "tanh" {
		return autodiff.GELU(x)
	}
	cube := autodiff.Mul(x, autodiff.Square(x))
	inner := autodiff.Add(x, autodiff.Scale(cube, 0.044715))
	t := autodiff.Tanh(autodiff.Scale(inner, math.Sqrt(2/math.Pi)))
	return autodiff.Mul(x, autodiff.Affine(t, 0.5, 0.5))
}

// prelu computes PRelu with a slope that broadcasts to x; before opset 7 a slope vector belonged to
// the channels.
func prelu(c *call) []*Value {
	x, slope := c.arg(0), c.arg(1)
	if c.opset < 7 && len(slope.shape) == 1 && slope.shape[0] > 1 {
		shape := make([]int, len(x.shape)-1)
		for i := range shape {
			shape[i] = 1
		}
		shape[0] = slope.shape[0]
		slope = c.reshape(slope, shape...)
	}
	return c.out(c.prelu(c.upload(x), c.upload(slope)))
}

// swiGLU computes swish(a)·b.
func swiGLU(c *call) []*Value {
	return c.out(autodiff.Mul(swish(c, c.float(0)), c.float(1)))
}

// clip computes min(max(x, lo), hi); lo and hi are attributes before opset 11. Where lo > hi the
// result is hi.
func clip(c *call) []*Value {
	if c.opset < 11 {
		lo, hi := c.attrFloat("min", math.Inf(-1)), c.attrFloat("max", math.Inf(1))
		return c.out(autodiff.Clamp(c.float(0), lo, hi))
	}
	constant := !(c.has(1) && c.arg(1).needsGrad()) && !(c.has(2) && c.arg(2).needsGrad())
	if x := c.arg(0); x.elem.IsFloat() && constant {
		lo, hi := math.Inf(-1), math.Inf(1)
		if c.has(1) {
			lo = c.number(1)
		}
		if c.has(2) {
			hi = c.number(2)
		}
		if lo <= hi {
			return c.out(autodiff.Clamp(c.upload(x), lo, hi))
		}
	}
	y := c.arg(0)
	if c.has(1) {
		y = binaries()["Max"].apply(c, y, c.arg(1))
	}
	if c.has(2) {
		y = binaries()["Min"].apply(c, y, c.arg(2))
	}
	return []*Value{y}
}

// power computes xʸ. A constant exponent of few distinct values keeps the derivative everywhere;
// any other goes through exp(y·log x), which wants x > 0.
func power(c *call) []*Value {
	const distinct = 16
	x, y := c.arg(0), c.arg(1)
	if !x.elem.IsFloat() || x.host != nil && y.host != nil {
		return hostOut(c.powerHost(x.Array(), y.Array()))
	}
	base := c.upload(x)
	if y.needsGrad() {
		return c.out(autodiff.Exp(autodiff.Mul(c.upload(y), autodiff.Log(base))))
	}
	exps := y.Array()
	var seen []float64
	for _, v := range exps.floats() {
		known := false
		for _, s := range seen {
			known = known || s == v
		}
		if !known {
			seen = append(seen, v)
		}
	}
	if len(seen) > distinct {
		e := c.constant(base.DType(), exps.floats(), exps.Shape...)
		return c.out(autodiff.Exp(autodiff.Mul(e, autodiff.Log(base))))
	}
	return c.out(c.powerEach(base, exps, seen))
}

// powerEach computes one power for each distinct exponent and selects.
func (c *call) powerEach(x *autodiff.Value, exps *Array, distinct []float64) *autodiff.Value {
	if len(distinct) == 0 {
		return autodiff.Mul(x, c.constant(x.DType(), nil, exps.Shape...))
	}
	y := autodiff.Pow(x, distinct[0])
	if len(distinct) == 1 {
		one := c.run.g.Const(c.run.g.Scope().Full(x.DType(), 1, exps.Shape...))
		if len(exps.Shape) == 0 {
			return y
		}
		return autodiff.Mul(y, one) // takes on the broadcast shape
	}
	for _, e := range distinct[1:] {
		hit := make([]bool, exps.Shape.Size())
		for i := range hit {
			hit[i] = exps.at(i) == e
		}
		y = autodiff.Where(c.mask(x.DType(), hit, exps.Shape...), autodiff.Pow(x, e), y)
	}
	return y
}

func (c *call) powerHost(x, y *Array) *Array {
	a, b := c.pair(x, y)
	out := newArray(x.Elem, a.Shape...)
	for i := range out.Shape.Size() {
		v := math.Pow(a.at(i), b.at(i))
		if out.F != nil {
			out.F[i] = round(x.Elem, v)
		} else {
			out.I[i] = x.Elem.wrap(int64(v))
		}
	}
	return out
}
