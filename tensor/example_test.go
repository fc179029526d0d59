package tensor_test

import (
	"fmt"

	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A scope owns what is allocated in it; a child's results outlive it only when kept.
func Example() {
	b := ref.New()
	step := tensor.NewScope(b)
	x := tensor.FromSlice(step, []float32{1, -2, 3, -4, 5, -6}, 2, 3)

	inner := step.Child()
	positive := inner.Like(x)
	b.Unary(tensor.ReLU, tensor.Attr{}, positive, x)
	sums := inner.New(tensor.F32, 2, 1)
	b.Reduce(tensor.Sum, sums, positive, []int{1})
	inner.Keep(sums)
	inner.Close()

	fmt.Println(sums, sums.Floats(), positive.Freed())
	step.Close()
	fmt.Println(b.Outstanding())
	// Output:
	// f32 [2 1] [4 5] true
	// 0
}

// Random numbers are a pure function of key, step and position.
func ExampleRNG() {
	key := tensor.NewKey(1, "augment/flip")
	a, b := tensor.NewRNG(key, 10), tensor.NewRNG(key, 10)
	fmt.Println(a.Uint32() == b.Uint32(), a.Normal() == b.Normal())
	// Output: true true
}
