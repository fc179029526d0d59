package autodiff

import (
	"math"

	"afterimage/tensor"
)

// A hostFunc is an elementwise function that no backend has a kernel for: networks rarely have it,
// and then on few elements. f computes it on the host in 64 bits, and d returns dy·f′(x).
type hostFunc struct {
	name string
	f    func(x float64) float64
	d    func(x, dy *Value) *Value
}

func (o hostFunc) Name() string { return o.name }
func (hostFunc) Needs() Needs   { return needsIn0 }

func (o hostFunc) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	v := in[0].Floats()
	for i, x := range v {
		v[i] = o.f(x)
	}
	y := s.Like(in[0])
	y.SetFloats(v)
	return y, nil
}

func (o hostFunc) VJP(n *Node, dy *Value, _ []bool) []*Value {
	return []*Value{o.d(n.In(0), dy)}
}

func (o hostFunc) of(x *Value) *Value {
	floats(o.name, "x", x)
	return apply(o, x)
}

// Sin computes sin x, x in radians, on the host, as all functions of this file are. Derivative:
// cos x.
func Sin(x *Value) *Value { return hostFunc{"Sin", math.Sin, dSin}.of(x) }

func dSin(x, dy *Value) *Value { return Mul(dy, Cos(x)) }

// Cos computes cos x, x in radians. Derivative: −sin x.
func Cos(x *Value) *Value { return hostFunc{"Cos", math.Cos, dCos}.of(x) }

func dCos(x, dy *Value) *Value { return Neg(Mul(dy, Sin(x))) }

// Tan computes tan x, x in radians. Derivative: 1 + tan² x.
func Tan(x *Value) *Value { return hostFunc{"Tan", math.Tan, dTan}.of(x) }

func dTan(x, dy *Value) *Value { return Mul(dy, AddScalar(Square(Tan(x)), 1)) }

// Asin computes the inverse sine; NaN outside [−1, 1]. Derivative: 1/√(1 − x²), infinite at ±1.
func Asin(x *Value) *Value { return hostFunc{"Asin", math.Asin, dAsin}.of(x) }

func dAsin(x, dy *Value) *Value { return Mul(dy, Rsqrt(Affine(Square(x), -1, 1))) }

// Acos computes the inverse cosine; NaN outside [−1, 1]. Derivative: −1/√(1 − x²), infinite at ±1.
func Acos(x *Value) *Value { return hostFunc{"Acos", math.Acos, dAcos}.of(x) }

func dAcos(x, dy *Value) *Value { return Neg(dAsin(x, dy)) }

// Atan computes the inverse tangent, in (−π/2, π/2). Derivative: 1/(1 + x²).
func Atan(x *Value) *Value { return hostFunc{"Atan", math.Atan, dAtan}.of(x) }

func dAtan(x, dy *Value) *Value { return Div(dy, AddScalar(Square(x), 1)) }

// Sinh computes the hyperbolic sine. Derivative: cosh x.
func Sinh(x *Value) *Value { return hostFunc{"Sinh", math.Sinh, dSinh}.of(x) }

func dSinh(x, dy *Value) *Value { return Mul(dy, Cosh(x)) }

// Cosh computes the hyperbolic cosine. Derivative: sinh x.
func Cosh(x *Value) *Value { return hostFunc{"Cosh", math.Cosh, dCosh}.of(x) }

func dCosh(x, dy *Value) *Value { return Mul(dy, Sinh(x)) }

// Asinh computes the inverse hyperbolic sine. Derivative: 1/√(x² + 1).
func Asinh(x *Value) *Value { return hostFunc{"Asinh", math.Asinh, dAsinh}.of(x) }

func dAsinh(x, dy *Value) *Value { return Mul(dy, Rsqrt(AddScalar(Square(x), 1))) }

// Acosh computes the inverse hyperbolic cosine; NaN below 1. Derivative: 1/√(x² − 1), infinite
// at 1.
func Acosh(x *Value) *Value { return hostFunc{"Acosh", math.Acosh, dAcosh}.of(x) }

func dAcosh(x, dy *Value) *Value { return Mul(dy, Rsqrt(AddScalar(Square(x), -1))) }

// Atanh computes the inverse hyperbolic tangent; ±Inf at ±1, NaN beyond. Derivative: 1/(1 − x²).
func Atanh(x *Value) *Value { return hostFunc{"Atanh", math.Atanh, dAtanh}.of(x) }

func dAtanh(x, dy *Value) *Value { return Div(dy, Affine(Square(x), -1, 1)) }
