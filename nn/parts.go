package nn

import (
	"fmt"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// Parts returns f(x) for an f that treats every sample of x [N …] by itself: no batch statistics,
// at which it panics.
// It calls f on parts of at most n samples, as equal as can be, each a Block of its own, and lays
// the results one behind the other. The backward pass then makes the cotangents inside f for one
// part after the other, and with Recompute so it does with the values themselves: of a network's
// widest block the inside is there for one part, not for the batch.
//
// A parameter's gradient is the sum over parts, the last one first: the same bits with and without
// Recompute, and by rounding another than that of one call. Where x needs a gradient, each part's
// is laid into zeros of x's size first: split blocks whose input is a constant, or small. Panics
// if n < 1.
func (c *Ctx) Parts(x *autodiff.Value, n int,
	f func(x *autodiff.Value) *autodiff.Value) *autodiff.Value {
	if n < 1 {
		panic(&tensor.Error{Op: "Ctx.Parts", Operands: []tensor.Operand{
			tensor.Describe("x", x.Tensor())}, Reason: fmt.Sprintf("n = %d: expected 1 sample or more", n)})
	}
	total := x.Dim(0)
	k := (total + n - 1) / n
	if k <= 1 {
		return c.Block(func() *autodiff.Value { return f(x) })
	}
	parts := make([]*autodiff.Value, k)
	for i := range parts {
		parts[i] = c.Block(func() *autodiff.Value {
			defer func(before bool) { c.inPart = before }(c.inPart)
			c.inPart = true
			part := samples(x, i*total/k, (i+1)*total/k)
			defer part.Done()
			return f(part)
		})
	}
	y := autodiff.Concat(0, parts...)
	for _, p := range parts {
		p.Done()
	}
	return y
}

// samples returns x[from:to].
func samples(x *autodiff.Value, from, to int) *autodiff.Value {
	start, end, step := make([]int, x.Rank()), x.Shape().Clone(), make([]int, x.Rank())
	for i := range step {
		step[i] = 1
	}
	start[0], end[0] = from, to
	return autodiff.Slice(x, start, end, step)
}
