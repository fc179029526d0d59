package cpu

import (
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// BenchmarkOutside times what imported networks ask for beside the kernels of the catalogue
// (bench), here and on the reference, which served it once.
func BenchmarkOutside(b *testing.B) {
	fast := Open(0)
	defer fast.Close()
	for _, c := range outside() {
		for _, be := range []tensor.Backend{fast, ref.New()} {
			b.Run(c.name+"/"+be.Name(), func(b *testing.B) {
				s := tensor.NewScope(be)
				defer s.Close()
				run := c.open(s)
				b.ResetTimer()
				for range b.N {
					run()
				}
			})
		}
	}
}

// An outsideCase makes its operands in a scope and returns what is timed.
type outsideCase struct {
	name string
	open func(s *tensor.Scope) func()
}

func outside() []outsideCase {
	f := func(s *tensor.Scope, shape ...int) *tensor.Tensor {
		return s.Full(tensor.F32, 0.75, shape...)
	}
	reduce := func(op tensor.ReduceOp, axes []int, shape ...int) func(*tensor.Scope) func() {
		return func(s *tensor.Scope) func() {
			x := f(s, shape...)
			y := f(s, x.Shape().Reduced(axes)...)
			return func() { s.Backend().Reduce(op, y, x, axes) }
		}
	}
	binary := func(op tensor.BinaryOp, x, y []int, dst ...int) func(*tensor.Scope) func() {
		return func(s *tensor.Scope) func() {
			d, x, y := f(s, dst...), f(s, x...), f(s, y...)
			return func() { s.Backend().Binary(op, d, x, y) }
		}
	}
	pow := func(a float64) func(*tensor.Scope) func() {
		return func(s *tensor.Scope) func() {
			y, x := f(s, 8, 28, 28, 96), f(s, 8, 28, 28, 96)
			return func() { s.Backend().Unary(tensor.Pow, tensor.Attr{A: a}, y, x) }
		}
	}
	return []outsideCase{
		{"pow 3", pow(3)}, {"pow -0.75", pow(-0.75)},
		{"max of all", reduce(tensor.MaxOf, []int{0, 1}, 1000, 1000)},
		{"max of pixels", reduce(tensor.MaxOf, []int{1, 2}, 16, 14, 14, 512)},
		{"max of rows", reduce(tensor.MaxOf, []int{1}, 1000, 1000)},
		{"max of short rows", reduce(tensor.MaxOf, []int{1}, 100000, 10)},
		{"sum beside the channels of NCHW", reduce(tensor.Sum, []int{0, 2}, 16, 96, 784)},
		{"channels of NCHW", binary(tensor.Mul, []int{16, 96, 784}, []int{96, 1}, 16, 96, 784)},
		{"row and column", binary(tensor.Add, []int{1000, 1}, []int{1000}, 1000, 1000)},
		{"column of short rows", binary(tensor.Sub, []int{100000, 10}, []int{100000, 1}, 100000, 10)},
		{"upsample 4", func(s *tensor.Scope) func() {
			y, x := f(s, 4, 56, 56, 64), f(s, 4, 14, 14, 64)
			return func() { s.Backend().Upsample(y, x, 4) }
		}},
		{"upsample 4, gradient", func(s *tensor.Scope) func() {
			y, x := f(s, 4, 56, 56, 64), f(s, 4, 14, 14, 64)
			return func() { s.Backend().UpsampleGrad(x, y, 4) }
		}},
		{"rows", rows(func(s *tensor.Scope, y, x, idx *tensor.Tensor) {
			s.Backend().Gather(y, x, idx)
		})},
		{"rows, gradient", rows(func(s *tensor.Scope, y, x, idx *tensor.Tensor) {
			s.Backend().ScatterAdd(x, y, idx)
		})},
		{"average of 3×3 by 2, gradient", func(s *tensor.Scope) func() {
			p := tensor.PoolParams{KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1, PadBottom: 1,
				PadRight: 1}
			dx, dy := f(s, 8, 28, 28, 96), f(s, 8, 14, 14, 96)
			return func() { s.Backend().AvgPoolGrad(dx, dy, p) }
		}},
	}
}

// rows looks up twice as many rows as a table of 256 columns has.
func rows(f func(s *tensor.Scope, y, x, idx *tensor.Tensor)) func(*tensor.Scope) func() {
	return func(s *tensor.Scope) func() {
		const n, c = 2000, 256
		idx := make([]int32, 2*n)
		for i := range idx {
			idx[i] = int32(i * 7 % n)
		}
		x, y := s.Full(tensor.F32, 1, n, c), s.Full(tensor.F32, 1, 2*n, c)
		at := tensor.FromSlice(s, idx, 2*n)
		return func() { f(s, y, x, at) }
	}
}
