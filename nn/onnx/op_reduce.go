package onnx

import (
	"cmp"
	"math"
	"slices"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// A reduceOp reduces axes to extent 1: dev on the device; f over the elements of one group on the
// host, for integers and constants.
type reduceOp struct {
	dev func(c *call, x *autodiff.Value, axes []int) *autodiff.Value
	f   func(group []float64) float64
}

func (o reduceOp) run(c *call) []*Value {
	x := c.arg(0)
	axes := c.axes(c.axesOperand(1), len(x.shape))
	if len(axes) == 0 {
		if c.attrInt("noop_with_empty_axes", 0) == 1 { // each element is a group: |x|, log x, …
			one := c.reshape(x, append(x.shape.Clone(), 1)...)
			return []*Value{c.reshape(o.over(c, one, []int{len(x.shape)}), x.shape...)}
		}
		for i := range x.shape {
			axes = append(axes, i)
		}
	}
	shape := make([]int, 0, len(x.shape))
	for i, d := range x.shape {
		if !slices.Contains(axes, i) {
			shape = append(shape, d)
		} else if c.attrInt("keepdims", 1) == 1 {
			shape = append(shape, 1)
		}
	}
	if len(x.shape) == 0 { // a scalar is its own reduction but for what dev does to elements
		x, axes = c.reshape(x, 1), []int{0}
	}
	return []*Value{c.reshape(o.over(c, x, axes), shape...)}
}

// over reduces axes, at least one, to extent 1.
func (o reduceOp) over(c *call, x *Value, axes []int) *Value {
	if x.elem.IsFloat() {
		return like(x, o.dev(c, c.upload(x), axes))
	}
	return Host(o.host(x.host, axes))
}

// host reduces integers through float64, which is exact below 2⁵³.
func (o reduceOp) host(x *Array, axes []int) *Array {
	shape := x.Shape.Reduced(axes)
	stride := shape.Strides()
	for _, a := range axes {
		stride[a] = 0
	}
	groups := make([][]float64, shape.Size())
	i := 0
	walk(x.Shape, func(at []int) {
		k := dot(at, stride)
		groups[k] = append(groups[k], x.at(i))
		i++
	})
	out := newArray(x.Elem, shape...)
	for k, g := range groups {
		v := o.f(g)
		if x.Elem == Bool { // only extremes are defined; those of nothing are infinite
			v = min(max(v, 0), 1)
		}
		out.I[k] = x.Elem.wrap(int64(v))
	}
	return out
}

// groupSum adds up f of the elements.
func groupSum(f func(float64) float64) func([]float64) float64 {
	return func(g []float64) float64 {
		s := 0.0
		for _, v := range g {
			s += f(v)
		}
		return s
	}
}

func same(x float64) float64   { return x }
func square(x float64) float64 { return x * x }

// reductions lists the Reduce operators.
func reductions() map[string]reduceOp {
	sum := groupSum(same)
	return map[string]reduceOp{
		"ReduceSum": {func(_ *call, x *autodiff.Value, axes []int) *autodiff.Value {
			return autodiff.SumKeep(x, axes...)
		}, sum},
		"ReduceMean": {func(_ *call, x *autodiff.Value, axes []int) *autodiff.Value {
			return autodiff.MeanKeep(x, axes...)
		}, func(g []float64) float64 { return sum(g) / float64(len(g)) }},
		"ReduceMax": {func(_ *call, x *autodiff.Value, axes []int) *autodiff.Value {
			return autodiff.MaxKeep(x, axes...)
		}, func(g []float64) float64 { return slices.Max(append(g, math.Inf(-1))) }},
		"ReduceMin": {func(_ *call, x *autodiff.Value, axes []int) *autodiff.Value {
			return autodiff.Neg(autodiff.MaxKeep(autodiff.Neg(x), axes...))
		}, func(g []float64) float64 { return slices.Min(append(g, math.Inf(1))) }},
		"ReduceProd": {reduceProd, func(g []float64) float64 {
			p := 1.0
			for _, v := range g {
				p *= v
			}
			return p
		}},
		"ReduceL1": {func(_ *call, x *autodiff.Value, axes []int) *autodiff.Value {
			return autodiff.SumKeep(autodiff.Abs(x), axes...)
		}, groupSum(math.Abs)},
		"ReduceL2": {func(_ *call, x *autodiff.Value, axes []int) *autodiff.Value {
			return autodiff.Sqrt(autodiff.SumKeep(autodiff.Square(x), axes...))
		}, func(g []float64) float64 { return math.Sqrt(groupSum(square)(g)) }},
		"ReduceSumSquare": {func(_ *call, x *autodiff.Value, axes []int) *autodiff.Value {
			return autodiff.SumKeep(autodiff.Square(x), axes...)
		}, groupSum(square)},
		"ReduceLogSum": {func(_ *call, x *autodiff.Value, axes []int) *autodiff.Value {
			return autodiff.Log(autodiff.SumKeep(x, axes...))
		}, func(g []float64) float64 { return math.Log(sum(g)) }},
		"ReduceLogSumExp": {logSumExp, func(g []float64) float64 {
			return math.Log(groupSum(math.Exp)(g))
		}},
	}
}

// logSumExp computes m + log Σ exp(x − m). The result does not depend on m, so the largest element
// serves as a constant.
func logSumExp(c *call, x *autodiff.Value, axes []int) *autodiff.Value {
	const finite = 1e30 // keeps −Inf − (−Inf) away
	var m *autodiff.Value
	c.run.g.NoGrad(func() { m = autodiff.Clamp(autodiff.MaxKeep(x, axes...), -finite, finite) })
	s := autodiff.SumKeep(autodiff.Exp(autodiff.Sub(x, m)), axes...)
	return autodiff.Add(m, autodiff.Log(s))
}

// reduceProd multiplies along each axis by halving it, which needs log₂ n products and, unlike
// exp Σ log, has a derivative everywhere.
func reduceProd(c *call, x *autodiff.Value, axes []int) *autodiff.Value {
	for _, a := range axes {
		if x.Dim(a) == 0 {
			shape := x.Shape().Reduced([]int{a})
			x = c.run.g.Const(c.run.g.Scope().Full(x.DType(), 1, shape...))
		}
		for n := x.Dim(a); n > 1; n = x.Dim(a) {
			half := n / 2
			y := autodiff.Mul(autodiff.SliceAxis(x, a, 0, half),
				autodiff.SliceAxis(x, a, half, 2*half))
			if n%2 == 1 {
				y = autodiff.Concat(a, y, autodiff.SliceAxis(x, a, n-1, n))
			}
			x = y
		}
	}
	return x
}

// variadic folds all operands with a binary operator.
func variadic(name string) opFunc {
	return func(c *call) []*Value { return []*Value{binaries()[name].fold(c)} }
}

func meanOf(c *call) []*Value {
	y := binaries()["Add"].fold(c)
	return []*Value{like(y, autodiff.Scale(c.upload(y), 1/float64(len(c.args))))}
}

// softmax runs along one axis; before opset 13 along all axes from it on.
func softmax(log bool) opFunc {
	return func(c *call) []*Value {
		x := c.arg(0)
		f := autodiff.Softmax
		if log {
			f = autodiff.LogSoftmax
		}
		r := len(x.shape)
		if c.opset < 13 {
			axis := c.axis(c.attrInt("axis", 1), r)
			flat := autodiff.Reshape(c.upload(x), x.shape[:axis].Size(), x.shape[axis:].Size())
			return c.out(autodiff.Reshape(f(flat), x.shape...))
		}
		axis := c.axis(c.attrInt("axis", -1), r)
		return c.out(c.alongLast(c.upload(x), axis, f))
	}
}

// alongLast applies f, which works along the last axis, along another one.
func (c *call) alongLast(x *autodiff.Value, axis int,
	f func(*autodiff.Value) *autodiff.Value) *autodiff.Value {
	r := x.Rank()
	if axis == r-1 {
		return f(x)
	}
	swap := make([]int, r)
	for i := range swap {
		swap[i] = i
	}
	swap[axis], swap[r-1] = r-1, axis
	return autodiff.Permute(f(autodiff.Permute(x, swap...)), swap...)
}

// hardmax is 1 at the first maximum along an axis, before opset 13 along all axes from it on, and 0
// elsewhere; its derivative is zero.
func hardmax(c *call) []*Value {
	x := c.arg(0).Array()
	out := newArray(x.Elem, x.Shape...)
	shape, axis := x.Shape, 0
	if c.opset < 13 {
		axis = c.axis(c.attrInt("axis", 1), len(shape))
		shape, axis = tensor.Shape{shape[:axis].Size(), shape[axis:].Size()}, 1
	} else {
		axis = c.axis(c.attrInt("axis", -1), len(shape))
	}
	lines(shape, axis, func(at func(i int) int, n int) {
		if n > 0 {
			out.F[at(best(x, at, n, true, false))] = 1
		}
	})
	return hostOut(out)
}

// lines visits every line along an axis; at(i) is the flat position of its element i.
func lines(shape tensor.Shape, axis int, visit func(at func(i int) int, n int)) {
	n, inner := shape[axis], shape[axis+1:].Size()
	for o := range shape[:axis].Size() {
		for j := range inner {
			visit(func(i int) int { return (o*n+i)*inner + j }, n)
		}
	}
}

// best returns which element of a line is largest or smallest, the first or last one of equals.
func best(x *Array, at func(int) int, n int, largest, last bool) int {
	k := 0
	for i := 1; i < n; i++ {
		d := cmp.Compare(x.at(at(i)), x.at(at(k)))
		if !largest {
			d = -d
		}
		if d > 0 || d == 0 && last {
			k = i
		}
	}
	return k
}

// argOp gives the position of the largest or smallest element along an axis.
func argOp(largest bool) opFunc {
	return func(c *call) []*Value {
		x := c.arg(0).Array()
		axis := c.axis(c.attrInt("axis", 0), len(x.Shape))
		out := newArray(Int64, x.Shape.Reduced([]int{axis})...)
		k := 0
		lines(x.Shape, axis, func(at func(int) int, n int) {
			if n == 0 {
				c.fail("an empty axis has no extreme")
			}
			out.I[k] = int64(best(x, at, n, largest, c.attrInt("select_last_index", 0) == 1))
			k++
		})
		if c.attrInt("keepdims", 1) == 0 {
			out.Shape = slices.Delete(out.Shape, axis, axis+1)
		}
		return hostOut(out)
	}
}

// topK gives the k largest (smallest) elements along an axis in order, the earlier of equals first,
// and their positions.
func topK(c *call) []*Value {
	v := c.arg(0)
	x := v.Array()
	k := c.attrInt("k", 1)
	if c.opset >= 10 {
		k = c.int1(1)
	}
	axis := c.axis(c.attrInt("axis", -1), len(x.Shape))
	if k < 0 || k > x.Shape[axis] {
		c.fail("k = %d does not fit extent %d", k, x.Shape[axis])
	}
	shape := x.Shape.Clone()
	shape[axis] = k
	inner := shape[axis+1:].Size()
	pick, idx := make([]int, shape.Size()), newArray(Int64, shape...)
	line := 0
	lines(x.Shape, axis, func(at func(int) int, n int) {
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int {
			d := cmp.Compare(x.at(at(a)), x.at(at(b)))
			if c.attrInt("largest", 1) == 1 {
				d = -d
			}
			return d
		})
		for i := range k {
			to := (line/inner*k+i)*inner + line%inner
			pick[to], idx.I[to] = at(order[i]), int64(order[i])
		}
		line++
	})
	return []*Value{c.take(v, pick, shape, 0), Host(idx)}
}

// cumSum adds up along an axis, on the device as a product with a triangular matrix.
func cumSum(c *call) []*Value {
	v, axis := c.arg(0), c.axis(int(c.number(1)), len(c.arg(0).shape))
	n := v.shape[axis]
	exclusive, reverse := c.attrInt("exclusive", 0) == 1, c.attrInt("reverse", 0) == 1
	counts := func(from, to int) bool {
		if reverse {
			from, to = to, from
		}
		return from < to || from == to && !exclusive
	}
	if !v.elem.IsFloat() {
		out := newArray(v.elem, v.shape...)
		lines(v.shape, axis, func(at func(int) int, n int) {
			for i := range n {
				for j := range n {
					if counts(j, i) {
						out.I[at(i)] = v.elem.wrap(out.I[at(i)] + v.host.I[at(j)])
					}
				}
			}
		})
		return hostOut(out)
	}
	x := c.upload(v)
	tri := newArray(Double, n, n).F
	for i := range n {
		for j := range n {
			if counts(i, j) {
				tri[i*n+j] = 1
			}
		}
	}
	m := c.constant(x.DType(), tri, n, n)
	return c.out(c.alongLast(x, axis, func(x *autodiff.Value) *autodiff.Value {
		flat := autodiff.Reshape(x, x.Shape().Size()/max(n, 1), n)
		return autodiff.Reshape(autodiff.MatMul(flat, m, false, false), x.Shape()...)
	}))
}

// nonZero lists the positions of elements that are not zero.
func nonZero(c *call) []*Value {
	x := c.arg(0).Array()
	r := len(x.Shape)
	var found []int64
	i := 0
	walk(x.Shape, func(at []int) {
		if x.at(i) != 0 {
			for _, a := range at {
				found = append(found, int64(a))
			}
		}
		i++
	})
	n := len(found) / max(r, 1)
	out := newArray(Int64, r, n)
	for k := range n {
		for a := range r {
			out.I[a*n+k] = found[k*r+a]
		}
	}
	return hostOut(out)
}

// floatTest is a predicate on floating-point elements.
func floatTest(f func(c *call, x float64) bool) opFunc {
	return func(c *call) []*Value {
		x := c.arg(0).Array()
		out := newArray(Bool, x.Shape...)
		for i := range out.I {
			out.I[i] = btoi(f(c, x.at(i)))
		}
		return hostOut(out)
	}
}

func isInf(c *call, x float64) bool {
	return math.IsInf(x, 1) && c.attrInt("detect_positive", 1) == 1 ||
		math.IsInf(x, -1) && c.attrInt("detect_negative", 1) == 1
}
