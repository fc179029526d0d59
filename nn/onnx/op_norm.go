package onnx

import (
	"slices"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// perChannel gives a vector [C] the shape in which it broadcasts against [N C …] of a given rank.
func perChannel(v *autodiff.Value, rank int) *autodiff.Value {
	shape := slices.Repeat([]int{1}, max(rank-1, 1))
	shape[0] = v.Shape().Size()
	if rank == 1 {
		return v
	}
	return autodiff.Reshape(v, shape...)
}

// from returns the axes a, a+1, …, rank−1.
func from(a, rank int) []int {
	var out []int
	for i := a; i < rank; i++ {
		out = append(out, i)
	}
	return out
}

// batchNorm normalises each channel of [N C …] with given statistics, or in training mode with the
// batch's own, of which it then gives the running averages (the variance biased, as ONNX has it).
func batchNorm(c *call) []*Value {
	x := c.float(0)
	if x.Rank() < 2 || c.attrInt("spatial", 1) == 0 {
		c.refuse("export the model with a newer operator set", "statistics for every element")
	}
	if c.trainsBatchNorm() {
		return c.batchNormTraining(x)
	}
	scale, shift := c.foldBatchNorm()
	r := x.Rank()
	return c.out(autodiff.Add(autodiff.Mul(x, perChannel(scale, r)), perChannel(shift, r)))
}

// trainsBatchNorm reports whether the batch's own statistics are asked for.
func (n *node) trainsBatchNorm() bool {
	switch {
	case n.opset >= 14:
		return n.attrInt("training_mode", 0) == 1
	case n.opset < 7:
		return n.attrInt("is_test", 0) == 0
	}
	return len(n.out) > 1
}

// foldBatchNorm returns scale = γ/√(var+eps) and shift = β − mean·scale.
func (c *call) foldBatchNorm() (scale, shift *autodiff.Value) {
	eps := c.attrFloat("epsilon", 1e-5)
	gamma, beta, mean, variance := c.float(1), c.float(2), c.float(3), c.float(4)
	scale = autodiff.Div(gamma, autodiff.Sqrt(autodiff.AddScalar(variance, eps)))
	return scale, autodiff.Sub(beta, autodiff.Mul(mean, scale))
}

// batchNormNHWC is batchNorm with given statistics and channels last.
func batchNormNHWC(c *call) []*Value {
	scale, shift := c.foldBatchNorm()
	return c.out(autodiff.ScaleShift(c.float(0), scale, shift, nil, false))
}

// scaleShiftNHWC computes x·scale + shift for each channel, and what fuse has put behind it.
func scaleShiftNHWC(c *call) []*Value {
	x, scale, shift := c.float(0), c.float(1), c.float(2)
	relu := c.hasAttr(fusedReLU)
	if !c.has(fusedSum) {
		return c.out(autodiff.ScaleShift(x, scale, shift, nil, relu))
	}
	res := c.float(fusedSum)
	if res.Shape().Equal(x.Shape()) {
		return c.out(autodiff.ScaleShift(x, scale, shift, res, relu))
	}
	y := autodiff.Add(autodiff.ScaleShift(x, scale, shift, nil, false), res)
	if relu {
		y = autodiff.ReLU(y)
	}
	return c.out(y)
}

func (c *call) batchNormTraining(x *autodiff.Value) []*Value {
	axes := append([]int{0}, from(2, x.Rank())...)
	y, mean, variance := normalise(x, axes, c.attrFloat("epsilon", 1e-5))
	gamma, beta := c.float(1), c.float(2)
	y = autodiff.Add(autodiff.Mul(y, perChannel(gamma, x.Rank())), perChannel(beta, x.Rank()))
	m := c.attrFloat("momentum", 0.9) // the weight of the old value
	average := func(old, new *autodiff.Value) *Value {
		new = autodiff.Reshape(new, old.Shape()...)
		return like(c.arg(0), autodiff.Add(autodiff.Scale(old, m), autodiff.Scale(new, 1-m)))
	}
	return []*Value{like(c.arg(0), y), average(c.float(3), mean), average(c.float(4), variance)}
}

// normalise computes (x − mean)/√(var + eps), mean and biased var over axes (kept with extent 1).
func normalise(x *autodiff.Value, axes []int, eps float64) (y, mean, variance *autodiff.Value) {
	mean = autodiff.MeanKeep(x, axes...)
	centred := autodiff.Sub(x, mean)
	variance = autodiff.MeanKeep(autodiff.Square(centred), axes...)
	return autodiff.Mul(centred, autodiff.Rsqrt(autodiff.AddScalar(variance, eps))), mean, variance
}

// instanceNorm normalises every channel of every sample by itself.
func instanceNorm(c *call) []*Value {
	x := c.float(0)
	y, _, _ := normalise(x, from(2, x.Rank()), c.attrFloat("epsilon", 1e-5))
	y = autodiff.Mul(y, perChannel(c.float(1), x.Rank()))
	return c.out(autodiff.Add(y, perChannel(c.float(2), x.Rank())))
}

// groupNorm normalises groups of channels; scale and bias belong to groups before opset 21, to
// channels since.
func groupNorm(c *call) []*Value {
	x, groups := c.float(0), c.attrInt("num_groups", 0)
	if x.Rank() < 2 || groups < 1 || x.Dim(1)%groups != 0 {
		c.fail("%d groups do not divide the channels of %v", groups, x.Shape())
	}
	per := x.Dim(1) / groups
	grouped := slices.Concat(tensor.Shape{x.Dim(0), groups, per}, x.Shape()[2:])
	y, _, _ := normalise(autodiff.Reshape(x, grouped...), from(2, len(grouped)),
		c.attrFloat("epsilon", 1e-5))
	scale, bias := c.float(1), c.float(2)
	if scale.Shape().Size() == groups && c.opset < 21 {
		y = autodiff.Add(autodiff.Mul(y, perChannel(scale, len(grouped))),
			perChannel(bias, len(grouped)))
		return c.out(autodiff.Reshape(y, x.Shape()...))
	}
	y = autodiff.Mul(autodiff.Reshape(y, x.Shape()...), perChannel(scale, x.Rank()))
	return c.out(autodiff.Add(y, perChannel(bias, x.Rank())))
}

// layerNorm normalises over the axes from axis on; where they are asked for it gives mean and
// 1/√(var+eps), too.
func layerNorm(c *call) []*Value {
	x, gamma, eps := c.float(0), c.float(1), c.attrFloat("epsilon", 1e-5)
	axis := c.axis(c.attrInt("axis", -1), x.Rank())
	width := x.Shape()[axis:].Size()
	if plain := []*autodiff.Value{gamma}; len(c.node.out) == 1 {
		if c.has(2) {
			plain = append(plain, c.float(2))
		}
		odd := func(v *autodiff.Value) bool { return v.Shape().Size() != width }
		if !slices.ContainsFunc(plain, odd) {
			return c.out(c.layerNormRows(x, axis, plain, eps))
		}
	}
	y, mean, variance := normalise(x, from(axis, x.Rank()), eps)
	y = autodiff.Mul(y, gamma)
	if c.has(2) {
		y = autodiff.Add(y, c.float(2))
	}
	rstd := autodiff.Rsqrt(autodiff.AddScalar(variance, eps))
	v := c.arg(0)
	return []*Value{like(v, y), like(v, mean), like(v, rstd)}
}

// layerNormRows normalises with the axes from axis on as one, with a gamma and perhaps a beta of
// its extent.
func (c *call) layerNormRows(x *autodiff.Value, axis int, params []*autodiff.Value,
	eps float64) *autodiff.Value {
	s := x.Shape()
	width := s[axis:].Size()
	params = append(params, nil)
	for i, p := range params[:2] {
		if p != nil {
			params[i] = shaped(p, tensor.Shape{width})
		}
	}
	y := autodiff.LayerNorm(shaped(x, append(s[:axis].Clone(), width)), params[0], params[1], eps)
	return shaped(y, s)
}

// rmsNorm divides by the root of the mean square over the axes from axis on.
func rmsNorm(c *call) []*Value {
	x := c.float(0)
	axes := from(c.axis(c.attrInt("axis", -1), x.Rank()), x.Rank())
	ms := autodiff.MeanKeep(autodiff.Square(x), axes...)
	y := autodiff.Mul(x, autodiff.Rsqrt(autodiff.AddScalar(ms, c.attrFloat("epsilon", 1e-5))))
	return c.out(autodiff.Mul(y, c.float(1)))
}

// meanVarianceNorm computes (x − mean)/(σ + 1e-9) over axes, the batch and pixels by default.
func meanVarianceNorm(c *call) []*Value {
	const guard = 1e-9 // of ONNX's definition
	x := c.float(0)
	axes := c.attrInts("axes")
	if axes == nil {
		axes = []int{0, 2, 3}
	}
	axes = c.axes(axes, x.Rank())
	centred := autodiff.Sub(x, autodiff.MeanKeep(x, axes...))
	sigma := autodiff.Sqrt(autodiff.MeanKeep(autodiff.Square(centred), axes...))
	return c.out(autodiff.Div(centred, autodiff.AddScalar(sigma, guard)))
}

// lpNorm divides by the L1 or L2 norm along an axis; a line of zeros stays zero.
func lpNorm(c *call) []*Value {
	x := c.float(0)
	axis := c.axis(c.attrInt("axis", -1), x.Rank())
	var n *autodiff.Value
	switch c.attrInt("p", 2) {
	case 1:
		n = autodiff.SumKeep(autodiff.Abs(x), axis)
	case 2:
		sum := autodiff.SumKeep(autodiff.Square(x), axis)
		one := c.scalarLike(x, 1)
		n = autodiff.Where(autodiff.Step(sum), autodiff.Sqrt(autodiff.Where(autodiff.Step(sum), sum,
			one)), c.scalarLike(x, 0))
	default:
		c.refuse("use p = 1 or 2", "a norm with p = %d", c.attrInt("p", 2))
	}
	n = autodiff.Where(autodiff.Step(n), n, c.scalarLike(x, 1))
	return c.out(autodiff.Div(x, n))
}

// lrn divides by (bias + alpha/size·Σ x²)^beta, the sum over size neighbouring channels.
func lrn(c *call) []*Value {
	x, size := c.float(0), c.attrInt("size", 0)
	if x.Rank() < 3 || size < 1 {
		c.fail("expected [N C …] and a positive size, got %v and %d", x.Shape(), size)
	}
	ch := x.Dim(1)
	band := newArray(Double, ch, ch).F // band[j][i] = 1 where channel j counts for channel i
	for i := range ch {
		for j := max(i-(size-1)/2, 0); j <= min(i+size/2, ch-1); j++ {
			band[j*ch+i] = 1
		}
	}
	m := c.constant(x.DType(), band, ch, ch)
	sum := c.alongLast(autodiff.Square(x), 1, func(s *autodiff.Value) *autodiff.Value {
		flat := autodiff.Reshape(s, s.Shape()[:s.Rank()-1].Size(), ch)
		return autodiff.Reshape(autodiff.MatMul(flat, m, false, false), s.Shape()...)
	})
	scale := autodiff.Affine(sum, c.attrFloat("alpha", 1e-4)/float64(size), c.attrFloat("bias", 1))
	return c.out(autodiff.Mul(x, autodiff.Pow(scale, -c.attrFloat("beta", 0.75))))
}
