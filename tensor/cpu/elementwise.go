package cpu

import (
	"math"
	"slices"

	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// Fill sets every element; see tensor.Backend.
func (b *Backend) Fill(dst *tensor.Tensor, v float64) {
	if !f32(dst) {
		b.ref.Fill(dst, v)
		return
	}
	y := host(dst)
	b.split(len(y), chunk, func(lo, hi int) { vec.Fill(y[lo:hi], float32(v)) })
}

// Cast converts or copies; see tensor.Backend.
func (b *Backend) Cast(dst, x *tensor.Tensor) {
	if !f32(dst, x) {
		b.ref.Cast(dst, x)
		return
	}
	y, s := host(dst), host(x)
	b.split(len(y), chunk, func(lo, hi int) { copy(y[lo:hi], s[lo:hi]) })
}

// Unary computes dst = op(x); see tensor.Backend.
func (b *Backend) Unary(op tensor.UnaryOp, p tensor.Attr, dst, x *tensor.Tensor) {
	f := unary(op, p)
	if f == nil || !f32(dst, x) {
		b.ref.Unary(op, p, dst, x)
		return
	}
	y, s := host(dst), host(x)
	b.split(len(y), chunk, func(lo, hi int) { f(y[lo:hi], s[lo:hi]) })
}

// chainPiece is how many numbers go through all steps of a chain before the next ones: in and out,
// they stay in the first-level cache.
const chainPiece = 2 << 10

// UnaryChain computes dst = s(x) or x·s(x); see tensor.Chainer.
func (b *Backend) UnaryChain(dst, x *tensor.Tensor, gate bool, steps ...tensor.UnaryStep) {
	loop := b.chain(gate, steps)
	if loop == nil || !f32(dst, x) {
		b.ref.UnaryChain(dst, x, gate, steps...)
		return
	}
	y, src := host(dst), host(x)
	b.split(len(y), chunk, func(lo, hi int) { loop(y[lo:hi], src[lo:hi]) })
}

// joined returns the loop that takes numbers through all steps of a chain in registers; nil where
// there is none. Its dst may be x.
func joined(gate bool, steps []tensor.UnaryStep) func(dst, x []float32) {
	is := func(want ...tensor.UnaryStep) bool { return gate && slices.Equal(steps, want) }
	affine := func(a, b float64) tensor.UnaryStep {
		return tensor.UnaryStep{Op: tensor.Affine, Attr: tensor.Attr{A: a, B: b}}
	}
	a := steps[0].Attr
	switch {
	case len(steps) == 1 && !gate:
		return unary(steps[0].Op, a)
	case is(tensor.UnaryStep{Op: tensor.Sigmoid}):
		return vec.SiLU
	case is(affine(1/math.Sqrt2, 0), tensor.UnaryStep{Op: tensor.Erf}, affine(0.5, 0.5)):
		return vec.GELU
	case hardSwish(gate, steps):
		return func(dst, x []float32) { vec.HardSwish(dst, x, float32(a.A), float32(a.B)) }
	}
	return nil
}

// hardSwish reports whether a chain is x·min(max(a·x + b, 0), 1).
func hardSwish(gate bool, steps []tensor.UnaryStep) bool {
	return gate && len(steps) == 2 && steps[0].Op == tensor.Affine &&
		steps[1] == tensor.UnaryStep{Op: tensor.Clamp, Attr: tensor.Attr{A: 0, B: 1}}
}

// chain returns the loop of UnaryChain; nil where there is none.
func (b *Backend) chain(gate bool, steps []tensor.UnaryStep) func(dst, x []float32) {
	if f := joined(gate, steps); f != nil {
		return f
	}
	loops := make([]func(dst, x []float32), len(steps))
	for i, s := range steps {
		if loops[i] = unary(s.Op, s.Attr); loops[i] == nil {
			return nil
		}
	}
	return func(dst, x []float32) {
		scratch := b.pool.Borrow(chainPiece)
		for lo := 0; lo < len(x); lo += chainPiece {
			end := min(lo+chainPiece, len(x))
			in, out := x[lo:end], dst[lo:end]
			if gate {
				out = scratch[:end-lo]
			}
			from := in
			for _, f := range loops {
				f(out, from)
				from = out
			}
			if gate {
				vec.Mul(dst[lo:end], in, out)
			}
		}
		b.pool.Return(scratch)
	}
}

// unary returns the vector loop of an operation, nil where there is none.
func unary(op tensor.UnaryOp, p tensor.Attr) func(dst, x []float32) {
	a, b := float32(p.A), float32(p.B)
	switch op {
	case tensor.Neg:
		return vec.Neg
	case tensor.Abs:
		return vec.Abs
	case tensor.Sign:
		return vec.Sign
	case tensor.Step:
		return vec.Step
	case tensor.Exp:
		return vec.Exp
	case tensor.Log:
		return vec.Log
	case tensor.Sqrt:
		return vec.Sqrt
	case tensor.Rsqrt:
		return vec.Rsqrt
	case tensor.Recip:
		return vec.Recip
	case tensor.Square:
		return vec.Square
	case tensor.Tanh:
		return vec.Tanh
	case tensor.Erf:
		return vec.Erf
	case tensor.Sigmoid:
		return vec.Sigmoid
	case tensor.Softplus:
		return vec.Softplus
	case tensor.ReLU:
		return vec.ReLU
	case tensor.LeakyReLU:
		return func(dst, x []float32) { vec.LeakyReLU(dst, x, a) }
	case tensor.Clamp:
		return func(dst, x []float32) { vec.Clamp(dst, x, a, b) }
	case tensor.Affine:
		return func(dst, x []float32) { vec.Affine(dst, x, a, b) }
	case tensor.InRange:
		return func(dst, x []float32) { vec.InRange(dst, x, a, b) }
	case tensor.Pow:
		return func(dst, x []float32) { vec.Pow(dst, x, p.A) }
	}
	return nil
}

// Binary computes dst = op(x, y) with broadcasting; see tensor.Backend. Three patterns have vector
// loops: equal shapes, one operand a single element, one operand a row along the last axes. Every
// other is made one of equal shapes, piece by piece (broadcast).
func (b *Backend) Binary(op tensor.BinaryOp, dst, x, y *tensor.Tensor) {
	if !f32(dst, x, y) || dst.Size() == 0 {
		b.ref.Binary(op, dst, x, y)
		return
	}
	d, xs, ys := host(dst), host(x), host(y)
	n := len(d)
	if f := same(op); f != nil && len(xs) == n && len(ys) == n {
		b.split(n, chunk, func(lo, hi int) { f(d[lo:hi], xs[lo:hi], ys[lo:hi]) })
		return
	}
	if f := scalar(op); f != nil && len(xs) == n && len(ys) == 1 {
		s := ys[0]
		b.split(n, chunk, func(lo, hi int) { f(d[lo:hi], xs[lo:hi], s) })
		return
	}
	if f := scalarFirst(op); f != nil && len(xs) == 1 && len(ys) == n {
		s := xs[0]
		b.split(n, chunk, func(lo, hi int) { f(d[lo:hi], ys[lo:hi], s) })
		return
	}
	if commutes(op) && len(xs) < len(ys) {
		x, y, xs, ys = y, x, ys, xs
	}
	if outer, reps, inner, ok := blocks(dst.Shape(), y.Shape()); ok && len(xs) == n {
		if inner > 1 {
			if f := row(op); f != nil {
				b.rowwise(f, d, xs, ys, outer, reps, inner)
				return
			}
		} else if f := scalar(op); f != nil && reps >= 16 {
			b.split(outer, max(1, chunk/reps), func(lo, hi int) {
				for i := lo; i < hi; i++ {
					f(d[i*reps:(i+1)*reps], xs[i*reps:(i+1)*reps], ys[i])
				}
			})
			return
		}
	}
	b.broadcast(same(op), dst, x, y)
}

// AddReLUMask computes dx = y > 0 ? a + b : 0; see tensor.SumMasker.
func (b *Backend) AddReLUMask(dx, x1, x2, y *tensor.Tensor) {
	if !f32(dx, x1, x2, y) {
		b.Binary(tensor.Add, dx, x1, x2)
		b.Binary(tensor.ReLUMask, dx, dx, y)
		return
	}
	d, s1, s2, out := host(dx), host(x1), host(x2), host(y)
	b.split(len(d), chunk, func(lo, hi int) {
		vec.AddReLUGrad(d[lo:hi], s1[lo:hi], s2[lo:hi], out[lo:hi])
	})
}

// blocks describes a broadcast of y to dst as y [outer, inner] repeated: dst [outer, reps, inner].
// Bias rows are outer = 1; the per-sample rows [N 1 1 C] are outer = N; columns [N 1] are
// inner = 1.
func blocks(dst, y tensor.Shape) (outer, reps, inner int, ok bool) {
	pad := len(dst) - len(y)
	at := func(i int) int {
		if i < pad {
			return 1
		}
		return y[i-pad]
	}
	outer, reps, inner = 1, 1, 1
	i := 0
	for ; i < len(dst) && at(i) == dst[i]; i++ {
		outer *= dst[i]
	}
	for ; i < len(dst) && at(i) == 1; i++ {
		reps *= dst[i]
	}
	for ; i < len(dst) && at(i) == dst[i]; i++ {
		inner *= dst[i]
	}
	return outer, reps, inner, i == len(dst)
}

// rowwise applies f to every block of reps rows with its own row of y.
func (b *Backend) rowwise(f func(dst, x, v []float32), d, x, y []float32, outer, reps, inner int) {
	grain := max(1, chunk/inner)
	per := (reps + grain - 1) / grain // tiles in one block
	b.pool.Run(outer*per, func(i int) {
		o, t := i/per, i%per
		lo, hi := (o*reps+t*grain)*inner, (o*reps+min((t+1)*grain, reps))*inner
		f(d[lo:hi], x[lo:hi], y[o*inner:(o+1)*inner])
	})
}

func commutes(op tensor.BinaryOp) bool {
	switch op {
	case tensor.Add, tensor.Mul, tensor.Max, tensor.Min, tensor.Equal:
		return true
	}
	return false
}

func same(op tensor.BinaryOp) func(dst, x, y []float32) {
	switch op {
	case tensor.Add:
		return vec.Add
	case tensor.Sub:
		return vec.Sub
	case tensor.Mul:
		return vec.Mul
	case tensor.Div:
		return vec.Div
	case tensor.Max:
		return vec.Max
	case tensor.Min:
		return vec.Min
	case tensor.ReLUMask:
		return vec.ReLUGrad
	case tensor.Greater:
		return vec.Greater
	case tensor.Equal:
		return vec.Equal
	}
	return nil
}

func scalar(op tensor.BinaryOp) func(dst, x []float32, s float32) {
	switch op {
	case tensor.Add:
		return vec.AddScalar
	case tensor.Sub:
		return vec.SubScalar
	case tensor.Mul:
		return vec.MulScalar
	case tensor.Div:
		return vec.DivScalar
	case tensor.Max:
		return vec.MaxScalar
	case tensor.Min:
		return vec.MinScalar
	case tensor.Greater:
		return vec.GreaterScalar
	case tensor.Equal:
		return vec.EqualScalar
	}
	return nil
}

// scalarFirst is scalar for op(s, x).
func scalarFirst(op tensor.BinaryOp) func(dst, x []float32, s float32) {
	switch op {
	case tensor.Sub:
		return vec.RSubScalar
	case tensor.Div:
		return vec.RDivScalar
	}
	if commutes(op) {
		return scalar(op)
	}
	return nil
}

func row(op tensor.BinaryOp) func(dst, x, v []float32) {
	switch op {
	case tensor.Add:
		return vec.AddRow
	case tensor.Sub:
		return vec.SubRow
	case tensor.Mul:
		return vec.MulRow
	case tensor.Div:
		return vec.DivRow
	}
	return nil
}

// Select chooses element by element; see tensor.Backend.
func (b *Backend) Select(dst, cond, x, y *tensor.Tensor) {
	if !f32(dst, cond, x, y) {
		b.ref.Select(dst, cond, x, y)
		return
	}
	d, c, xs, ys := host(dst), host(cond), host(x), host(y)
	b.split(len(d), chunk, func(lo, hi int) { vec.Select(d[lo:hi], c[lo:hi], xs[lo:hi], ys[lo:hi]) })
}
