package vec_test

import (
	"fmt"

	"afterimage/tensor/cpu/vec"
)

// Batch norm over a [4, 2] matrix, from statistics to output.
func Example() {
	x := []float32{1, 10, 2, 20, 3, 30, 4, 40}
	sum, sumSq := make([]float64, 2), make([]float64, 2)
	vec.ColMoments(sum, sumSq, x, x[:2])

	mean, variance, rstd := make([]float32, 2), make([]float32, 2), make([]float32, 2)
	vec.BNStats(mean, variance, sum, sumSq, x[:2], 4)
	vec.Rstd(rstd, variance, 1e-5)
	fmt.Println(mean, variance)

	shift := make([]float32, 2)
	vec.Mul(shift, mean, rstd)
	vec.Neg(shift, shift)
	y := make([]float32, len(x))
	vec.ScaleShiftReLU(y, x, rstd, shift)
	fmt.Printf("%.3f\n", y)
	// Output:
	// [2.5 25] [1.25 125]
	// [0.000 0.000 0.000 0.000 0.447 0.447 1.342 1.342]
}
