package kernels_test

import (
	"fmt"

	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// An encoder turns a call into launches; what executes them is the caller's business.
func ExampleEncoder() {
	e := kernels.Encoder{Emit: func(l kernels.Launch) {
		fmt.Println(l.Entry, "of", kernels.Entries()[l.Entry].Stem+".cu:", l.Grid[0], "blocks of",
			l.Block[0], "threads")
	}}
	x := kernels.Array{Ptr: 1 << 20, DType: tensor.F32, Shape: tensor.Shape{64, 1000}}
	e.Softmax(false, x, x)
	// Output: softmax_f32 of reduce.cu: 8 blocks of 256 threads
}
