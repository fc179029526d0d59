package autodiff

import (
	"fmt"
	"math"

	"afterimage/tensor"
)

// Convolution and its gradients
//
// Three things meet in a convolution: pixels of the image x [N H W C], taps of the kernel
// w [O KH KW C] and pixels of the output y [N OH OW O]. One equation ties their rows together, and
// the same one their columns: tap u, laid upon output row i, reads image row
//
//	h = i·s − p + u·d        s stride, p padding, d dilation.        (1)
//
// Multiply an image pixel, a tap and an output pixel wherever (1) holds and h lies in the image,
// and add everything up:
//
//	S(x, w, y) = Σ x[n,h,k,c] · w[o,u,v,c] · y[n,i,j,o].
//
// This one number is all there is to know about convolution. It is linear in each of its three
// arguments while the other two stand still, so it has three partial derivatives. Each comes from
// striking one factor out of the sum and leaving its indices free:
//
//	∂S/∂y = C(x, w)   [N OH OW O]    forward: an output pixel gathers what its taps read
//	∂S/∂x = T(y, w)   [N H W C]      back: an output pixel paints the kernel onto the image
//	∂S/∂w = W(x, y)   [O KH KW C]    per tap, a matrix product over all pixels it joins
//
// And S, being linear in each argument, is that argument times its derivative:
//
//	S = ⟨y, C(x, w)⟩ = ⟨x, T(y, w)⟩ = ⟨w, W(x, y)⟩.        (2)
//
// The gradient. Let a loss send the cotangent dy back to y = C(x, w). To first order the loss
// changes with y as ⟨dy, y⟩ does, and ⟨dy, C(x, w)⟩ is S(x, w, dy). So the gradient for the image
// is ∂S/∂x = T(dy, w), the gradient for the kernel is ∂S/∂w = W(x, dy), and we are done.
//
// The gradient of the gradient. T takes an output and a kernel; let a cotangent z, an image, come
// back to it. Again ⟨z, T(y, w)⟩ = S(z, w, y), the same number with z in the place of x:
// differentiate it by y and by w. In general the cotangent z takes the place of what the op
// computes, and the op's own arguments stay where they are:
//
//	op         pairing        to 1st argument    to 2nd argument
//	C(x, w)    S(x, w, z)     T(z, w)            W(x, z)
//	T(y, w)    S(z, w, y)     C(z, w)            W(z, y)
//	W(x, y)    S(x, z, y)     T(y, z)            C(x, z)
//
// The table never leaves C, T and W: three kernels give convolution's derivatives of every order,
// and the three VJP methods below are its rows.
//
// What shapes do not tell. The output's extent is a rounded quotient,
//
//	OH = ⌊(H + p + p′ − d·(KH−1) − 1) / s⌋ + 1,        p′ padding at the other end,
//
// and rounding forgets. Unpadded, with s = 2 and KH = 3, images of 7 and of 8 rows both give 3: no
// tap reads the eighth row, and nothing of it is left in y. Likewise kernels of 2 and of 3 rows
// both make 3 out of 7. So T must be told the image's extent and W the kernel's; all extents that
// lead back to the shape of y are right, each for an adjoint of another C. Rows that no tap reads
// get the gradient 0.
//
// Two remarks. Solved for the output row at s = d = 1, (1) reads i = h + p − u: the minus sign
// before u is the kernel turned by 180° of which textbooks speak. And T is what decoders call a
// transposed convolution, an op in its own right here: at stride 2, Conv2DInputGrad(x, w, 2*H,
// 2*W, p) doubles an image. With groups, the channels of x and of y are cut into as many slices,
// and S is summed slice by slice.

// Conv2D computes y = C(x, w), the cross-correlation of an image with a kernel,
//
//	y[n,i,j,o] = Σ x[n, i·s−p+u·d, j·s−p+v·d, c]·w[o,u,v,c],
//
// zero outside the image: x [N H W C], w [O KH KW C/groups], y [N OH OW O].
//
// Panics if attributes are out of range, channels differ, or the kernel exceeds the padded image.
// Convention: PyTorch's, but for the layout.
func Conv2D(x, w *Value, p tensor.ConvParams) *Value {
	convPair{"Conv2D", "x w", x, w, p}.forward()
	return apply(convOp{p}, x, w)
}

type convOp struct{ p tensor.ConvParams }

func (convOp) Name() string { return "Conv2D" }
func (convOp) Needs() Needs { return needsFactors }

func (o convOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	x, w := in[0], in[1]
	oh, ow := o.p.Out(x.Dim(1), x.Dim(2), w.Dim(1), w.Dim(2))
	y := s.New(x.DType(), x.Dim(0), oh, ow, w.Dim(0))
	s.Backend().Conv2D(y, x, w, o.p)
	return y, nil
}

func (o convOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	x, w := n.In(0), n.In(1)
	grads := make([]*Value, 2)
	if need[0] {
		grads[0] = Conv2DInputGrad(dy, w, x.Dim(1), x.Dim(2), o.p)
	}
	if need[1] {
		grads[1] = conv2DWeightGrad(x, dy, w, o.p)
	}
	return grads
}

// Conv2DBiasAct computes y = act(Conv2D(x, w) + bias + res), act = ReLU with ReLU′(0) = 0 if relu,
// else the identity, in one pass over y: bias [O], F32 beside a BF16 x, res of y's shape
// [N OH OW O]; either may be nil.
//
// Panics as Conv2D does, and if bias or res has another shape.
func Conv2DBiasAct(x, w, bias, res *Value, relu bool, p tensor.ConvParams) *Value {
	in := convOperands("Conv2DBiasAct", x, w, bias, res, p)
	return apply(convBiasActOp{p: p, relu: relu, bias: bias != nil}, in...)
}

// convOperands checks the operands of a convolution with bias and residual, and lists them.
func convOperands(op string, x, w, bias, res *Value, p tensor.ConvParams) []*Value {
	oh, ow := convPair{op, "x w", x, w, p}.forward()
	in := []*Value{x, w}
	if bias != nil {
		channelwise(op, "x bias", x, bias)
		if !bias.Shape().Equal(tensor.Shape{w.Dim(0)}) {
			misuse(op, "expected bias [O]", "w bias", w, bias)
		}
		in = append(in, bias)
	}
	if res != nil {
		floats(op, "x res", x, res)
		if !res.Shape().Equal(tensor.Shape{x.Dim(0), oh, ow, w.Dim(0)}) {
			misuse(op, fmt.Sprintf("expected res [%d %d %d %d]", x.Dim(0), oh, ow, w.Dim(0)), "x w res",
				x, w, res)
		}
		in = append(in, res)
	}
	return in
}

// convBiasActOp has inputs x, w, perhaps bias, and perhaps res.
type convBiasActOp struct {
	p          tensor.ConvParams
	relu, bias bool
}

func (convBiasActOp) Name() string   { return "Conv2DBiasAct" }
func (o convBiasActOp) Needs() Needs { return Needs{Product: true, Out: o.relu} }

func (o convBiasActOp) masksWithOut() bool { return o.relu }

func (o convBiasActOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	y, bias, res := o.operands(s, in)
	s.Backend().Conv2DBiasAct(y, in[0], in[1], bias, res, o.relu, o.p)
	return y, nil
}

// places is of a convolution without a residual.
func (o convBiasActOp) places(b tensor.Backend, operands int) bool {
	_, ok := b.(tensor.ConvPlacer)
	return ok && !(operands > 3 || operands > 2 && !o.bias)
}

func (o convBiasActOp) forwardInto(s *tensor.Scope, y *tensor.Tensor, at int, in tensors) {
	var bias *tensor.Tensor
	if o.bias {
		bias = in[2]
	}
	s.Backend().(tensor.ConvPlacer).Conv2DPlace(y, at, in[0], in[1], bias, o.relu, o.p)
}

// operands allocates the result and finds what is added to it, nil where it is not there.
func (o convBiasActOp) operands(s *tensor.Scope, in tensors) (y, bias, res *tensor.Tensor) {
	x, w, rest := in[0], in[1], in[2:]
	if o.bias {
		bias, rest = rest[0], rest[1:]
	}
	if len(rest) > 0 {
		res = rest[0]
	}
	oh, ow := o.p.Out(x.Dim(1), x.Dim(2), w.Dim(1), w.Dim(2))
	return s.New(x.DType(), x.Dim(0), oh, ow, w.Dim(0)), bias, res
}

// VJP masks dy where the ReLU was shut; from there on the sum of three terms passes it on to each.
func (o convBiasActOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	if o.relu {
		dy = n.throughReLU(dy)
	}
	grads := make([]*Value, len(need))
	copy(grads, convOp{o.p}.VJP(n, dy, need))
	for i := 2; i < len(need); i++ {
		switch {
		case !need[i]:
		case i == 2 && o.bias:
			grads[i] = channelGrad(dy, n.In(i))
		default:
			grads[i] = dy
		}
	}
	return grads
}

// Conv2DInputGrad computes x = T(y, w), the adjoint of Conv2D in its image, also known as
// transposed convolution: y [N OH OW O], w [O KH KW C/groups], x [N inH inW C].
//
// Panics unless Conv2D makes OH×OW pixels of an inH×inW image.
func Conv2DInputGrad(y, w *Value, inH, inW int, p tensor.ConvParams) *Value {
	c := convPair{"Conv2DInputGrad", "y w", y, w, p}
	c.check()
	if y.Dim(3) != w.Dim(0) || w.Dim(0)%p.Groups != 0 {
		c.misuse("channels differ: y has O=%d, w expects %d in %d groups", y.Dim(3), w.Dim(0), p.Groups)
	}
	if oh, ow := c.out(inH, inW, w.Dim(1), w.Dim(2)); y.Dim(1) != oh || y.Dim(2) != ow {
		c.misuse("a %d×%d image gives %d×%d outputs", inH, inW, oh, ow)
	}
	return apply(convInputGradOp{inH, inW, p}, y, w)
}

type convInputGradOp struct {
	h, w int
	p    tensor.ConvParams
}

func (convInputGradOp) Name() string { return "Conv2DInputGrad" }
func (convInputGradOp) Needs() Needs { return needsFactors }

func (o convInputGradOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	y, w := in[0], in[1]
	x := s.New(y.DType(), y.Dim(0), o.h, o.w, w.Dim(3)*o.p.Groups)
	s.Backend().Conv2DInputGrad(x, y, w, o.p)
	return x, nil
}

func (o convInputGradOp) VJP(n *Node, z *Value, need []bool) []*Value {
	y, w := n.In(0), n.In(1)
	grads := make([]*Value, 2)
	if need[0] {
		grads[0] = Conv2D(z, w, o.p)
	}
	if need[1] {
		grads[1] = conv2DWeightGrad(z, y, w, o.p)
	}
	return grads
}

// Conv2DWeightGrad computes w = W(x, y), the adjoint of Conv2D in its kernel: x [N H W C],
// y [N OH OW O], w [O kh kw C/groups].
//
// Panics unless Conv2D with a kh×kw kernel makes OH×OW pixels of x.
func Conv2DWeightGrad(x, y *Value, kh, kw int, p tensor.ConvParams) *Value {
	c := convPair{"Conv2DWeightGrad", "x y", x, y, p}
	c.check()
	if x.Dim(0) != y.Dim(0) || x.Dim(3)%p.Groups != 0 || y.Dim(3)%p.Groups != 0 {
		c.misuse("expected one N, and channels that %d groups divide", p.Groups)
	}
	if oh, ow := c.out(x.Dim(1), x.Dim(2), kh, kw); y.Dim(1) != oh || y.Dim(2) != ow {
		c.misuse("a %d×%d kernel gives %d×%d outputs", kh, kw, oh, ow)
	}
	return apply(convWeightGradOp{kh, kw, p, x.DType()}, x, y)
}

// conv2DWeightGrad is Conv2DWeightGrad as a cotangent of w.
func conv2DWeightGrad(x, y, w *Value, p tensor.ConvParams) *Value {
	return apply(convWeightGradOp{w.Dim(1), w.Dim(2), p, w.gradientType()}, x, y)
}

// convWeightGradOp has a result of dt: that of its inputs or, beside BF16, F32.
type convWeightGradOp struct {
	kh, kw int
	p      tensor.ConvParams
	dt     tensor.DType
}

func (convWeightGradOp) Name() string { return "Conv2DWeightGrad" }
func (convWeightGradOp) Needs() Needs { return needsFactors }

func (o convWeightGradOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	x, y := in[0], in[1]
	w := s.New(o.dt, y.Dim(3), o.kh, o.kw, x.Dim(3)/o.p.Groups)
	s.Backend().Conv2DWeightGrad(w, x, y, o.p)
	return w, nil
}

func (o convWeightGradOp) VJP(n *Node, z *Value, need []bool) []*Value {
	x, y := n.In(0), n.In(1)
	z = as(z, x.DType())
	grads := make([]*Value, 2)
	if need[0] {
		grads[0] = Conv2DInputGrad(y, z, x.Dim(1), x.Dim(2), o.p)
	}
	if need[1] {
		grads[1] = Conv2D(x, z, o.p)
	}
	return grads
}

// A convPair is what one of the three kernels is given: two of x, w and y, under their names.
type convPair struct {
	op, names string
	a, b      *Value
	p         tensor.ConvParams
}

// misuse panics with what is wrong with the operands.
func (c convPair) misuse(format string, args ...any) {
	misuse(c.op, fmt.Sprintf(format, args...), c.names, c.a, c.b)
}

// check panics unless both have four axes and the attributes are in range.
func (c convPair) check() {
	floats(c.op, c.names, c.a, c.b)
	if c.a.Rank() != 4 || c.b.Rank() != 4 {
		c.misuse("expected images NHWC and kernels OHWI, four axes each")
	}
	p := c.p
	if min(p.StrideH, p.StrideW, p.DilH, p.DilW, p.Groups) < 1 ||
		min(p.PadTop, p.PadLeft, p.PadBottom, p.PadRight) < 0 ||
		max(p.StrideH, p.StrideW, p.DilH, p.DilW, p.Groups, p.PadTop, p.PadLeft, p.PadBottom,
			p.PadRight) > mostAttr {
		c.misuse("attributes out of range: %+v", p)
	}
}

// mostAttr bounds strides, dilations, paddings and windows, which may come from a file: products
// with the extents of what is in memory then fit an int.
const mostAttr = math.MaxInt32

// forward returns the extents of C(x, w) and panics where x, w and the attributes do not fit
// together.
func (c convPair) forward() (oh, ow int) {
	c.check()
	x, w, groups := c.a, c.b, c.p.Groups
	if in := w.Dim(3) * groups; x.Dim(3) != in || w.Dim(0)%groups != 0 {
		c.misuse("channels differ: x has C=%d, w expects %d in %d groups", x.Dim(3), in, groups)
	}
	return c.out(x.Dim(1), x.Dim(2), w.Dim(1), w.Dim(2))
}

// out returns the extents of y for an h×w image and a kh×kw kernel, and panics where the kernel
// exceeds the padded image.
func (c convPair) out(h, w, kh, kw int) (oh, ow int) {
	p := c.p
	if kh < 1 || kw < 1 || p.DilH*(kh-1) >= h+p.PadTop+p.PadBottom ||
		p.DilW*(kw-1) >= w+p.PadLeft+p.PadRight {
		c.misuse("a %d×%d kernel does not fit a padded %d×%d image: %+v", kh, kw, h, w, p)
	}
	return p.Out(h, w, kh, kw)
}
