package autodiff

import (
	"fmt"

	"afterimage/tensor"
)

// Batch normalisation and its gradient
//
// One channel with its m elements at a time (m = N·H·W), training mode:
//
//	μ = Σx/m,   σ² = Σ(x−μ)²/m,   r = 1/√(σ²+eps),   x̂ = (x−μ)·r,   y = γ·x̂ + β.
//
// Every output hangs on every input of its channel, through μ and through r, and yet the gradient
// is short. With g = γ·dy, the cotangent of x̂, the chain rule goes back through x̂ = (x−μ)·r: by
// the product g·r, and by r itself, whose derivative along x−μ is −r³·(x−μ)/m; going through μ at
// last takes the mean off whatever arrived. Collected:
//
//	dx = r·(g − mean(g) − x̂·mean(g·x̂)),   dγ = Σ dy·x̂,   dβ = Σ dy.
//
// This has a picture. Adding a constant to x leaves x̂ as it is, and so, but for eps, does
// stretching x − μ: of the m directions in which x can move, 1 and x̂ lead nowhere. The bracket is
// g with its parts along these two removed. A gradient through batch normalisation never pushes a
// channel's mean, and hardly its scale.
//
// Two paths, one function. NormBackward evaluates that formula: one reduction and one pass over x
// and dy, with μ and r saved from the forward pass. But it takes μ and r as numbers, and they are
// functions of x: differentiate its result as if they were constants and the second derivative is
// wrong, silently so; training goes on and a gradient penalty penalises something else. So where
// the gradient must itself be differentiable, the op answers through its definition in elementary
// ops, normalize, and lets the tape do the chain rule as often as anybody asks. The definition
// stays beside the kernel for a second reason: it is what the kernel is tested against, in value,
// gradient and gradient of the gradient.
//
// The variant with ReLU masks dy by y > 0 first. The kernel reads x, and x·scale + shift > 0 says
// the same, so that neither the pre-activation is stored nor the output read. Where a residual is
// added in between it takes the output, which the next layer keeps in any case.

// BatchStats are the statistics of one training-mode batch normalisation, for running averages. The
// tensors belong to the graph's scope at the time of the call: copy what must outlive it. While a
// Checkpoint is computed again they may be nil: the first call gave them.
type BatchStats struct {
	Mean     *tensor.Tensor // [C]
	Variance *tensor.Tensor // [C], biased: divided by Count
	Count    int            // elements per channel
}

// BatchNorm computes y = gamma·(x − mean)/√(var + eps) + beta in training mode: mean and biased
// variance are taken for each channel, the last axis of x [N … C], over all other axes. gamma and
// beta are [C] or, for conditional batch normalisation, [N C]: one row for each sample; F32 beside
// a BF16 x. eps ≥ 0.
//
// Panics on other shapes or a negative eps. Source: Ioffe and Szegedy, "Batch normalization", 2015.
func BatchNorm(x, gamma, beta *Value, eps float64) (*Value, BatchStats) {
	return (&batchNormOp{name: "BatchNorm", eps: eps}).of(x, gamma, beta, nil)
}

// BatchNormReLU computes y = ReLU(BatchNorm(x) + res); res has x's shape, or is nil. ReLU′ is
// 0 at 0 and at NaN, so that beta of a channel that has become NaN gets 0. Panics as BatchNorm
// does.
func BatchNormReLU(x, gamma, beta, res *Value, eps float64) (*Value, BatchStats) {
	op := &batchNormOp{name: "BatchNormReLU", eps: eps, relu: true, add: res != nil}
	return op.of(x, gamma, beta, res)
}

// batchNormOp has inputs x, gamma, beta and perhaps res, and saves mean, rstd and shift.
type batchNormOp struct {
	name  string
	eps   float64
	relu  bool
	add   bool // there is a res
	stats BatchStats
}

func (o *batchNormOp) of(x, gamma, beta, res *Value) (*Value, BatchStats) {
	o.check(x, gamma, beta, res)
	in := []*Value{x, gamma, beta}
	if res != nil {
		in = append(in, res)
	}
	y := apply(o, in...)
	return y, o.stats
}

// check panics unless the operands fit.
func (o *batchNormOp) check(x, gamma, beta, res *Value) {
	checkNorm(o.name, "x gamma beta res", x, gamma, beta, res)
	if !(o.eps >= 0) {
		misuse(o.name, fmt.Sprintf("eps = %g must not be negative", o.eps), "x", x)
	}
}

func (o *batchNormOp) Name() string { return o.name }
func (o *batchNormOp) Needs() Needs { return Needs{In: 3, Out: o.masksWithOut()} }

func (o *batchNormOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	var res *tensor.Tensor
	if len(in) == 4 {
		res = in[3]
	}
	scale, shift, saved := o.statistics(s, in)
	y := s.Like(in[0])
	s.Backend().NormApply(y, in[0], scale, shift, res, o.relu)
	scale.Free()
	return y, saved
}

// statistics returns what x is multiplied by and what is added to it, and what the gradient needs
// of the batch: mean, rstd and shift.
func (o *batchNormOp) statistics(s *tensor.Scope, in tensors) (scale, shift *tensor.Tensor,
	saved tensors,
) {
	x, gamma, beta := in[0], in[1], in[2]
	b, dt, c := s.Backend(), ofChannels(x.DType()), x.Dim(-1)
	mean, variance, rstd := s.New(dt, c), s.New(dt, c), s.New(dt, c)
	scale, shift = s.Like(gamma), s.Like(gamma)
	b.NormStats(mean, variance, rstd, scale, shift, x, gamma, beta, o.eps)
	o.stats = BatchStats{Mean: mean, Variance: variance, Count: x.Size() / max(c, 1)}
	// The saved mean is a view: the node may free its own, the caller's statistics stay.
	return scale, shift, tensors{s.Reshape(mean, c), rstd, shift}
}

func (o *batchNormOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	if n.HigherOrder() {
		return o.vjpComposite(n, dy, need)
	}
	return o.vjpFused(n, dy, need)
}

func (o *batchNormOp) masksWithOut() bool { return o.relu && o.add }

// vjpFused asks the kernel, whose result is not differentiable. dx takes the place of the
// cotangent, or else of x, where nobody else will read it.
func (o *batchNormOp) vjpFused(n *Node, dy *Value, need []bool) []*Value {
	g := n.Graph()
	var y, shift *tensor.Tensor
	switch {
	case o.masksWithOut() && !n.masked():
		y = n.Out().Tensor()
	case o.relu && !o.add:
		shift = n.saved[2]
	}
	dxs := make([]*Value, len(n.in))
	over := g.spare == dy && dy.DType() == n.in[0].DType()
	if len(n.in) == 4 && need[3] && y == nil {
		dxs[3], over = dy, false // the residual's gradient is dy itself
	}
	var d [4]*tensor.Tensor
	for i, v := range n.in {
		switch {
		case !need[i] || dxs[i] != nil:
			continue
		case i == 0 && over: // an array less in the cache, and to hold
			dxs[i] = dy
		case i == 0 && y == nil && g.spent == v:
			dxs[i] = g.newValue(g.scope.Reshape(v.t, v.Shape()...), o.name)
		default:
			dxs[i] = g.newValue(g.scope.New(v.DType(), v.Shape()...), o.name)
		}
		d[i] = dxs[i].t
	}
	g.Backend().NormBackward(d[0], d[1], d[2], d[3], dy.Tensor(), n.In(0).Tensor(), y, shift,
		n.saved[0], n.saved[1], n.In(1).Tensor())
	return dxs
}

// vjpComposite differentiates the definition. beta and res enter y by addition, so their values are
// not read and need not have been kept.
func (o *batchNormOp) vjpComposite(n *Node, dy *Value, need []bool) []*Value {
	switch {
	case o.masksWithOut():
		dy = n.throughReLU(dy)
	case o.relu:
		dy = reluMask(dy, o.again(n))
	}
	dxs := make([]*Value, len(n.in))
	if need[0] || need[1] {
		copy(dxs, compositeVJP(n.in[:2], dy, need[:2], func(in []*Value) *Value {
			x := as(in[0], in[1].DType())
			return as(Mul(normalize(x, o.eps), perChannel(in[1], x)), in[0].DType())
		}))
	}
	if need[2] {
		dxs[2] = channelGrad(dy, n.In(2))
	}
	if len(n.in) == 4 && need[3] {
		dxs[3] = dy
	}
	return dxs
}

// again returns y of an n without residual once more, a constant.
func (o *batchNormOp) again(n *Node) *Value {
	x, gamma := n.In(0), n.In(1)
	var y *Value
	n.Graph().NoGrad(func() {
		y = ScaleShift(x, Mul(gamma, n.Saved(1)), n.Saved(2), nil, true)
	})
	return y
}

// BatchNormReLUUpsample computes y = Upsample(BatchNormReLU(x), k) for x [N H W C]: y [N kH kW C],
// what a generator's block does before its first convolution. Where the backend can
// (tensor.NormUpsampler) the small image is never made; the bits are the same either way. Panics as
// BatchNorm and Upsample do.
func BatchNormReLUUpsample(x, gamma, beta *Value, eps float64, k int) (*Value, BatchStats) {
	const name = "BatchNormReLUUpsample"
	rank(name, "x", x, 4)
	if k < 1 {
		misuse(name, fmt.Sprintf("expected k ≥ 1, got %d", k), "x", x)
	}
	op := &batchNormUpsampleOp{batchNormOp{name: name, eps: eps, relu: true}, k}
	op.check(x, gamma, beta, nil)
	y := apply(op, x, gamma, beta)
	return y, op.stats
}

// batchNormUpsampleOp is a batchNormOp with ReLU whose output is enlarged.
type batchNormUpsampleOp struct {
	batchNormOp
	k int
}

func (o *batchNormUpsampleOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	x := in[0]
	scale, shift, saved := o.statistics(s, in)
	y := s.New(x.DType(), x.Dim(0), o.k*x.Dim(1), o.k*x.Dim(2), x.Dim(3))
	if b, ok := s.Backend().(tensor.NormUpsampler); ok {
		b.NormUpsample(y, x, scale, shift, true, o.k)
	} else {
		small := s.Like(x)
		s.Backend().NormApply(small, x, scale, shift, nil, true)
		s.Backend().Upsample(y, small, o.k)
		small.Free()
	}
	scale.Free()
	return y, saved
}

// VJP goes back through Upsample, then as batchNormOp does, which does not ask for the small image
// and may write over its cotangent, which nobody else has seen.
func (o *batchNormUpsampleOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	dy = UpsampleGrad(dy, o.k)
	if !n.HigherOrder() {
		n.Graph().spare = dy
	}
	return o.batchNormOp.VJP(n, dy, need)
}

// normalize computes (x − mean)/√(var + eps) in differentiable ops: the definition.
func normalize(x *Value, eps float64) *Value {
	axes := make([]int, x.Rank()-1)
	for i := range axes {
		axes[i] = i
	}
	centred := Sub(x, MeanKeep(x, axes...))
	variance := MeanKeep(Square(centred), axes...)
	return Mul(centred, Rsqrt(AddScalar(variance, eps)))
}

// perChannel gives s, [C] or [N C], the shape in which it broadcasts against x [N … C].
func perChannel(s, x *Value) *Value {
	if s.Rank() == 1 || x.Rank() == 2 {
		return s
	}
	return Reshape(s, sampleShape(x.Shape())...)
}

// sampleShape returns [N 1 … 1 C] for [N … C].
func sampleShape(x tensor.Shape) tensor.Shape {
	s := x.Clone()
	for i := 1; i < len(s)-1; i++ {
		s[i] = 1
	}
	return s
}

// sumPerChannel is the adjoint of broadcasting perChannel: d [N … C] summed to [C] or [N C], in dt
// as sumToIn does it.
func sumPerChannel(dt tensor.DType, d *Value, shape tensor.Shape) *Value {
	if len(shape) == 1 {
		return sumToIn(dt, d, shape)
	}
	d = sumToIn(dt, d, sampleShape(d.Shape()))
	if d.Shape().Equal(shape) {
		return d
	}
	return Reshape(d, shape...)
}

// channelGrad is sumPerChannel in the shape and dtype of v, [C] or [N C].
func channelGrad(d, v *Value) *Value {
	return as(sumPerChannel(v.DType(), d, v.Shape()), v.DType())
}

// ScaleShift computes y = act(x·scale + shift + res), act ReLU (with ReLU′(0) = 0) if relu, else
// the identity: batch normalisation with fixed statistics. x and res, which may be nil, are [N …
// C], scale and shift [C] or [N C], F32 beside a BF16 x.
func ScaleShift(x, scale, shift, res *Value, relu bool) *Value {
	checkNorm("ScaleShift", "x scale shift res", x, scale, shift, res)
	in := []*Value{x, scale, shift}
	if res != nil {
		in = append(in, res)
	}
	return apply(scaleShiftOp{relu}, in...)
}

type scaleShiftOp struct{ relu bool }

func (scaleShiftOp) Name() string   { return "ScaleShift" }
func (o scaleShiftOp) Needs() Needs { return Needs{Product: true, Out: o.relu} }

func (o scaleShiftOp) masksWithOut() bool { return o.relu }

func (o scaleShiftOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	var res *tensor.Tensor
	if len(in) == 4 {
		res = in[3]
	}
	y := s.Like(in[0])
	s.Backend().NormApply(y, in[0], in[1], in[2], res, o.relu)
	return y, nil
}

func (o scaleShiftOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	x, scale := n.In(0), n.In(1)
	if o.relu {
		dy = n.throughReLU(dy)
	}
	dxs := make([]*Value, len(n.in))
	if need[0] {
		dxs[0] = scaled(dy, scale)
	}
	if need[1] {
		wide := scale.DType()
		dxs[1] = sumPerChannel(wide, Mul(as(dy, wide), as(x, wide)), scale.Shape())
	}
	if need[2] {
		dxs[2] = channelGrad(dy, scale)
	}
	if len(need) == 4 && need[3] {
		dxs[3] = dy
	}
	return dxs
}

// scaled returns d [N … C] times scale, [C] or [N C].
func scaled(d, scale *Value) *Value {
	if d.DType() == scale.DType() {
		return Mul(d, perChannel(scale, d))
	}
	return ScaleShift(d, scale, d.graph.Zeros(scale.DType(), scale.Shape()...), nil, false)
}

// checkNorm panics unless a and b have one shape, [C] or [N C], and res is nil or like x [N … C].
func checkNorm(op, names string, x, a, b, res *Value) {
	vs := []*Value{x, a, b}
	if res != nil {
		vs = append(vs, res)
	} else {
		names = names[:len(names)-len(" res")]
	}
	channelwise(op, "x scale shift", x, a, b)
	if res != nil {
		floats(op, "x res", x, res)
	}
	if x.Rank() < 2 {
		misuse(op, "expected x [N … C]", names, vs...)
	}
	one := a.Rank() == 1 && a.Dim(0) == x.Dim(-1)
	each := a.Rank() == 2 && a.Dim(0) == x.Dim(0) && a.Dim(1) == x.Dim(-1)
	if !one && !each || !a.Shape().Equal(b.Shape()) {
		misuse(op, "expected scale and shift, both [C] or both [N C], for x [N … C]", names, vs...)
	}
	if res != nil && !res.Shape().Equal(x.Shape()) {
		misuse(op, "the residual must have x's shape", names, vs...)
	}
}
