package autodiff

import (
	"math"

	"afterimage/tensor"
)

// A unary is an elementwise function of one operand: the kernel that computes it, and d, which
// returns dy·f′(x) from what needs declares.
type unary struct {
	name  string
	code  tensor.UnaryOp
	attr  tensor.Attr
	needs Needs
	d     func(n *Node, dy *Value) *Value
}

func (o unary) Name() string { return o.name }
func (o unary) Needs() Needs { return o.needs }

func (o unary) masksWithOut() bool { return o.code == tensor.ReLU }

func (o unary) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	y := s.Like(in[0])
	s.Backend().Unary(o.code, o.attr, y, in[0])
	return y, nil
}

func (o unary) VJP(n *Node, dy *Value, _ []bool) []*Value { return []*Value{o.d(n, dy)} }

func (o unary) of(x *Value) *Value {
	floats(o.name, "x", x)
	return apply(o, x)
}

// Neg computes −x. Derivative: −1.
func Neg(x *Value) *Value {
	return unary{"Neg", tensor.Neg, tensor.Attr{}, needsNothing, dNeg}.of(x)
}

func dNeg(_ *Node, dy *Value) *Value { return Neg(dy) }

// Abs computes |x|. Derivative: Sign(x), so 0 at 0.
func Abs(x *Value) *Value {
	return unary{"Abs", tensor.Abs, tensor.Attr{}, needsIn0, dAbs}.of(x)
}

func dAbs(n *Node, dy *Value) *Value { return Mul(dy, Sign(n.In(0))) }

// Exp computes eˣ. Derivative: the output y.
func Exp(x *Value) *Value {
	return unary{"Exp", tensor.Exp, tensor.Attr{}, needsOut, dExp}.of(x)
}

func dExp(n *Node, dy *Value) *Value { return Mul(dy, n.Out()) }

// Log computes the natural logarithm; −Inf at 0, NaN below. Derivative: 1/x.
func Log(x *Value) *Value {
	return unary{"Log", tensor.Log, tensor.Attr{}, needsIn0, dLog}.of(x)
}

func dLog(n *Node, dy *Value) *Value { return Div(dy, n.In(0)) }

// Sqrt computes √x; NaN below 0. Derivative: 1/(2y), infinite at 0: add an epsilon inside the root
// where x can reach 0.
func Sqrt(x *Value) *Value {
	return unary{"Sqrt", tensor.Sqrt, tensor.Attr{}, needsOut, dSqrt}.of(x)
}

func dSqrt(n *Node, dy *Value) *Value { return Scale(Div(dy, n.Out()), 0.5) }

// Rsqrt computes 1/√x; +Inf at 0, NaN below. Derivative: −y³/2.
func Rsqrt(x *Value) *Value {
	return unary{"Rsqrt", tensor.Rsqrt, tensor.Attr{}, needsOut, dRsqrt}.of(x)
}

func dRsqrt(n *Node, dy *Value) *Value {
	y := n.Out()
	return Scale(Mul(dy, Mul(y, Square(y))), -0.5)
}

// Recip computes 1/x. Derivative: −y².
func Recip(x *Value) *Value {
	return unary{"Recip", tensor.Recip, tensor.Attr{}, needsOut, dRecip}.of(x)
}

func dRecip(n *Node, dy *Value) *Value { return Neg(Mul(dy, Square(n.Out()))) }

// Square computes x². Derivative: 2x.
func Square(x *Value) *Value {
	return unary{"Square", tensor.Square, tensor.Attr{}, needsIn0, dSquare}.of(x)
}

func dSquare(n *Node, dy *Value) *Value { return Scale(Mul(dy, n.In(0)), 2) }

// Tanh computes the hyperbolic tangent. Derivative: 1 − y².
func Tanh(x *Value) *Value {
	return unary{"Tanh", tensor.Tanh, tensor.Attr{}, needsOut, dTanh}.of(x)
}

func dTanh(n *Node, dy *Value) *Value { return Mul(dy, Affine(Square(n.Out()), -1, 1)) }

// Sigmoid computes 1/(1+e⁻ˣ). Derivative: y·(1−y).
func Sigmoid(x *Value) *Value {
	return unary{"Sigmoid", tensor.Sigmoid, tensor.Attr{}, needsOut, dSigmoid}.of(x)
}

func dSigmoid(n *Node, dy *Value) *Value {
	y := n.Out()
	return Mul(dy, Mul(y, Affine(y, -1, 1)))
}

// Softplus computes log(1+eˣ) without overflow. Derivative: Sigmoid(x).
func Softplus(x *Value) *Value {
	return unary{"Softplus", tensor.Softplus, tensor.Attr{}, needsIn0, dSoftplus}.of(x)
}

func dSoftplus(n *Node, dy *Value) *Value { return Mul(dy, Sigmoid(n.In(0))) }

// ReLU computes max(x, 0). Derivative: 1 where the output is positive, else 0, so 0 at 0 and at NaN
// (where PyTorch has 1); it reads the output only, and the input may be freed.
func ReLU(x *Value) *Value {
	return unary{"ReLU", tensor.ReLU, tensor.Attr{}, needsOut, dReLU}.of(x)
}

func dReLU(n *Node, dy *Value) *Value { return n.throughReLU(dy) }

// LeakyReLU computes x where x > 0, else alpha·x, with alpha ≥ 0. Derivative: 1 or alpha, and alpha
// at 0; it reads the output only. Panics if alpha < 0.
func LeakyReLU(x *Value, alpha float64) *Value {
	if !(alpha >= 0) {
		misuse("LeakyReLU", "alpha must not be negative", "x", x)
	}
	return unary{"LeakyReLU", tensor.LeakyReLU, tensor.Attr{A: alpha}, needsOut, dLeakyReLU}.of(x)
}

func dLeakyReLU(n *Node, dy *Value) *Value {
	alpha := n.op.(unary).attr.A
	return Mul(dy, Affine(Step(n.Out()), 1-alpha, alpha)) // y > 0 exactly where x > 0
}

// Clamp computes min(max(x, lo), hi). Derivative: 1 strictly between lo and hi, else 0. Panics if
// lo > hi.
func Clamp(x *Value, lo, hi float64) *Value {
	if !(lo <= hi) {
		misuse("Clamp", "lo must not exceed hi", "x", x)
	}
	return unary{"Clamp", tensor.Clamp, tensor.Attr{A: lo, B: hi}, needsIn0, dClamp}.of(x)
}

func dClamp(n *Node, dy *Value) *Value {
	inside := unary{name: "InRange", code: tensor.InRange, attr: n.op.(unary).attr}
	return Mul(dy, applyConst(inside, n.In(0)))
}

// Erf computes the error function 2/√π·∫₀ˣ e^(−t²) dt. Derivative: 2/√π·e^(−x²).
func Erf(x *Value) *Value {
	return unary{"Erf", tensor.Erf, tensor.Attr{}, needsIn0, dErf}.of(x)
}

func dErf(n *Node, dy *Value) *Value {
	return Mul(dy, Scale(Exp(Neg(Square(n.In(0)))), 2/math.Sqrt(math.Pi)))
}

// GELU computes x·Φ(x) with Φ the normal distribution function, Φ(x) = (1 + erf(x/√2))/2: the exact
// form, not the tanh approximation. Source: Hendrycks and Gimpel, "Gaussian error linear units".
func GELU(x *Value) *Value {
	return GELUAct().Of(x)
}

// SiLU computes x·Sigmoid(x), also known as swish.
func SiLU(x *Value) *Value {
	return SiLUAct().Of(x)
}

// HardSwish computes x·min(max(x/6 + 1/2, 0), 1). Derivative: that of the product; of Clamp at the
// ends, ±3, 0. Source: Howard et al., "Searching for MobileNetV3".
func HardSwish(x *Value) *Value {
	return HardSwishAct().Of(x)
}

// Affine computes a·x + b. Derivative: a.
func Affine(x *Value, a, b float64) *Value {
	return unary{"Affine", tensor.Affine, tensor.Attr{A: a, B: b}, needsNothing, dAffine}.of(x)
}

func dAffine(n *Node, dy *Value) *Value {
	if a := n.op.(unary).attr.A; a != 1 {
		return Scale(dy, a)
	}
	return dy
}

// Scale computes a·x.
func Scale(x *Value, a float64) *Value { return Affine(x, a, 0) }

// AddScalar computes x + b.
func AddScalar(x *Value, b float64) *Value { return Affine(x, 1, b) }

// Pow computes xᵃ; NaN for negative x unless a is an integer, but for −Inf, which becomes +Inf or
// 0 by the sign of a, as C's pow has it (PyTorch's takes a square root for ½: NaN). Derivative:
// a·xᵃ⁻¹, and 0 everywhere, also at 0, when a is 0.
func Pow(x *Value, a float64) *Value {
	return unary{"Pow", tensor.Pow, tensor.Attr{A: a}, needsIn0, dPow}.of(x)
}

func dPow(n *Node, dy *Value) *Value {
	a := n.op.(unary).attr.A
	if a == 0 {
		return nil
	}
	return Mul(dy, Scale(Pow(n.In(0), a-1), a))
}

// Sign computes −1, 0 or 1, and 0 at 0. The result is a constant: its derivative is zero.
func Sign(x *Value) *Value {
	floats("Sign", "x", x)
	return applyConst(unary{name: "Sign", code: tensor.Sign}, x)
}

// Step computes 1 where x > 0, else 0. The result is a constant: its derivative is zero.
func Step(x *Value) *Value {
	floats("Step", "x", x)
	return applyConst(unary{name: "Step", code: tensor.Step}, x)
}

// A binary is an elementwise function of two operands, broadcast to one shape by NumPy's rule; d
// returns for each operand dy times the derivative, before what was broadcast is summed.
type binary struct {
	name  string
	code  tensor.BinaryOp
	needs Needs
	d     [2]func(n *Node, dy *Value) *Value
}

func (o binary) Name() string { return o.name }
func (o binary) Needs() Needs { return o.needs }

func (o binary) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	shape, _ := tensor.Broadcast(in[0].Shape(), in[1].Shape())
	y := s.New(in[0].DType(), shape...)
	s.Backend().Binary(o.code, y, in[0], in[1])
	return y, nil
}

func (o binary) VJP(n *Node, dy *Value, need []bool) []*Value {
	dxs := make([]*Value, 2)
	for i, d := range o.d {
		if need[i] && d != nil {
			dxs[i] = sumToIn(n.In(i).gradientType(), d(n, dy), n.In(i).Shape())
		}
	}
	return dxs
}

// check panics unless x and y share a dtype and broadcast.
func (o binary) check(x, y *Value) {
	floats(o.name, "x y", x, y)
	if _, ok := tensor.Broadcast(x.Shape(), y.Shape()); !ok {
		misuse(o.name, "shapes do not broadcast", "x y", x, y)
	}
}

func (o binary) of(x, y *Value) *Value {
	o.check(x, y)
	return apply(o, x, y)
}

type dBinary = [2]func(n *Node, dy *Value) *Value

func dPass(_ *Node, dy *Value) *Value { return dy }

// Add computes x + y, broadcast.
func Add(x, y *Value) *Value {
	return binary{"Add", tensor.Add, needsNothing, dBinary{dPass, dPass}}.of(x, y)
}

// Sub computes x − y, broadcast.
func Sub(x, y *Value) *Value {
	return binary{"Sub", tensor.Sub, needsNothing, dBinary{dPass, dNeg}}.of(x, y)
}

// Mul computes x·y, broadcast.
func Mul(x, y *Value) *Value {
	return binary{"Mul", tensor.Mul, needsFactors, dBinary{
		func(n *Node, dy *Value) *Value { return Mul(dy, n.In(1)) },
		func(n *Node, dy *Value) *Value { return Mul(dy, n.In(0)) },
	}}.of(x, y)
}

// Div computes z = x/y, broadcast. Derivatives: 1/y and −z/y.
func Div(x, y *Value) *Value {
	return binary{"Div", tensor.Div, Needs{In: 2, Out: true}, dBinary{
		func(n *Node, dy *Value) *Value { return Div(dy, n.In(1)) },
		func(n *Node, dy *Value) *Value { return Neg(Mul(dy, Div(n.Out(), n.In(1)))) },
	}}.of(x, y)
}

// Maximum computes the larger of x and y, broadcast; NaN if either is. The gradient goes to the
// larger, and to x where they are equal or either is NaN. (PyTorch halves it between equals, and
// gives both all of it beside a NaN.)
func Maximum(x, y *Value) *Value {
	return binary{"Maximum", tensor.Max, Needs{In: 3}, dBinary{
		func(n *Node, dy *Value) *Value { return Where(Greater(n.In(1), n.In(0)), zeroOf(dy), dy) },
		func(n *Node, dy *Value) *Value { return Where(Greater(n.In(1), n.In(0)), dy, zeroOf(dy)) },
	}}.of(x, y)
}

// Minimum computes the smaller of x and y, broadcast; NaN if either is. The gradient goes to the
// smaller, and otherwise as Maximum's does.
func Minimum(x, y *Value) *Value {
	return binary{"Minimum", tensor.Min, Needs{In: 3}, dBinary{
		func(n *Node, dy *Value) *Value { return Where(Greater(n.In(0), n.In(1)), zeroOf(dy), dy) },
		func(n *Node, dy *Value) *Value { return Where(Greater(n.In(0), n.In(1)), dy, zeroOf(dy)) },
	}}.of(x, y)
}

func zeroOf(x *Value) *Value { return x.graph.Scalar(x.DType(), 0) }

// Greater computes x > y ? 1 : 0, broadcast, in x's dtype. The result is a constant.
func Greater(x, y *Value) *Value {
	o := binary{name: "Greater", code: tensor.Greater}
	o.check(x, y)
	return applyConst(o, x, y)
}

// Equal computes x = y ? 1 : 0, broadcast, in x's dtype. The result is a constant.
func Equal(x, y *Value) *Value {
	o := binary{name: "Equal", code: tensor.Equal}
	o.check(x, y)
	return applyConst(o, x, y)
}

// reluMask computes y > 0 ? dy : 0, the gradient through a ReLU with output y. It is linear in dy
// and, wherever it has a derivative in y, constant in y. In a VJP whose cotangent nobody else will
// read, it is that cotangent, masked in place.
func reluMask(dy, y *Value) *Value {
	if g := dy.graph; g.spare == dy {
		g.Backend().Binary(tensor.ReLUMask, dy.t, dy.t, y.live("reluMask"))
		return dy
	}
	return binary{"reluMask", tensor.ReLUMask, needsIn1, dBinary{
		func(n *Node, d *Value) *Value { return reluMask(d, n.In(1)) }, nil,
	}}.of(dy, y)
}

// Where computes cond ≠ 0 ? x : y, all three broadcast together. No gradient flows to cond, and the
// branch not taken gets exactly 0, even where dy is NaN or infinite. A function inside that branch
// can still make NaN of this 0, as Log does at 0: guard its operand, not its result.
func Where(cond, x, y *Value) *Value {
	floats("Where", "cond x y", cond, x, y)
	xy, ok := tensor.Broadcast(x.Shape(), y.Shape())
	shape, ok2 := tensor.Broadcast(cond.Shape(), xy)
	if !ok || !ok2 {
		misuse("Where", "shapes do not broadcast", "cond x y", cond, x, y)
	}
	return x.graph.compose(func() *Value {
		return apply(whereOp{}, expand(cond, shape), expand(x, shape), expand(y, shape))
	})
}

type whereOp struct{}

func (whereOp) Name() string { return "Where" }
func (whereOp) Needs() Needs { return needsIn0 }

func (whereOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	out := s.Like(in[1])
	s.Backend().Select(out, in[0], in[1], in[2])
	return out, nil
}

func (whereOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	dxs := make([]*Value, 3)
	if need[1] {
		dxs[1] = Where(n.In(0), dy, zeroOf(dy))
	}
	if need[2] {
		dxs[2] = Where(n.In(0), zeroOf(dy), dy)
	}
	return dxs
}
