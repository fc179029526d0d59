package cpu_test

import (
	"fmt"
	"slices"

	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// One thread or four, the bytes are the same: how a product is cut follows from its shape alone.
func Example() {
	product := func(threads int) []float32 {
		b := cpu.Open(threads)
		defer b.Close()
		s := tensor.NewScope(b)
		defer s.Close()
		x, y := s.New(tensor.F32, 100, 300), s.New(tensor.F32, 300, 50)
		step := tensor.FromSlice(s, []int32{0}, 1)
		b.Random(tensor.Normal, tensor.NewKey(1, "x"), x, step)
		b.Random(tensor.Normal, tensor.NewKey(1, "y"), y, step)
		z := s.New(tensor.F32, 100, 50)
		b.MatMul(z, x, y, tensor.MatMulParams{})
		return tensor.ToHost[float32](z)
	}
	fmt.Println(slices.Equal(product(1), product(4)))
	// Output: true
}
